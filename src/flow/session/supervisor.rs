//! Supervises the voice connection, and decides how to recover when no audio can be received.
//!
//! A pure state machine: time is an argument. Its rules come from measurements of the drivers and
//! from Discord's close codes
//! (<https://discord.com/developers/docs/topics/opcodes-and-status-codes#voice-voice-close-event-codes>):
//!
//! - *Connected*: if the driver shows no sign of life for [`LIVENESS_TIMEOUT`], it is replaced, as
//!   its fault may be permanent. A connection that held for `STABLE_AFTER` and is lost is rejoined
//!   at once.
//! - *Connecting*: if the connection fails, or does not hold for `STABLE_AFTER`, the next attempt
//!   waits. The wait doubles each time, and attempts stop after [`RECONNECT_TIMEOUT`].
//! - *Backing off*: waits until the next attempt.
//! - *Awaiting move*: Discord has closed the connection. The session ends unless the gateway reports
//!   a new server or channel within `MOVE_TIMEOUT`.
//! - *Ended*: all events are ignored.

mod event;
#[cfg(test)]
mod tests;

use std::time::Duration;

use net::Backoff;

pub use event::{ConnectionEvent, DisconnectCause, DriverCapability, SupervisorAction};

/// The driver reports that it is alive at least twice a second. After this long without a report,
/// it is considered dead.
pub const LIVENESS_TIMEOUT: Duration = Duration::from_secs(3);

/// How long to keep trying to restore a lost connection.
pub const RECONNECT_TIMEOUT: Duration = Duration::from_secs(300);

/// How long one connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait for the gateway to report a move after Discord has closed the connection.
const MOVE_TIMEOUT: Duration = Duration::from_secs(6);

/// How long a member may speak without a packet arriving before the connection is suspected.
const NO_PACKETS_TIMEOUT: Duration = Duration::from_secs(4);

/// Minimum time between two reconnects for missing packets.
const NO_PACKETS_COOLDOWN: Duration = Duration::from_secs(60);

/// A connection that has held this long counts as stable. One that is lost sooner backs off before
/// the next attempt.
const STABLE_AFTER: Duration = Duration::from_secs(10);

const INITIAL_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum SupervisorState {
    Connected,
    Connecting { since: Duration },
    BackingOff { until: Duration },
    AwaitingMove { until: Duration, code: u16 },
    Ended,
}

/// Supervises one voice connection. All times are measured from the start of the session.
#[derive(Debug)]
pub struct Supervisor {
    capability: DriverCapability,
    state: SupervisorState,
    /// Since when no audio has arrived.
    interrupted_since: Option<Duration>,
    /// Since when there has been no stable connection.
    unstable_since: Option<Duration>,
    backoff: Backoff,
    /// When the current connection was established.
    connected_at: Duration,
    /// When the driver last reported that it is alive.
    last_alive: Duration,
    /// Since when a member has been speaking without a packet arriving.
    no_packets_since: Option<Duration>,
    last_no_packets_reconnect: Option<Duration>,
}

impl Supervisor {
    /// Starts while the first connection attempt is in progress.
    #[must_use]
    pub fn new(now: Duration, capability: DriverCapability) -> Self {
        Self {
            capability,
            state: SupervisorState::Connecting { since: now },
            interrupted_since: Some(now),
            unstable_since: None,
            backoff: Backoff::new(INITIAL_BACKOFF, MAX_BACKOFF),
            connected_at: now,
            last_alive: now,
            no_packets_since: None,
            last_no_packets_reconnect: None,
        }
    }

    /// Since when no audio has arrived; `None` if it is arriving.
    #[must_use]
    pub fn interrupted_since(&self) -> Option<Duration> {
        self.interrupted_since
    }

    /// The driver reported that it was alive at this time.
    pub fn record_liveness(&mut self, at: Duration) {
        self.last_alive = self.last_alive.max(at);
    }

    /// Handles an event, and returns what to do.
    pub fn handle_event(&mut self, now: Duration, event: ConnectionEvent) -> SupervisorAction {
        if self.state == SupervisorState::Ended {
            return SupervisorAction::Nothing;
        }
        match event {
            ConnectionEvent::Connected => {
                self.state = SupervisorState::Connected;
                self.interrupted_since = None;
                self.connected_at = now;
                self.last_alive = now;
                self.no_packets_since = None;
                SupervisorAction::Nothing
            }
            ConnectionEvent::Interrupted(since) => {
                self.mark_interrupted(since);
                self.no_packets_since = None;
                SupervisorAction::Nothing
            }
            ConnectionEvent::Disconnected(code) => self.on_disconnected(now, code),
            ConnectionEvent::ConnectFailed => self.back_off_then_rejoin(now),
            ConnectionEvent::ServerOrChannelChanged => self.on_server_or_channel_changed(now),
            ConnectionEvent::SpeakingStarted => {
                // During an interruption, missing packets are expected.
                if self.state == SupervisorState::Connected && self.interrupted_since.is_none() {
                    self.no_packets_since.get_or_insert(now);
                }
                SupervisorAction::Nothing
            }
            ConnectionEvent::PacketReceived => {
                self.no_packets_since = None;
                SupervisorAction::Nothing
            }
            ConnectionEvent::RemovedFromCall => self.end(DisconnectCause::RemovedFromCall),
            ConnectionEvent::MemberRejoined => match (self.capability, self.state) {
                (DriverCapability::ReceivesOnly, SupervisorState::Connected) => {
                    self.on_server_or_channel_changed(now)
                }
                _ => SupervisorAction::Nothing,
            },
        }
    }

