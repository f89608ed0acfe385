//! Joins a voice channel briefly to check whether the bot could receive audio there.

use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use serenity::all::{ChannelType, GatewayIntents};
use tokio::time::{interval, timeout};

use super::api_error::ApiError;
use super::decode;
use super::diagnostics::{BotAccount, Diagnostics, DiagnosticsError, GatewayInfo};
use super::gateway::{GatewayDisconnect, GatewaySocket};
use voice_receive::{ConnectOptions, ConnectionInfo, VoiceEvent, VoiceHandle};

/// Time limit for joining through the gateway. It is shorter than the first heartbeat interval.
const GATEWAY_TIMEOUT: Duration = Duration::from_secs(15);

/// Time limit for connecting to the voice server.
const VOICE_CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Time limit for agreeing on end-to-end encryption after connecting.
const ENCRYPTION_TIMEOUT: Duration = Duration::from_secs(3);

/// Interval for checking the encryption state.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Result of a successful probe.
#[derive(Clone, Debug)]
pub struct VoiceProbe {
    /// Name of the voice channel.
    pub channel_name: String,
    /// Time until audio packets could be received.
    pub connect_time: Duration,
    /// Whether end-to-end encryption was agreed on; `None` if nobody else is in the channel.
    pub encrypted: Option<bool>,
}

/// Why a probe failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum VoiceProbeError {
    /// The channel is not a voice channel, or the bot can't see it.
    #[error("no voice channel")]
    NotVoiceChannel,
    /// The bot is already in a call in this server.
    #[error("the bot is in a call there")]
    AlreadyInCall,
    /// The gateway refuses the session or disconnects.
    #[error("gateway: {0}")]
    Gateway(String),
    /// The permission is missing or the channel is full.
    #[error("not let in")]
    JoinRefused,
    /// The voice server closed the connection or can't be reached.
    #[error("lost, code {0:?}")]
    Disconnected(Option<u16>),
    /// The voice server did not answer over UDP in time.
    #[error("no answer in time")]
    TimedOut,
    /// A REST request failed.
    #[error(transparent)]
    Diagnostics(#[from] DiagnosticsError),
}

/// Joins `channel` and leaves it again. Uses one session start.
///
/// # Errors
///
/// See [`VoiceProbeError`].
pub async fn probe_voice_channel(
    diagnostics: &Diagnostics,
    account: &BotAccount,
    gateway: &GatewayInfo,
    token: &SecretString,
    channel: u64,
) -> Result<VoiceProbe, VoiceProbeError> {
    let found = match diagnostics.get_guild_channel(channel).await {
        Ok(Some(found)) => found,
        Ok(None) | Err(ApiError::NotFound(_) | ApiError::Forbidden(_)) => {
            return Err(VoiceProbeError::NotVoiceChannel);
        }
        Err(error) => return Err(DiagnosticsError::from(error).into()),
    };
    if !matches!(found.kind, ChannelType::Voice | ChannelType::Stage) {
        return Err(VoiceProbeError::NotVoiceChannel);
    }
    if !diagnostics.can_join_voice(account, &found).await? {
        return Err(VoiceProbeError::JoinRefused);
    }
    let guild = found.guild_id.get();
    let mut session = ProbeSession {
        socket: GatewaySocket::connect(&gateway.url)
            .await
            .map_err(DiagnosticsError::from)?,
        bot_user_id: account.bot_user_id,
        guild,
        channel,
        channel_is_empty: true,
    };
    let joined = timeout(
        GATEWAY_TIMEOUT,
        session.join_call(token, gateway.recommended_shards),
    )
    .await;
    let result = match joined {
        Ok(Ok(info)) => wait_for_voice(info, session.channel_is_empty).await,
        Ok(Err(error)) => Err(error),
        Err(_) => Err(VoiceProbeError::JoinRefused),
    };
    session
        .leave(result != Err(VoiceProbeError::AlreadyInCall))
        .await;
    let (connect_time, encrypted) = result?;
    Ok(VoiceProbe {
        channel_name: found.name,
        connect_time,
        encrypted,
    })
}

/// Connects to the voice server until audio can be received and, unless the channel is empty, is
/// encrypted.
async fn wait_for_voice(
    info: ConnectionInfo,
    channel_is_empty: bool,
) -> Result<(Duration, Option<bool>), VoiceProbeError> {
    let started = Instant::now();
    let options = ConnectOptions {
        max_connect_attempts: 1,
        ..ConnectOptions::default()
    };
    let (handle, mut events) = voice_receive::connect(info, options);
    let connecting = async {
        while let Some(event) = events.recv().await {
            match event {
                VoiceEvent::Connected => return Ok(started.elapsed()),
                VoiceEvent::ConnectionLost {
                    close_code: code, ..
                } => return Err(VoiceProbeError::Disconnected(code)),
                _ => {}
            }
        }
        Err(VoiceProbeError::Disconnected(None))
    };
    let connect_time = timeout(VOICE_CONNECT_TIMEOUT, connecting).await;
    let connect_time = connect_time.unwrap_or(Err(VoiceProbeError::TimedOut))?;
    if channel_is_empty {
        return Ok((connect_time, None));
    }
    let encrypted = timeout(ENCRYPTION_TIMEOUT, wait_for_encryption(&handle))
        .await
        .is_ok();
    Ok((connect_time, Some(encrypted)))
}

