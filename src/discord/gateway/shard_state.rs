//! Connection state of one shard as a pure state machine: no socket, and time is an argument.
//!
//! A lost connection is re-established at once. If it keeps failing, the delay doubles up to
//! [`MAX_RECONNECT_DELAY`], so no server behaviour can cause a busy loop.

use std::time::{Duration, Instant};

use super::FatalGatewayError;

/// Delay before the second reconnect attempt; doubles with each further failure.
const MIN_RECONNECT_DELAY: Duration = Duration::from_secs(1);
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(60);

/// A connection that lasted this long resets the reconnect delay.
const STABLE_AFTER: Duration = Duration::from_secs(30);

/// Limits for the server's Hello and for its answer to IDENTIFY or RESUME.
const HELLO_TIMEOUT: Duration = Duration::from_secs(20);
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// The heartbeat interval if Hello has none, and the bounds that are enforced on it.
const DEFAULT_HEARTBEAT_INTERVAL: Duration = Duration::from_millis(41_250);
const MIN_HEARTBEAT_INTERVAL: Duration = Duration::from_millis(50);
const MAX_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(300);

/// Consecutive failed resumes before a new session is started: the session itself may be the cause.
const MAX_FAILED_RESUMES: u32 = 5;

/// Failed resumes at the session's own resume URL before the default URL is used instead.
const MAX_FAILED_RESUMES_AT_RESUME_URL: u32 = 2;

/// Close code that keeps the session resumable. Closing with 1000 or 1001 would end it.
pub(super) const RESUMABLE_CLOSE_CODE: u16 = 4_900;

/// A payload to send.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum GatewayCommand {
    Heartbeat(Option<u64>),
    Identify,
    Resume {
        session_id: String,
        sequence: Option<u64>,
    },
}

/// What arrived on the connection.
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

