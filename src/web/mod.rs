//! Pages for a browser, and who may see them: the page that listens and answers (`talkback web`),
//! and the ground on which [`monitor`](crate::monitor) shows how the bot does.
//!
//! A [`HttpServer`] is one address: it lets nobody in who should not be, bounds what comes and how slowly,
//! and sends the headers that keep a browser from doing anything but what the page needs. What it serves is in the
//! binary; nothing is fetched from another host.

mod ask;
mod assets;
mod auth_layer;
mod connection_slots;
mod http_server;
mod listener;
mod page;
mod page_event;
mod reply;
mod timeout_stream;
mod uploads;

pub(crate) use assets::STATUS_ASSETS;
pub use http_server::HttpServer;
pub use page::{PageState, routes};
