//! Voice sessions in Discord.
//!
//! In reading order: `manager` hears what the gateway tells of calls, `presence` knows who sits
//! where, `following` does what follows from it, in `lanes`, server by server; `sessions` begins
//! sessions, `taking_up` goes on with those of other processes or tells their end, `running` is one
//! of this process; `rights` says whether one can be held, `notice` tells the people in the call
//! before they are heard; `connection` keeps connected through a `driver`, ours or songbird's, which
//! tells the `tap` what it hears; `board` shows the transcript, `end` what is left of it; `mark`
//! marks the nickname; `commands` and `consent` are what people type and press.

mod commands;
mod connection;
mod driver;
mod keyed_queue;
mod manager;
mod nickname_mark;
mod packet_sink;
mod permissions;
mod recording_notice;
mod result_publisher;
mod running_session;
mod session_buttons;
mod session_recovery;
mod sessions;
mod transcript_page;
mod transcript_view;
mod voice_state_cache;
mod voice_state_changes;

pub use sessions::VoiceSettings;

pub(super) use commands::handle_command;
pub(super) use manager::VoiceManager;
pub(super) use session_buttons::handle_button;
pub(super) use sessions::VoiceSessions;
