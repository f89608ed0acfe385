//! Pages for a browser, and who may see them: the page that listens and answers (`talkback web`),
//! and the ground on which [`monitor`](crate::monitor) shows how the bot does.
//!
//! A [`Site`] is one address: it lets nobody in who should not be, bounds what comes and how slowly,
//! and sends the headers that keep a browser from doing anything but what the page needs. What it serves is in the
//! binary; nothing is fetched from another host.

mod ask;
mod assets;
mod coming;
mod connection;
mod events;
mod guard;
mod listener;
mod page;
mod places;
mod reply;
mod site;

pub(crate) use assets::STATUS;
pub use page::{Page, routes};
pub use site::Site;
