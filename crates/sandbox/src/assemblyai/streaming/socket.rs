//! A live session on its socket.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use serde_json::{Value, json};
use tokio::time::{Instant as Timer, sleep_until};

use super::super::AssemblyAiState;
use super::session::SessionStateMachine;
use super::session_config::StreamingConfig;
use super::{CloseReason, StreamingSessionEnd};
use crate::fault::{SocketFault, SocketFaultKind};

/// The longest session: 3 h.
const MAX_SESSION: Duration = Duration::from_secs(3 * 3_600);

/// How often a session says that it is alive, to whoever asks for that.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The version of the interface that sessions name.
const API_VERSION: &str = "2025-05-12";

/// How much audio may be ahead of the clock where that is checked.
const MAX_AUDIO_AHEAD: Duration = Duration::from_secs(1);

/// How long the other side may take to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest reason a close frame has room for.
const MAX_CLOSE_REASON_BYTES: usize = 123;

struct StreamingConnection {
    state: Arc<AssemblyAiState>,
    socket: WebSocket,
    log_index: Option<usize>,
    session: SessionStateMachine,
    faults: Vec<SocketFault>,
    started_at: Instant,
    last_message: Timer,
    inactivity_timeout: Option<Duration>,
    real_time_only: bool,
}

/// Why the loop is over.
enum LoopExit {
    Ended(StreamingSessionEnd),
    Terminating(StreamingSessionEnd),
    Closing(CloseReason),
    Hanging,
}

pub(super) async fn run_session(
    state: Arc<AssemblyAiState>,
    mut socket: WebSocket,
    key: Option<String>,
    query: String,
    faults: Vec<SocketFault>,
) {
    let place = state.sessions.start_session(&query);
    let (right_key, inactivity, real_time_only) = {
        let is_token = key.as_ref().is_some_and(|key| state.tokens().redeem(key));
        let script = state.script();
        (
            is_token || key.as_ref() == Some(&script.key),
            script.inactivity_timeout,
            script.real_time_only,
        )
    };
    let refused = match key {
        Some(_) if right_key => StreamingConfig::from_query(&query),
        Some(_) => Err(unauthorized("Invalid API key")),
        None => Err(unauthorized("Missing Authorization header")),
    };
    let early = faults.iter().find_map(refusal_before_begin);
    let settings = match early.map_or(refused, Err) {
        Ok(settings) => settings,
        Err(close) => {
            state
                .sessions
                .finish(place, StreamingSessionEnd::Closed(close.code));
            close_socket(socket, close).await;
            return;
        }
    };
    let expires = SystemTime::now() + MAX_SESSION;
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
            "api_version": API_VERSION,
        },
    });
    let warning = settings.warning();
    let warning = warning.map(|it| json!({"type": "Warning", "warning_code": 1, "warning": it}));
    for message in [Some(begin), warning].into_iter().flatten() {
        if send_message(&mut socket, &message).await.is_err() {
            state
                .sessions
                .finish(place, StreamingSessionEnd::ClientDisconnected);
            return;
        }
    }
    let live = StreamingConnection {
        inactivity_timeout: settings
            .inactivity_timeout
            .map(|asked| inactivity.unwrap_or(asked)),
        session: SessionStateMachine::new(settings),
        state,
        socket,
        log_index: place,
        faults,
        started_at: Instant::now(),
        last_message: Timer::now(),
        real_time_only,
    };
    live.run().await;
}

fn unauthorized(why: &str) -> CloseReason {
    CloseReason::new(1008, format!("Unauthorized Connection: {why}"))
}

/// Account matters are settled before a session begins.
fn refusal_before_begin(fault: &SocketFault) -> Option<CloseReason> {
    match &fault.kind {
        SocketFaultKind::Close {
            code: code @ (1008 | 3009),
            reason,
        } if fault.after_turns.is_none() && fault.after_audio.is_none() => {
            Some(CloseReason::new(*code, reason))
        }
        _ => None,
    }
}

impl StreamingConnection {
    async fn run(mut self) {
        let over = loop {
            if let Some(over) = self.apply_due_faults().await {
                break over;
            }
            match self.handle_next().await {
                Ok(None) => {}
                Ok(Some(
                    end @ (StreamingSessionEnd::Terminated | StreamingSessionEnd::Inactive),
                )) => {
                    break LoopExit::Terminating(end);
                }
                Ok(Some(end)) => break LoopExit::Ended(end),
                Err(close) => break LoopExit::Closing(close),
            }
        };
        // The record is complete before the client sees the end.
        match over {
            LoopExit::Ended(end) => self.state.sessions.finish(self.log_index, end),
            LoopExit::Terminating(end) => {
                self.state.sessions.finish(self.log_index, end);
                self.terminate().await;
            }
            LoopExit::Closing(close) => {
                let end = StreamingSessionEnd::Closed(close.code);
                self.state.sessions.finish(self.log_index, end);
                close_socket(self.socket, close).await;
            }
            LoopExit::Hanging => {
                while let Some(Ok(_)) = self.socket.recv().await {}
                self.state
                    .sessions
                    .finish(self.log_index, StreamingSessionEnd::ClientDisconnected);
            }
        }
    }

