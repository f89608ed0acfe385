//! The bot's commands: what Discord is told of them, and what it says when one is used.
//!
//! Names and descriptions are in English, German, French, Spanish, Portuguese, Japanese and
//! Simplified Chinese. A command comes back under its English name whatever its user reads.
//! Rules and shapes: <https://discord.com/developers/docs/interactions/application-commands>.

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

/// Asks by text or with a recording.
pub const ASK: &str = "ask";
/// Writes down a recording.
pub const TRANSCRIBE: &str = "transcribe";
/// In a message's menu: writes down its recordings.
pub const TRANSCRIBE_MENU: &str = "Transcribe";
/// In a message's menu: answers it.
pub const ANSWER_MENU: &str = "Answer this";
/// Forgets a conversation.
pub const RESET: &str = "reset";
/// Begins a voice session.
pub const JOIN: &str = "join";
/// Ends it.
pub const LEAVE: &str = "leave";
/// Shows how it goes.
pub const SESSION: &str = "session";
/// Sums up what was said in it.
pub const SUMMARY: &str = "summary";
/// Shows and changes a server's settings.
pub const SETTINGS: &str = "settings";
/// Shows what was used.
pub const USAGE: &str = "usage";
/// Tells what happens to recordings.
pub const PRIVACY: &str = "privacy";
/// Deletes what is stored of a person.
pub const FORGET_ME: &str = "forget-me";
/// Tells what the bot can do.
pub const HELP: &str = "help";

/// The most days that `/usage` looks back.
pub const MAX_USAGE_DAYS: u16 = 90;

/// The longest question that can be typed, in characters: what fits a message.
pub const MAX_QUESTION_CHARS: u16 = 2_000;

/// All commands, for one bulk overwrite of the global ones. The same at every call, so that
/// registering them again changes nothing.
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

/// The same as Discord's schema has it: permissions are a number there, and the library writes a
/// text.
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

/// Wherever somebody meets the bot: in servers, in direct messages with it, and in conversations
/// between people, for those who added the bot to their own account.
fn available_everywhere(command: CreateCommand) -> CreateCommand {
    command
        .integration_types(vec![InstallationContext::Guild, InstallationContext::User])
        .contexts(vec![
            InteractionContext::Guild,
            InteractionContext::BotDm,
            InteractionContext::PrivateChannel,
        ])
}

/// Only in servers that added the bot.
fn guild_only(command: CreateCommand) -> CreateCommand {
    command
        .integration_types(vec![InstallationContext::Guild])
        .contexts(vec![InteractionContext::Guild])
}

#[cfg(test)]
mod tests;
