//! Joins a voice channel for a moment, to see whether the bot would hear anything there.

use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use serenity::all::{ChannelType, GatewayIntents};
use tokio::time::{interval, timeout};

use super::checkup::{Account, CheckError, Checkup, GatewayFacts};
use super::decode;
use super::gateway::{Lost, Socket};
use super::trouble::Trouble;
use voice_receive::{ConnectionInfo, Handle, Heard, Options};

/// How long the gateway may take to let us into the channel. Its first heartbeat is due later.
const GATEWAY_LIMIT: Duration = Duration::from_secs(15);

/// How long the voice server may take.
const VOICE_LIMIT: Duration = Duration::from_secs(15);

/// How long end-to-end encryption may take once there is a connection.
const KEYS_LIMIT: Duration = Duration::from_secs(3);

/// Between two looks for it.
const LOOK: Duration = Duration::from_millis(50);

/// How the call went.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What the channel is called.
    pub channel: String,
    /// How long it took until packets could be heard.
    pub took: Duration,
    /// Whether end-to-end encryption was agreed on. None: nobody else is there to agree with.
    pub encrypted: Option<bool>,
}

/// Why nothing could be heard.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TrialError {
    /// It is no voice channel, or not one that the bot can see.
    #[error("no voice channel")]
    NoChannel,
    /// The bot is in a call of that server.
    #[error("the bot is in a call there")]
    InCall,
    /// The gateway gives no session, or breaks.
    #[error("gateway: {0}")]
    Gateway(String),
    /// Nobody lets us in: the permission is missing, or the channel is full.
    #[error("not let in")]
    NotLetIn,
    /// The voice server closes, or can't be reached.
    #[error("lost, code {0:?}")]
    Lost(Option<u16>),
    /// The voice server is there, but nothing comes back over UDP, or not in time.
    #[error("no answer in time")]
    Silent,
    /// Discord itself.
    #[error(transparent)]
    Discord(#[from] CheckError),
}

/// Joins `channel` and leaves it again. Costs a session start.
///
/// # Errors
///
/// See [`TrialError`].
pub async fn join(
    checkup: &Checkup,
    account: &Account,
    gateway: &GatewayFacts,
    token: &SecretString,
    channel: u64,
) -> Result<Trial, TrialError> {
    let found = match checkup.guild_channel(channel).await {
        Ok(Some(found)) => found,
        Ok(None) | Err(Trouble::Gone(_) | Trouble::Forbidden(_)) => {
            return Err(TrialError::NoChannel);
        }
        Err(trouble) => return Err(CheckError::from(trouble).into()),
    };
    if !matches!(found.kind, ChannelType::Voice | ChannelType::Stage) {
        return Err(TrialError::NoChannel);
    }
    if !checkup.may_join(account, &found).await? {
        return Err(TrialError::NotLetIn);
    }
    let guild = found.guild_id.get();
    let mut session = Session {
        socket: Socket::connect(&gateway.url)
            .await
            .map_err(CheckError::from)?,
        user: account.user,
        guild,
        channel,
        alone: true,
    };
    let invited = timeout(GATEWAY_LIMIT, session.invited(token, gateway.shards)).await;
    let heard = match invited {
        Ok(Ok(info)) => listened(info, session.alone).await,
        Ok(Err(error)) => Err(error),
        Err(_) => Err(TrialError::NotLetIn),
    };
    session.leave(heard != Err(TrialError::InCall)).await;
    let (took, encrypted) = heard?;
    Ok(Trial {
        channel: found.name,
        took,
        encrypted,
    })
}

/// Connects to the call, until packets could be heard and, unless nobody is there, are encrypted.
async fn listened(
    info: ConnectionInfo,
    alone: bool,
) -> Result<(Duration, Option<bool>), TrialError> {
    let started = Instant::now();
    let options = Options {
        attempts: 1,
        ..Options::default()
    };
    let (handle, mut heard) = voice_receive::connect(info, options);
    let connecting = async {
        while let Some(heard) = heard.recv().await {
            match heard {
                Heard::Connected => return Ok(started.elapsed()),
                Heard::Lost { code, .. } => return Err(TrialError::Lost(code)),
                _ => {}
            }
        }
        Err(TrialError::Lost(None))
    };
    let took = timeout(VOICE_LIMIT, connecting).await;
    let took = took.unwrap_or(Err(TrialError::Silent))?;
    if alone {
        return Ok((took, None));
    }
    let encrypted = timeout(KEYS_LIMIT, keys(&handle)).await.is_ok();
    Ok((took, Some(encrypted)))
}

