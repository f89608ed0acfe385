//! Talkback: transcribes speech and answers it, in Discord, in a browser and on the command line.
//!
//! Three crates of this workspace stand below this one:
//!
//! - [`audio`]: decodes recordings, resamples, detects speech and reorders live packets
//! - [`net`]: the HTTP client, TLS, backoff, and errors that never repeat what somebody said
//! - [`voice_receive`]: receives Discord calls: the voice protocol and end-to-end encryption
//!
//! The modules in reading order. Each uses only the ones above it:
//!
//! - [`models`]: the local models: which there are, where they are stored, how they are fetched
//! - [`speech`]: turns recordings and live audio into text ([`speech::Transcriber`])
//! - [`chat`]: turns a conversation into an answer ([`chat::ChatModel`])
//! - [`store`]: the ledger: jobs, conversations and usage, encrypted at rest
//! - [`flow`]: the path from recording to answer, jobs, limits and voice sessions
//! - [`config`]: typed settings from flags and the environment
//! - [`app`]: the composition root: builds clients from settings
//! - [`ui_text`]: every sentence that a user reads
//! - [`web`]: the HTTP server, and the page of `talkback web`
//! - [`discord`]: the bot: turns messages and commands into jobs, and results into messages
//! - [`monitor`]: health, metrics and the status page over HTTP
//! - [`cli`]: the command line, one file per subcommand

pub mod app;
pub mod chat;
pub mod cli;
pub mod config;
pub mod discord;
pub mod flow;
mod millis;
pub mod models;
pub mod monitor;
pub mod speech;
pub mod store;
mod telemetry;
pub mod ui_text;
pub mod web;