    /// Checks the timeouts, and returns what to do. Call this periodically.
    pub fn advance(&mut self, now: Duration) -> SupervisorAction {
        if self.is_stable(now) {
            self.unstable_since = None;
            self.backoff.reset();
        }
        match self.state {
            SupervisorState::Connected
                if now.saturating_sub(self.last_alive) > LIVENESS_TIMEOUT =>
            {
                self.replace_driver(now)
            }
            SupervisorState::Connected => self.check_packet_flow(now),
            SupervisorState::Connecting { since }
                if now.saturating_sub(since) > CONNECT_TIMEOUT =>
            {
                self.back_off_then_rejoin(now)
            }
            SupervisorState::BackingOff { until } if now >= until => {
                self.state = SupervisorState::Connecting { since: now };
                SupervisorAction::RejoinChannel
            }
            SupervisorState::AwaitingMove { until, code } if now >= until => self.end(match code {
                4_014 => DisconnectCause::RemovedFromCall,
                code => DisconnectCause::Refused(code),
            }),
            _ => SupervisorAction::Nothing,
        }
    }

    /// Whether the connection has held for `STABLE_AFTER`, not counting a current interruption.
    fn is_stable(&self, now: Duration) -> bool {
        let held_until = self.interrupted_since.unwrap_or(now);
        self.state == SupervisorState::Connected
            && held_until >= self.connected_at.saturating_add(STABLE_AFTER)
    }

    fn on_server_or_channel_changed(&mut self, now: Duration) -> SupervisorAction {
        if self.capability == DriverCapability::ReceivesOnly {
            self.mark_interrupted(now);
        }
        self.state = SupervisorState::Connecting { since: now };
        SupervisorAction::Reconnect
    }

    fn on_disconnected(&mut self, now: Duration, code: Option<u16>) -> SupervisorAction {
        self.mark_interrupted(now);
        match code {
            // Moved, removed, or the channel was deleted: wait for the gateway to report which.
            Some(code @ (4_014 | 4_022)) => {
                let until = now + MOVE_TIMEOUT;
                self.state = SupervisorState::AwaitingMove { until, code };
                SupervisorAction::Nothing
            }
            // Not recoverable. 4021 is rate limiting, which another attempt would make worse; 4017
            // requires end-to-end encryption.
            Some(code @ (4_004 | 4_011 | 4_017 | 4_021)) => {
                self.end(DisconnectCause::Refused(code))
            }
            _ if self.is_stable(now) => {
                self.backoff.reset();
                self.unstable_since = Some(now);
                self.state = SupervisorState::Connecting { since: now };
                SupervisorAction::RejoinChannel
            }
            _ => self.back_off_then_rejoin(now),
        }
    }

    /// The driver has stopped reporting.
    fn replace_driver(&mut self, now: Duration) -> SupervisorAction {
        self.interrupted_since.get_or_insert(self.last_alive);
        self.last_alive = now;
        self.state = SupervisorState::Connecting { since: now };
        SupervisorAction::ReplaceDriver
    }

    /// Reconnects if a member speaks and no packets arrive.
    fn check_packet_flow(&mut self, now: Duration) -> SupervisorAction {
        let is_silent = self
            .no_packets_since
            .is_some_and(|since| now.saturating_sub(since) > NO_PACKETS_TIMEOUT);
        let in_cooldown = self
            .last_no_packets_reconnect
            .is_some_and(|at| now.saturating_sub(at) < NO_PACKETS_COOLDOWN);
        if !is_silent || in_cooldown {
            return SupervisorAction::Nothing;
        }
        self.last_no_packets_reconnect = Some(now);
        self.mark_interrupted(self.no_packets_since.unwrap_or(now));
        self.no_packets_since = None;
        self.state = SupervisorState::Connecting { since: now };
        SupervisorAction::Reconnect
    }

    fn back_off_then_rejoin(&mut self, now: Duration) -> SupervisorAction {
        self.mark_interrupted(now);
        let since = *self.unstable_since.get_or_insert(now);
        let interrupted = self.interrupted_since.unwrap_or(now);
        if now.saturating_sub(interrupted.min(since)) > RECONNECT_TIMEOUT {
            return self.end(DisconnectCause::Unreachable);
        }
        self.state = SupervisorState::BackingOff {
            until: now + self.backoff.next_delay(),
        };
        SupervisorAction::Nothing
    }

    fn mark_interrupted(&mut self, since: Duration) {
        self.interrupted_since.get_or_insert(since);
    }

    fn end(&mut self, cause: DisconnectCause) -> SupervisorAction {
        self.state = SupervisorState::Ended;
        SupervisorAction::End(cause)
    }
}
