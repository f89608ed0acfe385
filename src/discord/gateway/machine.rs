//! When a shard connects, and what it says, as a pure state machine: no socket, no clock.
//!
//! A connection that is lost is made again at once, and then, as long as none lasts, after longer
//! and longer times. So whatever the other end does, nothing spins.

use std::time::{Duration, Instant};

use super::Fatal;

/// Between two tries that fail, doubling.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A connection that has lasted so long was a good one.
const STABLE: Duration = Duration::from_secs(30);

/// How long the greeting may take, and the answer to who we are.
const HELLO_LIMIT: Duration = Duration::from_secs(20);
const READY_LIMIT: Duration = Duration::from_secs(60);

/// The heartbeat that is usual, and what is believed.
const USUAL_BEAT: Duration = Duration::from_millis(41_250);
const FASTEST_BEAT: Duration = Duration::from_millis(50);
const SLOWEST_BEAT: Duration = Duration::from_secs(300);

/// Resumes that break one after the other before a new session is begun: the old one may be what
/// breaks them.
const MAX_RESUMES: u32 = 5;

/// Where to go on: not every gateway knows every session.
const AT_ITS_OWN: u32 = 2;

/// The close code that keeps a session for later. 1000 and 1001 would end it.
pub(super) const KEEPING: u16 = 4_900;

/// What is to be said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Say {
    Heartbeat(Option<u64>),
    Identify,
    Resume { session: String, last: Option<u64> },
}

/// What has happened on the connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Heard {
    Hello(Option<Duration>),
    BeatAsked,
    Beat,
    Reconnect,
    Invalid {
        resumable: bool,
    },
    Event(Option<u64>),
    Ready {
        session: String,
        url: Option<String>,
    },
    Resumed,
}

/// What is to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Do {
    Say(Say),
    /// The connection is no good: it is to be closed, and another to be made.
    HangUp,
}

/// Why a connection is no more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::discord) enum Lost {
    /// It could not be made, broke, or was given up here.
    Broken,
    /// The gateway has closed it.
    Closed(Option<u16>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Not connected.
    Away,
    /// The socket is there; the greeting is waited for.
    Greeting {
        until: Instant,
    },
    /// Said who we are.
    Entering {
        until: Instant,
    },
    Connected {
        since: Instant,
    },
}

/// A session that can be gone on with.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Session {
    id: String,
    url: Option<String>,
}

/// The state of one shard.
#[derive(Debug)]
pub(super) struct Machine {
    phase: Phase,
    session: Option<Session>,
    last: Option<u64>,
    /// Whether this connection goes on with the session.
    resuming: bool,
    /// Connections in a row that did not last.
    failures: u32,
    /// Resumes of this session in a row that broke.
    broken_resumes: u32,
    next_try: Instant,
    beat: Duration,
    next_beat: Option<Instant>,
    beat_heard: bool,
}

