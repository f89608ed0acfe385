//! Discord: what comes in becomes an order, what goes out becomes messages.
//!
//! The only room that knows Discord's types, how it shows text, and what its limits are. In
//! reading order: [`bot`] connects and drains; `gateway` keeps the connections; `decode` reads what
//! Discord tells; `handler` hears events; `intake` decides what is meant for us; `commands` and `buttons` are what people press and type; `front` and `reply` are
//! what the flow sees of Discord; `wire` sends. [`checkup`] and [`trial`]
//! look for what is broken.

pub mod bot;
mod buttons;
pub mod catalogue;
mod catch_up;
mod cdn;
mod channels;
pub mod checkup;
mod command;
mod commands;
mod decode;
mod front;
mod gateway;
mod handler;
pub mod health;
mod intake;
pub mod invite;
mod ladder;
mod pace;
mod parcel;
mod posting;
mod proxies;
mod render;
mod reply;
mod responder;
mod rest;
mod room;
mod servers;
mod settings;
mod snowflake;
pub mod text;
mod throttle;
pub mod trial;
mod trouble;
pub mod voice;
mod wire;