/// What the runner has to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum ShardAction {
    Send(GatewayCommand),
    /// Close the connection and open another.
    Disconnect,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::discord) enum GatewayDisconnect {
    /// It could not be opened, broke, or was closed by us.
    ConnectionFailed,
    /// The gateway closed it, possibly with a close code.
    Closed(Option<u16>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ShardPhase {
    Disconnected,
    /// The socket is open, Hello has not arrived.
    AwaitingHello {
        until: Instant,
    },
    /// IDENTIFY or RESUME was sent.
    AwaitingReady {
        until: Instant,
    },
    Connected {
        since: Instant,
    },
}

/// A session that the next connection can resume.
#[derive(Clone, Debug, Eq, PartialEq)]
struct ResumableSession {
    id: String,
    resume_url: Option<String>,
}

#[derive(Debug)]
pub(super) struct ShardStateMachine {
    phase: ShardPhase,
    session: Option<ResumableSession>,
    last_sequence: Option<u64>,
    /// Whether this connection sent RESUME.
    resuming: bool,
    /// Consecutive connections that did not last [`STABLE_AFTER`].
    failed_connections: u32,
    /// Consecutive failed attempts to resume this session.
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

    /// Earliest time of the next connection attempt.
    pub(super) fn next_attempt(&self) -> Instant {
        self.next_attempt
    }

    /// Consecutive connections that did not last [`STABLE_AFTER`].
    pub(super) fn failed_connections(&self) -> u32 {
        self.failed_connections
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(self.phase, ShardPhase::Connected { .. })
    }

    /// Whether the next connection has to IDENTIFY, which counts against the session start limit.
    pub(super) fn needs_identify(&self) -> bool {
        self.session.is_none()
    }

    /// URL for the next connection; `None` for the default gateway URL.
    pub(super) fn resume_url(&self) -> Option<&str> {
        let session = self.session.as_ref()?;
        let url = session.resume_url.as_deref();
        url.filter(|_| self.failed_resumes < MAX_FAILED_RESUMES_AT_RESUME_URL)
    }

    /// The socket is open: Hello should follow.
    pub(super) fn on_socket_open(&mut self, now: Instant) {
        self.phase = ShardPhase::AwaitingHello {
            until: now + HELLO_TIMEOUT,
        };
        self.next_heartbeat = None;
        self.heartbeat_acked = true;
        self.resuming = false;
    }

    /// Handles what arrived. `jitter`, from 0 to 1, spreads the first heartbeats of the shards.
    pub(super) fn handle_input(
        &mut self,
        input: ShardInput,
        now: Instant,
        jitter: f64,
    ) -> Vec<ShardAction> {
        match input {
            ShardInput::Hello(interval) => self.on_hello(interval, now, jitter),
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
            ShardInput::Dispatch(sequence) => {
                self.record_sequence(sequence, now);
                Vec::new()
            }
            ShardInput::Ready {
                session_id,
                resume_url,
            } => {
                self.session = Some(ResumableSession {
                    id: session_id,
                    resume_url,
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

    fn on_hello(
        &mut self,
        interval: Option<Duration>,
        now: Instant,
        jitter: f64,
    ) -> Vec<ShardAction> {
        if !matches!(self.phase, ShardPhase::AwaitingHello { .. }) {
            return Vec::new();
        }
        let interval = interval.unwrap_or(DEFAULT_HEARTBEAT_INTERVAL);
        self.heartbeat_interval = interval.clamp(MIN_HEARTBEAT_INTERVAL, MAX_HEARTBEAT_INTERVAL);
        self.next_heartbeat = Some(now + self.heartbeat_interval.mul_f64(jitter.clamp(0.0, 1.0)));
        self.phase = ShardPhase::AwaitingReady {
            until: now + READY_TIMEOUT,
        };
        let command = match &self.session {
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
        vec![ShardAction::Send(command)]
    }

    fn record_sequence(&mut self, sequence: Option<u64>, now: Instant) {
        self.last_sequence = sequence.or(self.last_sequence);
        if let ShardPhase::AwaitingReady { until } = &mut self.phase {
            // A resume replays missed events before RESUMED, which may take longer than
            // READY_TIMEOUT.
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

    /// When [`tick`](Self::tick) has to be called next.
    pub(super) fn next_deadline(&self, now: Instant) -> Instant {
        let timeout = match self.phase {
            ShardPhase::AwaitingHello { until } | ShardPhase::AwaitingReady { until } => {
                Some(until)
            }
            ShardPhase::Disconnected | ShardPhase::Connected { .. } => None,
        };
        let due = [timeout, self.next_heartbeat].into_iter().flatten().min();
        due.unwrap_or(now + MAX_HEARTBEAT_INTERVAL)
    }

    /// Sends a heartbeat that is due, or gives up a connection that does not answer.
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
        // The last heartbeat was not acknowledged: the connection is dead.
        if !self.heartbeat_acked {
            return vec![ShardAction::Disconnect];
        }
        vec![self.send_heartbeat(now, true)]
    }

    /// Handles a lost or failed connection. `jitter`, from 0 to 1, spreads the reconnects of the
    /// shards.
    ///
    /// # Errors
    ///
    /// If reconnecting would fail in the same way.
    pub(super) fn on_disconnect(
        &mut self,
        disconnect: GatewayDisconnect,
        now: Instant,
        jitter: f64,
    ) -> Result<(), FatalGatewayError> {
        let previous_phase = self.phase;
        self.phase = ShardPhase::Disconnected;
        self.next_heartbeat = None;
        if self.resuming && !matches!(previous_phase, ShardPhase::Connected { .. }) {
            self.failed_resumes += 1;
            if self.failed_resumes >= MAX_FAILED_RESUMES {
                self.clear_session();
            }
        }
        self.resuming = false;
        let lasted = match previous_phase {
            ShardPhase::Connected { since } => now.duration_since(since) >= STABLE_AFTER,
            _ => false,
        };
        if lasted {
            self.failed_connections = 0;
        }
        self.next_attempt = now
            + reconnect_delay(self.failed_connections).mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 4.0);
        self.failed_connections = self.failed_connections.saturating_add(1);
        match disconnect {
            GatewayDisconnect::Closed(Some(4_004)) => Err(FatalGatewayError::InvalidToken),
            GatewayDisconnect::Closed(Some(4_014)) => Err(FatalGatewayError::DisallowedIntents),
            GatewayDisconnect::Closed(Some(code @ 4_010..=4_013)) => {
                Err(FatalGatewayError::Closed(code))
            }
            // Not authenticated, session invalid, invalid sequence number, session timed out.
            GatewayDisconnect::Closed(Some(4_003 | 4_006 | 4_007 | 4_009)) => {
                self.clear_session();
                Ok(())
            }
            GatewayDisconnect::Closed(_) | GatewayDisconnect::ConnectionFailed => Ok(()),
        }
    }

    /// Forgets the session: the next connection has to IDENTIFY.
    fn clear_session(&mut self) {
        self.session = None;
        self.failed_resumes = 0;
    }
}

/// Delay before reconnecting after `failures` consecutive failures.
fn reconnect_delay(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        more => MIN_RECONNECT_DELAY
            .saturating_mul(1_u32.checked_shl(more - 1).unwrap_or(u32::MAX))
            .min(MAX_RECONNECT_DELAY),
    }
}
