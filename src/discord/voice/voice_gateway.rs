//! Joins and leaves calls through the main gateway, by songbird's gateway half.

use std::sync::Arc;
use std::time::Duration;

use songbird::error::JoinError;
use songbird::id::{ChannelId, GuildId};
use songbird::{ConnectionInfo, Songbird};
use tokio::time::timeout;

use super::driver::VoiceConnectError;
use crate::config::VoiceDriver;
use crate::store::{OpenSession, SessionId, SessionRecord, Store};

/// Longest time that joining a call may take.
const JOIN_TIMEOUT: Duration = Duration::from_secs(8);

/// Why a call can't be joined.
#[derive(Debug, thiserror::Error)]
pub(in crate::discord) enum VoiceJoinError {
    /// Discord refuses: missing permission, full channel or no such channel.
    #[error("Discord does not let the bot in")]
    Denied,
    /// The gateway is currently not connected.
    #[error("no gateway")]
    GatewayUnavailable,
    /// The session was ended in the meantime.
    #[error("the session has ended")]
    SessionEnded,
    /// The voice server refused the connection or did not answer.
    #[error(transparent)]
    ConnectFailed(#[from] VoiceConnectError),
    /// No thread could be spawned for the driver.
    #[error("no driver: {0}")]
    DriverUnavailable(std::io::Error),
}

/// Joins and leaves the call of one session through the main gateway (songbird's gateway half).
#[derive(Clone)]
pub(super) struct VoiceGateway {
    songbird: Arc<Songbird>,
    pub(super) driver_kind: VoiceDriver,
    store: Store,
    pub(super) session_id: SessionId,
    pub(super) guild_id: u64,
}

impl VoiceGateway {
    pub(super) fn new(
        songbird: Arc<Songbird>,
        driver_kind: VoiceDriver,
        store: Store,
        session: &SessionRecord,
    ) -> Self {
        Self {
            songbird,
            driver_kind,
            store,
            session_id: session.id,
            guild_id: session.details.guild,
        }
    }

    /// Asks the gateway to join the channel of a session that is still open.
    pub(super) async fn join(&self, open: &OpenSession) -> Result<ConnectionInfo, VoiceJoinError> {
        let channel = non_zero_id(open.session().details.voice_channel)
            .map(ChannelId)
            .ok_or(VoiceJoinError::Denied)?;
        let guild = self.songbird_guild_id().ok_or(VoiceJoinError::Denied)?;
        let joined = timeout(JOIN_TIMEOUT, self.songbird.join_gateway(guild, channel)).await;
        match joined {
            Ok(Ok((connection_info, _))) => Ok(connection_info),
            Ok(Err(JoinError::NoSender | JoinError::Serenity(_))) => {
                Err(VoiceJoinError::GatewayUnavailable)
            }
            Ok(Err(_)) | Err(_) => {
                self.leave().await;
                Err(VoiceJoinError::Denied)
            }
        }
    }

    /// Joins again, unless the session was ended in the meantime.
    pub(super) async fn rejoin(&self) -> Result<ConnectionInfo, VoiceJoinError> {
        match self.store.joinable_session(self.session_id).await {
            Ok(Some(open)) => self.join(&open).await,
            Ok(None) => Err(VoiceJoinError::SessionEnded),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "could not look up whether the session is still open");
                Err(VoiceJoinError::SessionEnded)
            }
        }
    }

    /// Leaves the bot's call in this server, if there is one.
    pub(super) async fn leave(&self) {
        let Some(guild) = self.songbird_guild_id() else {
            return;
        };
        // songbird only leaves calls that it knows; an earlier process may have left the bot in
        // one.
        self.songbird.get_or_insert(guild);
        // If the gateway is down, its next session starts outside of any call.
        let _ = timeout(JOIN_TIMEOUT, self.songbird.remove(guild)).await;
    }

    /// The voice server and session that the gateway sent last.
    pub(super) async fn current_connection_info(&self) -> Option<ConnectionInfo> {
        let call = self.songbird.get(self.songbird_guild_id()?)?;
        let call = call.lock().await;
        call.current_connection().cloned()
    }

    fn songbird_guild_id(&self) -> Option<GuildId> {
        non_zero_id(self.guild_id).map(GuildId)
    }
}

fn non_zero_id(number: u64) -> Option<std::num::NonZeroU64> {
    std::num::NonZeroU64::new(number)
}
