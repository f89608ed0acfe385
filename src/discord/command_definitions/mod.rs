//! The application commands as they are registered with Discord.
//!
//! Names and descriptions are in English, German, French, Spanish, Brazilian Portuguese, Japanese
//! and Simplified Chinese. An interaction carries the English name whatever the user's locale.
//! Rules: <https://discord.com/developers/docs/interactions/application-commands>.

mod account;
mod conversation;
mod localization;
pub(super) mod options;
mod settings;
mod settings_texts;
mod voice;

use serde_json::Value;
use serenity::all::{CreateCommand, InstallationContext, InteractionContext};

pub use settings::{MAX_BUDGET_MINUTES, MAX_LIST_CHARS, MAX_PROMPT_CHARS};

/// Asks a question, typed or as a recording.
pub const ASK: &str = "ask";
/// Transcribes a recording.
pub const TRANSCRIBE: &str = "transcribe";
/// Message menu: transcribes the message's recordings.
pub const TRANSCRIBE_MENU: &str = "Transcribe";
/// Message menu: answers the message.
pub const ANSWER_MENU: &str = "Answer this";
/// Forgets the conversation.
pub const RESET: &str = "reset";
/// Starts a voice session.
pub const JOIN: &str = "join";
/// Ends the voice session.
pub const LEAVE: &str = "leave";
/// Shows the state of the voice session.
pub const SESSION: &str = "session";
/// Summarizes the voice session so far.
pub const SUMMARY: &str = "summary";
/// Shows and changes a server's settings.
pub const SETTINGS: &str = "settings";
/// Shows usage.
pub const USAGE: &str = "usage";
/// Explains what happens to recordings.
pub const PRIVACY: &str = "privacy";
/// Deletes what is stored about a user.
pub const FORGET_ME: &str = "forget-me";
/// Explains what the bot can do.
pub const HELP: &str = "help";

/// Maximum number of days that `/usage` covers.
pub const MAX_USAGE_DAYS: u16 = 90;

/// Maximum length of a typed question, in characters: Discord's limit for a message.
pub const MAX_QUESTION_CHARS: u16 = 2_000;

/// All commands, for one bulk overwrite of the global ones. Deterministic, so that registering them
/// again changes nothing.
#[must_use]
pub fn commands() -> Vec<CreateCommand> {
    vec![
        available_everywhere(conversation::ask()),
        available_everywhere(conversation::transcribe()),
        available_everywhere(conversation::transcribe_menu()),
        available_everywhere(conversation::answer_menu()),
        available_everywhere(conversation::reset()),
        guild_only(voice::join()),
        guild_only(voice::leave()),
        guild_only(voice::session()),
        guild_only(voice::summary()),
        guild_only(settings::settings()),
        available_everywhere(account::usage()),
        available_everywhere(account::privacy()),
        available_everywhere(account::forget_me()),
        available_everywhere(account::help()),
    ]
}

/// The commands as JSON in Discord's schema. serenity writes permissions as a string where the
/// schema has an integer.
#[must_use]
pub fn registration_json() -> Vec<Value> {
    let mut commands: Vec<Value> = commands()
        .iter()
        .filter_map(|command| serde_json::to_value(command).ok())
        .collect();
    for command in &mut commands {
        let permissions = &mut command["default_member_permissions"];
        if let Some(bits) = permissions
            .as_str()
            .and_then(|bits| bits.parse::<u64>().ok())
        {
            *permissions = bits.into();
        }
    }
    commands
}

/// Available in servers, in direct messages with the bot, and in private channels of users who
/// installed the bot to their account.
fn available_everywhere(command: CreateCommand) -> CreateCommand {
    command
        .integration_types(vec![InstallationContext::Guild, InstallationContext::User])
        .contexts(vec![
            InteractionContext::Guild,
            InteractionContext::BotDm,
            InteractionContext::PrivateChannel,
        ])
}

/// Available only in servers that added the bot.
fn guild_only(command: CreateCommand) -> CreateCommand {
    command
        .integration_types(vec![InstallationContext::Guild])
        .contexts(vec![InteractionContext::Guild])
}

#[cfg(test)]
mod tests;
