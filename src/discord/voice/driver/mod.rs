//! What hears a call once the gateway has told where it is: a receiver of our own, or songbird's.
//!
//! Both tell a [`PacketSink`] what they hear and how they fare. Whether a connection could be made, the
//! future of [`Driver::connect`] tells; that one is made or lost, the tap.

mod receiver_metrics;
mod songbird;
mod talkback;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ::songbird::ConnectionInfo;
use futures_util::FutureExt;

use super::packet_sink::PacketSink;
use crate::config::VoiceDriver;
use crate::flow::session::supervisor::DriverCapability;
use net::ErrorCause;

/// Why a call can't be connected to.
#[derive(Debug, thiserror::Error)]
pub(in crate::discord) enum VoiceConnectError {
    /// The voice server does not answer as it should.
    #[error("voice server: {0}")]
    VoiceServer(ErrorCause),
    /// Discord has closed the connection, and says why.
    #[error("refused with close code {0}")]
    Refused(u16),
}

/// A connection to calls, one after the other. Dropping it leaves the call.
pub(super) enum CallDriver {
    Talkback(talkback::TalkbackDriver),
    Songbird(songbird::SongbirdDriver),
}

impl CallDriver {
    /// A driver that is not connected yet. It tells `tap` what it hears.
    pub(super) fn new(kind: VoiceDriver, tap: &Arc<PacketSink>) -> std::io::Result<Self> {
        Ok(match kind {
            VoiceDriver::Talkback => Self::Talkback(talkback::TalkbackDriver::new(tap)),
            VoiceDriver::Songbird => Self::Songbird(songbird::SongbirdDriver::new(tap)?),
        })
    }

    /// What there is no need to do for it.
    pub(super) fn capability(&self) -> DriverCapability {
        match self {
            Self::Talkback(_) => DriverCapability::SelfReconnecting,
            Self::Songbird(_) => DriverCapability::ReceivesOnly,
        }
    }

    /// Connects to a call, also if it is connected to one. It goes on if nobody waits for the end
    /// of it.
    pub(super) fn connect(
        &mut self,
        info: ConnectionInfo,
    ) -> impl Future<Output = Result<(), VoiceConnectError>> + Send + 'static + use<> {
        match self {
            Self::Talkback(driver) => driver.connect(&info).left_future(),
            Self::Songbird(driver) => driver.connect(info).right_future(),
        }
    }

    /// Leaves the call.
    pub(super) fn leave(&mut self) {
        match self {
            Self::Talkback(driver) => driver.leave(),
            Self::Songbird(driver) => driver.leave(),
        }
    }

    /// Looks after it: when it last gave a sign of life, in the time of the session.
    pub(super) fn poll_last_alive(&mut self) -> Duration {
        match self {
            Self::Talkback(driver) => driver.poll_last_alive(),
            Self::Songbird(driver) => driver.last_alive(),
        }
    }
}