impl Machine {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Away,
            session: None,
            last: None,
            resuming: false,
            failures: 0,
            broken_resumes: 0,
            next_try: now,
            beat: USUAL_BEAT,
            next_beat: None,
            beat_heard: true,
        }
    }

    /// When the next connection is to be made.
    pub(super) fn next_try(&self) -> Instant {
        self.next_try
    }

    /// Connections in a row that did not last.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected { .. })
    }

    /// Whether the next connection needs a session start.
    pub(super) fn begins(&self) -> bool {
        self.session.is_none()
    }

    /// Where the next connection goes; none for the usual address.
    pub(super) fn address(&self) -> Option<&str> {
        let session = self.session.as_ref()?;
        let own = session.url.as_deref();
        own.filter(|_| self.broken_resumes < AT_ITS_OWN)
    }

    /// The socket is there.
    pub(super) fn opened(&mut self, now: Instant) {
        self.phase = Phase::Greeting {
            until: now + HELLO_LIMIT,
        };
        self.next_beat = None;
        self.beat_heard = true;
        self.resuming = false;
    }

    /// Something was heard. `chance`, from 0 to 1, spreads the shards' first heartbeats.
    pub(super) fn heard(&mut self, heard: Heard, now: Instant, chance: f64) -> Vec<Do> {
        match heard {
            Heard::Hello(beat) => self.hello(beat, now, chance),
            Heard::BeatAsked => vec![self.heartbeat(now, false)],
            Heard::Beat => {
                self.beat_heard = true;
                Vec::new()
            }
            Heard::Reconnect => vec![Do::HangUp],
            Heard::Invalid { resumable } => {
                if !resumable {
                    self.forget();
                }
                vec![Do::HangUp]
            }
            Heard::Event(number) => {
                self.count(number, now);
                Vec::new()
            }
            Heard::Ready { session, url } => {
                self.session = Some(Session { id: session, url });
                self.connected(now);
                Vec::new()
            }
            Heard::Resumed => {
                self.connected(now);
                Vec::new()
            }
        }
    }

    fn hello(&mut self, beat: Option<Duration>, now: Instant, chance: f64) -> Vec<Do> {
        if !matches!(self.phase, Phase::Greeting { .. }) {
            return Vec::new();
        }
        let beat = beat.unwrap_or(USUAL_BEAT);
        self.beat = beat.clamp(FASTEST_BEAT, SLOWEST_BEAT);
        self.next_beat = Some(now + self.beat.mul_f64(chance.clamp(0.0, 1.0)));
        self.phase = Phase::Entering {
            until: now + READY_LIMIT,
        };
        let say = match &self.session {
            Some(session) => {
                self.resuming = true;
                Say::Resume {
                    session: session.id.clone(),
                    last: self.last,
                }
            }
            None => {
                self.last = None;
                Say::Identify
            }
        };
        vec![Do::Say(say)]
    }

    /// An event of this number has come.
    fn count(&mut self, number: Option<u64>, now: Instant) {
        self.last = number.or(self.last);
        if let Phase::Entering { until } = &mut self.phase {
            // What was missed is told first, and may be much.
            *until = now + READY_LIMIT;
        }
    }

    fn connected(&mut self, now: Instant) {
        self.phase = Phase::Connected { since: now };
        self.broken_resumes = 0;
    }

    fn heartbeat(&mut self, now: Instant, due: bool) -> Do {
        if due {
            self.beat_heard = false;
        }
        self.next_beat = Some(now + self.beat);
        Do::Say(Say::Heartbeat(self.last))
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(super) fn due(&self, now: Instant) -> Instant {
        let limit = match self.phase {
            Phase::Greeting { until } | Phase::Entering { until } => Some(until),
            Phase::Away | Phase::Connected { .. } => None,
        };
        let due = [limit, self.next_beat].into_iter().flatten().min();
        due.unwrap_or(now + SLOWEST_BEAT)
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Do> {
        match self.phase {
            Phase::Greeting { until } | Phase::Entering { until } if now >= until => {
                return vec![Do::HangUp];
            }
            _ => {}
        }
        if self.next_beat.is_none_or(|at| now < at) {
            return Vec::new();
        }
        // A gateway that has not heard the last one hears nothing.
        if !self.beat_heard {
            return vec![Do::HangUp];
        }
        vec![self.heartbeat(now, true)]
    }

    /// The connection is no more, or could not be made. `chance` spreads the shards' tries.
    ///
    /// # Errors
    ///
    /// If another one would end in the same way.
    pub(super) fn lost(&mut self, lost: Lost, now: Instant, chance: f64) -> Result<(), Fatal> {
        let was = self.phase;
        self.phase = Phase::Away;
        self.next_beat = None;
        if self.resuming && !matches!(was, Phase::Connected { .. }) {
            self.broken_resumes += 1;
            if self.broken_resumes >= MAX_RESUMES {
                self.forget();
            }
        }
        self.resuming = false;
        let lasted = match was {
            Phase::Connected { since } => now.duration_since(since) >= STABLE,
            _ => false,
        };
        if lasted {
            self.failures = 0;
        }
        self.next_try = now + wait(self.failures).mul_f64(1.0 - chance.clamp(0.0, 1.0) / 4.0);
        self.failures = self.failures.saturating_add(1);
        match lost {
            Lost::Closed(Some(4_004)) => Err(Fatal::Token),
            Lost::Closed(Some(4_014)) => Err(Fatal::Intents),
            Lost::Closed(Some(code @ 4_010..=4_013)) => Err(Fatal::Closed(code)),
            // Not authenticated, another session, a wrong number, timed out.
            Lost::Closed(Some(4_003 | 4_006 | 4_007 | 4_009)) => {
                self.forget();
                Ok(())
            }
            Lost::Closed(_) | Lost::Broken => Ok(()),
        }
    }

    /// The session can't be gone on with.
    fn forget(&mut self) {
        self.session = None;
        self.broken_resumes = 0;
    }
}

/// After so many connections that did not last.
fn wait(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        more => FIRST_WAIT
            .saturating_mul(1_u32.checked_shl(more - 1).unwrap_or(u32::MAX))
            .min(LONGEST_WAIT),
    }
}
