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
use super::payload::{self, GatewayEvent};
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
    gateway_url: String,
    context: Arc<GatewayContext>,
    identify_limiter: Arc<IdentifyLimiter>,
    event_handler: Arc<impl ShardEventHandler>,
    stop: CancellationToken,
) -> Result<(), FatalGatewayError> {
    let mut runner = ShardRunner {
        shard,
        gateway_url,
        state_machine: ShardStateMachine::new(Instant::now()),
        disconnected_at: None,
        context,
        event_handler,
    };
    loop {
        let next = runner.state_machine.next_attempt();
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = sleep_until(next.into()) => {}
        }
        match runner.run_connection(&identify_limiter, &stop).await {
            Some(lost) => runner.on_disconnect(lost)?,
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
        identify_limiter: &IdentifyLimiter,
        stop: &CancellationToken,
    ) -> Option<GatewayDisconnect> {
        let connecting = async {
            let permit = match self.state_machine.needs_identify() {
                true => identify_limiter.acquire(self.shard).await,
                false => None,
            };
            let url = self
                .state_machine
                .resume_url()
                .filter(|url| self.is_secure_enough(url));
            (
                GatewaySocket::connect(url.unwrap_or(&self.gateway_url)).await,
                permit,
            )
        };
        let (socket, mut permit) = tokio::select! {
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
        let lost = self.run_event_loop(&mut socket, &mut permit, stop).await;
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
        permit: &mut Option<IdentifyPermit<'_>>,
        stop: &CancellationToken,
    ) -> Option<GatewayDisconnect> {
        let mut voice: Option<UnboundedReceiver<ShardRunnerMessage>> = None;
        let mut send_budget = SendBudget::new(Instant::now());
        loop {
            let deadline = self.state_machine.next_deadline(Instant::now());
            let next_voice_payload = async {
                match &mut voice {
                    Some(voice) => {
                        sleep_until(send_budget.next_allowed_at().into()).await;
                        voice.next().await
                    }
                    None => std::future::pending().await,
                }
            };
            let actions = tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                () = sleep_until(deadline.into()) => self.state_machine.tick(Instant::now()),
                text = socket.next_frame() => {
                    let event = match text {
                        Ok(text) => self.parse_payload(text.as_deref()),
                        Err(lost) => return Some(lost),
                    };
                    match event {
                        Some(GatewayEvent::Dispatch(sequence, name, data)) => {
                            self.handle_dispatch(sequence, &name, data, &mut voice).await
                        }
                        Some(event) => self.handle_control(&event),
                        None => Vec::new(),
                    }
                },
                message = next_voice_payload => {
                    if let Some(text) = message.and_then(voice_payload_text) {
                        send_budget.record(Instant::now());
                        if let Err(lost) = socket.send(text).await {
                            return Some(lost);
                        }
                    }
                    Vec::new()
                }
            };
            for action in actions {
                match action {
                    ShardAction::Disconnect => return Some(GatewayDisconnect::ConnectionFailed),
                    ShardAction::Send(command) => {
                        let identifies = command == GatewayCommand::Identify;
                        if let Err(lost) = socket.send(self.encode_command(&command)).await {
                            return Some(lost);
                        }
                        if identifies {
                            // IDENTIFY is out: start the bucket's wait for the next shard.
                            *permit = None;
                        }
                    }
                }
            }
        }
    }

    /// Parses a payload. One that can't be parsed is reported and skipped.
    fn parse_payload(&self, text: Option<&str>) -> Option<GatewayEvent> {
        let event = text.and_then(payload::parse_payload);
        if event.is_none() {
            decode::report_undecodable("a frame of the gateway", "(whole)");
        }
        event
    }

    fn handle_control(&mut self, event: &GatewayEvent) -> Vec<ShardAction> {
        let input = match event {
            GatewayEvent::Hello(interval) => ShardInput::Hello(interval.map(Duration::from_millis)),
            GatewayEvent::Heartbeat => ShardInput::HeartbeatRequest,
            GatewayEvent::HeartbeatAck => ShardInput::HeartbeatAck,
            GatewayEvent::Reconnect => ShardInput::Reconnect,
            GatewayEvent::InvalidSession { resumable } => ShardInput::InvalidSession {
                resumable: *resumable,
            },
            GatewayEvent::Dispatch(..) | GatewayEvent::Unknown => return Vec::new(),
        };
        self.state_machine
            .handle_input(input, Instant::now(), random_fraction())
    }

    async fn handle_dispatch(
        &mut self,
        sequence: Option<u64>,
        name: &str,
        data: payload::RawEventData,
        voice: &mut Option<UnboundedReceiver<ShardRunnerMessage>>,
    ) -> Vec<ShardAction> {
        let now = Instant::now();
        let mut actions = self
            .state_machine
            .handle_input(ShardInput::Dispatch(sequence), now, 0.0);
        match name {
            "READY" => {
                let ready = data.parse().and_then(|data| decode::ready(&data).ok());
                let Some(ready) = ready else {
                    // Without a session ID the session can be neither used nor resumed.
                    return vec![ShardAction::Disconnect];
                };
                let input = ShardInput::Ready {
                    session_id: ready.session_id.clone(),
                    resume_url: ready.resume_gateway_url.clone(),
                };
                actions.extend(self.state_machine.handle_input(input, now, 0.0));
                self.on_session_established(voice).await;
                self.event_handler.on_ready(self.shard, ready);
            }
            "RESUMED" => {
                actions.extend(
                    self.state_machine
                        .handle_input(ShardInput::Resumed, now, 0.0),
                );
                self.on_session_established(voice).await;
                self.event_handler.on_resumed(self.shard);
            }
            name => self.event_handler.on_event(name, data).await,
        }
        actions
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

    fn encode_command(&self, command: &GatewayCommand) -> String {
        let context = &self.context;
        match command {
            GatewayCommand::Heartbeat(sequence) => payload::heartbeat_payload(*sequence),
            GatewayCommand::Identify => {
                payload::identify_payload(&context.token, context.intents, self.shard)
            }
            GatewayCommand::Resume {
                session_id,
                sequence,
            } => payload::resume_payload(&context.token, session_id, *sequence),
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
