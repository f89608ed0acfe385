//! One WebSocket to the gateway.

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

use super::frame::inflated;
use super::machine::Lost;
use net::{Cause, websocket_tls};

/// The largest frame: a large server with all its channels has some megabytes.
pub(super) const MAX_FRAME: usize = 64 * 1024 * 1024;

/// How long TCP, TLS and the WebSocket may take to come about.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);

/// How long one frame may take to be written.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// How long a farewell may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// Why there is no connection, without what was sent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub(in crate::discord) struct NotConnected(pub(in crate::discord) Cause);

/// An open connection.
pub(in crate::discord) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    /// Connects to the gateway at `url`.
    pub(in crate::discord) async fn connect(url: &str) -> Result<Self, NotConnected> {
        let connecting = async {
            let address = Url::parse_with_params(url, [("v", "10"), ("encoding", "json")])
                .map_err(|_| NotConnected("no address".into()))?;
            let connector = if address.scheme() == "wss" {
                let tls = websocket_tls().await;
                Connector::Rustls(tls.map_err(|error| NotConnected(Cause::of(&error)))?)
            } else {
                Connector::Plain
            };
            let config = WebSocketConfig::default()
                .max_message_size(Some(MAX_FRAME))
                .max_frame_size(Some(MAX_FRAME));
            let connecting = connect_async_tls_with_config(
                address.as_str(),
                Some(config),
                true,
                Some(connector),
            );
            let connected = connecting.await;
            let (stream, _) = connected.map_err(|error| NotConnected(Cause::of(&error)))?;
            Ok(Self { stream })
        };
        let connected = timeout(CONNECT_LIMIT, connecting).await;
        connected.unwrap_or_else(|_| Err(NotConnected("no answer in time".into())))
    }

    /// The next frame. Nothing is lost if the future is dropped. None: it was no text.
    pub(in crate::discord) async fn next(&mut self) -> Result<Option<String>, Lost> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => return Ok(Some(text.as_str().to_owned())),
                Some(Ok(Message::Binary(bytes))) => return Ok(inflated(&bytes)),
                Some(Ok(Message::Close(close))) => {
                    return Err(Lost::Closed(close.map(|close| close.code.into())));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(Lost::Broken),
            }
        }
    }

    /// Says something.
    pub(in crate::discord) async fn say(&mut self, text: String) -> Result<(), Lost> {
        match timeout(WRITE_LIMIT, self.stream.send(Message::Text(text.into()))).await {
            Ok(Ok(())) => Ok(()),
            // Why the other end is gone may still be to be read.
            Ok(Err(_)) => match timeout(CLOSE_LIMIT, self.last_word()).await {
                Ok(lost) => Err(lost),
                Err(_) => Err(Lost::Broken),
            },
            Err(_) => Err(Lost::Broken),
        }
    }

    async fn last_word(&mut self) -> Lost {
        loop {
            if let Err(lost) = self.next().await {
                return lost;
            }
        }
    }

    /// Leaves.
    pub(in crate::discord) async fn close(mut self, code: u16) {
        let frame = CloseFrame {
            code: code.into(),
            reason: "".into(),
        };
        let farewell = async {
            if self.stream.close(Some(frame)).await.is_ok() {
                // Its end is waited for, so that what was said is read.
                while let Some(Ok(_)) = self.stream.next().await {}
            }
        };
        // Whether the other end agrees is of no interest.
        let _ = timeout(CLOSE_LIMIT, farewell).await;
    }
}
