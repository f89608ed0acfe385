//! The WebSocket of a live session.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::header::{AUTHORIZATION, USER_AGENT};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
};

use super::error::StreamingError;
use super::wire::{FORCE_ENDPOINT, StreamingMessage, TERMINATE};
use crate::speech::assemblyai::api_client::{STREAMING_VERSION, USER_AGENT_VALUE};
use net::{RedactedText, websocket_tls_config};

/// The largest accepted message: 1 MiB. A turn of an hour, with all its words, is smaller.
const MAX_MESSAGE: usize = 1024 * 1024;
/// Write buffer limit of the WebSocket library: four of our largest messages.
const MAX_WRITE: usize = 128 * 1024;
/// Malformed messages tolerated in one session.
const MAX_MALFORMED_MESSAGES: usize = 8;
/// How long to wait for the close reason if the socket can't be written to.
const CLOSE_REASON_TIMEOUT: Duration = Duration::from_millis(500);

/// URL, key and limits for a connection.
#[derive(Clone)]
pub(super) struct StreamingConnectOptions {
    pub(super) url: String,
    /// `None` if the key is not a valid header value, and so can't be a valid key.
    pub(super) key: Option<HeaderValue>,
    /// Time limit of writing one message.
    pub(super) write_timeout: Duration,
}

/// The socket of an open session.
pub(super) struct StreamingSocket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    write_timeout: Duration,
    malformed_count: usize,
}

impl StreamingSocket {
    /// Opens the socket. The session starts with [`wait_for_begin`](Self::wait_for_begin).
    pub(super) async fn connect(options: &StreamingConnectOptions) -> Result<Self, StreamingError> {
        let mut request = options
            .url
            .as_str()
            .into_client_request()
            .map_err(StreamingError::from_handshake)?;
        let key = options.key.clone().ok_or(StreamingError::KeyUnsendable)?;
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, key);
        headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_VALUE));
        let (version, date) = STREAMING_VERSION;
        headers.insert(version, HeaderValue::from_static(date));
        let config = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            // Send every message at once.
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_WRITE)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let connector = if options.url.starts_with("wss:") {
            Connector::Rustls(
                websocket_tls_config()
                    .await
                    .map_err(|error| StreamingError::no_tls(&error))?,
            )
        } else {
            Connector::Plain
        };
        let (stream, _) =
            connect_async_tls_with_config(request, Some(config), true, Some(connector))
                .await
                .map_err(StreamingError::from_handshake)?;
        Ok(Self {
            stream,
            write_timeout: options.write_timeout,
            malformed_count: 0,
        })
    }

    /// Waits for `Begin`.
    pub(super) async fn wait_for_begin(&mut self) -> Result<(), StreamingError> {
        loop {
            if let Some(StreamingMessage::Begin) = self.next_message().await? {
                return Ok(());
            }
        }
    }

    /// The next message; `None` for frames without meaning. The service's `Error` message and its
    /// closing of the socket are errors. Cancel safe.
    pub(super) async fn next_message(
        &mut self,
    ) -> Result<Option<StreamingMessage>, StreamingError> {
        let frame = match self.stream.next().await {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Err(StreamingError::from_socket(&error)),
            None => return Err(StreamingError::unresponsive()),
        };
        match frame {
            Frame::Text(text) => match serde_json::from_str(&text) {
                Ok(StreamingMessage::Error { error_code, error }) => Err(StreamingError::Closed(
                    error_code.unwrap_or_default(),
                    error.as_deref().unwrap_or_default().into(),
                )),
                Ok(message) => Ok(Some(message)),
                Err(_) => self.count_malformed(text.len()),
            },
            Frame::Binary(bytes) => self.count_malformed(bytes.len()),
            Frame::Close(close) => Err(close.map_or_else(
                || StreamingError::Closed(1005, RedactedText::default()),
                |close| StreamingError::Closed(close.code.into(), close.reason.as_str().into()),
            )),
            Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => Ok(None),
        }
    }

    fn count_malformed(
        &mut self,
        bytes: usize,
    ) -> Result<Option<StreamingMessage>, StreamingError> {
        self.malformed_count += 1;
        tracing::warn!(bytes, "a malformed message in the live session");
        if self.malformed_count > MAX_MALFORMED_MESSAGES {
            return Err(StreamingError::ProtocolViolation(
                "too many malformed messages",
            ));
        }
        Ok(None)
    }

    /// Sends audio.
    pub(super) async fn send_audio(&mut self, samples: &[i16]) -> Result<(), StreamingError> {
        let bytes: Vec<u8> = samples
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
        self.send_frame(Frame::Binary(bytes.into())).await
    }

    /// Requests the text so far. If there was no speech, no response comes.
    pub(super) async fn send_force_endpoint(&mut self) -> Result<(), StreamingError> {
        self.send_frame(Frame::Text(FORCE_ENDPOINT.into())).await
    }

    /// Requests the end of the session.
    pub(super) async fn send_terminate(&mut self) -> Result<(), StreamingError> {
        self.send_frame(Frame::Text(TERMINATE.into())).await
    }

    /// Closes the socket of a terminated session, for at most `limit`.
    pub(super) async fn close(mut self, limit: Duration) {
        // The service's response doesn't matter.
        let _ = timeout(limit, self.stream.close(None)).await;
    }

    /// Abandons a failed session. Asks the service to terminate it, in case it is still open and
    /// being billed.
    pub(super) async fn abort(mut self) {
        let terminate = self.stream.send(Frame::Text(TERMINATE.into()));
        // Most of these sockets are broken, so the outcome is ignored.
        let _ = timeout(CLOSE_REASON_TIMEOUT, terminate).await;
    }

    async fn send_frame(&mut self, frame: Frame) -> Result<(), StreamingError> {
        match timeout(self.write_timeout, self.stream.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self
                .close_reason_or(StreamingError::from_socket(&error))
                .await),
            Err(_) => Err(StreamingError::unresponsive()),
        }
    }

    /// If the service closed the socket, the reason from its unread close message; otherwise
    /// `fallback`.
    async fn close_reason_or(&mut self, fallback: StreamingError) -> StreamingError {
        let why = async {
            loop {
                if let Err(why @ (StreamingError::Closed(..) | StreamingError::Disconnected(..))) =
                    self.next_message().await
                {
                    return why;
                }
            }
        };
        match timeout(CLOSE_REASON_TIMEOUT, why).await {
            Ok(why @ StreamingError::Closed(..)) => why,
            _ => fallback,
        }
    }
}
