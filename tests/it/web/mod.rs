//! `talkback web`: the page, what it asks for, and who may come in.

mod auth;
mod browser_conversation;
pub(crate) mod chromium;
mod fake_microphone;
pub(crate) mod harness;
mod questions;
pub(crate) mod screenshots;
mod slow_clients;
