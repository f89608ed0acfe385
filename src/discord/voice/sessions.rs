//! All voice sessions of this process, one a server: begun, told what happens, ended, and taken up
//! again after a crash.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serenity::all::{Guild, GuildId, UserId};
use songbird::Songbird;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::super::intake::name_of;
use super::super::reply::Means;
use super::super::room::logged;
use super::super::wire::Post;
use super::board::ChannelBoard;
use super::connection::{Connection, Line, NotJoined, Notice};
use super::manager::{self, Change};
use super::mark;
use super::presence::{Presence, Seat};
use crate::audio::EarSettings;
use crate::config::VoiceDriver;
use crate::discord::health::SessionSeen;
use crate::flow::desk::Desk;
use crate::flow::paid::PaidLive;
use crate::flow::server::ServerSettings;
use crate::flow::session::addressed::Names;
use crate::flow::session::board::Board;
use crate::flow::session::call::{self, Call, Limits, MAX_MESSAGES, Message};
use crate::flow::session::hearing::{self, Counting, SessionClock};
use crate::flow::session::{Ending, Setup};
use crate::store::{Consent, NewSession, Session, SessionId, StoreError, Timestamp};
use crate::words::voice as words;

/// A session that a killed process left is taken up again within this time of its last sign of
/// life; later it is closed.
const TAKE_UP_WITHIN: Duration = Duration::from_secs(120);

/// Whoever comes back within this time may have been lost by the driver.
const CAME_BACK: Duration = Duration::from_secs(7);

/// How long the end of a session may take when the process ends.
const CLOSE_LIMIT: Duration = Duration::from_secs(8);

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
    desk: Arc<Desk>,
    means: Arc<Means>,
    settings: VoiceSettings,
    /// What the bot is called everywhere.
    name: String,
    pub(super) presence: Presence,
    open: Mutex<HashMap<u64, Place>>,
    /// What is to be done in order with what the gateway tells.
    changes: mpsc::Sender<Change>,
    closing: CancellationToken,
}

/// What a server's place holds.
enum Place {
    /// Somebody is about to begin one.
    Beginning,
    /// What a killed process has left is being closed.
    Closing,
    Running(Running),
}

/// A running session, as others reach it.
#[derive(Clone)]
pub(in crate::discord) struct Running {
    pub(super) session: Session,
    /// The voice channel it is in now.
    voice: u64,
    messages: mpsc::Sender<Message>,
    notices: mpsc::Sender<Notice>,
    board: Arc<ChannelBoard>,
    heard: Counting,
    /// Nobody is listened to any more.
    silent: CancellationToken,
    over: CancellationToken,
    /// When people left.
    left: HashMap<u64, Instant>,
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
    pub(in crate::discord) setup: Setup,
}

