//! Settings of answers and of the local models.

use super::{Setting, secret, setting};

const CHAT: &str = "Answers";
const LOCAL: &str = "Local models";

pub(super) const SETTINGS: &[Setting] = &[
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
];
