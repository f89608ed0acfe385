//! The connection to a call, and what is done when it is lost.
//!
//! songbird's gateway half joins and leaves, a [`Driver`] receives. A task owns the driver and asks
//! the [`Supervisor`] what to do about everything that happens.

use std::sync::Arc;
use std::time::Duration;

use songbird::error::JoinError;
use songbird::id::{ChannelId, GuildId};
use songbird::{ConnectionInfo, Songbird};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::driver::{Driver, NotConnected};
use super::tap::Tap;
use crate::config::VoiceDriver;
use crate::flow::session::Ending;
use crate::flow::session::call::Message;
use crate::flow::session::hearing::{Microphone, SessionClock};
use crate::flow::session::supervisor::{Cause, Sign, Step, Supervisor};

/// The longest time Discord may take to let us into a call.
const JOIN_LIMIT: Duration = Duration::from_secs(8);

/// The longest time that word of having left a call is waited for; who was not in it gets none.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);

/// Signs that wait.
const MAX_SIGNS: usize = 256;

/// Between two looks at whether the driver still lives.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What the gateway tells about the bot's own place in a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Notice {
    /// The server or the channel is another one.
    Elsewhere,
    /// The bot is no longer in any channel.
    TakenOut,
    /// Somebody has left and come back within seconds.
    CameBack,
}

/// Why a call can't be joined.
#[derive(Debug, thiserror::Error)]
pub(in crate::discord) enum NotJoined {
    /// Discord does not let us in: no right, no room, or no such channel.
    #[error("Discord does not let the bot in")]
    NotLetIn,
    /// There is no connection to the gateway at the moment.
    #[error("no gateway")]
    NoGateway,
    /// The voice server does not let us in, or does not answer.
    #[error(transparent)]
    NotConnected(#[from] NotConnected),
    /// The system gives no thread for a driver.
    #[error("no driver: {0}")]
    NoDriver(std::io::Error),
}

/// The way into calls.
#[derive(Clone)]
pub(super) struct Line {
    songbird: Arc<Songbird>,
    kind: VoiceDriver,
    guild: u64,
}

/// A call that is connected to.
pub(super) struct Connection {
    line: Line,
    driver: Driver,
    tap: Arc<Tap>,
    signs: mpsc::Receiver<Sign>,
    supervisor: Supervisor,
    clock: SessionClock,
    info: ConnectionInfo,
    dialing: Option<JoinHandle<Result<Dialed, NotJoined>>>,
    /// While we leave in order to join again: told once the gateway says that we have left.
    leaving: Option<Arc<Notify>>,
}

/// How far a new connection has come.
enum Dialed {
    /// The gateway has told where the call is.
    Joined(ConnectionInfo),
    /// The driver is connected.
    Connected,
}

impl Line {
    pub(super) fn new(songbird: Arc<Songbird>, kind: VoiceDriver, guild: u64) -> Self {
        Self {
            songbird,
            kind,
            guild,
        }
    }

    /// Joins a channel and connects to its call.
    pub(super) async fn connect(
        self,
        channel: u64,
        microphone: Microphone,
        clock: SessionClock,
    ) -> Result<Connection, NotJoined> {
        let info = self.join(channel).await?;
        let connected = self.clone().connect_to(info, microphone, clock).await;
        if connected.is_err() {
            // Nobody should see us in a call that we don't hear.
            self.leave().await;
        }
        connected
    }

    async fn connect_to(
        self,
        info: ConnectionInfo,
        microphone: Microphone,
        clock: SessionClock,
    ) -> Result<Connection, NotJoined> {
        let (sender, signs) = mpsc::channel(MAX_SIGNS);
        let tap = Tap::new(microphone, clock, sender);
        let mut driver = Driver::new(self.kind, &tap).map_err(NotJoined::NoDriver)?;
        let mut supervisor = Supervisor::new(clock.now(), driver.skill());
        driver.connect(info.clone()).await?;
        supervisor.on(clock.now(), Sign::Connected);
        Ok(Connection {
            line: self,
            driver,
            tap,
            signs,
            supervisor,
            clock,
            info,
            dialing: None,
            leaving: None,
        })
    }

    /// Asks the gateway for a place in the call.
    async fn join(&self, channel: u64) -> Result<ConnectionInfo, NotJoined> {
        let channel = id(channel).map(ChannelId).ok_or(NotJoined::NotLetIn)?;
        let guild = self.guild().ok_or(NotJoined::NotLetIn)?;
        let joined = timeout(JOIN_LIMIT, self.songbird.join_gateway(guild, channel)).await;
        match joined {
            Ok(Ok((info, _))) => Ok(info),
            Ok(Err(JoinError::NoSender | JoinError::Serenity(_))) => Err(NotJoined::NoGateway),
            Ok(Err(_)) | Err(_) => {
                self.leave().await;
                Err(NotJoined::NotLetIn)
            }
        }
    }

    /// Leaves whatever call the bot is in here.
    pub(super) async fn leave(&self) {
        let Some(guild) = self.guild() else {
            return;
        };
        // What can't be told to the gateway now, the next connection will not know.
        let _ = timeout(JOIN_LIMIT, self.songbird.remove(guild)).await;
    }

