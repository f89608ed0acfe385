//! One connection to the voice gateway.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::super::rest_api::DiscordState;
use super::client_messages;
use super::frames::{ScheduledOutput, VoiceFrame, VoiceOutput, op};
use super::server_state::MAX_QUEUED_FRAMES;
use crate::connection::BreakableSocket;
use crate::recorder::query_param;

/// The version of who asks for none.
const DEFAULT_VERSION: u64 = 4;

/// The newest version there is.
const LATEST_VERSION: u64 = 8;

/// What belongs to one connection.
struct VoiceGatewayConnection {
    client_number: Option<u64>,
    sender: mpsc::Sender<ScheduledOutput>,
    outgoing: mpsc::Receiver<ScheduledOutput>,
    /// What is not yet due.
    delayed: VecDeque<ScheduledOutput>,
}

impl VoiceGatewayConnection {
    fn disconnect(mut self, state: &DiscordState) {
        while let Ok(next) = self.outgoing.try_recv() {
            self.delayed.push_back(next);
        }
        let is_dave = |it: &ScheduledOutput| matches!(&it.output, VoiceOutput::Frame(frame, _) if frame.is_dave());
        let behind = self.delayed.iter().any(is_dave);
        if let Some(number) = self.client_number {
            let mut calls = state.voice.state();
            calls.handle_disconnect(number, &self.sender, behind);
        }
    }
}

/// Accepts connections until dropped.
pub(super) async fn serve(
    listener: TcpListener,
    certificate: Arc<ServerConfig>,
    state: Arc<DiscordState>,
) {
    let acceptor = TlsAcceptor::from(certificate);
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        if state.voice.state().unreachable {
            continue;
        }
        let (state, acceptor) = (Arc::clone(&state), acceptor.clone());
        connections.spawn(async move {
            let (out, outgoing) = mpsc::channel(MAX_QUEUED_FRAMES);
            let mut line = VoiceGatewayConnection {
                client_number: None,
                sender: out,
                outgoing,
                delayed: VecDeque::new(),
            };
            // A connection that breaks is the client's to mend.
            let _ = serve_connection(stream, &acceptor, &state, &mut line).await;
            line.disconnect(&state);
            state.notify_changed();
        });
    }
}

async fn serve_connection(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    state: &DiscordState,
    line: &mut VoiceGatewayConnection,
) -> Result<(), Error> {
    stream.set_nodelay(true).map_err(Error::Io)?;
    let mut frozen = state.voice.frozen.subscribe();
    let (socket, breaker) = BreakableSocket::new(stream);
    let _ = frozen.wait_for(|frozen| !frozen).await;
    let socket = acceptor.accept(socket).await.map_err(Error::Io)?;
    let mut version = DEFAULT_VERSION;
    #[allow(clippy::result_large_err)]
    let ask = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        let asked = request.uri().query().and_then(|it| query_param(it, "v"));
        version = asked
            .and_then(|it| it.parse().ok())
            .unwrap_or(DEFAULT_VERSION);
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async(socket, ask).await?;
    let (mut sink, mut source) = socket.split();
    if !(DEFAULT_VERSION..=LATEST_VERSION).contains(&version) {
        return sink.send(close_frame(4_020)).await;
    }
    let (interval, told) = {
        let mut calls = state.voice.state();
        (calls.heartbeat_interval, calls.next_hello_interval.take())
    };
    let told = told.unwrap_or_else(|| json!(interval.as_millis() as u64));
    let data = json!({"v": version, "heartbeat_interval": told});
    let hello = VoiceFrame::Json(op::HELLO, data);
    sink.send(hello.to_message(version, None)).await?;
    let mut heard = tokio::time::Instant::now();
    loop {
        let is_frozen = *frozen.borrow_and_update();
        let due = line.delayed.front().map_or_else(Instant::now, |it| it.due);
        tokio::select! {
            changed = frozen.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
            }
            () = tokio::time::sleep_until(heard + interval * 2), if !is_frozen => {
                return sink.send(close_frame(4_009)).await;
            }
            next = line.outgoing.recv() => match next {
                Some(next) => line.delayed.push_back(next),
                None => return Ok(()),
            },
            () = tokio::time::sleep_until(due.into()), if !is_frozen && !line.delayed.is_empty() => {
                match line.delayed.pop_front().map(|it| it.output) {
                    Some(VoiceOutput::Frame(frame, number)) => {
                        sink.send(frame.to_message(version, number)).await?;
                    }
                    Some(VoiceOutput::Close(code)) => return sink.send(close_frame(code)).await,
                    Some(VoiceOutput::Reset) => {
                        breaker.reset();
                        return Ok(());
                    }
                    Some(VoiceOutput::Drop) => {
                        breaker.close();
                        return Ok(());
                    }
                    None => {}
                }
            }
            frame = source.next(), if !is_frozen => {
                heard = tokio::time::Instant::now();
                let answer = match frame {
                    Some(Ok(Message::Text(text))) => {
                        client_messages::handle_text_frame(state, &text, version, &mut line.client_number, &line.sender)
                    },
                    Some(Ok(Message::Binary(bytes))) => {
                        client_messages::handle_binary_frame(state, &bytes, line.client_number).map(|()| None)
                    }
                    Some(Ok(Message::Close(_))) | None => return Ok(()),
                    Some(Ok(_)) => Ok(None),
                    Some(Err(error)) => return Err(error),
                };
                match answer {
                    Ok(Some(frame)) => {
                        let output = VoiceOutput::Frame(frame, None);
                        let lag = line.client_number.map(|it| state.voice.state().client_lag(it));
                        let due = Instant::now() + lag.unwrap_or_default();
                        line.delayed.push_back(ScheduledOutput { due, output });
                    }
                    Ok(None) => {}
                    Err(code) => return sink.send(close_frame(code)).await,
                }
            }
        }
    }
}

fn close_frame(code: u16) -> Message {
    let frame = CloseFrame {
        code: code.into(),
        reason: "".into(),
    };
    Message::Close(Some(frame))
}
