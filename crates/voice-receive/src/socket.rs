//! One connection to the voice gateway.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as Raw;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
};

use super::wire::{self, Frame, Message, Said};
use net::{Cause, websocket_tls};

/// The largest message that is read: 1 MiB. The welcome into a group of a thousand has less.
const MAX_MESSAGE: usize = 1024 * 1024;

/// What the library holds back of what is to be written: four of our largest messages.
const MAX_WRITE: usize = 4 * 1024 * 1024;

/// How long TCP, TLS and the websocket may take to come about.
const CONNECT_LIMIT: Duration = Duration::from_secs(8);

/// How long one message may take to be written.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// How long a farewell may take.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);

/// A connection is no more: Discord's close code, if it gave one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Broken(pub(super) Option<u16>);

/// An open connection.
pub(super) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    /// Connects to the gateway at `HOST` or `HOST:PORT`.
    pub(super) async fn connect(endpoint: &str) -> Result<Self, Broken> {
        let url = format!("wss://{endpoint}/?v={}", wire::VERSION);
        let config = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            // Every message leaves at once.
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_WRITE)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let tls = websocket_tls().await.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "no voice gateway");
            Broken(None)
        })?;
        let connector = Some(Connector::Rustls(tls));
        let connecting = connect_async_tls_with_config(url, Some(config), true, connector);
        match timeout(CONNECT_LIMIT, connecting).await {
            Ok(Ok((stream, _))) => Ok(Self { stream }),
            Ok(Err(error)) => {
                let cause = Cause::of(&error);
                tracing::debug!(%cause, "the voice gateway can't be reached");
                Err(Broken(None))
            }
            Err(_) => Err(Broken(None)),
        }
    }

    /// What is said next, with its number if it has one. Nothing is lost if the future is dropped.
    pub(super) async fn next(&mut self) -> Result<(Option<u16>, Frame), Broken> {
        loop {
            let read = match self.stream.next().await {
                Some(Ok(Raw::Text(text))) => wire::text(&text),
                Some(Ok(Raw::Binary(bytes))) => {
                    wire::binary(&bytes).map(|(number, frame)| (Some(number), frame))
                }
                Some(Ok(Raw::Close(close))) => {
                    return Err(Broken(close.map(|close| close.code.into())));
                }
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return Err(Broken(None)),
            };
            match read {
                Ok(frame) => return Ok(frame),
                Err(error) => tracing::debug!(%error, "from the voice gateway"),
            }
        }
    }

    /// Says something.
    pub(super) async fn say(&mut self, said: &Said) -> Result<(), Broken> {
        let message = match said.message() {
            Message::Text(text) => Raw::Text(text.into()),
            Message::Binary(bytes) => Raw::Binary(bytes.into()),
        };
        match timeout(WRITE_LIMIT, self.stream.send(message)).await {
            Ok(Ok(())) => Ok(()),
            // Why the other end is gone may still be to be read.
            Ok(Err(_)) => match timeout(CLOSE_LIMIT, self.last_word()).await {
                Ok(broken) => Err(broken),
                Err(_) => Err(Broken(None)),
            },
            Err(_) => Err(Broken(None)),
        }
    }

    async fn last_word(&mut self) -> Broken {
        loop {
            if let Err(broken) = self.next().await {
                return broken;
            }
        }
    }

    /// Leaves.
    pub(super) async fn close(mut self) {
        // Whether the other end agrees is of no interest.
        let _ = timeout(CLOSE_LIMIT, self.stream.close(None)).await;
    }
}