/// Waits until end-to-end encryption is agreed on. The handle only counts epochs, hence the
/// polling.
async fn wait_for_encryption(handle: &VoiceHandle) {
    let mut ticks = interval(POLL_INTERVAL);
    while handle.stats().epochs == 0 {
        ticks.tick().await;
    }
}

/// A gateway session that only joins a call.
struct ProbeSession {
    socket: GatewaySocket,
    bot_user_id: u64,
    guild: u64,
    channel: u64,
    /// Whether nobody else is in the channel.
    channel_is_empty: bool,
}

impl ProbeSession {
    /// Identifies, requests to join, and waits for the voice session and voice server.
    async fn join_call(
        &mut self,
        token: &SecretString,
        shards: u32,
    ) -> Result<ConnectionInfo, VoiceProbeError> {
        let intents = GatewayIntents::GUILDS | GatewayIntents::GUILD_VOICE_STATES;
        let shards = u64::from(shards.max(1));
        self.send(&json!({"op": 2, "d": {
            "token": token.expose_secret(),
            "intents": intents.bits(),
            "properties": {"os": std::env::consts::OS, "browser": "talkback", "device": "talkback"},
            "shard": [(self.guild >> 22) % shards, shards],
        }}))
        .await?;
        let mut session_id = None;
        let mut server = None;
        loop {
            let event = self.next_dispatch().await?;
            let data = &event["d"];
            match event["t"].as_str().unwrap_or_default() {
                "GUILD_CREATE" if parse_id(&data["id"]) == self.guild => {
                    self.check_voice_states(data)?;
                    self.send(&self.voice_state_update(Some(self.channel)))
                        .await?;
                }
                "VOICE_STATE_UPDATE"
                    if parse_id(&data["user_id"]) == self.bot_user_id
                        && parse_id(&data["channel_id"]) == self.channel =>
                {
                    session_id = data["session_id"].as_str().map(str::to_owned);
                }
                "VOICE_SERVER_UPDATE" if parse_id(&data["guild_id"]) == self.guild => {
                    let part = |name: &str| data[name].as_str().map(str::to_owned);
                    server = part("token").zip(part("endpoint"));
                }
                _ => {}
            }
            if let (Some(session_id), Some((token, endpoint))) = (&session_id, &server) {
                return Ok(ConnectionInfo {
                    guild_id: self.guild,
                    channel_id: self.channel,
                    user_id: self.bot_user_id,
                    session_id: session_id.clone(),
                    token: token.clone().into(),
                    endpoint: endpoint.clone(),
                });
            }
        }
    }

    /// Checks who is in which channel before the bot joins.
    fn check_voice_states(&mut self, guild: &Value) -> Result<(), VoiceProbeError> {
        for state in guild["voice_states"].as_array().into_iter().flatten() {
            let channel = parse_id(&state["channel_id"]);
            if parse_id(&state["user_id"]) == self.bot_user_id && channel != 0 {
                return Err(VoiceProbeError::AlreadyInCall);
            }
            self.channel_is_empty &= channel != self.channel;
        }
        Ok(())
    }

    fn voice_state_update(&self, channel: Option<u64>) -> Value {
        json!({"op": 4, "d": {
            "guild_id": self.guild.to_string(),
            "channel_id": channel.map(|id| id.to_string()),
            "self_mute": true,
            "self_deaf": false,
        }})
    }

    async fn next_dispatch(&mut self) -> Result<Value, VoiceProbeError> {
        loop {
            let text = match self.socket.next_frame().await {
                Ok(Some(text)) => text,
                Ok(None) => continue,
                Err(GatewayDisconnect::Closed(code)) => {
                    let code = code.unwrap_or(1_005);
                    return Err(VoiceProbeError::Gateway(format!("closed with code {code}")));
                }
                Err(GatewayDisconnect::ConnectionFailed) => return Err(connection_broken()),
            };
            let event: Value = decode::parse_lenient(&text).map_err(|_| connection_broken())?;
            match event["op"].as_u64() {
                // Discord requests a heartbeat.
                Some(1) => self.send(&json!({"op": 1, "d": null})).await?,
                Some(7 | 9) => return Err(VoiceProbeError::Gateway("no session".to_owned())),
                Some(0) => return Ok(event),
                _ => {}
            }
        }
    }

    async fn send(&mut self, payload: &Value) -> Result<(), VoiceProbeError> {
        let result = self.socket.send(payload.to_string()).await;
        result.map_err(|_| connection_broken())
    }

    /// Leaves the call, unless the bot was in it before the probe.
    async fn leave(mut self, joined: bool) {
        let leaving = async {
            if joined {
                let update = self.voice_state_update(None);
                let _ = self.send(&update).await;
            }
            self.socket.close(1_000).await;
        };
        // The result does not matter any more.
        let _ = timeout(POLL_INTERVAL * 40, leaving).await;
    }
}

fn connection_broken() -> VoiceProbeError {
    VoiceProbeError::Gateway("the connection broke".to_owned())
}

fn parse_id(value: &Value) -> u64 {
    let text = value.as_str().and_then(|id| id.parse().ok());
    text.unwrap_or(0)
}
