//! Commands about an account's data and the bot: usage, privacy, forget me, help.

use serenity::all::{CommandOptionType, CreateCommand};

use super::localization::{LocalizedEntry, LocalizedText, command_option, slash_command};
use super::options::{DAYS, MEMBER};
use super::{FORGET_ME, HELP, MAX_USAGE_DAYS, PRIVACY, USAGE};

pub(super) fn usage() -> CreateCommand {
    slash_command(&LocalizedEntry {
        name: LocalizedText {
            en: USAGE,
            de: "verbrauch",
            fr: "consommation",
            es: "consumo",
            pt: "consumo",
            ja: "使用量",
            zh: "用量",
        },
        description: LocalizedText {
            en: "Minutes, tokens and estimated cost, by member and day",
            de: "Minuten, Tokens und geschätzte Kosten nach Mitglied und Tag",
            fr: "Minutes, tokens et coût estimé, par membre et par jour",
            es: "Minutos, tokens y coste estimado por miembro y día",
            pt: "Minutos, tokens e custo estimado por membro e dia",
            ja: "メンバー別・日別の利用時間(分)、トークン数、推定費用",
            zh: "按成员和日期查看分钟数、令牌数和预估费用",
        },
    })
    .add_option(
        command_option(
            CommandOptionType::Integer,
            &LocalizedEntry {
                name: LocalizedText {
                    en: DAYS,
                    de: "tage",
                    fr: "jours",
                    es: "días",
                    pt: "dias",
                    ja: "日数",
                    zh: "天数",
                },
                description: LocalizedText {
                    en: "How many days, today included",
                    de: "Wie viele Tage, heute eingeschlossen",
                    fr: "Combien de jours, aujourd’hui compris",
                    es: "Cuántos días, incluido hoy",
                    pt: "Quantos dias, incluindo hoje",
                    ja: "今日を含む日数",
                    zh: "包括今天在内的天数",
                },
            },
        )
        .min_int_value(1)
        .max_int_value(MAX_USAGE_DAYS.into()),
    )
    .add_option(command_option(
        CommandOptionType::User,
        &LocalizedEntry {
            name: LocalizedText {
                en: MEMBER,
                de: "mitglied",
                fr: "membre",
                es: "miembro",
                pt: "membro",
                ja: "メンバー",
                zh: "成员",
            },
            description: LocalizedText {
                en: "Only this member; only people who manage the server can see others",
                de: "Nur dieses Mitglied; andere sehen nur, wer den Server verwaltet",
                fr: "Seulement ce membre ; les autres sont visibles si tu gères le serveur",
                es: "Solo este miembro; a los demás los ve quien administra el servidor",
                pt: "Só este membro; os outros são mostrados a quem gerencia o servidor",
                ja: "このメンバーのみ。他の人の分はサーバー管理者だけが見られます",
                zh: "仅此成员；只有服务器管理者可以查看其他人",
            },
        },
    ))
}

pub(super) fn privacy() -> CreateCommand {
    slash_command(&LocalizedEntry {
        name: LocalizedText {
            en: PRIVACY,
            de: "datenschutz",
            fr: "confidentialité",
            es: "privacidad",
            pt: "privacidade",
            ja: "プライバシー",
            zh: "隐私",
        },
        description: LocalizedText {
            en: "What happens to recordings, and where they go",
            de: "Was mit Aufnahmen geschieht und wohin sie gehen",
            fr: "Ce que deviennent les enregistrements, et où ils vont",
            es: "Qué pasa con las grabaciones y adónde van",
            pt: "O que acontece com as gravações e para onde elas vão",
            ja: "録音がどう扱われ、どこへ送られるか",
            zh: "录音如何处理，发送到哪里",
        },
    })
}

pub(super) fn forget_me() -> CreateCommand {
    slash_command(&LocalizedEntry {
        name: LocalizedText {
            en: FORGET_ME,
            de: "vergiss-mich",
            fr: "oublie-moi",
            es: "olvídame",
            pt: "esqueça-me",
            ja: "私を忘れて",
            zh: "忘记我",
        },
        description: LocalizedText {
            en: "Delete what the bot has stored about you",
            de: "Lösche, was der Bot von dir gespeichert hat",
            fr: "Supprime ce que le bot a enregistré de toi",
            es: "Borra lo que el bot ha guardado de ti",
            pt: "Apague o que o bot guardou de você",
            ja: "ボットに保存されたあなたのデータを削除します",
            zh: "删除机器人存储的你的内容",
        },
    })
}

pub(super) fn help() -> CreateCommand {
    slash_command(&LocalizedEntry {
        name: LocalizedText {
            en: HELP,
            de: "hilfe",
            fr: "aide",
            es: "ayuda",
            pt: "ajuda",
            ja: "ヘルプ",
            zh: "帮助",
        },
        description: LocalizedText {
            en: "What the bot can do, and how",
            de: "Was der Bot kann, und wie",
            fr: "Ce que le bot sait faire, et comment",
            es: "Qué puede hacer el bot y cómo",
            pt: "O que o bot sabe fazer, e como",
            ja: "ボットにできることと使い方",
            zh: "机器人能做什么，如何使用",
        },
    })
}