    /// What the gateway has told last about where the call is.
    async fn current(&self) -> Option<ConnectionInfo> {
        let call = self.songbird.get(self.guild()?)?;
        let call = call.lock().await;
        call.current_connection().cloned()
    }

    fn guild(&self) -> Option<GuildId> {
        id(self.guild).map(GuildId)
    }
}

impl Connection {
    /// Keeps connected until `stop`, or until there is nothing to be connected to.
    pub(super) async fn keep(
        mut self,
        mut notices: mpsc::Receiver<Notice>,
        call: mpsc::Sender<Message>,
        stop: CancellationToken,
    ) {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let deaf = self.supervisor.deaf_since();
            let now = self.clock.now();
            let step = tokio::select! {
                () = stop.cancelled() => break,
                notice = notices.recv() => match notice {
                    None => break,
                    Some(Notice::TakenOut) => match self.leaving.take() {
                        Some(left) => {
                            left.notify_one();
                            Step::Stay
                        }
                        None => self.supervisor.on(now, Sign::TakenOut),
                    },
                    Some(Notice::Elsewhere) => self.moved().await,
                    Some(Notice::CameBack) => self.supervisor.on(now, Sign::CameBack),
                },
                Some(sign) = self.signs.recv() => self.supervisor.on(now, sign),
                dialed = async {
                    match &mut self.dialing {
                        Some(dialing) => dialing.await,
                        None => std::future::pending().await,
                    }
                } => {
                    self.dialing = None;
                    self.dialed(dialed.unwrap_or(Err(NotJoined::NoGateway)))
                }
                _ = look.tick() => self.look(),
            };
            let now = self.clock.now();
            if let (Some(since), None) = (deaf, self.supervisor.deaf_since()) {
                tracing::info!(guild = self.line.guild, deaf = ?now.saturating_sub(since), "heard again");
                let _ = call.try_send(Message::Deaf(since, now));
            }
            if let Step::End(cause) = step {
                if let Some(since) = self.supervisor.deaf_since() {
                    let _ = call.try_send(Message::Deaf(since, now));
                }
                tracing::warn!(guild = self.line.guild, ?cause, "the call is over");
                let ending = match cause {
                    Cause::TakenOut => Ending::TakenOut,
                    Cause::Refused(code) => Ending::Refused(code),
                    Cause::Unreachable => Ending::Unreachable,
                };
                let _ = call.send(Message::End(ending)).await;
                break;
            }
            self.take(step);
        }
        if let Some(dialing) = self.dialing.take() {
            dialing.abort();
        }
        self.driver.leave();
        self.line.leave().await;
    }

    /// Whether the driver still lives, and everybody who speaks is heard.
    fn look(&mut self) -> Step {
        let now = self.clock.now();
        self.supervisor.alive(self.driver.look());
        let heard = if self.tap.speaks_unheard() {
            Sign::Speaks
        } else {
            Sign::Packet
        };
        self.supervisor.on(now, heard);
        self.supervisor.advance(now)
    }

    /// The gateway has told something about the call; whether it is new.
    async fn moved(&mut self) -> Step {
        match self.line.current().await {
            Some(info) if info != self.info => {
                self.info = info;
                self.supervisor.on(self.clock.now(), Sign::Elsewhere)
            }
            _ => Step::Stay,
        }
    }

    fn dialed(&mut self, dialed: Result<Dialed, NotJoined>) -> Step {
        self.leaving = None;
        let now = self.clock.now();
        match dialed {
            Ok(Dialed::Joined(info)) => {
                self.info = info;
                self.dial();
                Step::Stay
            }
            // The driver has said so, and what came after it, in order.
            Ok(Dialed::Connected) => Step::Stay,
            Err(NotJoined::NotConnected(NotConnected::Refused(code))) => {
                self.supervisor.on(now, Sign::Lost(Some(code)))
            }
            Err(error) => {
                tracing::warn!(guild = self.line.guild, %error, "not connected to a call");
                self.supervisor.on(now, Sign::Failed)
            }
        }
    }

    fn take(&mut self, step: Step) {
        if !matches!(step, Step::Redial | Step::NewDriver | Step::Rejoin) {
            return;
        }
        tracing::info!(guild = self.line.guild, ?step, "connecting anew");
        if let Some(dialing) = self.dialing.take() {
            dialing.abort();
        }
        if step != Step::Redial {
            self.driver.leave();
            match Driver::new(self.line.kind, &self.tap) {
                Ok(driver) => self.driver = driver,
                Err(error) => tracing::error!(%error, "no new driver"),
            }
        }
        if step != Step::Rejoin {
            return self.dial();
        }
        let (line, channel) = (self.line.clone(), self.info.channel_id.0.get());
        let left = Arc::new(Notify::new());
        self.leaving = Some(Arc::clone(&left));
        self.dialing = Some(tokio::spawn(async move {
            line.leave().await;
            // Word of having left would undo a join that it comes after.
            let _ = timeout(LEAVE_LIMIT, left.notified()).await;
            line.join(channel).await.map(Dialed::Joined)
        }));
    }

    fn dial(&mut self) {
        let connecting = self.driver.connect(self.info.clone());
        self.dialing = Some(tokio::spawn(async move {
            connecting.await?;
            Ok(Dialed::Connected)
        }));
    }
}

fn id(number: u64) -> Option<std::num::NonZeroU64> {
    std::num::NonZeroU64::new(number)
}
