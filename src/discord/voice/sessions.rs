//! All voice sessions of this process, one a server: begun, found, and paused when the process ends.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use songbird::Songbird;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::reply::Means;
use super::super::text;
use super::super::wire::{Buttons, Post};
use super::board::ChannelBoard;
use super::connection::{Connection, Line, NotJoined};
use super::following::{Change, Lane};
use super::lanes::Lanes;
use super::mark;
use super::notice::{self, NotTold};
use super::presence::Presence;
use super::running::Running;
use crate::config::VoiceDriver;
use crate::discord::health::SessionSeen;
use crate::flow::desk::Desk;
use crate::flow::paid::PaidLive;
use crate::flow::server::ServerSettings;
use crate::flow::session::addressed::Names;
use crate::flow::session::board::Board;
use crate::flow::session::call::{self, Call, Limits, MAX_MESSAGES, Message};
use crate::flow::session::hearing::{self, SessionClock};
use crate::flow::session::{ConsentRule, Ending, Setup, ending};
use crate::store::{Consent, NewSession, OpenSession, Session, SessionId, StoreError, Timestamp};
use crate::words::voice as words;
use audio::EarSettings;

/// How long the end of a session may take when the process ends.
const CLOSE_LIMIT: Duration = Duration::from_secs(8);

/// Notices that wait for a connection.
const MAX_NOTICES: usize = 64;

/// How voice sessions are held.
#[derive(Clone)]
pub struct VoiceSettings {
    /// How people are listened to.
    pub ear: EarSettings,
    /// How long sessions last.
    pub limits: Limits,
    /// Writes down while people speak; none: utterance by utterance.
    pub live: Option<PaidLive>,
    /// What hears calls.
    pub driver: VoiceDriver,
}

/// All sessions.
pub(in crate::discord) struct Sessions {
    songbird: Arc<Songbird>,
    pub(super) desk: Arc<Desk>,
    pub(super) means: Arc<Means>,
    settings: VoiceSettings,
    /// What the bot is called everywhere.
    name: String,
    pub(super) presence: Presence,
    open: Mutex<HashMap<u64, Place>>,
    /// What is to be done in order with what the gateway tells.
    pub(super) lanes: Arc<Lanes<Lane, Change>>,
    /// Sessions of other processes whose end is being told.
    pub(super) telling: Mutex<HashSet<i64>>,
    /// Those who tell it.
    pub(super) tellers: TaskTracker,
    closing: CancellationToken,
}

