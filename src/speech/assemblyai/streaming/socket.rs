//! A live session's socket: one that is open has said `Begin`.

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

use super::trouble::Trouble;
use super::wire::{FORCE_ENDPOINT, Message, TERMINATE};
use crate::speech::assemblyai::api::{STREAMING_VERSION, USER_AGENT_VALUE};
use net::{ForeignText, websocket_tls};

/// The largest message that is read: 1 MiB. A turn of an hour with all its words has less.
const MAX_MESSAGE: usize = 1024 * 1024;
/// What the library holds back of what is to be written: four of our largest messages.
const MAX_WRITE: usize = 128 * 1024;
/// Messages of one session that are no JSON. Some are put up with.
const MAX_GARBAGE: usize = 8;
/// How long the reason is waited for why a socket can't be written to.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Where to connect to, and as whom.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) url: String,
    /// `None` if the key can't stand in a header, and so can't be right.
    pub(super) key: Option<HeaderValue>,
    /// The time limit of one message to be written.
    pub(super) write: Duration,
}

/// An open session.
pub(super) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    write: Duration,
    garbage: usize,
}

impl Socket {
    /// Connects; the socket is open, but the session has not begun.
    pub(super) async fn connect(address: &Address) -> Result<Self, Trouble> {
        let mut request = address
            .url
            .as_str()
            .into_client_request()
            .map_err(Trouble::at_handshake)?;
        let key = address.key.clone().ok_or(Trouble::KeyUnsendable)?;
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, key);
        headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_VALUE));
        let (version, date) = STREAMING_VERSION;
        headers.insert(version, HeaderValue::from_static(date));
        let config = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            // Every message leaves at once.
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_WRITE)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let connector = if address.url.starts_with("wss:") {
            Connector::Rustls(
                websocket_tls()
                    .await
                    .map_err(|error| Trouble::without_tls(&error))?,
            )
        } else {
            Connector::Plain
        };
        let (stream, _) =
            connect_async_tls_with_config(request, Some(config), true, Some(connector))
                .await
                .map_err(Trouble::at_handshake)?;
        Ok(Self {
            stream,
            write: address.write,
            garbage: 0,
        })
    }

    /// Waits for `Begin`.
    pub(super) async fn begin(&mut self) -> Result<(), Trouble> {
        loop {
            if let Some(Message::Begin) = self.next().await? {
                return Ok(());
            }
        }
    }

    /// What the service says next; `None` where that means nothing. Its `Error` and its closing are
    /// errors. Nothing is lost if the future is dropped.
    pub(super) async fn next(&mut self) -> Result<Option<Message>, Trouble> {
        let frame = match self.stream.next().await {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Err(Trouble::on_socket(&error)),
            None => return Err(Trouble::silence()),
        };
        match frame {
            Frame::Text(text) => match serde_json::from_str(&text) {
                Ok(Message::Error { error_code, error }) => Err(Trouble::Closed(
                    error_code.unwrap_or_default(),
                    error.as_deref().unwrap_or_default().into(),
                )),
                Ok(message) => Ok(Some(message)),
                Err(_) => self.garbage(text.len()),
            },
            Frame::Binary(bytes) => self.garbage(bytes.len()),
            Frame::Close(close) => Err(close.map_or_else(
                || Trouble::Closed(1005, ForeignText::default()),
                |close| Trouble::Closed(close.code.into(), close.reason.as_str().into()),
            )),
            Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => Ok(None),
        }
    }

    fn garbage(&mut self, bytes: usize) -> Result<Option<Message>, Trouble> {
        self.garbage += 1;
        tracing::warn!(bytes, "a message of the live session makes no sense");
        if self.garbage > MAX_GARBAGE {
            return Err(Trouble::Nonsense("messages that are no JSON"));
        }
        Ok(None)
    }

    /// Sends samples.
    pub(super) async fn audio(&mut self, samples: &[i16]) -> Result<(), Trouble> {
        let bytes: Vec<u8> = samples
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
        self.send(Frame::Binary(bytes.into())).await
    }

    /// Asks for the words so far. Where nothing was said, no answer comes.
    pub(super) async fn force_endpoint(&mut self) -> Result<(), Trouble> {
        self.send(Frame::Text(FORCE_ENDPOINT.into())).await
    }

    /// Says that the session is to end.
    pub(super) async fn terminate(&mut self) -> Result<(), Trouble> {
        self.send(Frame::Text(TERMINATE.into())).await
    }

    /// Closes what is done with; `limit` bounds how long that may take.
    pub(super) async fn close(mut self, limit: Duration) {
        // Whether the other side agrees is of no interest.
        let _ = timeout(limit, self.stream.close(None)).await;
    }

    /// Lets go of a session that went wrong. Should the service still listen, it is not to bill
    /// any longer.
    pub(super) async fn give_up(mut self) {
        let terminate = self.stream.send(Frame::Text(TERMINATE.into()));
        // Most of these sockets are broken.
        let _ = timeout(LAST_WORDS, terminate).await;
    }

    async fn send(&mut self, frame: Frame) -> Result<(), Trouble> {
        match timeout(self.write, self.stream.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.last_words(Trouble::on_socket(&error)).await),
            Err(_) => Err(Trouble::silence()),
        }
    }

    /// Who closes a socket may have said why before; that lies unread.
    async fn last_words(&mut self, trouble: Trouble) -> Trouble {
        let why = async {
            loop {
                if let Err(why @ (Trouble::Closed(..) | Trouble::Broken(..))) = self.next().await {
                    return why;
                }
            }
        };
        match timeout(LAST_WORDS, why).await {
            Ok(why @ Trouble::Closed(..)) => why,
            _ => trouble,
        }
    }
}
