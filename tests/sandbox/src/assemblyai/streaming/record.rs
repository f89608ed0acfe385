//! Live sessions, as they went.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;

/// The most sessions that are remembered, and the most text messages of each.
const MAX_SESSIONS: usize = 1_000;
const MAX_TEXTS: usize = 10_000;

/// The most audio that is kept of one session: 16 MiB.
const MAX_AUDIO: usize = 16 * 1024 * 1024;

/// A live session, as far as it has come.
#[derive(Clone, Debug)]
pub struct LiveSession {
    /// What stood behind the `?` of its URL.
    pub query: String,
    /// The text messages of the client, as JSON where they are JSON.
    pub texts: Vec<Value>,
    /// The audio of the client, at most 16 MiB of it.
    pub audio: Vec<u8>,
    /// The number of binary messages.
    pub chunks: usize,
    /// How it ended, if it has.
    pub end: Option<SessionEnd>,
    opened: Instant,
    closed: Option<Instant>,
}

impl LiveSession {
    /// How long it has been open.
    pub fn open_time(&self) -> Duration {
        self.closed.unwrap_or_else(Instant::now) - self.opened
    }

    /// The value of a query parameter, decoded.
    pub fn query_value(&self, name: &str) -> Option<String> {
        crate::recorder::query_value(&self.query, name)
    }
}

/// How a live session ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SessionEnd {
    /// The client said `Terminate` and got its `Termination`.
    Terminated,
    /// The client closed the socket, or it broke, without `Terminate`: outside, such a session is
    /// billed until it expires.
    ClientLeft,
    /// Nothing came for as long as `inactivity_timeout` allows.
    Inactive,
    /// The server closed it with this code.
    Closed(u16),
    /// A fault dropped the connection.
    Dropped,
}

/// All sessions of one server.
#[derive(Debug)]
pub(crate) struct Sessions {
    log: Mutex<Vec<LiveSession>>,
    changes: watch::Sender<u64>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            log: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }
}

impl Sessions {
    fn log(&self) -> MutexGuard<'_, Vec<LiveSession>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of a new session, or `None` if there are too many already.
    pub(super) fn open(&self, query: &str) -> Option<usize> {
        let mut log = self.log();
        if log.len() == MAX_SESSIONS {
            return None;
        }
        log.push(LiveSession {
            query: query.to_owned(),
            texts: Vec::new(),
            audio: Vec::new(),
            chunks: 0,
            end: None,
            opened: Instant::now(),
            closed: None,
        });
        Some(log.len() - 1)
    }

    fn change(&self, place: Option<usize>, change: impl FnOnce(&mut LiveSession)) {
        let mut log = self.log();
        if let Some(session) = place.and_then(|place| log.get_mut(place)) {
            change(session);
        }
        drop(log);
        self.changes.send_modify(|count| *count += 1);
    }

    pub(super) fn text(&self, place: Option<usize>, text: &str) {
        self.change(place, |session| {
            if session.texts.len() < MAX_TEXTS {
                let json = serde_json::from_str(text).unwrap_or_else(|_| text.into());
                session.texts.push(json);
            }
        });
    }

    pub(super) fn audio(&self, place: Option<usize>, audio: &[u8]) {
        self.change(place, |session| {
            session.chunks += 1;
            let room = MAX_AUDIO - session.audio.len();
            session
                .audio
                .extend_from_slice(&audio[..audio.len().min(room)]);
        });
    }

    pub(super) fn end(&self, place: Option<usize>, end: SessionEnd) {
        self.change(place, |session| {
            session.end = Some(end);
            session.closed.get_or_insert_with(Instant::now);
        });
    }

    pub(crate) fn all(&self) -> Vec<LiveSession> {
        self.log().clone()
    }

    pub(crate) async fn wait_until(
        &self,
        enough: impl Fn(&[LiveSession]) -> bool,
    ) -> Vec<LiveSession> {
        let mut changes = self.changes.subscribe();
        let wait = async {
            loop {
                changes.mark_unchanged();
                if enough(&self.log()) || changes.changed().await.is_err() {
                    break;
                }
            }
        };
        // Whoever waited in vain sees so in what is returned.
        let _ = tokio::time::timeout(crate::MAX_WAIT, wait).await;
        self.all()
    }
}
