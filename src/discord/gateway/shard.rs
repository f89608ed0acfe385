//! One shard: the machine, with a socket and a clock.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_channel::mpsc::{UnboundedReceiver, unbounded};
use futures_util::StreamExt;
use serenity::gateway::ShardRunnerMessage;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::frame::{self, Heard as Frame};
use super::gate::{Gate, Pass};
use super::machine::{Do, Heard, KEEPING, Lost, Machine, Say};
use super::socket::Socket;
use super::{Fatal, Listener, Means, Shard};
use crate::discord::decode;

/// What others may have sent in a minute: Discord closes after 120, and heartbeats are never held
/// back.
const MAX_SENT: u32 = 100;
const MINUTE: Duration = Duration::from_secs(60);

/// The close code that ends the session: the bot goes offline at once.
const ENDING: u16 = 1_000;

/// Keeps one shard connected until `stop`, or until it can't go on.
pub(super) async fn run(
    shard: Shard,
    usual: String,
    means: Arc<Means>,
    gate: Arc<Gate>,
    listener: Arc<impl Listener>,
    stop: CancellationToken,
) -> Result<(), Fatal> {
    let mut life = Life {
        shard,
        usual,
        machine: Machine::new(Instant::now()),
        lost_at: None,
        means,
        listener,
    };
    loop {
        let next = life.machine.next_try();
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = sleep_until(next.into()) => {}
        }
        match life.connection(&gate, &stop).await {
            Some(lost) => life.lost(lost)?,
            None => return Ok(()),
        }
    }
}

struct Life<L> {
    shard: Shard,
    usual: String,
    machine: Machine,
    /// Since when there is no connection.
    lost_at: Option<Instant>,
    means: Arc<Means>,
    listener: Arc<L>,
}

impl<L: Listener> Life<L> {
    /// One connection, from its beginning to its end. None: it was to end.
    async fn connection(&mut self, gate: &Gate, stop: &CancellationToken) -> Option<Lost> {
        let connecting = async {
            let pass = match self.machine.begins() {
                true => gate.pass(self.shard).await,
                false => None,
            };
            let url = self.machine.address().filter(|url| self.is_fit(url));
            (Socket::connect(url.unwrap_or(&self.usual)).await, pass)
        };
        let (socket, mut pass) = tokio::select! {
            () = stop.cancelled() => return None,
            connected = connecting => connected,
        };
        let mut socket = match socket {
            Ok(socket) => socket,
            Err(error) => {
                tracing::debug!(shard = self.shard.index, %error, "no connection to the gateway");
                return Some(Lost::Broken);
            }
        };
        self.machine.opened(Instant::now());
        let lost = self.listen(&mut socket, &mut pass, stop).await;
        if self.machine.is_connected() {
            self.listener.down(self.shard).await;
        }
        let code = match lost {
            None => ENDING,
            Some(_) => KEEPING,
        };
        socket.close(code).await;
        lost
    }

    /// Whether the token may be said there: READY came over the usual connection, so it is to be at
    /// least as private.
    fn is_fit(&self, url: &str) -> bool {
        url.starts_with("wss://") || (self.usual.starts_with("ws://") && url.starts_with("ws://"))
    }