impl Sessions {
    pub(in crate::discord) fn new(
        songbird: Arc<Songbird>,
        desk: Arc<Desk>,
        means: Arc<Means>,
        settings: VoiceSettings,
        changes: mpsc::Sender<Change>,
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
            changes,
            closing: CancellationToken::new(),
        })
    }

    /// Joins a call and begins a session.
    pub(in crate::discord) async fn begin(
        self: &Arc<Self>,
        wanted: Wanted,
    ) -> Result<Running, NotBegun> {
        let guild = wanted.guild;
        if self.closing.is_cancelled() {
            return Err(NotBegun::Closing);
        }
        let mut held = self.hold(guild)?;
        let store = &self.means.store;
        let now = (self.desk.workshop().clock)();
        let payload = serde_json::to_string(&wanted.setup).map_err(|_| StoreError::Damaged)?;
        let new = NewSession {
            guild,
            voice: wanted.voice,
            text: wanted.text,
            asked_by: wanted.asked_by,
            payload,
        };
        let clock = SessionClock::at(Duration::ZERO);
        let (microphone, heard) = hearing::listen(self.settings.ear.clone(), clock)?;
        let line = self.line(guild);
        let connection = line
            .clone()
            .connect(wanted.voice, microphone.clone(), clock)
            .await?;
        let id = match store.open_session(&new, now).await {
            Ok(Some(id)) => id,
            refused => {
                line.leave().await;
                return Err(refused.map_or_else(NotBegun::from, |_| NotBegun::Running(None)));
            }
        };
        let session = Session {
            id,
            of: new,
            started: now,
            seen: now,
            ended: None,
        };
        let sound = (microphone, heard, clock);
        let setup = wanted.setup;
        let running = self
            .run(session.clone(), setup, connection, sound, &mut held)
            .await;
        if running.is_err() {
            // Else the next one would be told that there is one already.
            line.leave().await;
            mark::take_away(&self.means.wire, guild).await;
            store.close_session(session.id, now).await?;
        }
        running
    }

    fn line(&self, guild: u64) -> Line {
        Line::new(Arc::clone(&self.songbird), self.settings.driver, guild)
    }

    /// Takes a server's place, so that two who ask at once do not both begin.
    fn hold(self: &Arc<Self>, guild: u64) -> Result<Held, NotBegun> {
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
        let settings = ServerSettings::of(&self.means.store, Some(guild)).await?;
        let place = (session.id.0, session.of.text);
        let board = self.board(place, session.started);
        let marked = mark::put(&self.means.wire, guild, &self.name).await;
        let names = Names::new([marked.name(), self.name.as_str()]);
        let silent = CancellationToken::new();
        let counting = microphone.counting();
        let (call, heard) = Call::open(call::Parts {
            session: session.clone(),
            setup: setup.clone(),
            consent: settings.voice_consent,
            desk: Arc::clone(&self.desk),
            board: Arc::clone(&board) as Arc<dyn Board>,
            live: self.settings.live.clone(),
            bot: marked.name().to_owned(),
            names,
            limits: self.settings.limits,
            microphone,
            heard,
            clock,
            listening: silent.clone().drop_guard(),
        })
        .await?;
        let (messages, inbox) = mpsc::channel(MAX_MESSAGES);
        let (notices, noticed) = mpsc::channel(64);
        let running = Running {
            voice: session.of.voice,
            messages: messages.clone(),
            notices,
            board,
            heard: counting,
            silent: silent.clone(),
            over: CancellationToken::new(),
            left: HashMap::new(),
            session,
        };
        // From now on whoever comes and goes is told to it.
        held.fill(running.clone());
        let _ = self.changes.send(Change::Present(guild)).await;
        let connected = tokio::spawn(connection.keep(noticed, messages, silent.clone()));
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
                let (desk, name) = (&sessions.desk, &sessions.name);
                call::close_left(desk, &*ended.board, &ended.session, &setup, name).await;
            }
            sessions.open().remove(&guild);
        });
        Ok(running)
    }

    /// Tells a session who is there.
    async fn present(&self, running: &Running) {
        let guild = running.session.of.guild;
        let mut there = Vec::new();
        for (person, name) in self.presence.people(guild, running.voice) {
            match name {
                Some(name) => there.push((person, name)),
                // Without its name the gateway did not tell either whether it is a bot.
                None => match self.member(guild, person).await {
                    Some((_, true)) => {}
                    Some((name, false)) => there.push((person, name)),
                    None => there.push((person, words::SOMEBODY.to_owned())),
                },
            }
        }
        let _ = running.messages.send(Message::Present(there)).await;
    }

    /// A member's name, and whether it is a bot, where the gateway has not told it.
    async fn member(&self, guild: u64, person: u64) -> Option<(String, bool)> {
        let wire = &self.means.wire;
        let member = wire.member(GuildId::new(guild), UserId::new(person)).await;
        let member = member.ok()?;
        let name = name_of(&member.user, member.nick.as_deref());
        Some((name, member.user.bot))
    }

    /// The session of a server.
    pub(in crate::discord) fn of(&self, guild: u64) -> Option<Running> {
        match self.open().get(&guild) {
            Some(Place::Running(running)) => Some(running.clone()),
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

    /// Somebody has decided whether they are written down in a server.
    pub(in crate::discord) async fn decide(
        &self,
        guild: u64,
        person: u64,
        consent: Consent,
    ) -> Result<(), StoreError> {
        let now = (self.desk.workshop().clock)();
        self.means
            .store
            .set_consent(guild, person, consent, now)
            .await?;
        if let Some(running) = self.of(guild) {
            let _ = running
                .messages
                .send(Message::Decided { person, consent })
                .await;
        }
        Ok(())
    }

    /// Somebody is forgotten: no session knows any more what they have decided.
    pub(in crate::discord) async fn forget(&self, person: u64) {
        for running in self.all() {
            let _ = running.messages.send(Message::Forget(person)).await;
        }
    }

    /// Follows what the gateway tells, in its order, until nobody tells anything more.
    pub(in crate::discord) async fn follow(self: Arc<Self>, mut changes: mpsc::Receiver<Change>) {
        while let Some(change) = changes.recv().await {
            match change {
                Change::Server(server) => self.notice(server, Notice::Elsewhere),
                Change::Present(server) => {
                    if let Some(running) = self.of(server) {
                        self.present(&running).await;
                    }
                }
                Change::Sits {
                    server,
                    person,
                    seat,
                } => self.sits(server, person, seat).await,
            }
        }
    }

    fn notice(&self, server: u64, notice: Notice) {
        if let Some(running) = self.of(server) {
            let _ = running.notices.try_send(notice);
        }
    }

    async fn sits(&self, server: u64, person: u64, seat: Option<Seat>) {
        let now = seat.as_ref().map(|seat| (seat.channel, seat.bot));
        let named = seat.as_ref().and_then(|seat| seat.name.clone());
        let before = self.presence.sits(server, person, seat);
        let Some(running) = self.of(server) else {
            return;
        };
        if person == self.means.wire.me.get() {
            self.moved(&running, server, now.map(|(channel, _)| channel))
                .await;
            return;
        }
        let was_here = before.is_some_and(|seat| seat.channel == running.voice);
        let is_here = now.is_some_and(|(channel, bot)| channel == running.voice && !bot);
        if was_here && !is_here {
            self.with(server, |running| {
                if running.left.len() < MAX_MESSAGES {
                    running.left.insert(person, Instant::now());
                }
            });
            let _ = running.messages.send(Message::Left(person)).await;
        } else if is_here && !was_here {
            let left = running.left.get(&person);
            if left.is_some_and(|at| at.elapsed() < CAME_BACK) {
                let _ = running.notices.try_send(Notice::CameBack);
            }
            let known = named.or_else(|| self.presence.of(server, person)?.name);
            let name = match known {
                Some(name) => name,
                None => match self.member(server, person).await {
                    Some((_, true)) => return,
                    Some((name, false)) => name,
                    None => words::SOMEBODY.to_owned(),
                },
            };
            let _ = running
                .messages
                .send(Message::Joined { person, name })
                .await;
        }
    }

    /// The bot itself sits elsewhere.
    async fn moved(&self, running: &Running, server: u64, channel: Option<u64>) {
        match channel {
            None => {
                let _ = running.notices.try_send(Notice::TakenOut);
            }
            Some(channel) if channel != running.voice => {
                tracing::info!(guild = server, channel, "moved to another call");
                self.with(server, |running| running.voice = channel);
                if let Some(running) = self.of(server) {
                    self.present(&running).await;
                }
                let _ = running.notices.try_send(Notice::Elsewhere);
            }
            Some(_) => {}
        }
    }

    fn with(&self, guild: u64, change: impl FnOnce(&mut Running)) {
        if let Some(Place::Running(running)) = self.open().get_mut(&guild) {
            change(running);
        }
    }

    /// A server has come into sight: who is in its calls, and whether a killed process has left a
    /// session in it.
    pub(in crate::discord) async fn server(self: &Arc<Self>, guild: &Guild) {
        let seats = guild.voice_states.values().filter_map(|state| {
            let mut seat = manager::seat(state)?;
            if let Some(member) = guild.members.get(&state.user_id) {
                seat.name = Some(name_of(&member.user, member.nick.as_deref()));
                seat.bot = member.user.bot;
            }
            Some((state.user_id.get(), seat))
        });
        self.presence.server(guild.id.get(), seats);
        // Who came and went while the gateway was away, it tells in no other way.
        let _ = self.changes.send(Change::Present(guild.id.get())).await;
        if let Err(error) = self.take_up(guild.id.get()).await {
            logged(error);
        }
    }

    /// The bot is no longer in a server: neither is its session.
    pub(in crate::discord) fn gone(&self, server: u64) {
        self.presence.server(server, []);
        self.notice(server, Notice::TakenOut);
    }

    async fn take_up(self: &Arc<Self>, guild: u64) -> Result<(), StoreError> {
        let Some(session) = self.means.store.session_of(guild).await? else {
            return Ok(());
        };
        if self.closing.is_cancelled() {
            return Ok(());
        }
        let Ok(mut held) = self.hold(guild) else {
            return Ok(());
        };
        let setup: Setup =
            serde_json::from_str(&session.of.payload).map_err(|_| StoreError::Damaged)?;
        let now = (self.desk.workshop().clock)();
        let away = Duration::from_millis(u64::try_from(now.0 - session.seen.0).unwrap_or(0));
        let people = self.presence.people(guild, session.of.voice);
        let again = away <= TAKE_UP_WITHIN && !people.is_empty();
        tracing::info!(session = session.id.0, ?away, again, "a session was left");
        if again {
            match self.take_up_now(&session, setup.clone(), &mut held).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    tracing::warn!(session = session.id.0, %error, "not taken up again");
                    self.line(guild).leave().await;
                }
            }
        }
        held.closes();
        let place = (session.id.0, session.of.text);
        let board = self.board(place, session.started);
        mark::take_away(&self.means.wire, guild).await;
        call::close_left(&self.desk, &*board, &session, &setup, &self.name).await;
        Ok(())
    }

    async fn take_up_now(
        self: &Arc<Self>,
        session: &Session,
        setup: Setup,
        held: &mut Held,
    ) -> Result<(), NotBegun> {
        let now = (self.desk.workshop().clock)();
        let clock = SessionClock::at(call::age(session, now));
        let (microphone, heard) = hearing::listen(self.settings.ear.clone(), clock)?;
        let line = self.line(session.of.guild);
        let connection = line
            .connect(session.of.voice, microphone.clone(), clock)
            .await?;
        let sound = (microphone, heard, clock);
        let running = self
            .run(session.clone(), setup, connection, sound, held)
            .await?;
        let from = call::age(session, session.seen);
        let _ = running.messages.try_send(Message::Deaf(from, clock.now()));
        running.announce(&Post::text(words::GOING_ON)).await;
        Ok(())
    }

    /// The process ends: sessions stop, and the next process goes on with them.
    pub(in crate::discord) async fn close(&self) {
        self.closing.cancel();
        let running = self.all();
        let ends = running.iter().map(|it| it.end(Ending::Restart));
        let all = futures_util::future::join_all(ends);
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

    fn all(&self) -> Vec<Running> {
        let open = self.open();
        let all = open.values().filter_map(|place| match place {
            Place::Running(running) => Some(running.clone()),
            Place::Beginning | Place::Closing => None,
        });
        all.collect()
    }

    fn board(&self, place: (i64, u64), started: Timestamp) -> Arc<ChannelBoard> {
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

impl Running {
    /// Ends it, and waits until it is over.
    pub(super) async fn end(&self, ending: Ending) {
        let _ = self.messages.send(Message::End(ending)).await;
        self.over.cancelled().await;
    }

    /// Asks it something. None if it is just ending.
    pub(super) async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> Message,
    ) -> Option<T> {
        let (sender, reply) = oneshot::channel();
        self.messages.send(message(sender)).await.ok()?;
        reply.await.ok()
    }

    /// Posts something beside the transcript.
    pub(super) async fn announce(&self, post: &Post) {
        self.board.post(post).await;
    }

    fn seen(&self) -> SessionSeen {
        let mut people: Vec<_> = self.heard.read().into_iter().collect();
        people.sort_by_key(|(person, _)| *person);
        SessionSeen {
            id: self.session.id.0,
            guild: self.session.of.guild,
            voice: self.voice,
            started: self.session.started,
            people,
        }
    }

    /// Whether it has left the call, and its end is being written.
    pub(super) fn is_ending(&self) -> bool {
        self.silent.is_cancelled()
    }

    /// The voice channel it is in now.
    pub(super) fn voice(&self) -> u64 {
        self.voice
    }
}

/// A server's place while a session begins; free again if none does.
struct Held {
    sessions: Arc<Sessions>,
    guild: u64,
    filled: bool,
}

impl Held {
    fn fill(&mut self, running: Running) {
        let mut open = self.sessions.open();
        open.insert(self.guild, Place::Running(running));
        self.filled = true;
    }

    /// It is not free before what was left is closed.
    fn closes(&self) {
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
