//! Sessions that another process has left: what nobody has ended goes on where it was last, and the
//! end of the others is told.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serenity::all::{Guild, GuildId};

use super::super::intake::name_of;
use super::super::room::logged;
use super::super::trouble::Trouble;
use super::super::wire::Post;
use super::manager;
use super::mark;
use super::notice::NotTold;
use super::rights;
use super::sessions::{Entered, Held, NotBegun, Sessions};
use crate::flow::session::call::{Message, age};
use crate::flow::session::ending::{self, Noted};
use crate::flow::session::{Ending, Setup};
use crate::store::{EndedSession, LeftSession, OpenSession, Session, StoreError, Timestamp};
use crate::words::voice as words;

/// A session that a killed process left is taken up again within this time of its last sign of
/// life; later it is closed.
const TAKE_UP_WITHIN: Duration = Duration::from_secs(120);

/// Between two looks for sessions that nobody goes on with.
const TIDY_EVERY: Duration = Duration::from_secs(30);

/// How long an end is tried to be told.
const TELL_FOR: Duration = Duration::from_secs(86_400);

/// Ends that are told at once. The next look finds the others.
const MAX_TELLING: usize = 64;

/// An end that is being told. Nobody else tells it meanwhile.
struct Telling {
    sessions: Arc<Sessions>,
    session: i64,
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.sessions.telling().remove(&self.session);
    }
}

impl Sessions {
    /// A server has come into sight: who is in its calls, and whether another process has left a
    /// session in it.
    pub(in crate::discord) fn server(self: &Arc<Self>, guild: &Guild) {
        let seats = guild.voice_states.values().filter_map(|state| {
            let mut seat = manager::seat(state)?;
            if let Some(member) = guild.members.get(&state.user_id) {
                seat.name = Some(name_of(&member.user, member.nick.as_deref()));
                seat.bot = member.user.bot;
            }
            Some((state.user_id.get(), seat))
        });
        let server = guild.id.get();
        self.presence.server(server, seats);
        // Who came and went while the gateway was away, it tells in no other way.
        self.settled(server);
        // It may take its time; events of other servers do not wait for it.
        let sessions = Arc::clone(self);
        self.tellers.spawn(async move {
            if let Err(error) = sessions.take_up(server).await {
                logged(error);
            }
        });
    }

    /// These are the servers of a shard that the bot is in. Where it was sent away while it was not
    /// there, nobody tells it any more.
    pub(in crate::discord) async fn servers(
        self: &Arc<Self>,
        (shard, shards): (u32, u32),
        servers: &[GuildId],
    ) {
        let left = match self.means.store.left_sessions().await {
            Ok(left) => left,
            Err(error) => {
                logged(error);
                return;
            }
        };
        let missing: HashSet<u64> = left
            .iter()
            .map(|left| left.session().of.guild)
            .filter(|guild| (guild >> 22) % u64::from(shards.max(1)) == u64::from(shard))
            .filter(|guild| !servers.iter().any(|server| server.get() == *guild))
            .collect();
        for guild in missing {
            let known = self.means.wire.guild(GuildId::new(guild)).await;
            if matches!(known, Err(Trouble::Gone(_) | Trouble::Forbidden(_))) {
                self.sent_away(guild).await;
            }
        }
    }

    /// The bot is no longer in a server: neither is its session, and nothing of it is kept.
    pub(in crate::discord) async fn sent_away(&self, server: u64) {
        tracing::info!(guild = server, "removed from a server");
        self.presence.server(server, []);
        if let Some(running) = self.of(server) {
            running.end(self.desk.workshop(), Ending::TakenOut).await;
        }
        if let Err(error) = self.means.store.forget_guild(server).await {
            logged(error);
        }
    }

    /// A channel is gone. A session that is told there can't go on: nobody would see that it
    /// listens.
    pub(in crate::discord) async fn channel_gone(&self, channel: u64) {
        for running in self.all() {
            if running.session.of.text == channel {
                running.microphone.shut();
                running.end(self.desk.workshop(), Ending::NoNotice).await;
            }
        }
    }

