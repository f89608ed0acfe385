//! The sandbox as its clients see it, over plain HTTP and WebSocket clients.

mod chat;
mod discord;
mod discord_py;
mod event_streams;
mod faults;
mod official_clients;
mod prerecorded;
mod standalone_binary;
mod streaming;
mod support;
mod sync;
mod sync_live;
mod voice;