/// Waits until end-to-end encryption is agreed on, which only is counted.
async fn keys(handle: &Handle) {
    let mut looks = interval(LOOK);
    while handle.counts().epochs == 0 {
        looks.tick().await;
    }
}

/// A session at the gateway that wants nothing but into a call.
struct Session {
    socket: Socket,
    user: u64,
    guild: u64,
    channel: u64,
    /// Whether nobody else is in the channel.
    alone: bool,
}

impl Session {
    /// Identifies, asks for the channel, and waits for what leads into the call.
    async fn invited(
        &mut self,
        token: &SecretString,
        shards: u32,
    ) -> Result<ConnectionInfo, TrialError> {
        let intents = GatewayIntents::GUILDS | GatewayIntents::GUILD_VOICE_STATES;
        let shards = u64::from(shards.max(1));
        self.say(&json!({"op": 2, "d": {
            "token": token.expose_secret(),
            "intents": intents.bits(),
            "properties": {"os": std::env::consts::OS, "browser": "talkback", "device": "talkback"},
            "shard": [(self.guild >> 22) % shards, shards],
        }}))
        .await?;
        let mut ours = None;
        let mut server = None;
        loop {
            let event = self.next().await?;
            let data = &event["d"];
            match event["t"].as_str().unwrap_or_default() {
                "GUILD_CREATE" if id(&data["id"]) == self.guild => {
                    self.look_around(data)?;
                    self.say(&self.place(Some(self.channel))).await?;
                }
                "VOICE_STATE_UPDATE"
                    if id(&data["user_id"]) == self.user
                        && id(&data["channel_id"]) == self.channel =>
                {
                    ours = data["session_id"].as_str().map(str::to_owned);
                }
                "VOICE_SERVER_UPDATE" if id(&data["guild_id"]) == self.guild => {
                    let part = |name: &str| data[name].as_str().map(str::to_owned);
                    server = part("token").zip(part("endpoint"));
                }
                _ => {}
            }
            if let (Some(session), Some((token, endpoint))) = (&ours, &server) {
                return Ok(ConnectionInfo {
                    guild: self.guild,
                    channel: self.channel,
                    user: self.user,
                    session: session.clone(),
                    token: token.clone().into(),
                    endpoint: endpoint.clone(),
                });
            }
        }
    }

    /// Who is in which channel before we come.
    fn look_around(&mut self, guild: &Value) -> Result<(), TrialError> {
        for state in guild["voice_states"].as_array().into_iter().flatten() {
            let channel = id(&state["channel_id"]);
            if id(&state["user_id"]) == self.user && channel != 0 {
                return Err(TrialError::InCall);
            }
            self.alone &= channel != self.channel;
        }
        Ok(())
    }

    fn place(&self, channel: Option<u64>) -> Value {
        json!({"op": 4, "d": {
            "guild_id": self.guild.to_string(),
            "channel_id": channel.map(|id| id.to_string()),
            "self_mute": true,
            "self_deaf": false,
        }})
    }

    async fn next(&mut self) -> Result<Value, TrialError> {
        loop {
            let text = match self.socket.next().await {
                Ok(Some(text)) => text,
                Ok(None) => continue,
                Err(Lost::Closed(code)) => {
                    let code = code.unwrap_or(1_005);
                    return Err(TrialError::Gateway(format!("closed with code {code}")));
                }
                Err(Lost::Broken) => return Err(broken()),
            };
            let event: Value = decode::parse(&text).map_err(|_| broken())?;
            match event["op"].as_u64() {
                // It asks for a heartbeat.
                Some(1) => self.say(&json!({"op": 1, "d": null})).await?,
                Some(7 | 9) => return Err(TrialError::Gateway("no session".to_owned())),
                Some(0) => return Ok(event),
                _ => {}
            }
        }
    }

    async fn say(&mut self, said: &Value) -> Result<(), TrialError> {
        let said = self.socket.say(said.to_string()).await;
        said.map_err(|_| broken())
    }

    /// Leaves the call, unless it is one that the bot was in before.
    async fn leave(mut self, call: bool) {
        let leaving = async {
            if call {
                let nowhere = self.place(None);
                let _ = self.say(&nowhere).await;
            }
            self.socket.close(1_000).await;
        };
        // Whether the other end agrees is of no interest.
        let _ = timeout(LOOK * 40, leaving).await;
    }
}

fn broken() -> TrialError {
    TrialError::Gateway("the connection broke".to_owned())
}

fn id(value: &Value) -> u64 {
    let text = value.as_str().and_then(|id| id.parse().ok());
    text.unwrap_or(0)
}
