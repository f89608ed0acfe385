//! The web pages: the one that records and answers (`talkback web`), and the server that
//! [`monitor`](crate::monitor) uses for the bot's status page.
//!
//! An [`HttpServer`] listens at one address. It authenticates, limits how much and how slowly
//! clients may send, and sets headers that restrict the browser to what the pages need. All files
//! are in the binary; nothing is fetched from another host.

mod ask;
mod ask_form;
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
