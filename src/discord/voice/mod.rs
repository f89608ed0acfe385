//! Voice sessions in Discord.
//!
//! In reading order: `manager` hears what the gateway tells of calls, `presence` knows who sits
//! where, `following` does what follows from it, in `lanes`, server by server; `sessions` begins
//! sessions, `taking_up` goes on with those of other processes or tells their end, `running` is one
//! of this process; `rights` says whether one can be held, `notice` tells the people in the call
//! before they are heard; `connection` keeps connected through a `driver`, ours or songbird's, which
//! tells the `tap` what it hears; `board` shows the transcript, `end` what is left of it; `mark`
//! marks the nickname; `commands` and `consent` are what people type and press.

mod board;
mod commands;
mod connection;
mod consent;
mod driver;
mod end;
mod following;
mod lanes;
mod manager;
mod mark;
mod notice;
mod page;
mod presence;
mod rights;
mod running;
mod sessions;
mod taking_up;
mod tap;

pub use sessions::VoiceSettings;

pub(super) use commands::answer;
pub(super) use consent::press;
pub(super) use manager::Manager;
pub(super) use sessions::Sessions;
