//! One websocket connection to the voice gateway: TLS, size and time limits, messages in and out.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use net::{ErrorCause, websocket_tls_config};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
};

use super::gateway_protocol::{self, ClientEvent, EncodedEvent, ServerEvent};

/// The largest message that is read: 1 MiB. The Welcome into a DAVE group of a thousand is smaller.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// What the library may hold back before it is written: four of our largest messages.
const MAX_WRITE_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// The time limit for TCP, TLS and the websocket handshake together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);

/// The time limit for writing one message.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// The time limit for sending a close frame, or for reading one after a failed write.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// The connection has ended, with Discord's close code if it sent one.
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
            // Every message is written at once.
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES)
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let tls = websocket_tls_config().await.map_err(|error| {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "can't connect to the voice gateway");
            Disconnected(None)
        })?;
        let connector = Some(Connector::Rustls(tls));
        let connecting = connect_async_tls_with_config(url, Some(config), true, connector);
        match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok((stream, _))) => Ok(Self { stream }),
            Ok(Err(error)) => {
                let cause = ErrorCause::from_error(&error);
                tracing::debug!(%cause, "can't connect to the voice gateway");
                Err(Disconnected(None))
            }
            Err(_) => Err(Disconnected(None)),
        }
    }

    /// The next event, with its sequence number if it has one. Messages that can't be parsed are
    /// skipped. Cancel safe.
    pub(super) async fn next_event(&mut self) -> Result<(Option<u16>, ServerEvent), Disconnected> {
        loop {
            let parsed = match self.stream.next().await {
                Some(Ok(Message::Text(text))) => gateway_protocol::parse_text(&text),
                Some(Ok(Message::Binary(bytes))) => gateway_protocol::parse_binary(&bytes)
                    .map(|(sequence, event)| (Some(sequence), event)),
                Some(Ok(Message::Close(close))) => {
                    return Err(Disconnected(close.map(|close| close.code.into())));
                }
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return Err(Disconnected(None)),
            };
            match parsed {
                Ok(event) => return Ok(event),
                Err(error) => tracing::debug!(%error, "ignored a message of the voice gateway"),
            }
        }
    }

    pub(super) async fn send(&mut self, event: &ClientEvent) -> Result<(), Disconnected> {
        let message = match event.encode() {
            EncodedEvent::Text(text) => Message::Text(text.into()),
            EncodedEvent::Binary(bytes) => Message::Binary(bytes.into()),
        };
        match timeout(WRITE_TIMEOUT, self.stream.send(message)).await {
            Ok(Ok(())) => Ok(()),
            // The close code may still be there to read.
            Ok(Err(_)) => match timeout(CLOSE_TIMEOUT, self.read_close_code()).await {
                Ok(disconnected) => Err(disconnected),
                Err(_) => Err(Disconnected(None)),
            },
            Err(_) => Err(Disconnected(None)),
        }
    }

    async fn read_close_code(&mut self) -> Disconnected {
        loop {
            if let Err(disconnected) = self.next_event().await {
                return disconnected;
            }
        }
    }

    /// Sends a close frame. Does not wait for the server's.
    pub(super) async fn close(mut self) {
        // It makes no difference if that fails.
        let _ = timeout(CLOSE_TIMEOUT, self.stream.close(None)).await;
    }
}
