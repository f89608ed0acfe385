//! Every setting, once: the command line, `.env.example` and the README are kept equal to this.

/// One setting, as people read about it.
#[derive(Debug)]
pub struct Setting {
    /// The environment variable. The flag is the same in lower case with dashes.
    pub variable: &'static str,
    /// Under which heading it stands.
    pub group: &'static str,
    /// What kind of value it takes, for the help.
    pub value_name: &'static str,
    /// What holds without it, in words or as a value.
    pub default: &'static str,
    /// What it does.
    pub help: &'static str,
    /// A secret has no flag, since other users of the machine can read a command line.
    pub secret: bool,
}

impl Setting {
    /// The name of its flag without the dashes: `OPENAI_MODEL` is `openai-model`.
    pub fn flag_name(&self) -> String {
        self.variable.to_lowercase().replace('_', "-")
    }

    /// What it does and what holds without it.
    pub fn help_with_default(&self) -> String {
        format!("{} [default: {}]", self.help, self.default)
    }
}

const DISCORD: &str = "Discord";
const RULES: &str = "Rules of the bot";
const VOICE: &str = "Voice sessions";
const SPEECH: &str = "Speech to text";
const CHAT: &str = "Answers";
const LOCAL: &str = "Local models";
const WEB: &str = "In the browser";
const LIMITS: &str = "Limits";
const LOG: &str = "Log";

const fn setting(
    group: &'static str,
    variable: &'static str,
    value: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting {
        variable,
        group,
        value_name: value,
        default,
        help,
        secret: false,
    }
}

const fn secret(
    group: &'static str,
    variable: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting {
        variable,
        group,
        value_name: "KEY",
        default,
        help,
        secret: true,
    }
}

