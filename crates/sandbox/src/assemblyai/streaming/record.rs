//! Live sessions, as they went.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::exchanges::Exchanges;

/// The most text messages of one session.
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
pub(crate) type Sessions = Exchanges<LiveSession>;

impl Sessions {
    /// The place of a new session, or `None` if there are too many already.
    pub(super) fn open(&self, query: &str) -> Option<usize> {
        self.begin(LiveSession {
            query: query.to_owned(),
            texts: Vec::new(),
            audio: Vec::new(),
            chunks: 0,
            end: None,
            opened: Instant::now(),
            closed: None,
        })
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
}
