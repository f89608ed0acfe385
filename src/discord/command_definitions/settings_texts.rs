//! Localized names and descriptions of `/settings`, its subcommands and their options.

use super::localization::{LocalizedEntry, LocalizedText};
use super::options as s;

/// The command itself. Discord shows only its subcommands.
pub(super) const SETTINGS: LocalizedEntry = LocalizedEntry {
    name: LocalizedText {
        en: super::SETTINGS,
        de: "einstellungen",
        fr: "paramètres",
        es: "ajustes",
        pt: "configurações",
        ja: "設定",
        zh: "设置",
    },
    description: LocalizedText {
        en: "Choose how the bot works in this server",
        de: "Lege fest, wie der Bot auf diesem Server arbeitet",
        fr: "Choisis comment le bot fonctionne sur ce serveur",
        es: "Elige cómo funciona el bot en este servidor",
        pt: "Escolha como o bot funciona neste servidor",
        ja: "このサーバーでのボットの動作を設定します",
        zh: "设置机器人在此服务器中的工作方式",
    },
};

pub(super) const SHOW: LocalizedEntry = LocalizedEntry {
    name: LocalizedText {
        en: s::SHOW,
        de: "zeigen",
        fr: "afficher",
        es: "mostrar",
        pt: "mostrar",
        ja: "表示",
        zh: "查看",
    },
    description: LocalizedText {
        en: "Show this server’s settings",
        de: "Zeige die Einstellungen dieses Servers",
        fr: "Affiche les paramètres de ce serveur",
        es: "Muestra los ajustes de este servidor",
        pt: "Mostre as configurações deste servidor",
        ja: "このサーバーの設定を表示します",
        zh: "查看此服务器的设置",
    },
};

pub(super) const NOTES: LocalizedEntry = LocalizedEntry {
    name: LocalizedText {
        en: s::NOTES,
        de: "sprachnachrichten",
        fr: "messages-vocaux",
        es: "notas-de-voz",
        pt: "mensagens-de-voz",
        ja: "ボイスメッセージ",
        zh: "语音消息",
    },
    description: LocalizedText {
        en: "Turn answers to voice messages in a channel on or off",
        de: "Schalte Antworten auf die Sprachnachrichten in einem Kanal ein oder aus",
        fr: "Active ou désactive les réponses aux messages vocaux d’un salon",
        es: "Activa o desactiva las respuestas a los mensajes de voz de un canal",
        pt: "Ative ou desative as respostas às mensagens de voz de um canal",
        ja: "チャンネルのボイスメッセージへの自動返信を切り替えます",
        zh: "开启或关闭对频道中语音消息的回复",
    },
};

pub(super) const NOTES_ON: LocalizedEntry = LocalizedEntry {
    name: LocalizedText {
        en: s::ON,
        de: "an",
        fr: "actif",
        es: "activo",
        pt: "ativo",
        ja: "オン",
        zh: "开启",
    },
    description: LocalizedText {
        en: "Whether voice messages there are answered",
        de: "Ob Sprachnachrichten dort beantwortet werden",
        fr: "Si les messages vocaux y reçoivent une réponse",
        es: "Si allí se responde a los mensajes de voz",
        pt: "Se as mensagens de voz ali são respondidas",
        ja: "そこでボイスメッセージに返信するかどうか",
        zh: "是否回复那里的语音消息",
    },
};

pub(super) const CHANNEL: LocalizedEntry = LocalizedEntry {
    name: LocalizedText {
        en: s::CHANNEL,
        de: "kanal",
        fr: "salon",
        es: "canal",
        pt: "canal",
        ja: "チャンネル",
        zh: "频道",
    },
    description: LocalizedText {
        en: "Which channel; leave out for this one",
        de: "Welcher Kanal; ohne Angabe dieser",
        fr: "Quel salon ; sans indication, celui-ci",
        es: "Qué canal; si se omite, este",
        pt: "Qual canal; se omitido, este",
        ja: "対象のチャンネル(省略すると現在のチャンネル)",
        zh: "哪个频道；不填则为当前频道",
    },
};

pub(super) const LANGUAGE: LocalizedEntry = LocalizedEntry {
    name: LocalizedText {
        en: s::LANGUAGE,
        de: "sprache",
        fr: "langue",
        es: "idioma",
        pt: "idioma",
        ja: "言語",
        zh: "语言",
    },
    description: LocalizedText {
        en: "Choose which languages are spoken in recordings",
        de: "Lege fest, welche Sprachen in Aufnahmen gesprochen werden",
        fr: "Choisis les langues parlées dans les enregistrements",
        es: "Elige qué idiomas se hablan en las grabaciones",
        pt: "Escolha quais idiomas são falados nas gravações",
        ja: "録音で話される言語を設定します",
        zh: "设置录音中使用的语言",
    },
};

