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

use super::gateway_protocol::{self, ClientEvent, EncodedEvent, ServerEvent};
use net::{ErrorCause, websocket_tls_config};

/// The largest message that is read: 1 MiB. The welcome into a group of a thousand has less.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// What the library holds back of what is to be written: four of our largest messages.
const MAX_WRITE_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// How long TCP, TLS and the websocket may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);

/// How long one message may take to be written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a farewell may take.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// A connection is no more: Discord's close code, if it gave one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Disconnected(pub(super) Option<u16>);

/// An open connection.
pub(super) struct VoiceSocket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl VoiceSocket {
    /// Connects to the gateway at `HOST` or `HOST:PORT`.
    pub(super) async fn connect(endpoint: &str) -> Result<Self, Disconnected> {
        let url = format!("wss://{endpoint}/?v={}", gateway_protocol::GATEWAY_VERSION);
        let config = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            // Every message leaves at once.
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES)
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let tls = websocket_tls_config().await.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "no voice gateway");
            Disconnected(None)
        })?;
        let connector = Some(Connector::Rustls(tls));
        let connecting = connect_async_tls_with_config(url, Some(config), true, connector);
        match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok((stream, _))) => Ok(Self { stream }),
            Ok(Err(error)) => {
                let cause = ErrorCause::from_error(&error);
                tracing::debug!(%cause, "the voice gateway can't be reached");
                Err(Disconnected(None))
            }
            Err(_) => Err(Disconnected(None)),
        }
    }

    /// What is said next, with its number if it has one. Nothing is lost if the future is dropped.
    pub(super) async fn next_event(&mut self) -> Result<(Option<u16>, ServerEvent), Disconnected> {
        loop {
            let read = match self.stream.next().await {
                Some(Ok(Raw::Text(text))) => gateway_protocol::text(&text),
                Some(Ok(Raw::Binary(bytes))) => gateway_protocol::parse_binary(&bytes)
                    .map(|(number, frame)| (Some(number), frame)),
                Some(Ok(Raw::Close(close))) => {
                    return Err(Disconnected(close.map(|close| close.code.into())));
                }
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return Err(Disconnected(None)),
            };
            match read {
                Ok(frame) => return Ok(frame),
                Err(error) => tracing::debug!(%error, "from the voice gateway"),
            }
        }
    }

    /// Says something.
    pub(super) async fn send(&mut self, said: &ClientEvent) -> Result<(), Disconnected> {
        let message = match said.encode() {
            EncodedEvent::Text(text) => Raw::Text(text.into()),
            EncodedEvent::Binary(bytes) => Raw::Binary(bytes.into()),
        };
        match timeout(WRITE_TIMEOUT, self.stream.send(message)).await {
            Ok(Ok(())) => Ok(()),
            // Why the other end is gone may still be to be read.
            Ok(Err(_)) => match timeout(CLOSE_TIMEOUT, self.read_close_code()).await {
                Ok(broken) => Err(broken),
                Err(_) => Err(Disconnected(None)),
            },
            Err(_) => Err(Disconnected(None)),
        }
    }

    async fn read_close_code(&mut self) -> Disconnected {
        loop {
            if let Err(broken) = self.next_event().await {
                return broken;
            }
        }
    }

    /// Leaves.
    pub(super) async fn close(mut self) {
        // Whether the other end agrees is of no interest.
        let _ = timeout(CLOSE_TIMEOUT, self.stream.close(None)).await;
    }
}
