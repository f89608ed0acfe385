//! When a shard connects, and what it says, as a pure state machine: no socket, no clock.
//!
//! A connection that is lost is made again at once, and then, as long as none lasts, after longer
//! and longer times. So whatever the other end does, nothing spins.

use std::time::{Duration, Instant};

use super::FatalGatewayError;

/// Between two tries that fail, doubling.
const MIN_RECONNECT_DELAY: Duration = Duration::from_secs(1);
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(60);

/// A connection that has lasted so long was a good one.
const STABLE_AFTER: Duration = Duration::from_secs(30);

/// How long the greeting may take, and the answer to who we are.
const HELLO_TIMEOUT: Duration = Duration::from_secs(20);
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// The heartbeat that is usual, and what is believed.
const DEFAULT_HEARTBEAT_INTERVAL: Duration = Duration::from_millis(41_250);
const MIN_HEARTBEAT_INTERVAL: Duration = Duration::from_millis(50);
const MAX_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(300);

/// Resumes that break one after the other before a new session is begun: the old one may be what
/// breaks them.
const MAX_FAILED_RESUMES: u32 = 5;

/// Where to go on: not every gateway knows every session.
const MAX_FAILED_RESUMES_AT_RESUME_URL: u32 = 2;

/// The close code that keeps a session for later. 1000 and 1001 would end it.
pub(super) const RESUMABLE_CLOSE_CODE: u16 = 4_900;

/// What is to be said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum GatewayCommand {
    Heartbeat(Option<u64>),
    Identify,
    Resume {
        session_id: String,
        sequence: Option<u64>,
    },
}

/// What has happened on the connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum ShardInput {
    Hello(Option<Duration>),
    HeartbeatRequest,
    HeartbeatAck,
    Reconnect,
    InvalidSession {
        resumable: bool,
    },
    Dispatch(Option<u64>),
    Ready {
        session_id: String,
        resume_url: Option<String>,
    },
    Resumed,
}

/// What is to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum ShardAction {
    Send(GatewayCommand),
    /// The connection is no good: it is to be closed, and another to be made.
    Disconnect,
}

