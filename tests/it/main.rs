//! Stories of use, told through the front door: one module a behaviour.

#![expect(clippy::panic, reason = "a story that goes wrong says so by a panic")]

mod ask;
mod assemblyai;
mod assemblyai_cleanup;
mod assemblyai_prerecorded;
mod assemblyai_refusals;
mod assemblyai_streaming;
mod assemblyai_sync;
mod assemblyai_sync_live;
mod audio_formats;
mod audio_incremental;
mod audio_irregular_files;
mod audio_limits;
mod audio_wav;
mod bad_input;
mod bot;
mod chat_openai;
mod cli_definition;
mod consent;
mod dashboard;
mod doctor;
mod failover;
mod hallucination_filter;
mod llm_gateway;
#[cfg(feature = "local-chat")]
mod local_chat;
#[cfg(feature = "local-speech")]
mod local_speech;
mod model_downloads;
mod ogg;
mod openai_compatible_servers;
mod receiver;
mod requirements;
mod scripted_transcriber;
mod settings;
mod support;
mod synthetic_sounds;
mod transcribe;
mod user_messages;
mod web;
#[cfg(feature = "local-speech")]
mod word_error_rate;
