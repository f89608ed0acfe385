//! A live session on its socket.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use serde_json::{Value, json};
use tokio::time::{Instant as Timer, sleep_until};

use super::super::State;
use super::query::Settings;
use super::session::Session;
use super::{Close, SessionEnd};
use crate::fault::{SocketEnd, SocketFault};

/// The longest session: 3 h.
const LONGEST: Duration = Duration::from_secs(3 * 3_600);

/// How often a session says that it is alive, to whoever asks for that.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The version of the interface that sessions name.
const VERSION: &str = "2025-05-12";

/// How much audio may be ahead of the clock where that is checked.
const AHEAD: Duration = Duration::from_secs(1);

/// How long the other side may take to answer a close frame.
const CLOSING: Duration = Duration::from_secs(1);

/// The longest reason a close frame has room for.
const MAX_REASON: usize = 123;

struct Live {
    state: Arc<State>,
    socket: WebSocket,
    place: Option<usize>,
    session: Session,
    faults: Vec<SocketFault>,
    began: Instant,
    last_heard: Timer,
    inactivity: Option<Duration>,
    real_time_only: bool,
}

/// Why the loop is over.
enum Over {
    Ended(SessionEnd),
    Terminating(SessionEnd),
    Closing(Close),
    Silent,
}

pub(super) async fn drive(
    state: Arc<State>,
    mut socket: WebSocket,
    key: Option<String>,
    query: String,
    faults: Vec<SocketFault>,
) {
    let place = state.sessions.open(&query);
    let (right_key, inactivity, real_time_only) = {
        let is_token = key.as_ref().is_some_and(|key| state.tokens().redeem(key));
        let script = state.script();
        (
            is_token || key.as_ref() == Some(&script.key),
            script.inactivity,
            script.real_time_only,
        )
    };
    let refused = match key {
        Some(_) if right_key => Settings::read(&query),
        Some(_) => Err(unauthorized("Invalid API key")),
        None => Err(unauthorized("Missing Authorization header")),
    };
    let early = faults.iter().find_map(refusal_before_begin);
    let settings = match early.map_or(refused, Err) {
        Ok(settings) => settings,
        Err(close) => {
            state.sessions.end(place, SessionEnd::Closed(close.code));
            close_socket(socket, close).await;
            return;
        }
    };
    let expires = SystemTime::now() + LONGEST;
    let expires_at = expires
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let begin = json!({
        "type": "Begin",
        "id": state.next_id(),
        "expires_at": expires_at,
        "configuration": {
            "model": settings.model,
            "mode": settings.mode.as_deref().unwrap_or("balanced"),
            "api_version": VERSION,
        },
    });
    let warning = settings.warning();
    let warning = warning.map(|it| json!({"type": "Warning", "warning_code": 1, "warning": it}));
    for message in [Some(begin), warning].into_iter().flatten() {
        if say(&mut socket, &message).await.is_err() {
            state.sessions.end(place, SessionEnd::ClientLeft);
            return;
        }
    }
    let live = Live {
        inactivity: settings
            .inactivity_timeout
            .map(|asked| inactivity.unwrap_or(asked)),
        session: Session::new(settings),
        state,
        socket,
        place,
        faults,
        began: Instant::now(),
        last_heard: Timer::now(),
        real_time_only,
    };
    live.run().await;
}

fn unauthorized(why: &str) -> Close {
    Close::new(1008, format!("Unauthorized Connection: {why}"))
}

/// Account matters are settled before a session begins.
fn refusal_before_begin(fault: &SocketFault) -> Option<Close> {
    match &fault.kind {
        SocketEnd::Close {
            code: code @ (1008 | 3009),
            reason,
        } if fault.after_turns.is_none() && fault.after_audio.is_none() => {
            Some(Close::new(*code, reason))
        }
        _ => None,
    }
}

impl Live {
    async fn run(mut self) {
        let over = loop {
            if let Some(over) = self.strike().await {
                break over;
            }
            match self.step().await {
                Ok(None) => {}
                Ok(Some(end @ (SessionEnd::Terminated | SessionEnd::Inactive))) => {
                    break Over::Terminating(end);
                }
                Ok(Some(end)) => break Over::Ended(end),
                Err(close) => break Over::Closing(close),
            }
        };
        // The record is complete before the client sees the end.
        match over {
            Over::Ended(end) => self.state.sessions.end(self.place, end),
            Over::Terminating(end) => {
                self.state.sessions.end(self.place, end);
                self.terminate().await;
            }
            Over::Closing(close) => {
                let end = SessionEnd::Closed(close.code);
                self.state.sessions.end(self.place, end);
                close_socket(self.socket, close).await;
            }
            Over::Silent => {
                while let Some(Ok(_)) = self.socket.recv().await {}
                self.state.sessions.end(self.place, SessionEnd::ClientLeft);
            }
        }
    }

