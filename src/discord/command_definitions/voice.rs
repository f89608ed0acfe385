//! Commands for voice sessions.

use serenity::all::{ChannelType, CommandOptionType, CreateCommand, CreateCommandOption};

use super::localization::{
    LocalizedEntry, LocalizedText, add_choice, command_option, slash_command,
};
use super::options::{
    ALWAYS, ANSWERS, ASK, AUTO, CHANNEL, COMMAND, CONSENT, LANGUAGE, MODE, NAME, NEVER, NOTICE,
    VOICE,
};
use super::{JOIN, LEAVE, SESSION, SUMMARY};

pub(super) fn join() -> CreateCommand {
    slash_command(&LocalizedEntry {
        name: LocalizedText {
            en: JOIN,
            de: "beitreten",
            fr: "rejoindre",
            es: "unirse",
            pt: "entrar",
            ja: "参加",
            zh: "加入",
        },
        description: LocalizedText {
            en: "Join a voice channel, write down who says what, and answer",
            de: "Komm in einen Sprachkanal, schreib mit, wer was sagt, und antworte",
            fr: "Viens dans un salon vocal, note qui dit quoi et réponds",
            es: "Entra en un canal de voz, apunta quién dice qué y responde",
            pt: "Entre em um canal de voz, anote quem diz o quê e responda",
            ja: "ボイスチャンネルに参加し、発言を書き起こして答えます",
            zh: "加入语音频道，记录谁说了什么并回答",
        },
    })
    .add_option(
        command_option(CommandOptionType::Channel, &JOIN_CHANNEL)
            .channel_types(vec![ChannelType::Voice, ChannelType::Stage]),
    )
    .add_option(answers_option(&JOIN_MODE))
    .add_option(command_option(CommandOptionType::String, &JOIN_LANGUAGE).max_length(100))
}

pub(super) fn leave() -> CreateCommand {
    slash_command(&LocalizedEntry {
        name: LocalizedText {
            en: LEAVE,
            de: "verlassen",
            fr: "quitter",
            es: "salir",
            pt: "sair",
            ja: "退出",
            zh: "离开",
        },
        description: LocalizedText {
            en: "End the voice session and post its transcript and summary",
            de: "Beende die Sprachsitzung und poste Transkript und Zusammenfassung",
            fr: "Termine la session vocale et publie sa transcription et son résumé",
            es: "Termina la sesión de voz y publica la transcripción y el resumen",
            pt: "Termine a sessão de voz e publique a transcrição e o resumo",
            ja: "セッションを終了し、書き起こしと要約を投稿します",
            zh: "结束语音会话并发布文字记录和摘要",
        },
    })
}

pub(super) fn session() -> CreateCommand {
    slash_command(&LocalizedEntry {
        name: LocalizedText {
            en: SESSION,
            de: "sitzung",
            fr: "session",
            es: "sesión",
            pt: "sessão",
            ja: "セッション",
            zh: "会话",
        },
        description: LocalizedText {
            en: "Show who is heard in the voice session, how well, and what it costs",
            de: "Zeige, wer in der Sprachsitzung wie gut gehört wird und was sie kostet",
            fr: "Montre qui est entendu dans la session vocale, comment, et son coût",
            es: "Muestra a quién se oye en la sesión de voz, qué tal y cuánto cuesta",
            pt: "Mostre quem é ouvido na sessão de voz, quão bem e quanto custa",
            ja: "誰の声がどれだけ聞こえているか、費用も含めて表示します",
            zh: "显示语音会话中谁被听到、效果如何以及费用",
        },
    })
}

pub(super) fn summary() -> CreateCommand {
    slash_command(&LocalizedEntry {
        name: LocalizedText {
            en: SUMMARY,
            de: "zusammenfassung",
            fr: "résumé",
            es: "resumen",
            pt: "resumo",
            ja: "要約",
            zh: "摘要",
        },
        description: LocalizedText {
            en: "Sum up what was said in the voice session so far",
            de: "Fasse zusammen, was in der Sprachsitzung bisher gesagt wurde",
            fr: "Résume ce qui a été dit jusqu’ici dans la session vocale",
            es: "Resume lo que se ha dicho hasta ahora en la sesión de voz",
            pt: "Resuma o que foi dito até agora na sessão de voz",
            ja: "ここまでの発言を要約します",
            zh: "总结到目前为止语音会话中说过的内容",
        },
    })
}