    /// Looks again and again for ends that are not told, and for sessions that nobody goes on with:
    /// their server may never come into sight again.
    pub(in crate::discord) async fn tidy(self: Arc<Self>) {
        loop {
            match self.means.store.left_sessions().await {
                Ok(left) => {
                    for left in left {
                        match left {
                            LeftSession::Ended(ended) => self.finish(ended),
                            LeftSession::Open(open) => self.close_if_late(open),
                        }
                    }
                }
                Err(error) => {
                    logged(error);
                }
            }
            tokio::time::sleep(TIDY_EVERY).await;
        }
    }

    /// Closes a session that nobody has taken up in time.
    fn close_if_late(self: &Arc<Self>, open: OpenSession) {
        let session = open.session().clone();
        if self.away(&session) <= TAKE_UP_WITHIN {
            return;
        }
        let Ok(held) = self.hold(session.of.guild) else {
            return;
        };
        let sessions = Arc::clone(self);
        self.tellers.spawn(async move {
            sessions.close_left(open, Ending::Interrupted, held).await;
        });
    }

    /// Tells an end in a task of its own, unless somebody does already.
    fn finish(self: &Arc<Self>, ended: EndedSession) {
        let session = &ended.session;
        let running = self.of(session.of.guild);
        // It tells its end by itself.
        if running.is_some_and(|running| running.session.id == session.id) {
            return;
        }
        let held = self.hold(session.of.guild).ok();
        let sessions = Arc::clone(self);
        self.tellers.spawn(async move {
            let noted = Noted::from(&ended);
            sessions.tell_left(&ended.session, &noted, held).await;
        });
    }

    /// How long a session's process has been away.
    fn away(&self, session: &Session) -> Duration {
        let now = self.now();
        Duration::from_millis(u64::try_from(now.0 - session.seen.0).unwrap_or(0))
    }

    async fn take_up(self: &Arc<Self>, guild: u64) -> Result<(), StoreError> {
        if self.is_closing() {
            return Ok(());
        }
        for left in self.means.store.left_sessions_of(guild).await? {
            match left {
                LeftSession::Ended(ended) => self.finish(ended),
                LeftSession::Open(_) => {}
            }
        }
        let Ok(mut held) = self.hold(guild) else {
            return Ok(());
        };
        // Once more: whoever held the place may just have begun or ended one.
        let left = self.means.store.left_sessions_of(guild).await?;
        let open = left.into_iter().find_map(|left| match left {
            LeftSession::Open(open) => Some(open),
            LeftSession::Ended(_) => None,
        });
        let Some(mut open) = open else {
            return Ok(());
        };
        let id = open.session().id;
        if let Some(seat) = self.presence.of(guild, self.means.wire.me.get())
            && seat.channel != open.session().of.voice
        {
            // Somebody has moved it while nobody was there to see it.
            self.means.store.session_moved(id, seat.channel).await?;
            match self.means.store.session_to_join(id).await? {
                Some(moved) => open = moved,
                None => return Ok(()),
            }
        }
        if let Err(ending) = self.go_on(&open, &mut held).await {
            let session = open.session().clone();
            let noted = ending::begin_left(self.desk.workshop(), open, ending).await;
            // Where it was about to go in, nobody has told yet that it sits there.
            self.line(&session).leave().await;
            self.tell_left(&session, &noted, Some(held)).await;
        }
        Ok(())
    }

