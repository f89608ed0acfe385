//! Localized texts, and builders that add every localization to a command.

use serenity::all::{CommandOptionType, CommandType, CreateCommand, CreateCommandOption};

/// A text in all languages. As a struct, so that no language can be left out.
pub(super) struct LocalizedText {
    /// English, the default for all other locales.
    pub(super) en: &'static str,
    /// German.
    pub(super) de: &'static str,
    /// French.
    pub(super) fr: &'static str,
    /// Spanish. Discord has two locales that do not fall back to each other; this is worded for
    /// both.
    pub(super) es: &'static str,
    /// Brazilian Portuguese, the only Portuguese locale that Discord has.
    pub(super) pt: &'static str,
    /// Japanese.
    pub(super) ja: &'static str,
    /// Simplified Chinese.
    pub(super) zh: &'static str,
}

/// The name and description of a command or option.
pub(super) struct LocalizedEntry {
    pub(super) name: LocalizedText,
    pub(super) description: LocalizedText,
}

impl LocalizedText {
    /// All texts but the English one, by Discord's locale names
    /// (<https://discord.com/developers/docs/reference#locales>).
    pub(super) fn translations(&self) -> [(&'static str, &'static str); 7] {
        [
            ("de", self.de),
            ("fr", self.fr),
            ("es-ES", self.es),
            ("es-419", self.es),
            ("pt-BR", self.pt),
            ("ja", self.ja),
            ("zh-CN", self.zh),
        ]
    }
}

/// A slash command without options.
pub(super) fn slash_command(entry: &LocalizedEntry) -> CreateCommand {
    let command = named_command(&entry.name)
        .kind(CommandType::ChatInput)
        .description(entry.description.en);
    entry
        .description
        .translations()
        .into_iter()
        .fold(command, |command, (locale, text)| {
            command.description_localized(locale, text)
        })
}

/// An entry in a message's menu. It has no description.
pub(super) fn message_command(name: &LocalizedText) -> CreateCommand {
    named_command(name).kind(CommandType::Message)
}

fn named_command(name: &LocalizedText) -> CreateCommand {
    name.translations()
        .into_iter()
        .fold(CreateCommand::new(name.en), |command, (locale, text)| {
            command.name_localized(locale, text)
        })
}

/// An option or a subcommand. Optional by default.
pub(super) fn command_option(
    kind: CommandOptionType,
    entry: &LocalizedEntry,
) -> CreateCommandOption {
    let mut option = CreateCommandOption::new(kind, entry.name.en, entry.description.en);
    for (locale, text) in entry.name.translations() {
        option = option.name_localized(locale, text);
    }
    for (locale, text) in entry.description.translations() {
        option = option.description_localized(locale, text);
    }
    option
}

/// Adds a choice to an option. Its value is the same in all languages.
pub(super) fn add_choice(
    option: CreateCommandOption,
    name: &LocalizedText,
    value: &'static str,
) -> CreateCommandOption {
    option.add_string_choice_localized(name.en, value, name.translations())
}
