//! Talkback: a recording goes in, its words and an answer come out.
//!
//! The modules in reading order; each may use the ones above it, never one below:
//!
//! - [`models`]: the local models: what they are, where they lie, how they get here
//! - [`speech`]: samples or files become words ([`speech::Transcriber`])
//! - [`chat`]: a conversation becomes an answer ([`chat::ChatModel`])
//! - [`store`]: the ledger: jobs, conversations and usage, encrypted at rest
//! - [`flow`]: what happens to a recording, from file to answer
//! - [`config`]: typed settings from the environment
//! - [`app`]: the composition root: settings become clients
//! - [`words`]: every sentence a user reads
//! - [`web`]: pages for a browser, and who may see them
//! - [`discord`]: the bot: messages and commands become orders, outcomes become messages
//! - [`monitor`]: health and metrics over HTTP
//! - [`cli`]: the command line, one file a subcommand

pub mod app;
pub mod chat;
pub mod cli;
pub mod config;
pub mod discord;
pub mod flow;
pub mod models;
pub mod monitor;
pub mod speech;
pub mod store;
mod telemetry;
pub mod ui_text;
pub mod web;
