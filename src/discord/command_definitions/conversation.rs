//! Commands to ask, to transcribe, and to reset a conversation.

use serenity::all::{CommandOptionType, CreateCommand, CreateCommandOption};

use super::localization::{
    LocalizedEntry, LocalizedText, add_choice, command_option, message_command, slash_command,
};
use super::options::{AUDIO, FORMAT, JSON, PRIVATE, QUESTION, SRT, TEXT, VTT};
use super::{ANSWER_MENU, ASK, MAX_QUESTION_CHARS, RESET, TRANSCRIBE, TRANSCRIBE_MENU};

pub(super) fn ask() -> CreateCommand {
    slash_command(&LocalizedEntry {
        name: LocalizedText {
            en: ASK,
            de: "fragen",
            fr: "demander",
            es: "preguntar",
            pt: "perguntar",
            ja: "質問",
            zh: "提问",
        },
        description: LocalizedText {
            en: "Ask something, typed or with a recording",
            de: "Stelle eine Frage, getippt oder als Aufnahme",
            fr: "Pose une question, par écrit ou avec un enregistrement",
            es: "Haz una pregunta por escrito o con una grabación",
            pt: "Faça uma pergunta por escrito ou com uma gravação",
            ja: "文章または録音で質問します",
            zh: "用文字或录音提问",
        },
    })
    .add_option(
        command_option(
            CommandOptionType::String,
            &LocalizedEntry {
                name: LocalizedText {
                    en: QUESTION,
                    de: "frage",
                    fr: "question",
                    es: "pregunta",
                    pt: "pergunta",
                    ja: "質問",
                    zh: "问题",
                },
                description: LocalizedText {
                    en: "What you want to know",
                    de: "Was du wissen möchtest",
                    fr: "Ce que tu veux savoir",
                    es: "Lo que quieres saber",
                    pt: "O que você quer saber",
                    ja: "知りたいこと",
                    zh: "你想知道的内容",
                },
            },
        )
        .max_length(MAX_QUESTION_CHARS),
    )
    .add_option(audio_option())
    .add_option(private_option())
}

pub(super) fn transcribe() -> CreateCommand {
    slash_command(&LocalizedEntry {
        name: LocalizedText {
            en: TRANSCRIBE,
            de: "transkribieren",
            fr: "transcrire",
            es: "transcribir",
            pt: "transcrever",
            ja: "文字起こし",
            zh: "转写",
        },
        description: LocalizedText {
            en: "Write down what is said in a recording",
            de: "Schreibe auf, was in einer Aufnahme gesagt wird",
            fr: "Mets par écrit ce qui est dit dans un enregistrement",
            es: "Pon por escrito lo que se dice en una grabación",
            pt: "Escreva o que é dito em uma gravação",
            ja: "録音の内容を文字に起こします",
            zh: "将录音中的话写成文字",
        },
    })
    .add_option(audio_option().required(true))
    .add_option(format_option())
    .add_option(private_option())
}

pub(super) fn transcribe_menu() -> CreateCommand {
    message_command(&LocalizedText {
        en: TRANSCRIBE_MENU,
        de: "Transkribieren",
        fr: "Transcrire",
        es: "Transcribir",
        pt: "Transcrever",
        ja: "文字起こし",
        zh: "转写",
    })
}

pub(super) fn answer_menu() -> CreateCommand {
    message_command(&LocalizedText {
        en: ANSWER_MENU,
        de: "Darauf antworten",
        fr: "Répondre à ceci",
        es: "Responder a esto",
        pt: "Responder a isto",
        ja: "これに回答",
        zh: "回答此消息",
    })
}

pub(super) fn reset() -> CreateCommand {
    slash_command(&LocalizedEntry {
        name: LocalizedText {
            en: RESET,
            de: "zurücksetzen",
            fr: "réinitialiser",
            es: "reiniciar",
            pt: "reiniciar",
            ja: "リセット",
            zh: "重置",
        },
        description: LocalizedText {
            en: "Forget this conversation",
            de: "Vergiss dieses Gespräch",
            fr: "Oublie cette conversation",
            es: "Olvida esta conversación",
            pt: "Esqueça esta conversa",
            ja: "この会話を忘れます",
            zh: "忘记此对话",
        },
    })
}

