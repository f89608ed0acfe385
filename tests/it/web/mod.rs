//! `talkback web`: the page, what it asks for, and who may come in.

mod asking;
mod guard;
mod running;
