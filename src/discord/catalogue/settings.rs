//! `/settings`: what those who manage a server can choose for it. Left out means the standard.

use serenity::all::{
    ChannelType, CommandOptionType, CreateCommand, CreateCommandOption, Permissions,
};

use super::settings_words as words;
use super::words::{Entry, option, slash};

/// The longest system prompt of a server, in characters.
pub const MAX_PROMPT_CHARS: u16 = 2_000;

/// The longest list that can be typed, in characters: of key terms, or of languages.
pub const MAX_LIST_CHARS: u16 = 2_000;

/// The largest budget, in minutes a day.
pub const MAX_MINUTES: u32 = 1_000_000;

pub(super) fn settings() -> CreateCommand {
    slash(&words::SETTINGS)
        .default_member_permissions(Permissions::MANAGE_GUILD)
        .add_option(subcommand(&words::SHOW, []))
        .add_option(subcommand(
            &words::NOTES,
            [on(&words::NOTES_ON), channel(&words::CHANNEL)],
        ))
        .add_option(subcommand(
            &words::LANGUAGE,
            [typed(&words::CODES, MAX_LIST_CHARS)],
        ))
        .add_option(subcommand(
            &words::TERMS,
            [typed(&words::WORDS, MAX_LIST_CHARS)],
        ))
        .add_option(subcommand(
            &words::PROMPT,
            [typed(&words::TEXT, MAX_PROMPT_CHARS)],
        ))
        .add_option(subcommand(
            &words::ACCESS,
            [option(CommandOptionType::Role, &words::ROLE)],
        ))
        .add_option(subcommand(&words::PRIVATE, [on(&words::PRIVATE_ON)]))
        .add_option(subcommand(
            &words::BUDGET,
            [minutes(&words::MEMBER), minutes(&words::SERVER)],
        ))
        .add_option(super::voice::settings())
}

fn subcommand<const N: usize>(
    entry: &Entry,
    options: [CreateCommandOption; N],
) -> CreateCommandOption {
    option(CommandOptionType::SubCommand, entry).set_sub_options(options)
}

fn on(entry: &Entry) -> CreateCommandOption {
    option(CommandOptionType::Boolean, entry).required(true)
}

/// A channel in which a voice message can be sent, or whose threads can have one.
fn channel(entry: &Entry) -> CreateCommandOption {
    option(CommandOptionType::Channel, entry).channel_types(vec![
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

fn typed(entry: &Entry, max_chars: u16) -> CreateCommandOption {
    option(CommandOptionType::String, entry).max_length(max_chars)
}

fn minutes(entry: &Entry) -> CreateCommandOption {
    option(CommandOptionType::Integer, entry)
        .min_int_value(0)
        .max_int_value(MAX_MINUTES.into())
}