    /// Goes on with a session, if that can be. Else why it ends.
    async fn go_on(self: &Arc<Self>, open: &OpenSession, held: &mut Held) -> Result<(), Ending> {
        let session = open.session();
        let (id, guild) = (session.id.0, session.of.guild);
        let setup: Setup =
            serde_json::from_str(&session.of.payload).map_err(|_| Ending::Interrupted)?;
        let away = self.away(session);
        let people = self.presence.people(guild, session.of.voice);
        let again = away <= TAKE_UP_WITHIN && !people.is_empty();
        tracing::info!(session = id, ?away, again, "a session was left");
        if !again {
            return Err(Ending::Interrupted);
        }
        let wire = &self.means.wire;
        if let Some(ending) = rights::unfit(wire, session.of.voice).await {
            return Err(match ending {
                Ending::Stage => Ending::Stage,
                _ => Ending::Interrupted,
            });
        }
        let may_write = rights::may_write(wire, GuildId::new(guild), session.of.text, None).await;
        if may_write.is_err() {
            return Err(Ending::NoNotice);
        }
        let now = self.now();
        let entered = self
            .enter(open, setup.clone(), age(session, now), held)
            .await;
        let entered = entered.map_err(|error| {
            tracing::warn!(session = id, %error, "not taken up again");
            Ending::Interrupted
        })?;
        let post = if open.noticed() {
            Post::text(words::GOING_ON)
        } else {
            let asked_by = self.member(guild, session.of.asked_by).await;
            let name = asked_by.map_or_else(|| words::SOMEBODY.to_owned(), |(name, _)| name);
            self.notice(&name, session, &setup).await
        };
        let Entered { running, clock } = entered;
        let from = age(session, session.seen);
        let from = open
            .deaf_ms()
            .map_or(from, |since| from.min(Duration::from_millis(since)));
        match self.listen(&running, &post).await {
            Ok(()) => {
                let gap = Message::Deaf(from, clock.now());
                let _ = running.messages.send(gap).await;
            }
            Err(NotBegun::NotTold(NotTold::Ended)) => {
                running.end(self.desk.workshop(), Ending::Interrupted).await;
            }
            Err(error) => {
                tracing::warn!(session = id, %error, "taken up, and nobody could be told");
                running.end(self.desk.workshop(), Ending::NoNotice).await;
            }
        }
        Ok(())
    }

    /// Ends a session that nobody goes on with, and tells it.
    async fn close_left(self: &Arc<Self>, open: OpenSession, ending: Ending, held: Held) {
        let session = open.session().clone();
        let noted = ending::begin_left(self.desk.workshop(), open, ending).await;
        self.tell_left(&session, &noted, Some(held)).await;
    }

    /// Tells the end of a session that another process has left.
    async fn tell_left(self: &Arc<Self>, session: &Session, noted: &Noted, held: Option<Held>) {
        let Some(_telling) = self.tells(session) else {
            return;
        };
        if let Some(held) = &held {
            held.closes();
            let me = self.means.wire.me.get();
            if self.presence.of(session.of.guild, me).is_some() {
                // The process that ended it did not come to leave the call.
                self.line(session).leave().await;
            }
            mark::take_away(&self.means.wire, session.of.guild).await;
        }
        let board = self.board((session.id.0, session.of.text), session.started);
        let told = ending::tell(&self.desk, &*board, session, noted, (self.bot(), None)).await;
        if !told && self.ended_long_ago(noted) {
            tracing::error!(
                session = session.id.0,
                "an end is given up that nobody takes"
            );
            if let Err(error) = self.means.store.close_session(session.id).await {
                logged(error);
            }
        }
    }

    fn ended_long_ago(&self, noted: &Noted) -> bool {
        noted.at() < self.now().before(TELL_FOR)
    }

    /// Somebody begins to tell an end. None if it is being told, or too many are.
    fn tells(self: &Arc<Self>, session: &Session) -> Option<Telling> {
        let session = session.id.0;
        let mut telling = self.telling();
        if telling.len() >= MAX_TELLING || !telling.insert(session) {
            return None;
        }
        Some(Telling {
            sessions: Arc::clone(self),
            session,
        })
    }

    fn telling(&self) -> std::sync::MutexGuard<'_, HashSet<i64>> {
        self.telling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.desk.workshop().clock)()
    }

    /// Ends the session of a server, also one that is just being taken up. False if there is none.
    pub(in crate::discord) async fn leave(self: &Arc<Self>, guild: u64) -> bool {
        let workshop = self.desk.workshop();
        if let Some(running) = self.of(guild) {
            if !running.is_ending() {
                running.end(workshop, Ending::Asked).await;
            }
            running.over.cancelled().await;
            return true;
        }
        let left = match self.means.store.left_sessions_of(guild).await {
            Ok(left) => left,
            Err(error) => {
                logged(error);
                return false;
            }
        };
        let mut ended = false;
        for left in left {
            if let LeftSession::Open(open) = left {
                let session = open.session().clone();
                let noted = ending::begin_left(workshop, open, Ending::Asked).await;
                ended = true;
                // Whoever is about to go in finds that it has ended, and tells the end.
                if let Ok(held) = self.hold(guild) {
                    self.tell_left(&session, &noted, Some(held)).await;
                }
            }
        }
        ended
    }
}
