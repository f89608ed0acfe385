//! Discord: what comes in becomes an order, what goes out becomes messages.
//!
//! The only room that knows Discord's types, how it shows text, and what its limits are. In
//! reading order: [`bot`] connects and drains; `gateway` keeps the connections; `decode` reads what
//! Discord tells; `handler` hears events; `intake` decides what is meant for us; `commands` and `buttons` are what people press and type; `front` and `reply` are
//! what the flow sees of Discord; `wire` sends. [`checkup`] and [`trial`]
//! look for what is broken.

mod api_error;
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
mod reply_renderer;
mod reply_sender;
mod rest;
mod settings_command;
mod snowflake;
mod streaming_reply;
pub mod text;
pub mod voice;
pub mod voice_probe;