pub(super) const CODES: LocalizedEntry = LocalizedEntry {
    name: LocalizedText {
        en: s::CODES,
        de: "codes",
        fr: "codes",
        es: "códigos",
        pt: "códigos",
        ja: "コード",
        zh: "代码",
    },
    description: LocalizedText {
        en: "Codes such as en, de; leave out to detect the language",
        de: "Kürzel wie en, de; ohne Angabe wird die Sprache erkannt",
        fr: "Des codes comme en, fr ; sans indication, la langue est détectée",
        es: "Códigos como en, es; si se omite, se detecta el idioma",
        pt: "Códigos como en, pt; se omitido, o idioma é detectado",
        ja: "en, ja などのコード(省略すると自動検出)",
        zh: "如 en、zh 的代码；不填则自动检测",
    },
};

pub(super) const TERMS: LocalizedEntry = LocalizedEntry {
    name: LocalizedText {
        en: s::TERMS,
        de: "begriffe",
        fr: "termes",
        es: "términos",
        pt: "termos",
        ja: "用語",
        zh: "术语",
    },
    description: LocalizedText {
        en: "Choose names and terms to spell correctly",
        de: "Lege Namen und Begriffe fest, die richtig geschrieben werden sollen",
        fr: "Choisis les noms et termes à écrire correctement",
        es: "Elige nombres y términos que deben escribirse bien",
        pt: "Escolha nomes e termos que devem ser escritos corretamente",
        ja: "正しく表記したい名前や用語を設定します",
        zh: "设置需要正确书写的名称和术语",
    },
};

pub(super) const WORDS: LocalizedEntry = LocalizedEntry {
    name: LocalizedText {
        en: s::WORDS,
        de: "wörter",
        fr: "mots",
        es: "palabras",
        pt: "palavras",
        ja: "単語",
        zh: "词语",
    },
    description: LocalizedText {
        en: "Separated by commas; leave out for none",
        de: "Mit Kommas dazwischen; ohne Angabe keine",
        fr: "Séparés par des virgules ; sans indication, aucun",
        es: "Separadas por comas; si se omite, ninguna",
        pt: "Separadas por vírgulas; se omitido, nenhuma",
        ja: "コンマ区切り(省略するとなし)",
        zh: "以逗号分隔；不填则清空",
    },
};

pub(super) const PROMPT: LocalizedEntry = LocalizedEntry {
    name: LocalizedText {
        en: s::PROMPT,
        de: "anweisung",
        fr: "consigne",
        es: "instrucciones",
        pt: "instruções",
        ja: "指示",
        zh: "提示词",
    },
    description: LocalizedText {
        en: "Choose how the bot should answer",
        de: "Lege fest, wie der Bot antworten soll",
        fr: "Choisis comment le bot doit répondre",
        es: "Elige cómo debe responder el bot",
        pt: "Escolha como o bot deve responder",
        ja: "ボットの答え方を設定します",
        zh: "设置机器人的回答方式",
    },
};

pub(super) const TEXT: LocalizedEntry = LocalizedEntry {
    name: LocalizedText {
        en: s::TEXT,
        de: "text",
        fr: "texte",
        es: "texto",
        pt: "texto",
        ja: "テキスト",
        zh: "文本",
    },
    description: LocalizedText {
        en: "What the model is told before each conversation; leave out for the default",
        de: "Was das Modell vor jedem Gespräch erfährt; ohne Angabe der Standard",
        fr: "Ce qui est dit au modèle avant chaque conversation ; sans indication, le texte standard",
        es: "Lo que se le dice al modelo antes de cada conversación; si se omite, lo estándar",
        pt: "O que o modelo recebe antes de cada conversa; se omitido, o padrão",
        ja: "会話の前にモデルへ伝える内容(省略すると標準に戻ります)",
        zh: "每次对话前告诉模型的内容；不填则恢复默认",
    },
};

pub(super) const ACCESS: LocalizedEntry = LocalizedEntry {
    name: LocalizedText {
        en: s::ACCESS,
        de: "zugang",
        fr: "accès",
        es: "acceso",
        pt: "acesso",
        ja: "利用者",
        zh: "使用权限",
    },
    description: LocalizedText {
        en: "Choose who may use the bot",
        de: "Lege fest, wer den Bot benutzen darf",
        fr: "Choisis qui peut utiliser le bot",
        es: "Elige quién puede usar el bot",
        pt: "Escolha quem pode usar o bot",
        ja: "ボットを使える人を設定します",
        zh: "设置谁可以使用机器人",
    },
};

