//! What a caller gives to [`connect`](crate::connect).

use std::time::Duration;

use secrecy::SecretString;

/// Which call to connect to, and as whom. The values come from the [Voice Server
/// Update](https://discord.com/developers/docs/topics/gateway-events#voice-server-update) and the
/// bot's own [Voice State
/// Update](https://discord.com/developers/docs/topics/gateway-events#voice-state-update) that the
/// main gateway sends after the bot asked to join a channel.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// The guild's id (either event).
    pub guild_id: u64,
    /// The voice channel's id (Voice State Update).
    pub channel_id: u64,
    /// The bot's own user id.
    pub user_id: u64,
    /// The `session_id` of the bot's own Voice State Update.
    pub session_id: String,
    /// The `token` of the Voice Server Update. Valid for this call only; not the bot's token.
    pub token: SecretString,
    /// The `endpoint` of the Voice Server Update: a host, with `:port` if it is not 443, without a
    /// scheme.
    pub endpoint: String,
}

/// Settings of a connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnectOptions {
    /// How long a packet is buffered until its speaker and key are known, before it is dropped.
    /// Default: 2 s.
    pub pending_timeout: Duration,
    /// How many attempts in a row may fail before
    /// [`VoiceEvent::ConnectionLost`](crate::VoiceEvent). Attempts are spaced by a backoff of 250
    /// ms to 5 s. Default: 5.
    pub max_connect_attempts: u32,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            pending_timeout: Duration::from_secs(2),
            max_connect_attempts: 5,
        }
    }
}
