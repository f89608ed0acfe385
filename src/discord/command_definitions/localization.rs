//! Words in every language of the catalogue, and what Discord's builders make of them.

use serenity::all::{CommandOptionType, CommandType, CreateCommand, CreateCommandOption};

/// One text in all languages. A struct, so that no language can be left out.
pub(super) struct LocalizedText {
    /// English, for everybody whose language is not here.
    pub(super) en: &'static str,
    /// German.
    pub(super) de: &'static str,
    /// French.
    pub(super) fr: &'static str,
    /// Spanish. Discord knows two that do not stand in for each other; this is worded for both.
    pub(super) es: &'static str,
    /// Brazilian Portuguese, the only one that Discord has.
    pub(super) pt: &'static str,
    /// Japanese.
    pub(super) ja: &'static str,
    /// Simplified Chinese.
    pub(super) zh: &'static str,
}

/// What something is called, and what it does.
pub(super) struct LocalizedEntry {
    pub(super) name: LocalizedText,
    pub(super) description: LocalizedText,
}

impl LocalizedText {
    /// All but English, by Discord's names of the languages
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

/// An entry in the menu of a message. It has no description.
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

/// An option, or a subcommand. Optional unless said otherwise.
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

/// Adds a choice to an option. The value is the same in all languages.
pub(super) fn add_choice(
    option: CreateCommandOption,
    name: &LocalizedText,
    value: &'static str,
) -> CreateCommandOption {
    option.add_string_choice_localized(name.en, value, name.translations())
}