/// `/settings voice`
pub(super) fn settings_subcommand() -> CreateCommandOption {
    command_option(CommandOptionType::SubCommand, &SETTINGS_VOICE)
        .set_sub_options([answers_option(&SETTINGS_ANSWERS), consent_option()])
}

fn answers_option(entry: &LocalizedEntry) -> CreateCommandOption {
    let choices = [
        (
            AUTO,
            LocalizedText {
                en: "Any question from someone alone, otherwise when called by name",
                de: "Fragen von jemandem allein, sonst auf Anrede",
                fr: "Questions d’une personne seule, sinon par le nom",
                es: "Preguntas de quien está a solas; si no, por el nombre",
                pt: "Perguntas de quem está a sós; senão, pelo nome",
                ja: "一人のときは質問すべて、それ以外は名前で",
                zh: "独自一人时回答所有问题，否则叫名字才回答",
            },
        ),
        (
            ALWAYS,
            LocalizedText {
                en: "Every question",
                de: "Jede Frage",
                fr: "Chaque question",
                es: "Todas las preguntas",
                pt: "Todas as perguntas",
                ja: "すべての質問",
                zh: "所有问题",
            },
        ),
        (
            NAME,
            LocalizedText {
                en: "When called by name",
                de: "Auf Anrede",
                fr: "Quand on l’appelle par son nom",
                es: "Cuando se le llama por su nombre",
                pt: "Quando chamado pelo nome",
                ja: "名前で呼ばれたとき",
                zh: "叫到名字时",
            },
        ),
        (
            COMMAND,
            LocalizedText {
                en: "Only commands",
                de: "Nur Befehle",
                fr: "Seulement les commandes",
                es: "Solo comandos",
                pt: "Só comandos",
                ja: "コマンドのみ",
                zh: "仅命令",
            },
        ),
        (
            NEVER,
            LocalizedText {
                en: "Nothing; the model gets none of it",
                de: "Nichts; das Modell bekommt nichts davon",
                fr: "Rien ; le modèle n’en reçoit rien",
                es: "Nada; el modelo no recibe nada",
                pt: "Nada; o modelo não recebe nada",
                ja: "答えない(モデルには何も渡さない)",
                zh: "不回答；不会交给模型",
            },
        ),
    ];
    choices.iter().fold(
        command_option(CommandOptionType::String, entry),
        |option, (value, name)| add_choice(option, name, value),
    )
}

fn consent_option() -> CreateCommandOption {
    let choices = [
        (
            ASK,
            LocalizedText {
                en: "Only people who have agreed",
                de: "Nur wer zugestimmt hat",
                fr: "Seulement qui a accepté",
                es: "Solo quien ha aceptado",
                pt: "Só quem aceitou",
                ja: "同意した人のみ",
                zh: "仅同意的人",
            },
        ),
        (
            NOTICE,
            LocalizedText {
                en: "Everyone except people who have declined",
                de: "Alle außer wer abgelehnt hat",
                fr: "Tout le monde sauf qui a refusé",
                es: "Todos menos quien se ha negado",
                pt: "Todos menos quem recusou",
                ja: "拒否した人以外の全員",
                zh: "除拒绝者以外的所有人",
            },
        ),
    ];
    choices.iter().fold(
        command_option(CommandOptionType::String, &SETTINGS_CONSENT),
        |option, (value, name)| add_choice(option, name, value),
    )
}

const JOIN_CHANNEL: LocalizedEntry = LocalizedEntry {
    name: LocalizedText {
        en: CHANNEL,
        de: "kanal",
        fr: "salon",
        es: "canal",
        pt: "canal",
        ja: "チャンネル",
        zh: "频道",
    },
    description: LocalizedText {
        en: "The voice channel; leave out for the one you are in",
        de: "Der Sprachkanal; ohne Angabe der, in dem du bist",
        fr: "Le salon vocal ; sans indication, celui où tu es",
        es: "El canal de voz; si se omite, en el que estás",
        pt: "O canal de voz; se omitido, aquele em que você está",
        ja: "ボイスチャンネル(省略すると今いる場所)",
        zh: "语音频道；不填则为你所在的频道",
    },
};