/// All settings in the order in which people should meet them.
pub const SETTINGS: &[Setting] = &[
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
    secret(
        SPEECH,
        "ASSEMBLYAI_API_KEY",
        "none: speech is recognized on this machine",
        "Your AssemblyAI key, from https://www.assemblyai.com/app/api-keys",
    ),
    setting(
        SPEECH,
        "ASSEMBLYAI_REGION",
        "us|eu",
        "us for uploads and answers, the nearest for Sync and streaming",
        "Where AssemblyAI may process and keep recordings and questions",
    ),
    setting(
        SPEECH,
        "ASSEMBLYAI_API_URL",
        "URL",
        "the region's address",
        "Another address for AssemblyAI's upload API",
    ),
    setting(
        SPEECH,
        "ASSEMBLYAI_SYNC_URL",
        "URL",
        "the region's address",
        "Another address for AssemblyAI Sync",
    ),
    setting(
        SPEECH,
        "ASSEMBLYAI_STREAMING_URL",
        "URL",
        "the region's address",
        "Another address for AssemblyAI streaming",
    ),
    setting(
        SPEECH,
        "ASSEMBLYAI_PRERECORDED_MODELS",
        "LIST",
        "assemblyai-stt-3-7,universal-2",
        "The models for uploads, in order; each covers the languages that the ones before it lack",
    ),
    setting(
        SPEECH,
        "ASSEMBLYAI_SYNC_MODEL",
        "NAME",
        "universal-3-5-pro",
        "The model of AssemblyAI Sync",
    ),
    setting(
        SPEECH,
        "ASSEMBLYAI_STREAMING_MODEL",
        "NAME",
        "universal-3-6-pro",
        "The model of AssemblyAI streaming",
    ),
    setting(
        SPEECH,
        "ASSEMBLYAI_KEEP_TRANSCRIPTS",
        "true|false",
        "false",
        "Leave transcripts and uploads with AssemblyAI instead of deleting them afterwards",
    ),
    setting(
        SPEECH,
        "SPEECH_PROVIDERS",
        "LIST",
        "sync,prerecorded,local with a key, else local",
        "What transcribes recordings, in the order in which they are tried: `sync` (AssemblyAI, \
         up to 120 s), `prerecorded` (AssemblyAI, any length), `local`",
    ),
    setting(
        SPEECH,
        "VOICE_TRANSCRIBER",
        "utterance|streaming",
        "utterance",
        "What transcribes voice channels: SPEECH_PROVIDERS by utterance (AssemblyAI Sync while it \
         is being spoken), or AssemblyAI streaming, which shows words as they are spoken and costs \
         more",
    ),
    setting(
        SPEECH,
        "VOICE_STREAM_INACTIVITY",
        "SECONDS",
        "10",
        "How long a stream stays open after the last word; it is billed while it is open",
    ),
    setting(
        SPEECH,
        "SPEECH_LANGUAGES",
        "LIST",
        "detected",
        "Languages that may be spoken, as codes such as `en,de`",
    ),
    setting(
        SPEECH,
        "SPEECH_KEY_TERMS",
        "LIST",
        "none",
        "Names and terms that may be said, separated by commas",
    ),
    setting(
        CHAT,
        "CHAT_PROVIDER",
        "openai|assemblyai|local",
        "openai if OPENAI_API_KEY or OPENAI_BASE_URL is set, else assemblyai if ASSEMBLYAI_API_KEY \
         is, else local; local with LOCAL_CHAT_MODEL or SPEECH_PROVIDERS=local",
        "Who answers: an OpenAI-compatible server, AssemblyAI's LLM Gateway (paid accounts only), \
         or a model on this machine",
    ),
    setting(
        CHAT,
        "ASSEMBLYAI_CHAT_MODEL",
        "NAME",
        "claude-haiku-4-5-20251001",
        "The model that answers at AssemblyAI's LLM Gateway; in the EU, a Claude or Gemini model",
    ),
    setting(
        CHAT,
        "ASSEMBLYAI_LLM_GATEWAY_URL",
        "URL",
        "the region's address",
        "Another address for AssemblyAI's LLM Gateway",
    ),
    secret(
        CHAT,
        "OPENAI_API_KEY",
        "none",
        "Your key for the chat server, from https://platform.openai.com/api-keys; your own servers \
         often need none",
    ),
    setting(
        CHAT,
        "OPENAI_BASE_URL",
        "URL",
        "https://api.openai.com/v1",
        "The chat server; for Ollama, http://localhost:11434/v1",
    ),
    setting(
        CHAT,
        "OPENAI_MODEL",
        "NAME",
        "gpt-6-luna",
        "The model that answers, by the server's name for it",
    ),
    setting(
        CHAT,
        "OPENAI_API",
        "chat|completions",
        "chat",
        "Which API the server has: `/chat/completions`, or `/completions`, as GPT-3 had",
    ),
    setting(
        CHAT,
        "OPENAI_REASONING_EFFORT",
        "WORD",
        "none for OpenAI's models, else not sent",
        "How long the model may think first: none, low, medium, high, xhigh, max; a level that the \
         model lacks becomes the next lower one; `off` sends nothing",
    ),
    setting(
        CHAT,
        "OPENAI_TOKEN_FIELD",
        "NAME",
        "max_completion_tokens for OpenAI's models, else max_tokens",
        "The server's name for the limit on the answer's length",
    ),
    setting(
        CHAT,
        "CHAT_MAX_TOKENS",
        "TOKENS",
        "800 (demonstration model: 200)",
        "The longest answer",
    ),
    setting(
        CHAT,
        "CHAT_CONTEXT_TOKENS",
        "TOKENS",
        "8000 (local model: 4096)",
        "How much of a conversation the model gets; the oldest turns are dropped first",
    ),
    setting(
        CHAT,
        "CHAT_TEMPERATURE",
        "NUMBER",
        "the model's own",
        "How freely the model chooses its words, from 0 to 2",
    ),
    setting(
        CHAT,
        "CHAT_TIMEOUT",
        "SECONDS",
        "120",
        "The longest time an answer may take, including thinking",
    ),
    setting(
        CHAT,
        "CHAT_SYSTEM_PROMPT",
        "TEXT",
        "made for spoken questions (demonstration model: a shorter one)",
        "The instructions that tell the model how to answer",
    ),
    setting(
        LOCAL,
        "TALKBACK_MODELS",
        "DIR",
        "the user's cache directory",
        "Where the local models are stored",
    ),
    setting(
        LOCAL,
        "LOCAL_CHAT_MODEL",
        "FILE",
        "SmolLM2-135M-Instruct, a small demonstration model",
        "Any chat model in GGUF format",
    ),
    setting(
        LOCAL,
        "LOCAL_THREADS",
        "NUMBER",
        "the machine's cores",
        "Threads that a local model may use",
    ),
    setting(
        LOCAL,
        "ORT_DYLIB_PATH",
        "FILE",
        "the downloaded one",
        "Another ONNX Runtime library",
    ),
    setting(
        LOCAL,
        "MODELS_INDEX",
        "URL",
        "https://pypi.org/simple",
        "The Python package index that the local models are fetched from",
    ),
    setting(
        WEB,
        "WEB_ADDRESS",
        "ADDRESS",
        "127.0.0.1:8711",
        "Where `talkback web` shows its page",
    ),
    secret(
        WEB,
        "TALKBACK_HTTP_TOKEN",
        "none: this machine only",
        "Anyone who has it can open the page and the bot's status page, from anywhere; needed if \
         WEB_ADDRESS or TALKBACK_HTTP can be reached from other machines (`openssl rand -hex 32`)",
    ),
    setting(
        LIMITS,
        "MAX_AUDIO_BYTES",
        "BYTES",
        "536870912",
        "The largest recording that is opened",
    ),
    setting(
        LIMITS,
        "MAX_AUDIO_SECONDS",
        "SECONDS",
        "14400",
        "The longest recording that is transcribed",
    ),
    setting(
        LOG,
        "TALKBACK_LOG",
        "FILTER",
        "off; info for the bot",
        "What is logged to standard error, such as `info` or `talkback=debug`; never what was said",
    ),
    setting(
        LOG,
        "TALKBACK_LOG_FORMAT",
        "text|json",
        "text",
        "The format of the log",
    ),
];
