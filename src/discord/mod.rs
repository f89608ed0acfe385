//! The Discord frontend: turns events into jobs, and job results into messages.
//!
//! The only module that knows Discord's types, limits and Markdown. Reading order: [`bot`] connects
//! and drains; `gateway` keeps the shard connections and `decode` parses what they deliver;
//! `event_handler` dispatches events; `message_parser` decides which messages are meant for the
//! bot; `command_handler` and `button_handler` answer interactions; `frontend` and
//! `streaming_reply` are what [`crate::flow`] sees of Discord; `discord_api` sends requests.
//! [`diagnostics`] and [`voice_probe`] find out what is broken.

mod api_error;
mod attachments;
pub mod bot;
mod bot_context;
mod button_handler;
mod catch_up;
mod cdn;
mod channel_cache;
pub mod command_definitions;
mod command_handler;
mod command_parser;
mod decode;
mod delivery_fallback;
pub mod diagnostics;
mod discord_api;
mod dm_limiter;
mod edit_limiter;
mod event_handler;
mod frontend;
mod gateway;
mod global_rate_limiter;
mod guild_cache;
pub mod health;
mod interaction_responder;
pub mod invite;
mod message_delivery;
mod message_parser;
mod proxy_tracker;
mod reply_context;
mod reply_renderer;
mod reply_sender;
mod rest;
mod settings_command;
mod snowflake;
mod streaming_reply;
pub mod text;
pub mod voice;
pub mod voice_probe;
