//! The bot in Discord, as people meet it.

mod bad_input;
mod commands;
mod memory;
mod money;
mod notes;
mod operating;
mod recovery;
pub(crate) mod running;
mod voice;
