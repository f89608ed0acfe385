//! Voice sessions: joining calls, receiving their audio and publishing transcripts.
//!
//! In reading order:
//!
//! - `manager` passes gateway events to songbird and to the sessions; `voice_state_cache` knows who
//!   is in which channel; `voice_state_changes` applies what changed, server by server, through a
//!   `keyed_queue`.
//! - `sessions` holds the sessions of this process, `session_start` starts them (`start_error` says
//!   why one could not be), and `session_recovery` resumes those of other processes or publishes
//!   their end. `running_session` is the handle to one of this process.
//! - `permissions` checks the channels; `recording_notice` tells the people in the call before
//!   anyone is recorded; `nickname_mark` marks the bot's nickname.
//! - `voice_gateway` joins and leaves; `connection` keeps a call connected through a `driver`, ours
//!   or songbird's, which pushes packets to the `packet_sink`.
//! - `transcript_view` shows the live transcript with `transcript_task` and `transcript_page`;
//!   `result_publisher` posts the result.
//! - `commands` and `session_buttons` handle user input.
//!
//! What a voice close code means for a session is decided in one place, the [`supervisor`]: after
//! 4014 it waits for the gateway to say whether the bot was moved, and otherwise ends the session as
//! removed from the call. The drivers only report the code.
//!
//! [`supervisor`]: crate::flow::session::supervisor

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
mod session_start;
mod sessions;
mod start_error;
mod transcript_page;
mod transcript_task;
mod transcript_view;
mod voice_gateway;
mod voice_state_cache;
mod voice_state_changes;

pub use sessions::VoiceSettings;

pub(super) use commands::handle_command;
pub(super) use manager::VoiceManager;
pub(super) use session_buttons::handle_button;
pub(super) use sessions::VoiceSessions;