/// Why a connection is no more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::discord) enum GatewayDisconnect {
    /// It could not be made, broke, or was given up here.
    ConnectionFailed,
    /// The gateway has closed it.
    Closed(Option<u16>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ShardPhase {
    /// Not connected.
    Disconnected,
    /// The socket is there; the greeting is waited for.
    AwaitingHello {
        until: Instant,
    },
    /// Said who we are.
    AwaitingReady {
        until: Instant,
    },
    Connected {
        since: Instant,
    },
}

/// A session that can be gone on with.
#[derive(Clone, Debug, Eq, PartialEq)]
struct ResumableSession {
    id: String,
    resume_url: Option<String>,
}

/// The state of one shard.
#[derive(Debug)]
pub(super) struct ShardStateMachine {
    phase: ShardPhase,
    session: Option<ResumableSession>,
    last_sequence: Option<u64>,
    /// Whether this connection goes on with the session.
    resuming: bool,
    /// Connections in a row that did not last.
    failed_connections: u32,
    /// Resumes of this session in a row that broke.
    failed_resumes: u32,
    next_attempt: Instant,
    heartbeat_interval: Duration,
    next_heartbeat: Option<Instant>,
    heartbeat_acked: bool,
}

impl ShardStateMachine {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            phase: ShardPhase::Disconnected,
            session: None,
            last_sequence: None,
            resuming: false,
            failed_connections: 0,
            failed_resumes: 0,
            next_attempt: now,
            heartbeat_interval: DEFAULT_HEARTBEAT_INTERVAL,
            next_heartbeat: None,
            heartbeat_acked: true,
        }
    }

    /// When the next connection is to be made.
    pub(super) fn next_attempt(&self) -> Instant {
        self.next_attempt
    }

    /// Connections in a row that did not last.
    pub(super) fn failed_connections(&self) -> u32 {
        self.failed_connections
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(self.phase, ShardPhase::Connected { .. })
    }

    /// Whether the next connection needs a session start.
    pub(super) fn needs_identify(&self) -> bool {
        self.session.is_none()
    }

    /// Where the next connection goes; none for the usual address.
    pub(super) fn resume_url(&self) -> Option<&str> {
        let session = self.session.as_ref()?;
        let own = session.resume_url.as_deref();
        own.filter(|_| self.failed_resumes < MAX_FAILED_RESUMES_AT_RESUME_URL)
    }

    /// The socket is there.
    pub(super) fn on_socket_open(&mut self, now: Instant) {
        self.phase = ShardPhase::AwaitingHello {
            until: now + HELLO_TIMEOUT,
        };
        self.next_heartbeat = None;
        self.heartbeat_acked = true;
        self.resuming = false;
    }

    /// Something was heard. `chance`, from 0 to 1, spreads the shards' first heartbeats.
    pub(super) fn handle_input(
        &mut self,
        heard: ShardInput,
        now: Instant,
        chance: f64,
    ) -> Vec<ShardAction> {
        match heard {
            ShardInput::Hello(beat) => self.on_hello(beat, now, chance),
            ShardInput::HeartbeatRequest => vec![self.send_heartbeat(now, false)],
            ShardInput::HeartbeatAck => {
                self.heartbeat_acked = true;
                Vec::new()
            }
            ShardInput::Reconnect => vec![ShardAction::Disconnect],
            ShardInput::InvalidSession { resumable } => {
                if !resumable {
                    self.clear_session();
                }
                vec![ShardAction::Disconnect]
            }
            ShardInput::Dispatch(number) => {
                self.record_sequence(number, now);
                Vec::new()
            }
            ShardInput::Ready {
                session_id: session,
                resume_url: url,
            } => {
                self.session = Some(ResumableSession {
                    id: session,
                    resume_url: url,
                });
                self.on_session_established(now);
                Vec::new()
            }
            ShardInput::Resumed => {
                self.on_session_established(now);
                Vec::new()
            }
        }
    }

    fn on_hello(&mut self, beat: Option<Duration>, now: Instant, chance: f64) -> Vec<ShardAction> {
        if !matches!(self.phase, ShardPhase::AwaitingHello { .. }) {
            return Vec::new();
        }
        let beat = beat.unwrap_or(DEFAULT_HEARTBEAT_INTERVAL);
        self.heartbeat_interval = beat.clamp(MIN_HEARTBEAT_INTERVAL, MAX_HEARTBEAT_INTERVAL);
        self.next_heartbeat = Some(now + self.heartbeat_interval.mul_f64(chance.clamp(0.0, 1.0)));
        self.phase = ShardPhase::AwaitingReady {
            until: now + READY_TIMEOUT,
        };
        let say = match &self.session {
            Some(session) => {
                self.resuming = true;
                GatewayCommand::Resume {
                    session_id: session.id.clone(),
                    sequence: self.last_sequence,
                }
            }
            None => {
                self.last_sequence = None;
                GatewayCommand::Identify
            }
        };
        vec![ShardAction::Send(say)]
    }

    /// An event of this number has come.
    fn record_sequence(&mut self, number: Option<u64>, now: Instant) {
        self.last_sequence = number.or(self.last_sequence);
        if let ShardPhase::AwaitingReady { until } = &mut self.phase {
            // What was missed is told first, and may be much.
            *until = now + READY_TIMEOUT;
        }
    }

    fn on_session_established(&mut self, now: Instant) {
        self.phase = ShardPhase::Connected { since: now };
        self.failed_resumes = 0;
    }

    fn send_heartbeat(&mut self, now: Instant, due: bool) -> ShardAction {
        if due {
            self.heartbeat_acked = false;
        }
        self.next_heartbeat = Some(now + self.heartbeat_interval);
        ShardAction::Send(GatewayCommand::Heartbeat(self.last_sequence))
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(super) fn next_deadline(&self, now: Instant) -> Instant {
        let limit = match self.phase {
            ShardPhase::AwaitingHello { until } | ShardPhase::AwaitingReady { until } => {
                Some(until)
            }
            ShardPhase::Disconnected | ShardPhase::Connected { .. } => None,
        };
        let due = [limit, self.next_heartbeat].into_iter().flatten().min();
        due.unwrap_or(now + MAX_HEARTBEAT_INTERVAL)
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<ShardAction> {
        match self.phase {
            ShardPhase::AwaitingHello { until } | ShardPhase::AwaitingReady { until }
                if now >= until =>
            {
                return vec![ShardAction::Disconnect];
            }
            _ => {}
        }
        if self.next_heartbeat.is_none_or(|at| now < at) {
            return Vec::new();
        }
        // A gateway that has not heard the last one hears nothing.
        if !self.heartbeat_acked {
            return vec![ShardAction::Disconnect];
        }
        vec![self.send_heartbeat(now, true)]
    }

    /// The connection is no more, or could not be made. `chance` spreads the shards' tries.
    ///
    /// # Errors
    ///
    /// If another one would end in the same way.
    pub(super) fn on_disconnect(
        &mut self,
        lost: GatewayDisconnect,
        now: Instant,
        chance: f64,
    ) -> Result<(), FatalGatewayError> {
        let was = self.phase;
        self.phase = ShardPhase::Disconnected;
        self.next_heartbeat = None;
        if self.resuming && !matches!(was, ShardPhase::Connected { .. }) {
            self.failed_resumes += 1;
            if self.failed_resumes >= MAX_FAILED_RESUMES {
                self.clear_session();
            }
        }
        self.resuming = false;
        let lasted = match was {
            ShardPhase::Connected { since } => now.duration_since(since) >= STABLE_AFTER,
            _ => false,
        };
        if lasted {
            self.failed_connections = 0;
        }
        self.next_attempt = now
            + reconnect_delay(self.failed_connections).mul_f64(1.0 - chance.clamp(0.0, 1.0) / 4.0);
        self.failed_connections = self.failed_connections.saturating_add(1);
        match lost {
            GatewayDisconnect::Closed(Some(4_004)) => Err(FatalGatewayError::InvalidToken),
            GatewayDisconnect::Closed(Some(4_014)) => Err(FatalGatewayError::DisallowedIntents),
            GatewayDisconnect::Closed(Some(code @ 4_010..=4_013)) => {
                Err(FatalGatewayError::Closed(code))
            }
            // Not authenticated, another session, a wrong number, timed out.
            GatewayDisconnect::Closed(Some(4_003 | 4_006 | 4_007 | 4_009)) => {
                self.clear_session();
                Ok(())
            }
            GatewayDisconnect::Closed(_) | GatewayDisconnect::ConnectionFailed => Ok(()),
        }
    }

    /// The session can't be gone on with.
    fn clear_session(&mut self) {
        self.session = None;
        self.failed_resumes = 0;
    }
}

/// After so many connections that did not last.
fn reconnect_delay(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        more => MIN_RECONNECT_DELAY
            .saturating_mul(1_u32.checked_shl(more - 1).unwrap_or(u32::MAX))
            .min(MAX_RECONNECT_DELAY),
    }
}
