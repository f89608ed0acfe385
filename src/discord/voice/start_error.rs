//! Why no session was started, and what the user is told about it.

use super::driver::VoiceConnectError;
use super::recording_notice::RecordingNoticeError;
use super::voice_gateway::VoiceJoinError;
use crate::store::StoreError;
use crate::ui_text::{bot, voice_session as words};

/// Why no session was started.
#[derive(Debug, thiserror::Error)]
pub(in crate::discord) enum StartSessionError {
    /// A session is running already, in this voice channel if that is known.
    #[error("there is one already")]
    AlreadyRunning(Option<u64>),
    /// The result of the last session is still being written.
    #[error("the last one is not over yet")]
    StillEnding,
    #[error(transparent)]
    Join(#[from] VoiceJoinError),
    /// The recording notice could not be posted.
    #[error(transparent)]
    RecordingNotice(#[from] RecordingNoticeError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No thread could be spawned for the audio worker.
    #[error("no thread: {0}")]
    ThreadSpawn(#[from] std::io::Error),
    #[error("shutting down")]
    ShuttingDown,
}

/// What the user reads.
pub(super) fn start_error_message(error: &StartSessionError) -> String {
    match error {
        StartSessionError::AlreadyRunning(channel) => words::already_in_session(*channel),
        StartSessionError::StillEnding => words::STILL_ENDING.to_owned(),
        StartSessionError::Join(VoiceJoinError::Denied) => words::JOIN_REJECTED.to_owned(),
        StartSessionError::RecordingNotice(RecordingNoticeError::PostFailed(_)) => {
            words::NOTICE_NOT_POSTED.to_owned()
        }
        StartSessionError::RecordingNotice(RecordingNoticeError::SessionEnded)
        | StartSessionError::Join(VoiceJoinError::SessionEnded) => words::SESSION_LEFT.to_owned(),
        StartSessionError::Join(VoiceJoinError::GatewayUnavailable)
        | StartSessionError::ShuttingDown => words::NO_GATEWAY.to_owned(),
        StartSessionError::Join(VoiceJoinError::ConnectFailed(VoiceConnectError::Refused(
            code,
        ))) => words::voice_server_rejected(*code),
        StartSessionError::Join(
            VoiceJoinError::ConnectFailed(_) | VoiceJoinError::DriverUnavailable(_),
        )
        | StartSessionError::ThreadSpawn(_) => words::NO_VOICE_SERVER.to_owned(),
        StartSessionError::Store(_)
        | StartSessionError::RecordingNotice(RecordingNoticeError::Store(_)) => {
            bot::LEDGER_UNAVAILABLE.to_owned()
        }
    }
}
