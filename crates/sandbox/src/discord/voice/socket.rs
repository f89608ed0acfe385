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

use super::super::rest::State;
use super::call::MAX_OUT;
use super::hear;
use super::wire::{Frame, Out, Outgoing, op};
use crate::connection::Socket;
use crate::recorder::query_value;

/// The version of who asks for none.
const OLDEST: u64 = 4;

/// The newest version there is.
const NEWEST: u64 = 8;

/// What belongs to one connection.
struct Line {
    client: Option<u64>,
    out: mpsc::Sender<Outgoing>,
    outgoing: mpsc::Receiver<Outgoing>,
    /// What is not yet due.
    queue: VecDeque<Outgoing>,
}

impl Line {
    fn ends(mut self, state: &State) {
        while let Ok(next) = self.outgoing.try_recv() {
            self.queue.push_back(next);
        }
        let is_dave = |it: &Outgoing| matches!(&it.out, Out::Frame(frame, _) if frame.is_dave());
        let behind = self.queue.iter().any(is_dave);
        if let Some(number) = self.client {
            let mut calls = state.voice.calls();
            calls.disconnected(number, &self.out, behind);
        }
    }
}

/// Accepts connections until dropped.
pub(super) async fn serve(
    listener: TcpListener,
    certificate: Arc<ServerConfig>,
    state: Arc<State>,
) {
    let acceptor = TlsAcceptor::from(certificate);
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        if state.voice.calls().unreachable {
            continue;
        }
        let (state, acceptor) = (Arc::clone(&state), acceptor.clone());
        connections.spawn(async move {
            let (out, outgoing) = mpsc::channel(MAX_OUT);
            let mut line = Line {
                client: None,
                out,
                outgoing,
                queue: VecDeque::new(),
            };
            // A connection that breaks is the client's to mend.
            let _ = connection(stream, &acceptor, &state, &mut line).await;
            line.ends(&state);
            state.touch();
        });
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    state: &State,
    line: &mut Line,
) -> Result<(), Error> {
    stream.set_nodelay(true).map_err(Error::Io)?;
    let mut frozen = state.voice.frozen.subscribe();
    let (socket, breaker) = Socket::new(stream);
    let _ = frozen.wait_for(|frozen| !frozen).await;
    let socket = acceptor.accept(socket).await.map_err(Error::Io)?;
    let mut version = OLDEST;
    #[allow(clippy::result_large_err)]
    let ask = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        let asked = request.uri().query().and_then(|it| query_value(it, "v"));
        version = asked.and_then(|it| it.parse().ok()).unwrap_or(OLDEST);
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async(socket, ask).await?;
    let (mut sink, mut source) = socket.split();
    if !(OLDEST..=NEWEST).contains(&version) {
        return sink.send(close(4_020)).await;
    }
    let (interval, told) = {
        let mut calls = state.voice.calls();
        (calls.heartbeat, calls.false_heartbeat.take())
    };
    let told = told.unwrap_or_else(|| json!(interval.as_millis() as u64));
    let data = json!({"v": version, "heartbeat_interval": told});
    let hello = Frame::Json(op::HELLO, data);
    sink.send(hello.message(version, None)).await?;
    let mut heard = tokio::time::Instant::now();
    loop {
        let is_frozen = *frozen.borrow_and_update();
        let due = line.queue.front().map_or_else(Instant::now, |it| it.due);
        tokio::select! {
            changed = frozen.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
            }
            () = tokio::time::sleep_until(heard + interval * 2), if !is_frozen => {
                return sink.send(close(4_009)).await;
            }
            next = line.outgoing.recv() => match next {
                Some(next) => line.queue.push_back(next),
                None => return Ok(()),
            },
            () = tokio::time::sleep_until(due.into()), if !is_frozen && !line.queue.is_empty() => {
                match line.queue.pop_front().map(|it| it.out) {
                    Some(Out::Frame(frame, number)) => {
                        sink.send(frame.message(version, number)).await?;
                    }
                    Some(Out::Close(code)) => return sink.send(close(code)).await,
                    Some(Out::Reset) => {
                        breaker.reset();
                        return Ok(());
                    }
                    Some(Out::Cut) => {
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
                        hear::text(state, &text, version, &mut line.client, &line.out)
                    },
                    Some(Ok(Message::Binary(bytes))) => {
                        hear::binary(state, &bytes, line.client).map(|()| None)
                    }
                    Some(Ok(Message::Close(_))) | None => return Ok(()),
                    Some(Ok(_)) => Ok(None),
                    Some(Err(error)) => return Err(error),
                };
                match answer {
                    Ok(Some(frame)) => {
                        let out = Out::Frame(frame, None);
                        let lag = line.client.map(|it| state.voice.calls().lag_of(it));
                        let due = Instant::now() + lag.unwrap_or_default();
                        line.queue.push_back(Outgoing { due, out });
                    }
                    Ok(None) => {}
                    Err(code) => return sink.send(close(code)).await,
                }
            }
        }
    }
}

fn close(code: u16) -> Message {
    let frame = CloseFrame {
        code: code.into(),
        reason: "".into(),
    };
    Message::Close(Some(frame))
}
