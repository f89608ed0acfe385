//! Settings of the Discord bot: the connection, rules for members, and voice sessions.

use super::{Setting, secret, setting};

const DISCORD: &str = "Discord";
const RULES: &str = "Rules of the bot";
const VOICE: &str = "Voice sessions";

pub(super) const SETTINGS: &[Setting] = &[
    secret(
        DISCORD,
        "DISCORD_TOKEN",
        "none",
        "The bot's token, from https://discord.com/developers/applications; only the bot needs it",
    ),
    setting(
        DISCORD,
        "DISCORD_PROXY",
        "URL",
        "none: Discord itself",
        "A proxy for Discord's REST API that does the rate limiting, as large bots use",
    ),
    setting(
        DISCORD,
        "TALKBACK_DATA",
        "DIR",
        "the user's data directory",
        "Where the bot keeps its ledger; each bot needs a folder of its own",
    ),
    secret(
        DISCORD,
        "TALKBACK_KEY",
        "generated at the first start, beside the ledger",
        "The key that stored text is encrypted with: 32 bytes in Base64 (`openssl rand -base64 \
         32`)",
    ),
    setting(
        DISCORD,
        "TALKBACK_HTTP",
        "ADDRESS",
        "off",
        "Where the bot shows its status page, `/healthz` and Prometheus `/metrics`, such as \
         127.0.0.1:9464",
    ),
    setting(
        RULES,
        "RETENTION_DAYS",
        "DAYS",
        "30",
        "How long transcripts, answers and finished work are kept",
    ),
    setting(
        RULES,
        "CATCH_UP_MINUTES",
        "MINUTES",
        "15",
        "How far back the bot looks for notes it missed while it was not running",
    ),
    setting(
        RULES,
        "MAX_NOTE_SECONDS",
        "SECONDS",
        "3600",
        "The longest recording the bot takes from Discord",
    ),
    setting(
        RULES,
        "CONCURRENT_JOBS",
        "NUMBER",
        "32",
        "How many recordings and questions the bot works on at once",
    ),
    setting(
        RULES,
        "WAITING_PER_MEMBER",
        "NUMBER",
        "20",
        "How many recordings and questions one member may have waiting",
    ),
    setting(
        RULES,
        "WAITING_PER_SERVER",
        "NUMBER",
        "500",
        "The same for a whole server",
    ),
    setting(
        RULES,
        "COOLDOWN_SECONDS",
        "SECONDS",
        "0",
        "How long a member waits between two recordings or questions",
    ),
    setting(
        RULES,
        "DAILY_MINUTES_PER_MEMBER",
        "MINUTES",
        "60",
        "Recorded minutes that one member may send a day (UTC)",
    ),
    setting(
        RULES,
        "DAILY_MINUTES_PER_SERVER",
        "MINUTES",
        "600",
        "The same for a whole server",
    ),
    setting(
        RULES,
        "DAILY_MINUTES",
        "MINUTES",
        "6000",
        "The same for the whole bot, and for the page of `talkback web`",
    ),
    setting(
        RULES,
        "DAILY_COST_PER_MEMBER",
        "AMOUNT",
        "no limit",
        "What one member may cost a day, in the currency of the prices below",
    ),
    setting(
        RULES,
        "DAILY_COST_PER_SERVER",
        "AMOUNT",
        "no limit",
        "The same for a whole server",
    ),
    setting(
        RULES,
        "DAILY_COST",
        "AMOUNT",
        "no limit",
        "The same for the whole bot, and for the page of `talkback web`",
    ),
    setting(
        RULES,
        "BUDGET_FALLBACK",
        "local|refuse",
        "refuse",
        "What to do at a limit of minutes or money: listen and answer on this machine, or say so \
         and stop",
    ),
    setting(
        RULES,
        "PRICE_SPEECH_HOUR",
        "AMOUNT",
        "0.30, AssemblyAI Sync; for uploads alone what their model costs, if it is known; nothing \
         for this machine",
        "What an hour of recording costs at the speech provider",
    ),
    setting(
        RULES,
        "PRICE_STREAMING_HOUR",
        "AMOUNT",
        "0.45, AssemblyAI streaming",
        "What an hour of an open stream costs",
    ),
    setting(
        RULES,
        "PRICE_INPUT_MILLION",
        "AMOUNT",
        "0, so not counted",
        "What a million tokens to the model cost",
    ),
    setting(
        RULES,
        "PRICE_OUTPUT_MILLION",
        "AMOUNT",
        "0, so not counted",
        "What a million tokens from the model cost",
    ),
    setting(
        VOICE,
        "VOICE_END_SILENCE_MS",
        "MS",
        "600",
        "How much silence ends an utterance",
    ),
    setting(
        VOICE,
        "VOICE_MAX_MINUTES",
        "MINUTES",
        "240",
        "The longest voice session",
    ),
    setting(
        VOICE,
        "VOICE_ALONE_SECONDS",
        "SECONDS",
        "60",
        "How long the bot stays in a call when nobody else is in it",
    ),
    setting(
        VOICE,
        "VOICE_DRIVER",
        "talkback|songbird",
        "talkback",
        "What receives calls: the bot's own receiver, or the songbird library, the fallback if the \
         former can't hear a call that it should",
    ),
];
