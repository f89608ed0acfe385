//! Supervises the voice connection, and decides how to recover when no audio can be received.
//!
//! A pure state machine: time is an argument. Its rules come from measurements of the drivers and
//! from Discord's close codes
//! (<https://discord.com/developers/docs/topics/opcodes-and-status-codes#voice-voice-close-event-codes>):
//!
//! - *Connected*: if the driver shows no sign of life for [`LIVENESS_TIMEOUT`], it is replaced, as
//!   its fault may be permanent. A connection that held for `STABLE_AFTER` and is lost is rejoined
//!   at once. - *Connecting*: if the connection fails, or does not hold for `STABLE_AFTER`, the
//!   next attempt waits. The wait doubles each time, and attempts stop after [`RECONNECT_TIMEOUT`].
//!   - *Backing off*: waits until the next attempt. - *Awaiting move*: Discord has closed the
//!   connection. The session ends unless the gateway reports a new server or channel within
//!   `MOVE_TIMEOUT`. - *Ended*: all events are ignored.

use std::time::Duration;

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
    backoff: Duration,
    /// When the current connection was established.
    connected_at: Duration,
    /// When the driver last reported that it is alive.
    last_alive: Duration,
    /// Since when a member has been speaking without a packet arriving.
    no_packets_since: Option<Duration>,
    last_doubted: Option<Duration>,
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
            backoff: INITIAL_BACKOFF,
            connected_at: now,
            last_alive: now,
            no_packets_since: None,
            last_doubted: None,
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
    pub fn handle_event(&mut self, now: Duration, sign: ConnectionEvent) -> SupervisorAction {
        if self.state == SupervisorState::Ended {
            return SupervisorAction::Nothing;
        }
        match sign {
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
            self.backoff = INITIAL_BACKOFF;
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
        let held = self.interrupted_since.unwrap_or(now);
        self.state == SupervisorState::Connected
            && held >= self.connected_at.saturating_add(STABLE_AFTER)
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
                self.backoff = INITIAL_BACKOFF;
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
        let unheard = self
            .no_packets_since
            .is_some_and(|since| now.saturating_sub(since) > NO_PACKETS_TIMEOUT);
        let recently = self
            .last_doubted
            .is_some_and(|at| now.saturating_sub(at) < NO_PACKETS_COOLDOWN);
        if !unheard || recently {
            return SupervisorAction::Nothing;
        }
        self.last_doubted = Some(now);
        self.mark_interrupted(self.no_packets_since.unwrap_or(now));
        self.no_packets_since = None;
        self.state = SupervisorState::Connecting { since: now };
        SupervisorAction::Reconnect
    }

    fn back_off_then_rejoin(&mut self, now: Duration) -> SupervisorAction {
        self.mark_interrupted(now);
        let since = *self.unstable_since.get_or_insert(now);
        let deaf = self.interrupted_since.unwrap_or(now);
        if now.saturating_sub(deaf.min(since)) > RECONNECT_TIMEOUT {
            return self.end(DisconnectCause::Unreachable);
        }
        self.state = SupervisorState::BackingOff {
            until: now + self.backoff,
        };
        self.backoff = (self.backoff * 2).min(MAX_BACKOFF);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn connected_supervisor() -> Supervisor {
        connected_supervisor_with(DriverCapability::ReceivesOnly)
    }

    fn connected_supervisor_with(skill: DriverCapability) -> Supervisor {
        let mut supervisor = Supervisor::new(at(0), skill);
        assert_eq!(
            supervisor.handle_event(at(1), ConnectionEvent::Connected),
            SupervisorAction::Nothing
        );
        supervisor
    }

    #[test]
    fn close_codes_lead_to_the_right_action() {
        for (code, immediately, later) in [
            (
                None,
                SupervisorAction::Nothing,
                SupervisorAction::RejoinChannel,
            ),
            (
                Some(4_006),
                SupervisorAction::Nothing,
                SupervisorAction::RejoinChannel,
            ),
            (
                Some(4_009),
                SupervisorAction::Nothing,
                SupervisorAction::RejoinChannel,
            ),
            (
                Some(4_014),
                SupervisorAction::Nothing,
                SupervisorAction::End(DisconnectCause::RemovedFromCall),
            ),
            (
                Some(4_022),
                SupervisorAction::Nothing,
                SupervisorAction::End(DisconnectCause::Refused(4_022)),
            ),
            (
                Some(4_017),
                SupervisorAction::End(DisconnectCause::Refused(4_017)),
                SupervisorAction::Nothing,
            ),
            (
                Some(4_021),
                SupervisorAction::End(DisconnectCause::Refused(4_021)),
                SupervisorAction::Nothing,
            ),
        ] {
            let mut supervisor = connected_supervisor();
            assert_eq!(
                supervisor.handle_event(at(10), ConnectionEvent::Disconnected(code)),
                immediately,
                "{code:?}"
            );
            assert_eq!(supervisor.advance(at(17)), later, "{code:?}");
        }
    }

    #[test]
    fn stable_connection_rejoins_at_once() {
        let mut supervisor = connected_supervisor();
        assert_eq!(
            supervisor.handle_event(at(60), ConnectionEvent::Disconnected(Some(4_006))),
            SupervisorAction::RejoinChannel
        );
        assert_eq!(supervisor.interrupted_since(), Some(at(60)));
        supervisor.handle_event(at(61), ConnectionEvent::Connected);
        // Repeated disconnects back off.
        assert_eq!(
            supervisor.handle_event(at(62), ConnectionEvent::Disconnected(Some(4_006))),
            SupervisorAction::Nothing
        );
        assert_eq!(supervisor.advance(at(63)), SupervisorAction::RejoinChannel);
        assert_eq!(
            supervisor.handle_event(at(64), ConnectionEvent::ConnectFailed),
            SupervisorAction::Nothing
        );
    }

    #[test]
    fn moved_bot_reconnects() {
        let mut supervisor = connected_supervisor();
        supervisor.handle_event(at(10), ConnectionEvent::Disconnected(Some(4_014)));
        assert_eq!(
            supervisor.handle_event(at(11), ConnectionEvent::ServerOrChannelChanged),
            SupervisorAction::Reconnect
        );
        assert_eq!(supervisor.interrupted_since(), Some(at(10)));
        supervisor.handle_event(at(12), ConnectionEvent::Connected);
        assert_eq!(supervisor.interrupted_since(), None);
    }

    #[test]
    fn self_reconnecting_driver_is_not_interrupted_by_a_move() {
        let mut supervisor = connected_supervisor_with(DriverCapability::SelfReconnecting);
        assert_eq!(
            supervisor.handle_event(at(10), ConnectionEvent::ServerOrChannelChanged),
            SupervisorAction::Reconnect
        );
        assert_eq!(supervisor.interrupted_since(), None);
        // If the reconnect fails, the channel is joined again.
        assert_eq!(
            supervisor.handle_event(at(20), ConnectionEvent::ConnectFailed),
            SupervisorAction::Nothing
        );
        assert_eq!(supervisor.interrupted_since(), Some(at(20)));
        assert_eq!(supervisor.advance(at(21)), SupervisorAction::RejoinChannel);
    }

    #[test]
    fn self_reconnecting_driver_is_left_alone_and_its_gap_recorded() {
        let mut supervisor = connected_supervisor_with(DriverCapability::SelfReconnecting);
        assert_eq!(
            supervisor.handle_event(at(12), ConnectionEvent::Interrupted(at(10))),
            SupervisorAction::Nothing
        );
        for second in 12..30 {
            supervisor.record_liveness(at(second));
            supervisor.handle_event(at(second), ConnectionEvent::SpeakingStarted);
            assert_eq!(supervisor.advance(at(second)), SupervisorAction::Nothing);
        }
        assert_eq!(supervisor.interrupted_since(), Some(at(10)));
        supervisor.handle_event(at(30), ConnectionEvent::Connected);
        assert_eq!(supervisor.interrupted_since(), None);
        // A driver that gives up reports it.
        supervisor.handle_event(at(42), ConnectionEvent::Interrupted(at(41)));
        assert_eq!(
            supervisor.handle_event(at(45), ConnectionEvent::Disconnected(None)),
            SupervisorAction::RejoinChannel
        );
        assert_eq!(supervisor.interrupted_since(), Some(at(41)));
    }

    #[test]
    fn rejoining_member_forces_a_reconnect_only_for_some_drivers() {
        let came_back = |skill| {
            connected_supervisor_with(skill).handle_event(at(10), ConnectionEvent::MemberRejoined)
        };
        assert_eq!(
            came_back(DriverCapability::ReceivesOnly),
            SupervisorAction::Reconnect
        );
        assert_eq!(
            came_back(DriverCapability::SelfReconnecting),
            SupervisorAction::Nothing
        );
    }

    #[test]
    fn a_silent_driver_is_replaced() {
        let mut supervisor = connected_supervisor();
        supervisor.record_liveness(at(5));
        assert_eq!(supervisor.advance(at(7)), SupervisorAction::Nothing);
        assert_eq!(supervisor.advance(at(9)), SupervisorAction::ReplaceDriver);
        assert_eq!(supervisor.interrupted_since(), Some(at(5)));
        supervisor.handle_event(at(10), ConnectionEvent::Connected);
        assert_eq!(supervisor.interrupted_since(), None);
    }

    #[test]
    fn speech_without_packets_reconnects_with_a_cooldown() {
        let mut supervisor = connected_supervisor();
        let mut steps = Vec::new();
        for second in 2..200 {
            supervisor.record_liveness(at(second));
            supervisor.handle_event(at(second), ConnectionEvent::SpeakingStarted);
            if supervisor.advance(at(second)) == SupervisorAction::Reconnect {
                steps.push(second);
                supervisor.handle_event(at(second), ConnectionEvent::Connected);
            }
        }
        assert_eq!(steps, [7, 67, 127, 187]);
    }

    #[test]
    fn packets_clear_the_no_packets_timer() {
        let mut supervisor = connected_supervisor();
        for second in 2..60 {
            supervisor.record_liveness(at(second));
            supervisor.handle_event(at(second), ConnectionEvent::SpeakingStarted);
            supervisor.handle_event(at(second), ConnectionEvent::PacketReceived);
            assert_eq!(supervisor.advance(at(second)), SupervisorAction::Nothing);
        }
    }

    #[test]
    fn reconnecting_gives_up_after_the_timeout() {
        let mut supervisor = connected_supervisor();
        supervisor.handle_event(at(10), ConnectionEvent::Disconnected(None));
        let mut tries = 0;
        let mut ended = None;
        for second in 10..1_000 {
            let step = supervisor.advance(at(second));
            assert!(
                matches!(
                    step,
                    SupervisorAction::RejoinChannel | SupervisorAction::Nothing
                ),
                "{step:?}"
            );
            if step == SupervisorAction::RejoinChannel {
                tries += 1;
                if let SupervisorAction::End(cause) =
                    supervisor.handle_event(at(second), ConnectionEvent::ConnectFailed)
                {
                    ended = Some((second, cause));
                }
            }
        }
        let (second, cause) = ended.expect("it ends");
        assert_eq!(cause, DisconnectCause::Unreachable);
        assert!((310..360).contains(&second), "{second}");
        assert!((8..20).contains(&tries), "{tries}");
    }

    #[test]
    fn immediate_disconnects_back_off() {
        for skill in [
            DriverCapability::ReceivesOnly,
            DriverCapability::SelfReconnecting,
        ] {
            let mut supervisor = connected_supervisor_with(skill);
            let mut tries = Vec::new();
            let mut ended = None;
            supervisor.handle_event(at(2), ConnectionEvent::Disconnected(None));
            for second in 2..1_000 {
                if supervisor.advance(at(second)) == SupervisorAction::RejoinChannel {
                    tries.push(second);
                    supervisor.handle_event(at(second), ConnectionEvent::Connected);
                    if let SupervisorAction::End(cause) =
                        supervisor.handle_event(at(second), ConnectionEvent::Disconnected(None))
                    {
                        ended = Some((second, cause));
                        break;
                    }
                }
            }
            assert_eq!(tries[..6], [3, 5, 9, 17, 33, 63]);
            let (second, cause) = ended.expect("it ends");
            assert_eq!(cause, DisconnectCause::Unreachable);
            assert!((300..350).contains(&second), "{second}");
        }
    }

    #[test]
    fn only_a_stable_connection_resets_the_backoff() {
        let mut supervisor = connected_supervisor();
        for (lost, tried) in [(2, 3), (4, 6), (7, 11)] {
            assert_eq!(
                supervisor.handle_event(at(lost), ConnectionEvent::Disconnected(None)),
                SupervisorAction::Nothing
            );
            assert_eq!(
                supervisor.advance(at(tried)),
                SupervisorAction::RejoinChannel
            );
            supervisor.handle_event(at(tried), ConnectionEvent::Connected);
        }
        for second in 11..30 {
            supervisor.record_liveness(at(second));
            supervisor.advance(at(second));
        }
        assert_eq!(
            supervisor.handle_event(at(30), ConnectionEvent::Disconnected(None)),
            SupervisorAction::RejoinChannel
        );
        assert_eq!(
            supervisor.handle_event(at(31), ConnectionEvent::ConnectFailed),
            SupervisorAction::Nothing
        );
        assert_eq!(supervisor.advance(at(32)), SupervisorAction::RejoinChannel);
    }

    fn any_connection_events() -> impl Strategy<Value = Option<ConnectionEvent>> {
        prop_oneof![
            3 => Just(None),
            1 => Just(Some(ConnectionEvent::Connected)),
            1 => prop::option::of(3_990_u16..4_030).prop_map(|code| Some(ConnectionEvent::Disconnected(code))),
            1 => Just(Some(ConnectionEvent::ConnectFailed)),
            1 => Just(Some(ConnectionEvent::ServerOrChannelChanged)),
            1 => Just(Some(ConnectionEvent::SpeakingStarted)),
            1 => Just(Some(ConnectionEvent::PacketReceived)),
            1 => Just(Some(ConnectionEvent::MemberRejoined)),
            1 => (0_u64..600).prop_map(|since| Some(ConnectionEvent::Interrupted(at(since)))),
        ]
    }

    proptest! {
        #[test]
        fn supervisor_never_hangs(
            steps in prop::collection::vec((any_connection_events(), 0_u64..20), 0..60),
            skill in prop_oneof![Just(DriverCapability::ReceivesOnly), Just(DriverCapability::SelfReconnecting)],
        ) {
            let mut supervisor = Supervisor::new(at(0), skill);
            let mut now = 0;
            let mut over = false;
            for (sign, pause) in steps {
                now += pause;
                let step = match sign {
                    Some(sign) => supervisor.handle_event(at(now), sign),
                    None => supervisor.advance(at(now)),
                };
                // After the end, no more actions are returned.
                prop_assert!(!over || step == SupervisorAction::Nothing);
                over |= matches!(step, SupervisorAction::End(_));
            }
            // Without further events, it acts or ends; it never stays stuck.
            let mut acted = over;
            for second in 0..400 {
                acted |= supervisor.advance(at(now + second)) != SupervisorAction::Nothing;
            }
            prop_assert!(acted);
        }
    }
}