/// What a server's place holds.
enum Place {
    /// Somebody is about to begin one.
    Beginning,
    /// What another process has left is being closed.
    Closing,
    Running(Box<Running>),
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(in crate::discord) enum NotBegun {
    /// There is one already, in this voice channel if that is known.
    #[error("there is one already")]
    Running(Option<u64>),
    /// The end of the last one is still being written.
    #[error("the last one is not over yet")]
    Ending,
    /// The call can't be joined.
    #[error(transparent)]
    NotJoined(#[from] NotJoined),
    /// The people in the call could not be told.
    #[error(transparent)]
    NotTold(#[from] NotTold),
    /// The ledger.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no thread to listen with.
    #[error("no thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The process ends.
    #[error("shutting down")]
    Closing,
}

/// A session to be begun.
pub(in crate::discord) struct Wanted {
    pub(in crate::discord) guild: u64,
    pub(in crate::discord) voice: u64,
    pub(in crate::discord) text: u64,
    pub(in crate::discord) asked_by: u64,
    /// What they are called.
    pub(in crate::discord) name: String,
    pub(in crate::discord) setup: Setup,
}

/// A session whose call is joined. Nobody is heard yet.
pub(super) struct Entered {
    pub(super) running: Running,
    pub(super) clock: SessionClock,
}

impl Sessions {
    pub(in crate::discord) fn new(
        songbird: Arc<Songbird>,
        desk: Arc<Desk>,
        means: Arc<Means>,
        settings: VoiceSettings,
        name: String,
    ) -> Arc<Self> {
        Arc::new(Self {
            songbird,
            desk,
            means,
            settings,
            name,
            presence: Presence::default(),
            open: Mutex::default(),
            lanes: Arc::default(),
            telling: Mutex::default(),
            tellers: TaskTracker::new(),
            closing: CancellationToken::new(),
        })
    }

    /// Joins a call and begins a session: it is in the ledger first, and nobody is heard before the
    /// notice stands.
    pub(in crate::discord) async fn begin(
        self: &Arc<Self>,
        wanted: Wanted,
    ) -> Result<(), NotBegun> {
        if self.is_closing() {
            return Err(NotBegun::Closing);
        }
        let mut held = self.hold(wanted.guild)?;
        let store = &self.means.store;
        let payload = serde_json::to_string(&wanted.setup).map_err(|_| StoreError::Damaged)?;
        let new = NewSession {
            guild: wanted.guild,
            voice: wanted.voice,
            text: wanted.text,
            asked_by: wanted.asked_by,
            payload,
        };
        let open = store.open_session(&new, self.now()).await?;
        let open = open.ok_or(NotBegun::Running(None))?;
        let entered = self.enter(&open, wanted.setup.clone(), Duration::ZERO, &mut held);
        let running = match entered.await {
            Ok(entered) => entered.running,
            Err(error) => {
                self.line(open.session()).leave().await;
                store.abandon_session(open).await?;
                return Err(error);
            }
        };
        let notice = self.notice(&wanted.name, open.session(), &wanted.setup);
        let post = notice.await;
        if let Err(error) = self.listen(&running, &post).await {
            // If somebody has ended it meanwhile, their reason stands.
            running.end(self.desk.workshop(), Ending::NoNotice).await;
            return Err(error);
        }
        Ok(())
    }

    /// Goes into the call of a session that nobody has ended. Nobody is heard yet.
    pub(super) async fn enter(
        self: &Arc<Self>,
        open: &OpenSession,
        setup: Setup,
        age: Duration,
        held: &mut Held,
    ) -> Result<Entered, NotBegun> {
        let session = open.session();
        let clock = SessionClock::at(age);
        let book = self.desk.workshop().consents.book(session.of.guild);
        let (microphone, heard) = hearing::listen(self.settings.ear.clone(), clock, book)?;
        let line = self.line(session);
        let connection = line.connect(open, microphone.clone(), clock).await?;
        let sound = (microphone, heard, clock);
        let running = self.run(session.clone(), setup, connection, sound, held);
        match running.await {
            Ok(running) => Ok(Entered { running, clock }),
            Err(error) => {
                mark::take_away(&self.means.wire, session.of.guild).await;
                Err(error)
            }
        }
    }

    /// Tells the people in the call, and hears them once that stands.
    pub(super) async fn listen(&self, running: &Running, post: &Post) -> Result<(), NotBegun> {
        // The same for a process that takes it up in this moment.
        let nonce = format!("n{}.{:x}", running.session.id.0, running.session.seen.0);
        let stands = notice::tell(&self.means, &running.session, &nonce, post).await?;
        self.open_microphone(running, stands);
        Ok(())
    }

    /// What everybody is told when a session begins.
    pub(super) async fn notice(&self, asked_by: &str, session: &Session, setup: &Setup) -> Post {
        let settings = ServerSettings::of(&self.means.store, Some(session.of.guild)).await;
        let consent = settings.unwrap_or_default().voice_consent;
        Post {
            content: words::notice(
                &text::escape(asked_by),
                session.of.voice,
                consent,
                setup.answers,
                &self.means.practice,
            ),
            buttons: Some(Buttons::Consent),
            ..Post::default()
        }
    }

    /// The way into the call of a session.
    pub(super) fn line(&self, session: &Session) -> Line {
        Line::new(
            Arc::clone(&self.songbird),
            self.settings.driver,
            self.means.store.clone(),
            session,
        )
    }

    /// Takes a server's place, so that two who ask at once do not both begin.
    pub(super) fn hold(self: &Arc<Self>, guild: u64) -> Result<Held, NotBegun> {
        let mut open = self.open();
        match open.get(&guild) {
            Some(Place::Running(running)) if running.is_ending() => Err(NotBegun::Ending),
            Some(Place::Running(running)) => Err(NotBegun::Running(Some(running.voice))),
            Some(Place::Closing) => Err(NotBegun::Ending),
            Some(Place::Beginning) => Err(NotBegun::Running(None)),
            None => {
                open.insert(guild, Place::Beginning);
                Ok(Held {
                    sessions: Arc::clone(self),
                    guild,
                    filled: false,
                })
            }
        }
    }

    async fn run(
        self: &Arc<Self>,
        session: Session,
        setup: Setup,
        connection: Connection,
        (microphone, heard, clock): (
            hearing::Microphone,
            mpsc::Receiver<hearing::Heard>,
            SessionClock,
        ),
        held: &mut Held,
    ) -> Result<Running, NotBegun> {
        let guild = session.of.guild;
        let workshop = self.desk.workshop();
        let settings = ServerSettings::of(&workshop.store, Some(guild)).await?;
        let book = workshop.book(guild).await?;
        book.set_rule(settings.voice_consent);
        let place = (session.id.0, session.of.text);
        let board = self.board(place, session.started);
        let marked = mark::put(&self.means.wire, guild, &self.name).await;
        let names = Names::new([marked.name(), self.name.as_str()]);
        let silent = CancellationToken::new();
        let counting = microphone.counting();
        let (call, heard) = Call::open(call::Parts {
            session: session.clone(),
            setup,
            book,
            desk: Arc::clone(&self.desk),
            board: Arc::clone(&board) as Arc<dyn Board>,
            live: self.settings.live.clone(),
            bot: marked.name().to_owned(),
            names,
            limits: self.settings.limits,
            microphone: microphone.clone(),
            heard,
            clock,
            listening: silent.clone().drop_guard(),
        })
        .await?;
        let (messages, inbox) = mpsc::channel(MAX_MESSAGES);
        let (notices, noticed) = mpsc::channel(MAX_NOTICES);
        let running = Running {
            voice: session.of.voice,
            moves: 0,
            messages: messages.clone(),
            notices,
            board,
            microphone,
            heard: counting,
            silent: silent.clone(),
            over: CancellationToken::new(),
            left: HashMap::new(),
            session,
        };
        // From now on whoever comes and goes is told to it.
        held.fill(running.clone());
        self.settled(guild);
        let workshop = Arc::clone(&self.desk);
        let connected = connection.keep(noticed, messages, workshop, silent.clone());
        let connected = tokio::spawn(connected);
        let called = tokio::spawn(call.run(heard, inbox));
        let (sessions, ended) = (Arc::clone(self), running.clone());
        tokio::spawn(async move {
            let _over = ended.over.clone().drop_guard();
            silent.cancelled().await;
            marked.take_away().await;
            // It fails only if it panicked, and then it is over too.
            let _ = connected.await;
            if called.await.is_err() {
                tracing::error!(session = ended.session.id.0, "a session broke");
                let (desk, name) = (&sessions.desk, sessions.name.as_str());
                let (id, broke) = (ended.session.id, Ending::Interrupted);
                let noted = ending::begin(desk.workshop(), id, broke).await;
                ending::tell(desk, &*ended.board, &ended.session, &noted, (name, None)).await;
            }
            sessions.open().remove(&guild);
        });
        Ok(running)
    }

    /// The session of a server.
    pub(in crate::discord) fn of(&self, guild: u64) -> Option<Running> {
        match self.open().get(&guild) {
            Some(Place::Running(running)) => Some(running.as_ref().clone()),
            _ => None,
        }
    }

    /// The session whose transcript goes to this channel.
    pub(in crate::discord) fn in_channel(
        &self,
        guild: Option<u64>,
        channel: u64,
    ) -> Option<SessionId> {
        let running = self.of(guild?)?;
        (running.session.of.text == channel).then_some(running.session.id)
    }

    /// Somebody has decided whether they are written down in a server. A no holds whatever this
    /// returns.
    pub(in crate::discord) async fn decide(
        &self,
        guild: u64,
        person: u64,
        consent: Consent,
    ) -> Result<(), StoreError> {
        let workshop = self.desk.workshop();
        let (store, now) = (&self.means.store, (workshop.clock)());
        let deciding = workshop
            .consents
            .decide(store, (guild, person), consent, now);
        let decided = deciding.await;
        if let Some(running) = self.of(guild) {
            let _ = running.messages.send(Message::Decided(person)).await;
        }
        decided
    }

    /// A server has another rule.
    pub(in crate::discord) async fn ruled(&self, guild: u64, rule: ConsentRule) {
        self.desk.workshop().consents.book(guild).tighten(rule);
        if let Some(running) = self.of(guild) {
            let _ = running.messages.send(Message::Decided(0)).await;
        }
    }

    /// Somebody is forgotten, in memory already: no session keeps what nobody can use any more.
    pub(in crate::discord) async fn forgotten(&self, person: u64) {
        for running in self.all() {
            let _ = running.messages.send(Message::Decided(person)).await;
        }
    }

    pub(super) fn with(&self, guild: u64, change: impl FnOnce(&mut Running)) {
        if let Some(Place::Running(running)) = self.open().get_mut(&guild) {
            change(running);
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// The process ends: sessions stop, and the next process goes on with them.
    pub(in crate::discord) async fn close(&self) {
        self.closing.cancel();
        let running = self.all();
        let ends = running.iter().map(Running::pause);
        self.tellers.close();
        let all = async { tokio::join!(futures_util::future::join_all(ends), self.tellers.wait()) };
        if tokio::time::timeout(CLOSE_LIMIT, all).await.is_err() {
            tracing::warn!("not all sessions have ended in time");
        }
    }

    /// The sessions that are held, for whoever looks on.
    pub(in crate::discord) fn seen(&self) -> Vec<SessionSeen> {
        let mut seen: Vec<_> = self.all().iter().map(Running::seen).collect();
        seen.sort_by_key(|session| session.id);
        seen
    }

    pub(super) fn all(&self) -> Vec<Running> {
        let open = self.open();
        let all = open.values().filter_map(|place| match place {
            Place::Running(running) => Some(running.as_ref().clone()),
            Place::Beginning | Place::Closing => None,
        });
        all.collect()
    }

    pub(super) fn board(&self, place: (i64, u64), started: Timestamp) -> Arc<ChannelBoard> {
        let longest = self.settings.limits.longest;
        ChannelBoard::new(Arc::clone(&self.means), place, started, longest)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Place>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    pub(super) fn bot(&self) -> &str {
        &self.name
    }
}

/// A server's place while a session begins; free again if none does.
pub(super) struct Held {
    sessions: Arc<Sessions>,
    guild: u64,
    filled: bool,
}

impl Held {
    fn fill(&mut self, running: Running) {
        let mut open = self.sessions.open();
        open.insert(self.guild, Place::Running(Box::new(running)));
        self.filled = true;
    }

    /// It is not free before what was left is told.
    pub(super) fn closes(&self) {
        self.sessions.open().insert(self.guild, Place::Closing);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.filled {
            self.sessions.open().remove(&self.guild);
        }
    }
}
