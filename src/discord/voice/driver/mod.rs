//! Voice drivers: they connect to a voice server and receive its audio. Either our own receiver
//! (the `voice_receive` crate) or songbird's.
//!
//! Both deliver packets, connects and disconnects to a [`PacketSink`]. The future of
//! [`CallDriver::connect`] only tells whether that attempt succeeded.

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
    /// The voice server did not answer as expected.
    #[error("voice server: {0}")]
    VoiceServer(ErrorCause),
    /// Discord closed the connection with this voice close code.
    #[error("refused with close code {0}")]
    Refused(u16),
}

/// Connects to one call at a time. Dropping it leaves the call.
pub(super) enum CallDriver {
    Talkback(talkback::TalkbackDriver),
    Songbird(songbird::SongbirdDriver),
}

impl CallDriver {
    /// A driver that is not connected yet and delivers to `packet_sink`.
    pub(super) fn new(kind: VoiceDriver, packet_sink: &Arc<PacketSink>) -> std::io::Result<Self> {
        Ok(match kind {
            VoiceDriver::Talkback => Self::Talkback(talkback::TalkbackDriver::new(packet_sink)),
            VoiceDriver::Songbird => Self::Songbird(songbird::SongbirdDriver::new(packet_sink)?),
        })
    }

    /// Which recovery the driver does itself.
    pub(super) fn capability(&self) -> DriverCapability {
        match self {
            Self::Talkback(_) => DriverCapability::SelfReconnecting,
            Self::Songbird(_) => DriverCapability::ReceivesOnly,
        }
    }

    /// Connects to a call, replacing the current one. The attempt continues if the future is
    /// dropped.
    pub(super) fn connect(
        &mut self,
        connection_info: ConnectionInfo,
    ) -> impl Future<Output = Result<(), VoiceConnectError>> + Send + 'static + use<> {
        match self {
            Self::Talkback(driver) => driver.connect(&connection_info).left_future(),
            Self::Songbird(driver) => driver.connect(connection_info).right_future(),
        }
    }

    pub(super) fn leave(&mut self) {
        match self {
            Self::Talkback(driver) => driver.leave(),
            Self::Songbird(driver) => driver.leave(),
        }
    }

    /// When the driver last showed that it is alive, in session time. To be called regularly: it
    /// also reports the driver's metrics.
    pub(super) fn poll_last_alive(&mut self) -> Duration {
        match self {
            Self::Talkback(driver) => driver.poll_last_alive(),
            Self::Songbird(driver) => driver.last_alive(),
        }
    }
}
