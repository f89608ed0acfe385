//! Voice sessions in Discord.
//!
//! In reading order: `manager` hears what the gateway tells of calls, `presence` knows who sits
//! where; `sessions` begins, follows and ends sessions; `connection` keeps connected through a
//! `driver`, ours or songbird's, which tells the `tap` what it hears; `board` shows the transcript;
//! `mark` marks the nickname; `commands` and `consent` are what people type and press.

mod board;
mod commands;
mod connection;
mod consent;
mod driver;
mod manager;
mod mark;
mod presence;
mod sessions;
mod tap;

pub use sessions::VoiceSettings;

pub(super) use commands::answer;
pub(super) use consent::press;
pub(super) use manager::{MAX_CHANGES, Manager};
pub(super) use sessions::Sessions;
