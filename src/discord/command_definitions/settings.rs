//! The `/settings` command. Leaving an option out restores the default.

use serenity::all::{
    ChannelType, CommandOptionType, CreateCommand, CreateCommandOption, Permissions,
};

use super::localization::{LocalizedEntry, command_option, slash_command};
use super::settings_texts as words;

/// Maximum length of a server's system prompt, in characters.
pub const MAX_PROMPT_CHARS: u16 = 2_000;

/// Maximum length of a typed list of key terms or languages, in characters.
pub const MAX_LIST_CHARS: u16 = 2_000;

/// Maximum budget, in minutes a day.
pub const MAX_BUDGET_MINUTES: u32 = 1_000_000;

pub(super) fn settings() -> CreateCommand {
    slash_command(&words::SETTINGS)
        .default_member_permissions(Permissions::MANAGE_GUILD)
        .add_option(subcommand(&words::SHOW, []))
        .add_option(subcommand(
            &words::NOTES,
            [
                required_bool_option(&words::NOTES_ON),
                channel_option(&words::CHANNEL),
            ],
        ))
        .add_option(subcommand(
            &words::LANGUAGE,
            [text_option(&words::CODES, MAX_LIST_CHARS)],
        ))
        .add_option(subcommand(
            &words::TERMS,
            [text_option(&words::WORDS, MAX_LIST_CHARS)],
        ))
        .add_option(subcommand(
            &words::PROMPT,
            [text_option(&words::TEXT, MAX_PROMPT_CHARS)],
        ))
        .add_option(subcommand(
            &words::ACCESS,
            [command_option(CommandOptionType::Role, &words::ROLE)],
        ))
        .add_option(subcommand(
            &words::PRIVATE,
            [required_bool_option(&words::PRIVATE_ON)],
        ))
        .add_option(subcommand(
            &words::BUDGET,
            [
                minutes_option(&words::MEMBER),
                minutes_option(&words::SERVER),
            ],
        ))
        .add_option(super::voice::settings_subcommand())
}

fn subcommand<const N: usize>(
    entry: &LocalizedEntry,
    options: [CreateCommandOption; N],
) -> CreateCommandOption {
    command_option(CommandOptionType::SubCommand, entry).set_sub_options(options)
}

fn required_bool_option(entry: &LocalizedEntry) -> CreateCommandOption {
    command_option(CommandOptionType::Boolean, entry).required(true)
}

/// Channel types in which a voice message can be sent, or whose threads can contain one.
fn channel_option(entry: &LocalizedEntry) -> CreateCommandOption {
    command_option(CommandOptionType::Channel, entry).channel_types(vec![
        ChannelType::Text,
        ChannelType::News,
        ChannelType::Voice,
        ChannelType::Stage,
        ChannelType::PublicThread,
        ChannelType::PrivateThread,
        ChannelType::NewsThread,
        ChannelType::Forum,
    ])
}

fn text_option(entry: &LocalizedEntry, max_chars: u16) -> CreateCommandOption {
    command_option(CommandOptionType::String, entry).max_length(max_chars)
}

fn minutes_option(entry: &LocalizedEntry) -> CreateCommandOption {
    command_option(CommandOptionType::Integer, entry)
        .min_int_value(0)
        .max_int_value(MAX_BUDGET_MINUTES.into())
}