pub(super) const ROLE: LocalizedEntry = LocalizedEntry {
    name: LocalizedText {
        en: s::ROLE,
        de: "rolle",
        fr: "rôle",
        es: "rol",
        pt: "cargo",
        ja: "ロール",
        zh: "身份组",
    },
    description: LocalizedText {
        en: "Only members with this role; leave out for everyone",
        de: "Nur Mitglieder mit dieser Rolle; ohne Angabe alle",
        fr: "Seulement les membres ayant ce rôle ; sans indication, tout le monde",
        es: "Solo miembros con este rol; si se omite, todos",
        pt: "Só membros com este cargo; se omitido, todos",
        ja: "このロールのメンバーのみ(省略すると全員)",
        zh: "仅限此身份组的成员；不填则所有人",
    },
};

pub(super) const PRIVATE: LocalizedEntry = LocalizedEntry {
    name: LocalizedText {
        en: s::PRIVATE,
        de: "privat",
        fr: "privé",
        es: "privado",
        pt: "privado",
        ja: "非公開",
        zh: "私密",
    },
    description: LocalizedText {
        en: "Choose whether replies to commands are private",
        de: "Lege fest, ob Antworten auf Befehle privat sind",
        fr: "Choisis si les réponses aux commandes sont privées",
        es: "Elige si las respuestas a los comandos son privadas",
        pt: "Escolha se as respostas aos comandos são privadas",
        ja: "コマンドへの返信を非公開にするかを設定します",
        zh: "设置命令的回复是否私密",
    },
};

pub(super) const PRIVATE_ON: LocalizedEntry = LocalizedEntry {
    name: LocalizedText {
        en: s::ON,
        de: "an",
        fr: "actif",
        es: "activo",
        pt: "ativo",
        ja: "オン",
        zh: "开启",
    },
    description: LocalizedText {
        en: "Whether only the member who asked sees the reply",
        de: "Ob nur das Mitglied, das fragt, die Antwort sieht",
        fr: "Si seul le membre qui demande voit la réponse",
        es: "Si solo el miembro que pregunta ve la respuesta",
        pt: "Se só o membro que pergunta vê a resposta",
        ja: "質問した本人だけに返信を表示するかどうか",
        zh: "是否只有提问的成员能看到回复",
    },
};

pub(super) const BUDGET: LocalizedEntry = LocalizedEntry {
    name: LocalizedText {
        en: s::BUDGET,
        de: "budget",
        fr: "budget",
        es: "presupuesto",
        pt: "orçamento",
        ja: "上限",
        zh: "预算",
    },
    description: LocalizedText {
        en: "Choose how many minutes of recordings are accepted per day",
        de: "Lege fest, wie viele Minuten Aufnahmen am Tag angenommen werden",
        fr: "Choisis combien de minutes d’enregistrement sont acceptées par jour",
        es: "Elige cuántos minutos de grabaciones se aceptan al día",
        pt: "Escolha quantos minutos de gravações são aceitos por dia",
        ja: "1日に受け付ける録音の分数を設定します",
        zh: "设置每天可处理的录音分钟数",
    },
};

pub(super) const MEMBER: LocalizedEntry = LocalizedEntry {
    name: LocalizedText {
        en: s::MEMBER,
        de: "mitglied",
        fr: "membre",
        es: "miembro",
        pt: "membro",
        ja: "メンバー",
        zh: "成员",
    },
    description: LocalizedText {
        en: "Minutes a day for each member; leave out for the operator’s limit",
        de: "Minuten am Tag je Mitglied; ohne Angabe die Grenze des Betreibers",
        fr: "Minutes par jour et par membre ; sans indication, la limite de l’hébergeur du bot",
        es: "Minutos al día por miembro; si se omite, el límite de quien opera el bot",
        pt: "Minutos por dia por membro; se omitido, o limite de quem opera o bot",
        ja: "メンバー1人あたりの1日の分数(省略すると運営者の上限)",
        zh: "每位成员每天的分钟数；不填则为运营者的上限",
    },
};

pub(super) const SERVER: LocalizedEntry = LocalizedEntry {
    name: LocalizedText {
        en: s::SERVER,
        de: "server",
        fr: "serveur",
        es: "servidor",
        pt: "servidor",
        ja: "サーバー",
        zh: "服务器",
    },
    description: LocalizedText {
        en: "Minutes a day for the whole server; leave out for the operator’s limit",
        de: "Minuten am Tag für den ganzen Server; ohne Angabe die Grenze des Betreibers",
        fr: "Minutes par jour pour tout le serveur ; sans indication, la limite de l’hébergeur du bot",
        es: "Minutos al día para todo el servidor; si se omite, el límite de quien opera el bot",
        pt: "Minutos por dia para o servidor inteiro; se omitido, o limite de quem opera o bot",
        ja: "サーバー全体の1日の分数(省略すると運営者の上限)",
        zh: "整个服务器每天的分钟数；不填则为运营者的上限",
    },
};
