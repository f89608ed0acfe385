//! `talkback web`: the page, what it asks for, and who may come in.

mod asking;
pub(crate) mod chromium;
mod guard;
pub(crate) mod pictures;
pub(crate) mod running;
mod said;
mod slow;
mod talking;
