//! Runs one shard: drives [`ShardStateMachine`] with a socket and a clock, and passes events on.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_channel::mpsc::{UnboundedReceiver, unbounded};
use futures_util::StreamExt;
use serenity::gateway::ShardRunnerMessage;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::identify_limiter::{IdentifyLimiter, IdentifyPermit};
use super::payload::{self, GatewayEvent as Frame};
use super::shard_state::{
    GatewayCommand, GatewayDisconnect, RESUMABLE_CLOSE_CODE, ShardAction, ShardInput,
    ShardStateMachine,
};
use super::socket::GatewaySocket;
use super::{FatalGatewayError, GatewayContext, Shard, ShardEventHandler};
use crate::discord::decode;

/// Voice payloads that may be sent per minute. Discord closes the connection after 120 payloads;
/// the difference leaves room for heartbeats, which are never delayed.
const MAX_SENT_PER_MINUTE: u32 = 100;
const MINUTE: Duration = Duration::from_secs(60);

/// Close code that ends the session: the bot goes offline at once.
const NORMAL_CLOSE_CODE: u16 = 1_000;

/// Keeps one shard connected until `stop`, or until it fails for good.
pub(super) async fn run_shard(
    shard: Shard,
    usual: String,
    means: Arc<GatewayContext>,
    gate: Arc<IdentifyLimiter>,
    listener: Arc<impl ShardEventHandler>,
    stop: CancellationToken,
) -> Result<(), FatalGatewayError> {
    let mut life = ShardRunner {
        shard,
        gateway_url: usual,
        state_machine: ShardStateMachine::new(Instant::now()),
        disconnected_at: None,
        context: means,
        event_handler: listener,
    };
    loop {
        let next = life.state_machine.next_attempt();
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = sleep_until(next.into()) => {}
        }
        match life.run_connection(&gate, &stop).await {
            Some(lost) => life.on_disconnect(lost)?,
            None => return Ok(()),
        }
    }
}

struct ShardRunner<L> {
    shard: Shard,
    gateway_url: String,
    state_machine: ShardStateMachine,
    /// Since when the shard has been offline.
    disconnected_at: Option<Instant>,
    context: Arc<GatewayContext>,
    event_handler: Arc<L>,
}

impl<L: ShardEventHandler> ShardRunner<L> {
    /// Runs one connection to its end. Returns why it was lost, or `None` after `stop`.
    async fn run_connection(
        &mut self,
        gate: &IdentifyLimiter,
        stop: &CancellationToken,
    ) -> Option<GatewayDisconnect> {
        let connecting = async {
            let pass = match self.state_machine.needs_identify() {
                true => gate.acquire(self.shard).await,
                false => None,
            };
            let url = self
                .state_machine
                .resume_url()
                .filter(|url| self.is_secure_enough(url));
            (
                GatewaySocket::connect(url.unwrap_or(&self.gateway_url)).await,
                pass,
            )
        };
        let (socket, mut pass) = tokio::select! {
            () = stop.cancelled() => return None,
            connected = connecting => connected,
        };
        let mut socket = match socket {
            Ok(socket) => socket,
            Err(error) => {
                tracing::debug!(shard = self.shard.index, %error, "no connection to the gateway");
                return Some(GatewayDisconnect::ConnectionFailed);
            }
        };
        self.state_machine.on_socket_open(Instant::now());
        let lost = self.run_event_loop(&mut socket, &mut pass, stop).await;
        if self.state_machine.is_connected() {
            self.event_handler.on_disconnected(self.shard).await;
        }
        let code = match lost {
            None => NORMAL_CLOSE_CODE,
            Some(_) => RESUMABLE_CLOSE_CODE,
        };
        socket.close(code).await;
        lost
    }

    /// Whether the token may be sent to `url`. The resume URL came from READY, so it must not be
    /// less secure than the connection that delivered it.
    fn is_secure_enough(&self, url: &str) -> bool {
        url.starts_with("wss://")
            || (self.gateway_url.starts_with("ws://") && url.starts_with("ws://"))
    }

