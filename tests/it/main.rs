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
mod audio_growing;
mod audio_limits;
mod audio_odd;
mod audio_wav;
mod bad_input;
mod bot;
mod chat_gateway;
mod chat_openai;
mod consent;
mod dashboard;
mod definition;
mod doctor;
mod evidence;
mod failover;
#[cfg(feature = "local-chat")]
mod local_chat;
#[cfg(feature = "local-speech")]
mod local_speech;
mod models;
mod needs;
mod ogg;
mod receiver;
mod scripted;
mod servers;
mod settings;
mod sounds;
mod support;
mod transcribe;
mod web;
#[cfg(feature = "local-speech")]
mod word_errors;
mod words;
