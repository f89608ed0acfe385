//! What the voice gateway sends.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;

/// An event from the voice gateway.
#[derive(Clone, Debug)]
pub enum ServerEvent {
    /// Opcode 8, the first message of a connection.
    Hello {
        /// The time between two heartbeats.
        heartbeat_interval: Duration,
    },
    /// Opcode 2: Identify was accepted.
    Ready {
        /// The SSRC of our own stream.
        ssrc: u32,
        /// The voice server's address for UDP.
        ip: IpAddr,
        /// Its port.
        port: u16,
        /// The encryption modes that the server offers.
        modes: Vec<String>,
    },
    /// Opcode 4: how datagrams are encrypted.
    SessionDescription {
        /// The encryption mode.
        mode: String,
        /// Its key.
        secret_key: Box<[u8; 32]>,
        /// The DAVE version of the call; 0 is unencrypted.
        dave_version: u16,
    },
    /// Opcode 5, a user's speaking flags, or opcode 12, the SSRCs of a user.
    Speaking {
        /// The user's id.
        user_id: u64,
        /// The SSRC of their microphone; 0 is none.
        ssrc: u32,
        /// Whether any speaking flag is set.
        is_speaking: bool,
    },
    /// Opcode 6: a heartbeat was received.
    HeartbeatAck {
        /// The heartbeat's nonce.
        nonce: u64,
    },
    /// Opcode 9: Resume was accepted.
    Resumed,
    /// Opcode 11: the ids of users who are in the call, or have joined it.
    ClientsConnected(Vec<u64>),
    /// Opcode 13: the id of a user who has left.
    ClientDisconnected(u64),
    /// Opcodes 21 to 30, about end-to-end encryption.
    Dave(DaveEvent),
    /// Any other opcode.
    Other(u8),
}

/// An event about end-to-end encryption (<https://daveprotocol.com/#voice-gateway-opcodes>).
#[derive(Clone, Debug)]
pub enum DaveEvent {
    /// Opcode 21: the call is about to change its version.
    PrepareTransition {
        /// The transition's id; 0 is executed at once.
        transition_id: u16,
        /// The new version; 0 is unencrypted.
        version: u16,
    },
    /// Opcode 22: a prepared transition happens now.
    ExecuteTransition {
        /// The transition's id.
        transition_id: u16,
    },
    /// Opcode 24: a group is created, or its version changes.
    PrepareEpoch {
        /// The version of the epoch.
        version: u16,
        /// The epoch; 1 is a new group.
        epoch: u64,
    },
    /// Opcode 25: the MLS external sender, who proposes to add and remove members.
    ExternalSender(Bytes),
    /// Opcode 27: MLS proposals.
    Proposals {
        /// Whether proposals are added; otherwise they are revoked.
        is_append: bool,
        /// A vector of MLS proposals, or of references to them.
        proposals: Bytes,
    },
    /// Opcode 29: the commit that begins the next epoch.
    Commit {
        /// The id of the transition to it.
        transition_id: u16,
        /// The MLS commit.
        commit: Bytes,
    },
    /// Opcode 30: we are added to the group.
    Welcome {
        /// The id of the transition to the new epoch.
        transition_id: u16,
        /// The MLS Welcome.
        welcome: Bytes,
    },
}