    async fn run_event_loop(
        &mut self,
        socket: &mut GatewaySocket,
        pass: &mut Option<IdentifyPermit<'_>>,
        stop: &CancellationToken,
    ) -> Option<GatewayDisconnect> {
        let mut voice: Option<UnboundedReceiver<ShardRunnerMessage>> = None;
        let mut sent = SendBudget::new(Instant::now());
        loop {
            let due = self.state_machine.next_deadline(Instant::now());
            let more = async {
                match &mut voice {
                    Some(voice) => {
                        sleep_until(sent.next_allowed_at().into()).await;
                        voice.next().await
                    }
                    None => std::future::pending().await,
                }
            };
            let todo = tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                () = sleep_until(due.into()) => self.state_machine.tick(Instant::now()),
                text = socket.next_frame() => {
                    let heard = match text {
                        Ok(text) => self.parse_payload(text.as_deref()),
                        Err(lost) => return Some(lost),
                    };
                    match heard {
                        Some(Frame::Dispatch(number, name, data)) => {
                            self.handle_dispatch(number, &name, data, &mut voice).await
                        }
                        Some(frame) => self.handle_control(&frame),
                        None => Vec::new(),
                    }
                },
                message = more => {
                    if let Some(text) = message.and_then(voice_payload_text) {
                        sent.record(Instant::now());
                        if let Err(lost) = socket.send(text).await {
                            return Some(lost);
                        }
                    }
                    Vec::new()
                }
            };
            for one in todo {
                match one {
                    ShardAction::Disconnect => return Some(GatewayDisconnect::ConnectionFailed),
                    ShardAction::Send(say) => {
                        let identifies = say == GatewayCommand::Identify;
                        if let Err(lost) = socket.send(self.encode_command(&say)).await {
                            return Some(lost);
                        }
                        if identifies {
                            // IDENTIFY is out: start the bucket's wait for the next shard.
                            *pass = None;
                        }
                    }
                }
            }
        }
    }

    /// Parses a payload. One that can't be parsed is reported and skipped.
    fn parse_payload(&self, text: Option<&str>) -> Option<Frame> {
        let heard = text.and_then(payload::parse_payload);
        if heard.is_none() {
            decode::report_undecodable("a frame of the gateway", "(whole)");
        }
        heard
    }

    fn handle_control(&mut self, frame: &Frame) -> Vec<ShardAction> {
        let heard = match frame {
            Frame::Hello(beat) => ShardInput::Hello(beat.map(Duration::from_millis)),
            Frame::Heartbeat => ShardInput::HeartbeatRequest,
            Frame::HeartbeatAck => ShardInput::HeartbeatAck,
            Frame::Reconnect => ShardInput::Reconnect,
            Frame::InvalidSession { resumable } => ShardInput::InvalidSession {
                resumable: *resumable,
            },
            Frame::Dispatch(..) | Frame::Unknown => return Vec::new(),
        };
        self.state_machine
            .handle_input(heard, Instant::now(), random_fraction())
    }

    async fn handle_dispatch(
        &mut self,
        number: Option<u64>,
        name: &str,
        data: payload::RawEventData,
        voice: &mut Option<UnboundedReceiver<ShardRunnerMessage>>,
    ) -> Vec<ShardAction> {
        let now = Instant::now();
        let mut todo = self
            .state_machine
            .handle_input(ShardInput::Dispatch(number), now, 0.0);
        match name {
            "READY" => {
                let ready = data.parse().and_then(|data| decode::ready(&data).ok());
                let Some(ready) = ready else {
                    // Without a session ID the session can be neither used nor resumed.
                    return vec![ShardAction::Disconnect];
                };
                let heard = ShardInput::Ready {
                    session_id: ready.session_id.clone(),
                    resume_url: ready.resume_gateway_url.clone(),
                };
                todo.extend(self.state_machine.handle_input(heard, now, 0.0));
                self.on_session_established(voice).await;
                self.event_handler.on_ready(self.shard, ready);
            }
            "RESUMED" => {
                todo.extend(
                    self.state_machine
                        .handle_input(ShardInput::Resumed, now, 0.0),
                );
                self.on_session_established(voice).await;
                self.event_handler.on_resumed(self.shard);
            }
            name => self.event_handler.on_event(name, data).await,
        }
        todo
    }

    async fn on_session_established(
        &mut self,
        voice: &mut Option<UnboundedReceiver<ShardRunnerMessage>>,
    ) {
        // serenity's API dictates an unbounded channel; the number of running calls bounds its use.
        let (sender, receiver) = unbounded();
        *voice = Some(receiver);
        self.event_handler.on_connected(self.shard, sender).await;
        self.context.health.mark_connected(self.shard.index);
        if let Some(lost_at) = self.disconnected_at.take() {
            tracing::info!(
                shard = self.shard.index,
                tries = self.state_machine.failed_connections(),
                seconds = lost_at.elapsed().as_secs(),
                "connected again"
            );
        }
    }

    /// Records the lost connection. The first loss is logged as a warning, further failed attempts
    /// only at debug level; health shows both.
    fn on_disconnect(&mut self, lost: GatewayDisconnect) -> Result<(), FatalGatewayError> {
        let now = Instant::now();
        self.state_machine
            .on_disconnect(lost, now, random_fraction())?;
        let shard = self.shard.index;
        let first = self.disconnected_at.is_none();
        let since = *self.disconnected_at.get_or_insert(now);
        let tries = self.state_machine.failed_connections();
        let next = self.state_machine.next_attempt();
        self.context
            .health
            .mark_disconnected(shard, since, tries, next);
        if first {
            tracing::warn!(shard, ?lost, "the gateway is lost: connecting again");
        } else {
            tracing::debug!(shard, ?lost, tries, "still no connection to the gateway");
        }
        Ok(())
    }

    fn encode_command(&self, say: &GatewayCommand) -> String {
        let means = &self.context;
        match say {
            GatewayCommand::Heartbeat(last) => payload::heartbeat_payload(*last),
            GatewayCommand::Identify => {
                payload::identify_payload(&means.token, means.intents, self.shard)
            }
            GatewayCommand::Resume {
                session_id: session,
                sequence: last,
            } => payload::resume_payload(&means.token, session, *last),
        }
    }
}

/// songbird's voice state update as JSON. Nothing else comes through its channel.
fn voice_payload_text(message: ShardRunnerMessage) -> Option<String> {
    match message {
        ShardRunnerMessage::Message(message) => message.into_text().ok(),
        _ => None,
    }
}

/// Voice payloads sent in the current one-minute window.
struct SendBudget {
    window_start: Instant,
    count: u32,
}

impl SendBudget {
    fn new(now: Instant) -> Self {
        Self {
            window_start: now,
            count: 0,
        }
    }

    fn record(&mut self, now: Instant) {
        if now.duration_since(self.window_start) >= MINUTE {
            *self = Self::new(now);
        }
        self.count += 1;
    }

    /// Earliest time at which another payload may be sent.
    fn next_allowed_at(&self) -> Instant {
        match self.count < MAX_SENT_PER_MINUTE {
            true => self.window_start,
            false => self.window_start + MINUTE,
        }
    }
}

/// A random number from 0 to 1.
fn random_fraction() -> f64 {
    let bits = RandomState::new().hash_one(Instant::now());
    bits as f64 / u64::MAX as f64
}