fn audio_option() -> CreateCommandOption {
    command_option(
        CommandOptionType::Attachment,
        &LocalizedEntry {
            name: LocalizedText {
                en: AUDIO,
                de: "audio",
                fr: "audio",
                es: "audio",
                pt: "áudio",
                ja: "音声",
                zh: "音频",
            },
            description: LocalizedText {
                en: "A recording in any common format",
                de: "Eine Aufnahme in einem gängigen Format",
                fr: "Un enregistrement dans un format courant",
                es: "Una grabación en un formato habitual",
                pt: "Uma gravação em um formato comum",
                ja: "一般的な形式の録音",
                zh: "常见格式的录音",
            },
        },
    )
}

fn private_option() -> CreateCommandOption {
    command_option(
        CommandOptionType::Boolean,
        &LocalizedEntry {
            name: LocalizedText {
                en: PRIVATE,
                de: "privat",
                fr: "privé",
                es: "privado",
                pt: "privado",
                ja: "非公開",
                zh: "私密",
            },
            description: LocalizedText {
                en: "Show the reply only to you",
                de: "Zeige die Antwort nur dir",
                fr: "N’affiche la réponse qu’à toi",
                es: "Muestra la respuesta solo a ti",
                pt: "Mostre a resposta só para você",
                ja: "返信を自分だけに表示します",
                zh: "仅向你显示回复",
            },
        },
    )
}

fn format_option() -> CreateCommandOption {
    let format = command_option(
        CommandOptionType::String,
        &LocalizedEntry {
            name: LocalizedText {
                en: FORMAT,
                de: "format",
                fr: "format",
                es: "formato",
                pt: "formato",
                ja: "形式",
                zh: "格式",
            },
            description: LocalizedText {
                en: "Send the transcript as a file of this kind",
                de: "Sende das Transkript als Datei dieser Art",
                fr: "Envoie la transcription dans un fichier de ce type",
                es: "Envía la transcripción como archivo de este tipo",
                pt: "Envie a transcrição como arquivo deste tipo",
                ja: "この形式のファイルで送ります",
                zh: "以此类型的文件发送文字记录",
            },
        },
    );
    [
        (
            TEXT,
            LocalizedText {
                en: "Text (.txt)",
                de: "Text (.txt)",
                fr: "Texte (.txt)",
                es: "Texto (.txt)",
                pt: "Texto (.txt)",
                ja: "テキスト (.txt)",
                zh: "文本 (.txt)",
            },
        ),
        (
            SRT,
            LocalizedText {
                en: "SubRip subtitles (.srt)",
                de: "SubRip-Untertitel (.srt)",
                fr: "Sous-titres SubRip (.srt)",
                es: "Subtítulos SubRip (.srt)",
                pt: "Legendas SubRip (.srt)",
                ja: "SubRip 字幕 (.srt)",
                zh: "SubRip 字幕 (.srt)",
            },
        ),
        (
            VTT,
            LocalizedText {
                en: "WebVTT subtitles (.vtt)",
                de: "WebVTT-Untertitel (.vtt)",
                fr: "Sous-titres WebVTT (.vtt)",
                es: "Subtítulos WebVTT (.vtt)",
                pt: "Legendas WebVTT (.vtt)",
                ja: "WebVTT 字幕 (.vtt)",
                zh: "WebVTT 字幕 (.vtt)",
            },
        ),
        (
            JSON,
            LocalizedText {
                en: "Words with times (.json)",
                de: "Wörter mit Zeiten (.json)",
                fr: "Mots avec leurs temps (.json)",
                es: "Palabras con tiempos (.json)",
                pt: "Palavras com tempos (.json)",
                ja: "時刻付きの単語 (.json)",
                zh: "带时间的词语 (.json)",
            },
        ),
    ]
    .iter()
    .fold(format, |format, (value, name)| {
        add_choice(format, name, value)
    })
}
