//! Settings of speech to text.

use super::{Setting, secret, setting};

const SPEECH: &str = "Speech to text";

pub(super) const SETTINGS: &[Setting] = &[
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
];
