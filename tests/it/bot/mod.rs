//! The bot in Discord, as people meet it.

mod answers;
mod arriving;
mod bad_input;
mod catching_up;
mod commands;
mod deleted;
mod empty;
mod ends;
mod forgetting;
mod gateway;
mod leftovers;
mod log;
mod memory;
mod money;
mod notes;
mod odd;
mod operating;
mod recovery;
pub(crate) mod running;
mod voice;