    async fn listen(
        &mut self,
        socket: &mut Socket,
        pass: &mut Option<Pass<'_>>,
        stop: &CancellationToken,
    ) -> Option<Lost> {
        let mut voice: Option<UnboundedReceiver<ShardRunnerMessage>> = None;
        let mut sent = Sent::new(Instant::now());
        loop {
            let due = self.machine.due(Instant::now());
            let more = async {
                match &mut voice {
                    Some(voice) => {
                        sleep_until(sent.next().into()).await;
                        voice.next().await
                    }
                    None => std::future::pending().await,
                }
            };
            let todo = tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                () = sleep_until(due.into()) => self.machine.tick(Instant::now()),
                text = socket.next() => {
                    let heard = match text {
                        Ok(text) => self.read(text.as_deref()),
                        Err(lost) => return Some(lost),
                    };
                    match heard {
                        Some(Frame::Event(number, name, data)) => {
                            self.event(number, &name, data, &mut voice).await
                        }
                        Some(frame) => self.control(&frame),
                        None => Vec::new(),
                    }
                },
                message = more => {
                    if let Some(text) = message.and_then(text_of) {
                        sent.one(Instant::now());
                        if let Err(lost) = socket.say(text).await {
                            return Some(lost);
                        }
                    }
                    Vec::new()
                }
            };
            for one in todo {
                match one {
                    Do::HangUp => return Some(Lost::Broken),
                    Do::Say(say) => {
                        let identifies = say == Say::Identify;
                        if let Err(lost) = socket.say(self.text(&say)).await {
                            return Some(lost);
                        }
                        if identifies {
                            // The next one may begin its session some time from now.
                            *pass = None;
                        }
                    }
                }
            }
        }
    }

    /// What a frame says; none if it can't be read, which is told.
    fn read(&self, text: Option<&str>) -> Option<Frame> {
        let heard = text.and_then(frame::read);
        if heard.is_none() {
            decode::lost("a frame of the gateway", "(whole)");
        }
        heard
    }

    fn control(&mut self, frame: &Frame) -> Vec<Do> {
        let heard = match frame {
            Frame::Hello(beat) => Heard::Hello(beat.map(Duration::from_millis)),
            Frame::BeatAsked => Heard::BeatAsked,
            Frame::Beat => Heard::Beat,
            Frame::Reconnect => Heard::Reconnect,
            Frame::Invalid { resumable } => Heard::Invalid {
                resumable: *resumable,
            },
            Frame::Event(..) | Frame::Other => return Vec::new(),
        };
        self.machine.heard(heard, Instant::now(), chance())
    }

    async fn event(
        &mut self,
        number: Option<u64>,
        name: &str,
        data: frame::Raw,
        voice: &mut Option<UnboundedReceiver<ShardRunnerMessage>>,
    ) -> Vec<Do> {
        let now = Instant::now();
        let mut todo = self.machine.heard(Heard::Event(number), now, 0.0);
        match name {
            "READY" => {
                let ready = data.read().and_then(|data| decode::ready(&data).ok());
                let Some(ready) = ready else {
                    // Without the session's id nothing can be done with it.
                    return vec![Do::HangUp];
                };
                let heard = Heard::Ready {
                    session: ready.session_id.clone(),
                    url: ready.resume_gateway_url.clone(),
                };
                todo.extend(self.machine.heard(heard, now, 0.0));
                self.up(voice).await;
                self.listener.ready(self.shard, ready);
            }
            "RESUMED" => {
                todo.extend(self.machine.heard(Heard::Resumed, now, 0.0));
                self.up(voice).await;
                self.listener.resumed(self.shard);
            }
            name => self.listener.event(name, data).await,
        }
        todo
    }

    async fn up(&mut self, voice: &mut Option<UnboundedReceiver<ShardRunnerMessage>>) {
        // The channel is the library's; what comes through it is bounded by the calls there are.
        let (sender, receiver) = unbounded();
        *voice = Some(receiver);
        self.listener.up(self.shard, sender).await;
        self.means.health.up(self.shard.index);
        if let Some(lost_at) = self.lost_at.take() {
            tracing::info!(
                shard = self.shard.index,
                tries = self.machine.failures(),
                seconds = lost_at.elapsed().as_secs(),
                "connected again"
            );
        }
    }

    /// Says once that the connection is lost, and shows it as long as it is.
    fn lost(&mut self, lost: Lost) -> Result<(), Fatal> {
        let now = Instant::now();
        self.machine.lost(lost, now, chance())?;
        let shard = self.shard.index;
        let first = self.lost_at.is_none();
        let since = *self.lost_at.get_or_insert(now);
        let tries = self.machine.failures();
        let next = self.machine.next_try();
        self.means.health.away_since(shard, since, tries, next);
        if first {
            tracing::warn!(shard, ?lost, "the gateway is lost: connecting again");
        } else {
            tracing::debug!(shard, ?lost, tries, "still no connection to the gateway");
        }
        Ok(())
    }

    fn text(&self, say: &Say) -> String {
        let means = &self.means;
        match say {
            Say::Heartbeat(last) => frame::heartbeat(*last),
            Say::Identify => frame::identify(&means.token, means.intents, self.shard),
            Say::Resume { session, last } => frame::resume(&means.token, session, *last),
        }
    }
}

/// What songbird wants to say: nothing else comes through its channel.
fn text_of(message: ShardRunnerMessage) -> Option<String> {
    match message {
        ShardRunnerMessage::Message(message) => message.into_text().ok(),
        _ => None,
    }
}

/// How much was sent in the last minute.
struct Sent {
    since: Instant,
    count: u32,
}

impl Sent {
    fn new(now: Instant) -> Self {
        Self {
            since: now,
            count: 0,
        }
    }

    fn one(&mut self, now: Instant) {
        if now.duration_since(self.since) >= MINUTE {
            *self = Self::new(now);
        }
        self.count += 1;
    }

    /// When the next may be sent.
    fn next(&self) -> Instant {
        match self.count < MAX_SENT {
            true => self.since,
            false => self.since + MINUTE,
        }
    }
}

/// A number from 0 to 1, another one each time.
fn chance() -> f64 {
    let bits = RandomState::new().hash_one(Instant::now());
    bits as f64 / u64::MAX as f64
}
