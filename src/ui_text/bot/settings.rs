//! A server's settings, and why they can't be changed.

use crate::flow::consent::ConsentRule;
use crate::flow::guild_settings::GuildSettings;
use crate::ui_text::voice_session;

/// The answer to `/settings show`. `terms` and `prompt` are shortened and escaped by the caller.
pub fn server_settings(settings: &GuildSettings, terms: &str, prompt: Option<&str>) -> String {
    let list = |items: Vec<String>, none: &str| {
        if items.is_empty() {
            none.to_owned()
        } else {
            items.join(", ")
        }
    };
    let notes = settings
        .note_channels
        .iter()
        .map(|id| format!("<#{id}>"))
        .collect();
    let minutes = |minutes: Option<u32>| {
        minutes.map_or("the bot's limit".to_owned(), |minutes| {
            format!("{minutes} minutes")
        })
    };
    let role = settings.required_role;
    format!(
        "**Settings of this server**\n\
         - Voice messages are answered in: {}\n\
         - Languages: {}\n\
         - Key terms: {}\n\
         - System prompt: {}\n\
         - Who may use me: {}\n\
         - Answers to commands: {}\n\
         - Daily limit per member: {}; for the server: {}\n\
         - Voice sessions: {}; I transcribe {}",
        list(notes, "no channel; `/settings notes` changes this"),
        list(settings.languages.clone(), "any"),
        if terms.is_empty() { "none" } else { terms },
        prompt.unwrap_or("the bot's own"),
        role.map_or("everyone".to_owned(), |role| format!("<@&{role}>")),
        if settings.private_by_default {
            "private"
        } else {
            "for everyone"
        },
        minutes(settings.member_minutes),
        minutes(settings.guild_minutes),
        voice_session::answer_mode(settings.voice_answers),
        match settings.voice_consent {
            ConsentRule::Ask => "only people who have agreed",
            ConsentRule::Notice => "everyone except people who have declined",
        },
    )
}

/// A list in the settings is too long.
pub fn too_many(what: &str, most: usize) -> String {
    format!("That's too many: the limit is {most} {what}.")
}

/// Something that is not a language code. The caller escapes `code`.
pub fn invalid_language(code: &str) -> String {
    format!("“{code}” isn't a language code. Use codes such as `en` or `pt`, separated by commas.")
}
