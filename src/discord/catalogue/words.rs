//! Words in every language of the catalogue, and what Discord's builders make of them.

use serenity::all::{CommandOptionType, CommandType, CreateCommand, CreateCommandOption};

/// One text in all languages. A struct, so that no language can be left out.
pub(super) struct Words {
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
pub(super) struct Entry {
    pub(super) name: Words,
    pub(super) description: Words,
}

impl Words {
    /// All but English, by Discord's names of the languages
    /// (<https://discord.com/developers/docs/reference#locales>).
    pub(super) fn localized(&self) -> [(&'static str, &'static str); 7] {
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
pub(super) fn slash(entry: &Entry) -> CreateCommand {
    let command = named(&entry.name)
        .kind(CommandType::ChatInput)
        .description(entry.description.en);
    entry
        .description
        .localized()
        .into_iter()
        .fold(command, |command, (locale, text)| {
            command.description_localized(locale, text)
        })
}

/// An entry in the menu of a message. It has no description.
pub(super) fn menu(name: &Words) -> CreateCommand {
    named(name).kind(CommandType::Message)
}

fn named(name: &Words) -> CreateCommand {
    name.localized()
        .into_iter()
        .fold(CreateCommand::new(name.en), |command, (locale, text)| {
            command.name_localized(locale, text)
        })
}

/// An option, or a subcommand. Optional unless said otherwise.
pub(super) fn option(kind: CommandOptionType, entry: &Entry) -> CreateCommandOption {
    let mut option = CreateCommandOption::new(kind, entry.name.en, entry.description.en);
    for (locale, text) in entry.name.localized() {
        option = option.name_localized(locale, text);
    }
    for (locale, text) in entry.description.localized() {
        option = option.description_localized(locale, text);
    }
    option
}

/// Adds a choice to an option. The value is the same in all languages.
pub(super) fn choice(
    option: CreateCommandOption,
    name: &Words,
    value: &'static str,
) -> CreateCommandOption {
    option.add_string_choice_localized(name.en, value, name.localized())
}