    /// The faults whose time has come.
    async fn apply_due_faults(&mut self) -> Option<LoopExit> {
        let ended = self.session.turns_ended();
        let audio = Duration::from_millis(self.session.audio_ms());
        let due = |fault: &SocketFault| {
            fault.after_turns.unwrap_or_default() <= ended
                && fault.after_audio.unwrap_or_default() <= audio
        };
        while let Some(place) = self.faults.iter().position(due) {
            match self.faults.remove(place).kind {
                SocketFaultKind::Close { code, reason } => {
                    return Some(LoopExit::Closing(CloseReason::new(code, reason)));
                }
                SocketFaultKind::Drop => {
                    return Some(LoopExit::Ended(StreamingSessionEnd::Dropped));
                }
                SocketFaultKind::Hang => return Some(LoopExit::Hanging),
                SocketFaultKind::Text(text) => {
                    // A client that is gone is noticed at the next step.
                    let _ = self.socket.send(Message::Text(text.into())).await;
                }
            }
        }
        None
    }

    /// One message in, or one timer.
    async fn handle_next(&mut self) -> Result<Option<StreamingSessionEnd>, CloseReason> {
        let now = Timer::now();
        let inactive = self.last_message + self.inactivity_timeout.unwrap_or(MAX_SESSION);
        let beats = self.session.settings().session_heartbeat;
        let beat = now + self.state.script().heartbeat_interval.unwrap_or(HEARTBEAT);
        let expired = Timer::from_std(self.started_at) + MAX_SESSION;
        let message = tokio::select! {
            message = self.socket.recv() => message,
            () = sleep_until(expired) => {
                return Err(CloseReason::new(3008, "Session Expired: Maximum session duration exceeded"));
            }
            () = sleep_until(beat), if beats => {
                let beat = self.heartbeat();
                return Ok(self.send_messages(&[beat]).await);
            }
            () = sleep_until(inactive), if self.inactivity_timeout.is_some() => {
                return Ok(Some(StreamingSessionEnd::Inactive));
            }
        };
        self.last_message = Timer::now();
        match message {
            Some(Ok(Message::Binary(chunk))) => {
                self.state.sessions.add_audio(self.log_index, &chunk);
                let state = Arc::clone(&self.state);
                let messages = self
                    .session
                    .push_audio(&chunk, || state.script().next_speech())?;
                self.check_real_time()?;
                Ok(self.send_messages(&messages).await)
            }
            Some(Ok(Message::Text(text))) => {
                self.state.sessions.add_text(self.log_index, &text);
                let reaction = self.session.handle_text(&text)?;
                let left = self.send_messages(&reaction.messages).await;
                if reaction.terminated && left.is_none() {
                    return Ok(Some(StreamingSessionEnd::Terminated));
                }
                Ok(left)
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
            Some(Ok(Message::Close(_)) | Err(_)) | None => {
                Ok(Some(StreamingSessionEnd::ClientDisconnected))
            }
        }
    }

    fn heartbeat(&self) -> Value {
        let (audio, open) = (
            self.session.audio_ms(),
            self.started_at.elapsed().as_millis(),
        );
        json!({
            "type": "Heartbeat",
            "total_audio_received_ms": audio,
            "total_duration_ms": open as u64,
            "realtime_factor": audio as f64 / (open as f64).max(1.0),
            "max_speech_probability": 0.0,
        })
    }

    fn check_real_time(&self) -> Result<(), CloseReason> {
        let audio = Duration::from_millis(self.session.audio_ms());
        let elapsed = self.started_at.elapsed();
        if !self.real_time_only || audio <= elapsed + MAX_AUDIO_AHEAD {
            return Ok(());
        }
        Err(CloseReason::new(
            3007,
            format!(
                "Audio Transmission Rate Exceeded: Received {:.1} sec. audio in {:.1} sec",
                audio.as_secs_f64(),
                elapsed.as_secs_f64()
            ),
        ))
    }

    /// Says all of it; tells if nobody listens any more.
    async fn send_messages(&mut self, messages: &[Value]) -> Option<StreamingSessionEnd> {
        for message in messages {
            if send_message(&mut self.socket, message).await.is_err() {
                return Some(StreamingSessionEnd::ClientDisconnected);
            }
        }
        None
    }

    async fn terminate(mut self) {
        let termination = json!({
            "type": "Termination",
            "audio_duration_seconds": self.session.audio_ms() / 1_000,
            "session_duration_seconds": self.started_at.elapsed().as_secs(),
        });
        if send_message(&mut self.socket, &termination).await.is_ok() {
            close_handshake(&mut self.socket, 1000, "").await;
        }
    }
}

async fn send_message(socket: &mut WebSocket, message: &Value) -> Result<(), axum::Error> {
    socket.send(Message::Text(message.to_string().into())).await
}

/// An `Error` message, then the close frame.
async fn close_socket(mut socket: WebSocket, close: CloseReason) {
    let error = json!({"type": "Error", "error_code": close.code, "error": close.reason});
    if send_message(&mut socket, &error).await.is_ok() {
        let reason = if close.reason.len() <= MAX_CLOSE_REASON_BYTES {
            &close.reason
        } else {
            "See Error message for details"
        };
        close_handshake(&mut socket, close.code, reason).await;
    }
}

/// The closing handshake. What the client still sends meanwhile is not read as a message.
async fn close_handshake(socket: &mut WebSocket, code: u16, reason: &str) {
    let frame = CloseFrame {
        code,
        reason: reason.to_owned().into(),
    };
    if socket.send(Message::Close(Some(frame))).await.is_ok() {
        let drained = async { while let Some(Ok(_)) = socket.recv().await {} };
        // A client that does not answer has had its time.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, drained).await;
    }
}
