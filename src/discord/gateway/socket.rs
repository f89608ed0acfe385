//! One WebSocket to the gateway, with limits on size and time.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
};
use url::Url;

use super::payload::inflate;
use super::shard_state::GatewayDisconnect;
use net::{ErrorCause, websocket_tls_config};

/// Maximum payload size after decompression. GUILD_CREATE of a large server takes a few megabytes.
pub(super) const MAX_FRAME_BYTES: usize = 64 * 1024 * 1024;

/// Limit for the TCP, TLS and WebSocket handshakes together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Limit for sending one payload.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Limit for the closing handshake.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why connecting failed. Contains nothing that was sent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub(in crate::discord) struct GatewayConnectError(pub(in crate::discord) ErrorCause);

pub(in crate::discord) struct GatewaySocket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl GatewaySocket {
    /// Connects to the gateway at `url`.
    pub(in crate::discord) async fn connect(url: &str) -> Result<Self, GatewayConnectError> {
        let connecting = async {
            let address = Url::parse_with_params(url, [("v", "10"), ("encoding", "json")])
                .map_err(|_| GatewayConnectError("no address".into()))?;
            let connector = if address.scheme() == "wss" {
                let tls = websocket_tls_config().await;
                Connector::Rustls(
                    tls.map_err(|error| GatewayConnectError(ErrorCause::from_error(&error)))?,
                )
            } else {
                Connector::Plain
            };
            let config = WebSocketConfig::default()
                .max_message_size(Some(MAX_FRAME_BYTES))
                .max_frame_size(Some(MAX_FRAME_BYTES));
            let connecting = connect_async_tls_with_config(
                address.as_str(),
                Some(config),
                true,
                Some(connector),
            );
            let connected = connecting.await;
            let (stream, _) =
                connected.map_err(|error| GatewayConnectError(ErrorCause::from_error(&error)))?;
            Ok(Self { stream })
        };
        let connected = timeout(CONNECT_TIMEOUT, connecting).await;
        connected.unwrap_or_else(|_| Err(GatewayConnectError("no answer in time".into())))
    }

    /// The next payload. `None` if it can't be decompressed to text. Cancel safe.
    pub(in crate::discord) async fn next_frame(
        &mut self,
    ) -> Result<Option<String>, GatewayDisconnect> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => return Ok(Some(text.as_str().to_owned())),
                Some(Ok(Message::Binary(bytes))) => return Ok(inflate(&bytes)),
                Some(Ok(Message::Close(close))) => {
                    return Err(GatewayDisconnect::Closed(
                        close.map(|close| close.code.into()),
                    ));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(GatewayDisconnect::ConnectionFailed),
            }
        }
    }

    /// Sends a text frame. If the peer has closed the connection, returns its close code.
    pub(in crate::discord) async fn send(&mut self, text: String) -> Result<(), GatewayDisconnect> {
        match timeout(WRITE_TIMEOUT, self.stream.send(Message::Text(text.into()))).await {
            Ok(Ok(())) => Ok(()),
            // The close frame may still be in the receive buffer.
            Ok(Err(_)) => match timeout(CLOSE_TIMEOUT, self.read_close()).await {
                Ok(disconnect) => Err(disconnect),
                Err(_) => Err(GatewayDisconnect::ConnectionFailed),
            },
            Err(_) => Err(GatewayDisconnect::ConnectionFailed),
        }
    }

    async fn read_close(&mut self) -> GatewayDisconnect {
        loop {
            if let Err(disconnect) = self.next_frame().await {
                return disconnect;
            }
        }
    }

    /// Closes the connection with `code`.
    pub(in crate::discord) async fn close(mut self, code: u16) {
        let frame = CloseFrame {
            code: code.into(),
            reason: "".into(),
        };
        let closing = async {
            if self.stream.close(Some(frame)).await.is_ok() {
                // Keep reading until the peer closes, so that it receives what was sent.
                while let Some(Ok(_)) = self.stream.next().await {}
            }
        };
        // The peer's answer does not matter.
        let _ = timeout(CLOSE_TIMEOUT, closing).await;
    }
}
