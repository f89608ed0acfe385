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
use crate::flow::desk::Desk;
use crate::flow::session::board::{Remark, Unhearing};
use crate::flow::session::call::Message;
use crate::flow::session::hearing::{Microphone, SessionClock};
use crate::flow::session::supervisor::{Cause, Sign, Step, Supervisor};
use crate::flow::session::{Ending, ending};
use crate::store::{OpenSession, Session, SessionId, Store};

/// The longest time Discord may take to let us into a call.
const JOIN_LIMIT: Duration = Duration::from_secs(8);

/// The longest time that word of having left a call is waited for; who was not in it gets none.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);

/// Signs that wait.
const MAX_SIGNS: usize = 256;

/// Between two looks at whether the driver still lives.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What was said before the bot was suppressed may come so much later.
const GRACE: Duration = Duration::from_millis(500);

/// What the gateway tells about the bot's own place in a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Notice {
    /// The server or the channel is another one.
    Elsewhere,
    /// The bot is no longer in any channel.
    TakenOut,
    /// Somebody has left and come back within seconds.
    CameBack,
    /// Why the bot hears nobody, if it is so.
    Hears(Option<Unhearing>),
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
    /// Somebody has ended the session.
    #[error("the session has ended")]
    Ended,
    /// The voice server does not let us in, or does not answer.
    #[error(transparent)]
    NotConnected(#[from] NotConnected),
    /// The system gives no thread for a driver.
    #[error("no driver: {0}")]
    NoDriver(std::io::Error),
}

/// The way into the call of one session.
#[derive(Clone)]
pub(super) struct Line {
    songbird: Arc<Songbird>,
    kind: VoiceDriver,
    store: Store,
    session: SessionId,
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
    /// Why nobody is heard although there is a connection, and since when.
    unhearing: Option<(Unhearing, Duration)>,
    /// It hears although it is suppressed.
    hears_suppressed: bool,
    /// Since when the session knows that nobody is heard.
    told_deaf: Option<Duration>,
}

/// How far a new connection has come.
enum Dialed {
    /// The gateway has told where the call is.
    Joined(ConnectionInfo),
    /// The driver is connected.
    Connected,
}

impl Line {
    pub(super) fn new(
        songbird: Arc<Songbird>,
        kind: VoiceDriver,
        store: Store,
        session: &Session,
    ) -> Self {
        Self {
            songbird,
            kind,
            store,
            session: session.id,
            guild: session.of.guild,
        }
    }

    /// Joins the channel where a session was last, and connects to its call.
    pub(super) async fn connect(
        self,
        open: &OpenSession,
        microphone: Microphone,
        clock: SessionClock,
    ) -> Result<Connection, NotJoined> {
        let info = self.join(open).await?;
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
            unhearing: None,
            hears_suppressed: false,
            told_deaf: None,
        })
    }

    /// Asks the gateway for a place in the call of a session that nobody has ended.
    async fn join(&self, open: &OpenSession) -> Result<ConnectionInfo, NotJoined> {
        let channel = id(open.session().of.voice)
            .map(ChannelId)
            .ok_or(NotJoined::NotLetIn)?;
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

    /// The same again, unless somebody has ended the session meanwhile.
    async fn join_again(&self) -> Result<ConnectionInfo, NotJoined> {
        match self.store.session_to_join(self.session).await {
            Ok(Some(open)) => self.join(&open).await,
            Ok(None) => Err(NotJoined::Ended),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "not known whether a session goes on");
                Err(NotJoined::Ended)
            }
        }
    }

    /// Leaves whatever call the bot is in here.
    pub(super) async fn leave(&self) {
        let Some(guild) = self.guild() else {
            return;
        };
        // Also for another process, which may have left the bot sitting there.
        self.songbird.get_or_insert(guild);
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
        desk: Arc<Desk>,
        stop: CancellationToken,
    ) {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
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
                    Some(Notice::Hears(unhearing)) => {
                        self.hears(unhearing, &call);
                        Step::Stay
                    }
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
                _ = look.tick() => self.look(&call),
            };
            self.tell_deaf(&call);
            if let Step::End(cause) = step {
                tracing::warn!(guild = self.line.guild, ?cause, "the call is over");
                let ending = match cause {
                    Cause::TakenOut => Ending::TakenOut,
                    Cause::Refused(code) => Ending::Refused(code),
                    Cause::Unreachable => Ending::Unreachable,
                };
                let noted = ending::begin(desk.workshop(), self.line.session, ending).await;
                let _ = call.send(Message::End(noted)).await;
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

    /// Tells the session since when nobody is heard, or that people are heard again.
    fn tell_deaf(&mut self, call: &mpsc::Sender<Message>) {
        let unhearing = self.unhearing.map(|(_, since)| since);
        let lost = self.supervisor.deaf_since();
        let deaf = unhearing.into_iter().chain(lost).min();
        let now = self.clock.now();
        let message = match (self.told_deaf, deaf) {
            (None, Some(since)) => {
                self.told_deaf = Some(since);
                Message::DeafSince(since)
            }
            (Some(since), None) => {
                self.told_deaf = None;
                let deaf = now.saturating_sub(since);
                tracing::info!(guild = self.line.guild, ?deaf, "heard again");
                Message::Deaf(since, now)
            }
            _ => return,
        };
        let _ = call.try_send(message);
    }

    /// The gateway has told why the bot hears nobody, or that it does.
    fn hears(&mut self, unhearing: Option<Unhearing>, call: &mpsc::Sender<Message>) {
        let suppressed = unhearing == Some(Unhearing::Suppressed);
        self.hears_suppressed &= suppressed;
        let known = self.unhearing.map(|(why, _)| why);
        if known == unhearing || self.hears_suppressed {
            return;
        }
        let now = self.clock.now();
        let since = self.unhearing.map_or(now, |(_, since)| since);
        self.unhearing = unhearing.map(|why| (why, since));
        tracing::info!(guild = self.line.guild, ?unhearing, "hearing changed");
        let remark = unhearing.map_or(Remark::HearingAgain, Remark::Unhearing);
        let _ = call.try_send(Message::Tell(remark));
    }

    /// Whether the driver still lives, and everybody who speaks is heard.
    fn look(&mut self, call: &mpsc::Sender<Message>) -> Step {
        let now = self.clock.now();
        self.supervisor.alive(self.driver.look());
        if let Some((Unhearing::Suppressed, since)) = self.unhearing
            && self.tap.heard_after(since + GRACE)
        {
            // Discord does not keep anything from us after all.
            self.hears(None, call);
            self.hears_suppressed = true;
        }
        // While nobody is heard for a reason, another connection would change nothing.
        let heard = if self.unhearing.is_none() && self.tap.speaks_unheard() {
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
        let line = self.line.clone();
        let left = Arc::new(Notify::new());
        self.leaving = Some(Arc::clone(&left));
        self.dialing = Some(tokio::spawn(async move {
            line.leave().await;
            // Word of having left would undo a join that it comes after.
            let _ = timeout(LEAVE_LIMIT, left.notified()).await;
            line.join_again().await.map(Dialed::Joined)
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