    /// The faults whose time has come.
    async fn strike(&mut self) -> Option<Over> {
        let ended = self.session.turns_ended();
        let audio = Duration::from_millis(self.session.audio_ms());
        let due = |fault: &SocketFault| {
            fault.after_turns.unwrap_or_default() <= ended
                && fault.after_audio.unwrap_or_default() <= audio
        };
        while let Some(place) = self.faults.iter().position(due) {
            match self.faults.remove(place).kind {
                SocketEnd::Close { code, reason } => {
                    return Some(Over::Closing(Close::new(code, reason)));
                }
                SocketEnd::Drop => return Some(Over::Ended(SessionEnd::Dropped)),
                SocketEnd::Hang => return Some(Over::Silent),
                SocketEnd::Text(text) => {
                    // A client that is gone is noticed at the next step.
                    let _ = self.socket.send(Message::Text(text.into())).await;
                }
            }
        }
        None
    }

    /// One message in, or one timer.
    async fn step(&mut self) -> Result<Option<SessionEnd>, Close> {
        let now = Timer::now();
        let inactive = self.last_heard + self.inactivity.unwrap_or(LONGEST);
        let beats = self.session.settings().session_heartbeat;
        let beat = now + self.state.script().heartbeat.unwrap_or(HEARTBEAT);
        let expired = Timer::from_std(self.began) + LONGEST;
        let message = tokio::select! {
            message = self.socket.recv() => message,
            () = sleep_until(expired) => {
                return Err(Close::new(3008, "Session Expired: Maximum session duration exceeded"));
            }
            () = sleep_until(beat), if beats => {
                let beat = self.heartbeat();
                return Ok(self.say_all(&[beat]).await);
            }
            () = sleep_until(inactive), if self.inactivity.is_some() => {
                return Ok(Some(SessionEnd::Inactive));
            }
        };
        self.last_heard = Timer::now();
        match message {
            Some(Ok(Message::Binary(chunk))) => {
                self.state.sessions.audio(self.place, &chunk);
                let state = Arc::clone(&self.state);
                let messages = self.session.audio(&chunk, || state.script().next())?;
                self.check_pace()?;
                Ok(self.say_all(&messages).await)
            }
            Some(Ok(Message::Text(text))) => {
                self.state.sessions.text(self.place, &text);
                let reaction = self.session.text(&text)?;
                let left = self.say_all(&reaction.messages).await;
                if reaction.terminated && left.is_none() {
                    return Ok(Some(SessionEnd::Terminated));
                }
                Ok(left)
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
            Some(Ok(Message::Close(_)) | Err(_)) | None => Ok(Some(SessionEnd::ClientLeft)),
        }
    }

    fn heartbeat(&self) -> Value {
        let (audio, open) = (self.session.audio_ms(), self.began.elapsed().as_millis());
        json!({
            "type": "Heartbeat",
            "total_audio_received_ms": audio,
            "total_duration_ms": open as u64,
            "realtime_factor": audio as f64 / (open as f64).max(1.0),
            "max_speech_probability": 0.0,
        })
    }

    fn check_pace(&self) -> Result<(), Close> {
        let audio = Duration::from_millis(self.session.audio_ms());
        let elapsed = self.began.elapsed();
        if !self.real_time_only || audio <= elapsed + AHEAD {
            return Ok(());
        }
        Err(Close::new(
            3007,
            format!(
                "Audio Transmission Rate Exceeded: Received {:.1} sec. audio in {:.1} sec",
                audio.as_secs_f64(),
                elapsed.as_secs_f64()
            ),
        ))
    }

    /// Says all of it; tells if nobody listens any more.
    async fn say_all(&mut self, messages: &[Value]) -> Option<SessionEnd> {
        for message in messages {
            if say(&mut self.socket, message).await.is_err() {
                return Some(SessionEnd::ClientLeft);
            }
        }
        None
    }

    async fn terminate(mut self) {
        let termination = json!({
            "type": "Termination",
            "audio_duration_seconds": self.session.audio_ms() / 1_000,
            "session_duration_seconds": self.began.elapsed().as_secs(),
        });
        if say(&mut self.socket, &termination).await.is_ok() {
            finish(&mut self.socket, 1000, "").await;
        }
    }
}

async fn say(socket: &mut WebSocket, message: &Value) -> Result<(), axum::Error> {
    socket.send(Message::Text(message.to_string().into())).await
}

/// An `Error` message, then the close frame.
async fn close_socket(mut socket: WebSocket, close: Close) {
    let error = json!({"type": "Error", "error_code": close.code, "error": close.reason});
    if say(&mut socket, &error).await.is_ok() {
        let reason = if close.reason.len() <= MAX_REASON {
            &close.reason
        } else {
            "See Error message for details"
        };
        finish(&mut socket, close.code, reason).await;
    }
}

/// The closing handshake. What the client still sends meanwhile is not read as a message.
async fn finish(socket: &mut WebSocket, code: u16, reason: &str) {
    let frame = CloseFrame {
        code,
        reason: reason.to_owned().into(),
    };
    if socket.send(Message::Close(Some(frame))).await.is_ok() {
        let drained = async { while let Some(Ok(_)) = socket.recv().await {} };
        // A client that does not answer has had its time.
        let _ = tokio::time::timeout(CLOSING, drained).await;
    }
}
