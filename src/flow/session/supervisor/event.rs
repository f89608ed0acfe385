//! What happens to a voice connection, and what the supervisor wants done about it.

use std::time::Duration;

/// What the voice driver can recover by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DriverCapability {
    /// Receives while connected, and nothing else. No audio arrives while it reconnects, and it
    /// loses track of members who leave and rejoin at once.
    ReceivesOnly,
    /// Restores its own connection, and reports since when no audio has arrived. It keeps receiving
    /// while it connects to another server.
    SelfReconnecting,
}

/// An event of the voice connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ConnectionEvent {
    /// The driver is connected, or has reconnected by itself.
    Connected,
    /// No audio has arrived since this time; the driver is reconnecting.
    Interrupted(Duration),
    /// The driver has lost the connection and has given up, with Discord's close code if there is
    /// one.
    Disconnected(Option<u16>),
    /// A connection attempt failed.
    ConnectFailed,
    /// The gateway reports a new voice server or another channel.
    ServerOrChannelChanged,
    /// A member was reported as speaking.
    SpeakingStarted,
    /// An audio packet arrived.
    PacketReceived,
    /// The bot was removed from the call.
    RemovedFromCall,
    /// A member left and rejoined so quickly that the driver may have lost track of them.
    MemberRejoined,
}

/// What the caller has to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SupervisorAction {
    /// No action is needed.
    Nothing,
    /// Reconnect the driver with the current connection data.
    Reconnect,
    /// Replace the driver with a new one, and connect it with the current connection data.
    ReplaceDriver,
    /// Join the channel again through the gateway, for a new voice session.
    RejoinChannel,
    /// Give up the connection.
    End(DisconnectCause),
}

/// Why the connection ended for good.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DisconnectCause {
    /// The bot was removed, or the channel was deleted.
    RemovedFromCall,
    /// Discord ended the call or refused the bot, with this close code.
    Refused(u16),
    /// The connection could not be restored in time.
    Unreachable,
}
