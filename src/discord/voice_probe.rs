//! Joins a voice channel for a moment, to see whether the bot would hear anything there.

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

/// How long the gateway may take to let us into the channel. Its first heartbeat is due later.
const GATEWAY_TIMEOUT: Duration = Duration::from_secs(15);

/// How long the voice server may take.
const VOICE_CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long end-to-end encryption may take once there is a connection.
const ENCRYPTION_TIMEOUT: Duration = Duration::from_secs(3);

/// Between two looks for it.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How the call went.
#[derive(Clone, Debug)]
pub struct VoiceProbe {
    /// What the channel is called.
    pub channel_name: String,
    /// How long it took until packets could be heard.
    pub connect_time: Duration,
    /// Whether end-to-end encryption was agreed on. None: nobody else is there to agree with.
    pub encrypted: Option<bool>,
}

/// Why nothing could be heard.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum VoiceProbeError {
    /// It is no voice channel, or not one that the bot can see.
    #[error("no voice channel")]
    NotVoiceChannel,
    /// The bot is in a call of that server.
    #[error("the bot is in a call there")]
    AlreadyInCall,
    /// The gateway gives no session, or breaks.
    #[error("gateway: {0}")]
    Gateway(String),
    /// Nobody lets us in: the permission is missing, or the channel is full.
    #[error("not let in")]
    JoinRefused,
    /// The voice server closes, or can't be reached.
    #[error("lost, code {0:?}")]
    Disconnected(Option<u16>),
    /// The voice server is there, but nothing comes back over UDP, or not in time.
    #[error("no answer in time")]
    TimedOut,
    /// Discord itself.
    #[error(transparent)]
    Diagnostics(#[from] DiagnosticsError),
}

/// Joins `channel` and leaves it again. Costs a session start.
///
/// # Errors
///
/// See [`VoiceProbeError`].
pub async fn probe_voice_channel(
    checkup: &Diagnostics,
    account: &BotAccount,
    gateway: &GatewayInfo,
    token: &SecretString,
    channel: u64,
) -> Result<VoiceProbe, VoiceProbeError> {
    let found = match checkup.get_guild_channel(channel).await {
        Ok(Some(found)) => found,
        Ok(None) | Err(ApiError::NotFound(_) | ApiError::Forbidden(_)) => {
            return Err(VoiceProbeError::NotVoiceChannel);
        }
        Err(trouble) => return Err(DiagnosticsError::from(trouble).into()),
    };
    if !matches!(found.kind, ChannelType::Voice | ChannelType::Stage) {
        return Err(VoiceProbeError::NotVoiceChannel);
    }
    if !checkup.can_join_voice(account, &found).await? {
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
    let invited = timeout(
        GATEWAY_TIMEOUT,
        session.join_call(token, gateway.recommended_shards),
    )
    .await;
    let heard = match invited {
        Ok(Ok(info)) => wait_for_voice(info, session.channel_is_empty).await,
        Ok(Err(error)) => Err(error),
        Err(_) => Err(VoiceProbeError::JoinRefused),
    };
    session
        .leave(heard != Err(VoiceProbeError::AlreadyInCall))
        .await;
    let (took, encrypted) = heard?;
    Ok(VoiceProbe {
        channel_name: found.name,
        connect_time: took,
        encrypted,
    })
}

/// Connects to the call, until packets could be heard and, unless nobody is there, are encrypted.
async fn wait_for_voice(
    info: ConnectionInfo,
    alone: bool,
) -> Result<(Duration, Option<bool>), VoiceProbeError> {
    let started = Instant::now();
    let options = ConnectOptions {
        max_connect_attempts: 1,
        ..ConnectOptions::default()
    };
    let (handle, mut heard) = voice_receive::connect(info, options);
    let connecting = async {
        while let Some(heard) = heard.recv().await {
            match heard {
                VoiceEvent::Connected => return Ok(started.elapsed()),
                VoiceEvent::ConnectionLost {
                    close_code: code, ..
                } => return Err(VoiceProbeError::Disconnected(code)),
                _ => {}
            }
        }
        Err(VoiceProbeError::Disconnected(None))
    };
    let took = timeout(VOICE_CONNECT_TIMEOUT, connecting).await;
    let took = took.unwrap_or(Err(VoiceProbeError::TimedOut))?;
    if alone {
        return Ok((took, None));
    }
    let encrypted = timeout(ENCRYPTION_TIMEOUT, wait_for_encryption(&handle))
        .await
        .is_ok();
    Ok((took, Some(encrypted)))
}

/// Waits until end-to-end encryption is agreed on, which only is counted.
async fn wait_for_encryption(handle: &VoiceHandle) {
    let mut looks = interval(POLL_INTERVAL);
    while handle.stats().epochs == 0 {
        looks.tick().await;
    }
}

/// A session at the gateway that wants nothing but into a call.
struct ProbeSession {
    socket: GatewaySocket,
    bot_user_id: u64,
    guild: u64,
    channel: u64,
    /// Whether nobody else is in the channel.
    channel_is_empty: bool,
}

impl ProbeSession {
    /// Identifies, asks for the channel, and waits for what leads into the call.
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
        let mut ours = None;
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
                    ours = data["session_id"].as_str().map(str::to_owned);
                }
                "VOICE_SERVER_UPDATE" if parse_id(&data["guild_id"]) == self.guild => {
                    let part = |name: &str| data[name].as_str().map(str::to_owned);
                    server = part("token").zip(part("endpoint"));
                }
                _ => {}
            }
            if let (Some(session), Some((token, endpoint))) = (&ours, &server) {
                return Ok(ConnectionInfo {
                    guild_id: self.guild,
                    channel_id: self.channel,
                    user_id: self.bot_user_id,
                    session_id: session.clone(),
                    token: token.clone().into(),
                    endpoint: endpoint.clone(),
                });
            }
        }
    }

    /// Who is in which channel before we come.
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
                // It asks for a heartbeat.
                Some(1) => self.send(&json!({"op": 1, "d": null})).await?,
                Some(7 | 9) => return Err(VoiceProbeError::Gateway("no session".to_owned())),
                Some(0) => return Ok(event),
                _ => {}
            }
        }
    }

    async fn send(&mut self, said: &Value) -> Result<(), VoiceProbeError> {
        let said = self.socket.send(said.to_string()).await;
        said.map_err(|_| connection_broken())
    }

    /// Leaves the call, unless it is one that the bot was in before.
    async fn leave(mut self, call: bool) {
        let leaving = async {
            if call {
                let nowhere = self.voice_state_update(None);
                let _ = self.send(&nowhere).await;
            }
            self.socket.close(1_000).await;
        };
        // Whether the other end agrees is of no interest.
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
