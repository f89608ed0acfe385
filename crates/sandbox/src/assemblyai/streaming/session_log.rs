//! Live sessions, as they went.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::activity_log::ActivityLog;

/// The most text messages of one session.
const MAX_TEXTS: usize = 10_000;

/// The most audio that is kept of one session: 16 MiB.
const MAX_AUDIO: usize = 16 * 1024 * 1024;

/// A live session, as far as it has come.
#[derive(Clone, Debug)]
pub struct StreamingSession {
    /// What stood behind the `?` of its URL.
    pub query: String,
    /// The text messages of the client, as JSON where they are JSON.
    pub text_messages: Vec<Value>,
    /// The audio of the client, at most 16 MiB of it.
    pub audio: Vec<u8>,
    /// The number of binary messages.
    pub audio_messages: usize,
    /// How it ended, if it has.
    pub end: Option<StreamingSessionEnd>,
    opened_at: Instant,
    closed_at: Option<Instant>,
}

impl StreamingSession {
    /// How long it has been open.
    pub fn open_duration(&self) -> Duration {
        self.closed_at.unwrap_or_else(Instant::now) - self.opened_at
    }

    /// The value of a query parameter, decoded.
    pub fn query_param(&self, name: &str) -> Option<String> {
        crate::recorder::query_param(&self.query, name)
    }
}

/// How a live session ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StreamingSessionEnd {
    /// The client said `Terminate` and got its `Termination`.
    Terminated,
    /// The client closed the socket, or it broke, without `Terminate`: outside, such a session is
    /// billed until it expires.
    ClientDisconnected,
    /// Nothing came for as long as `inactivity_timeout` allows.
    Inactive,
    /// The server closed it with this code.
    Closed(u16),
    /// A fault dropped the connection.
    Dropped,
}

/// All sessions of one server.
pub(crate) type StreamingSessionLog = ActivityLog<StreamingSession>;

impl StreamingSessionLog {
    /// The place of a new session, or `None` if there are too many already.
    pub(super) fn start_session(&self, query: &str) -> Option<usize> {
        self.insert(StreamingSession {
            query: query.to_owned(),
            text_messages: Vec::new(),
            audio: Vec::new(),
            audio_messages: 0,
            end: None,
            opened_at: Instant::now(),
            closed_at: None,
        })
    }

    pub(super) fn add_text(&self, place: Option<usize>, text: &str) {
        self.update(place, |session| {
            if session.text_messages.len() < MAX_TEXTS {
                let json = serde_json::from_str(text).unwrap_or_else(|_| text.into());
                session.text_messages.push(json);
            }
        });
    }

    pub(super) fn add_audio(&self, place: Option<usize>, audio: &[u8]) {
        self.update(place, |session| {
            session.audio_messages += 1;
            let room = MAX_AUDIO - session.audio.len();
            session
                .audio
                .extend_from_slice(&audio[..audio.len().min(room)]);
        });
    }

    pub(super) fn finish(&self, place: Option<usize>, end: StreamingSessionEnd) {
        self.update(place, |session| {
            session.end = Some(end);
            session.closed_at.get_or_insert_with(Instant::now);
        });
    }
}