const JOIN_MODE: LocalizedEntry = LocalizedEntry {
    name: LocalizedText {
        en: MODE,
        de: "modus",
        fr: "mode",
        es: "modo",
        pt: "modo",
        ja: "モード",
        zh: "模式",
    },
    description: LocalizedText {
        en: "What the bot answers; leave out for the server’s setting",
        de: "Was beantwortet wird; ohne Angabe die Einstellung des Servers",
        fr: "Ce qui reçoit une réponse ; sans indication, le réglage du serveur",
        es: "Qué se responde; si se omite, el ajuste del servidor",
        pt: "O que é respondido; se omitido, a configuração do servidor",
        ja: "何に答えるか(省略するとサーバーの設定)",
        zh: "回答什么；不填则按服务器设置",
    },
};

const JOIN_LANGUAGE: LocalizedEntry = LocalizedEntry {
    name: LocalizedText {
        en: LANGUAGE,
        de: "sprache",
        fr: "langue",
        es: "idioma",
        pt: "idioma",
        ja: "言語",
        zh: "语言",
    },
    description: LocalizedText {
        en: "Codes of the languages spoken, such as en, de",
        de: "Codes der gesprochenen Sprachen, etwa en, de",
        fr: "Codes des langues parlées, par exemple en, fr",
        es: "Códigos de los idiomas hablados, como en, es",
        pt: "Códigos dos idiomas falados, como en, pt",
        ja: "話される言語のコード(例: en, ja)",
        zh: "所说语言的代码，例如 en, zh",
    },
};

const SETTINGS_VOICE: LocalizedEntry = LocalizedEntry {
    name: LocalizedText {
        en: VOICE,
        de: "sprachsitzungen",
        fr: "sessions-vocales",
        es: "sesiones-de-voz",
        pt: "sessões-de-voz",
        ja: "ボイスセッション",
        zh: "语音会话",
    },
    description: LocalizedText {
        en: "Choose what the bot answers in voice sessions, and who is transcribed",
        de: "Lege fest, was in Sprachsitzungen beantwortet und wer mitgeschrieben wird",
        fr: "Choisis ce qui reçoit une réponse en session vocale et qui est transcrit",
        es: "Elige qué se responde en las sesiones de voz y a quién se transcribe",
        pt: "Escolha o que é respondido nas sessões de voz e quem é transcrito",
        ja: "ボイスセッションで何に答え、誰を書き起こすかを選びます",
        zh: "选择语音会话中回答什么以及记录谁的话",
    },
};

const SETTINGS_ANSWERS: LocalizedEntry = LocalizedEntry {
    name: LocalizedText {
        en: ANSWERS,
        de: "antworten",
        fr: "réponses",
        es: "respuestas",
        pt: "respostas",
        ja: "回答",
        zh: "回答",
    },
    description: LocalizedText {
        en: "What the bot answers",
        de: "Was vom Gesagten beantwortet wird",
        fr: "Ce qui reçoit une réponse",
        es: "Qué se responde de lo que se dice",
        pt: "O que é respondido do que se diz",
        ja: "発言のうち何に答えるか",
        zh: "对所说的哪些内容作出回答",
    },
};

const SETTINGS_CONSENT: LocalizedEntry = LocalizedEntry {
    name: LocalizedText {
        en: CONSENT,
        de: "zustimmung",
        fr: "accord",
        es: "consentimiento",
        pt: "consentimento",
        ja: "同意",
        zh: "同意",
    },
    description: LocalizedText {
        en: "Who is transcribed before they have said yes or no",
        de: "Wer mitgeschrieben wird, ohne sich dazu geäußert zu haben",
        fr: "Qui est transcrit sans s’être prononcé",
        es: "A quién se transcribe sin que haya dicho nada al respecto",
        pt: "Quem é transcrito sem ter dito nada sobre isso",
        ja: "まだ何も言っていない人のうち誰を書き起こすか",
        zh: "在尚未表态的人中记录谁的话",
    },
};
