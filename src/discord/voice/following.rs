//! What the gateway tells of calls, followed in its order, server by server.
//!
//! What can't wait is done at once, where it is heard: who sits where, that the bot was taken out,
//! that it was moved and so must not listen. What takes a request to Discord is done in the server's
//! own lanes, so that no server waits for another one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serenity::all::{GuildId, UserId};

use super::super::intake::name_of;
use super::super::room::logged;
use super::super::wire::{Buttons, Post};
use super::connection::Notice;
use super::notice::{self, NotTold};
use super::presence::Seat;
use super::rights;
use super::running::Running;
use super::sessions::Sessions;
use crate::flow::server::ServerSettings;
use crate::flow::session::Ending;
use crate::flow::session::call::{MAX_MESSAGES, Message};
use crate::words::voice as words;

/// Whoever comes back within this time may have been lost by the driver.
const CAME_BACK: Duration = Duration::from_secs(7);

/// A lane: a server, and whether it is the bot's own or that of everybody else.
pub(super) type Lane = (u64, bool);

/// Something about a call that takes time to follow.
#[derive(Debug)]
pub(super) enum Change {
    /// Somebody has another seat, or none.
    Sits {
        person: u64,
        before: Option<Seat>,
        now: Option<Seat>,
    },
    /// The session has to be told who is there.
    Present,
    /// The bot was moved.
    Moved,
}

impl Sessions {
    /// The call of a server is at another voice server now.
    pub(super) fn elsewhere(&self, server: u64) {
        if let Some(running) = self.of(server) {
            let _ = running.notices.try_send(Notice::Elsewhere);
        }
    }

    /// Somebody has another seat, or none. `before` is the one they had.
    pub(super) fn sat(
        self: &Arc<Self>,
        server: u64,
        person: u64,
        before: Option<Seat>,
        now: Option<Seat>,
    ) {
        if person != self.means.wire.me.get() {
            let change = Change::Sits {
                person,
                before,
                now,
            };
            return self.put(server, change);
        }
        match now {
            Some(seat) => self.seated(server, &seat),
            None => self.taken_out(server),
        }
    }

    /// The bot sits in no channel of a server.
    pub(super) fn taken_out(&self, server: u64) {
        if let Some(running) = self.of(server) {
            let _ = running.notices.try_send(Notice::TakenOut);
        }
    }

    /// The bot sits here.
    pub(super) fn seated(self: &Arc<Self>, server: u64, seat: &Seat) {
        let mut moved = false;
        self.with(server, |running| {
            if running.voice != seat.channel {
                // Whoever is there knows nothing yet.
                running.microphone.shut();
                running.voice = seat.channel;
                running.moves += 1;
                moved = true;
            }
            let _ = running.notices.try_send(Notice::Hears(seat.unhearing));
        });
        if moved {
            self.put(server, Change::Moved);
        }
    }

    /// A session has just begun: what the gateway has told meanwhile is told to it.
    pub(super) fn settled(self: &Arc<Self>, server: u64) {
        if let Some(seat) = self.presence.of(server, self.means.wire.me.get()) {
            self.seated(server, &seat);
        }
        self.put(server, Change::Present);
    }

    /// Follows something in its lane.
    pub(super) fn put(self: &Arc<Self>, server: u64, change: Change) {
        let own = matches!(change, Change::Moved);
        let all = if own { Change::Moved } else { Change::Present };
        let sessions = Arc::clone(self);
        self.lanes.put((server, own), change, all, move |change| {
            let sessions = Arc::clone(&sessions);
            async move { sessions.follow(server, change).await }
        });
    }

    async fn follow(&self, server: u64, change: Change) {
        let Some(running) = self.of(server) else {
            return;
        };
        match change {
            Change::Present => self.present(&running).await,
            Change::Moved => self.moved(&running).await,
            Change::Sits {
                person,
                before,
                now,
            } => self.sits(&running, person, before, now).await,
        }
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
    pub(super) async fn member(&self, guild: u64, person: u64) -> Option<(String, bool)> {
        let wire = &self.means.wire;
        let member = wire.member(GuildId::new(guild), UserId::new(person)).await;
        let member = member.ok()?;
        let name = name_of(&member.user, member.nick.as_deref());
        Some((name, member.user.bot))
    }

    async fn sits(&self, running: &Running, person: u64, before: Option<Seat>, now: Option<Seat>) {
        let server = running.session.of.guild;
        let was_here = before.is_some_and(|seat| seat.channel == running.voice);
        let is_here = now
            .as_ref()
            .is_some_and(|seat| seat.channel == running.voice && !seat.bot);
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
            let known = now.and_then(|seat| seat.name);
            let known = known.or_else(|| self.presence.of(server, person)?.name);
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

    /// The bot was moved: the ledger knows where, and the people there are told before anybody is
    /// heard.
    async fn moved(&self, running: &Running) {
        let (server, voice) = (running.session.of.guild, running.voice);
        tracing::info!(guild = server, channel = voice, "moved to another call");
        match self
            .means
            .store
            .session_moved(running.session.id, voice)
            .await
        {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                logged(error);
            }
        }
        let _ = running.notices.try_send(Notice::Elsewhere);
        let workshop = self.desk.workshop();
        if let Some(ending) = rights::unfit(&self.means.wire, voice).await {
            return running.end(workshop, ending).await;
        }
        self.present(running).await;
        let settings = ServerSettings::of(&self.means.store, Some(server)).await;
        let consent = settings.unwrap_or_default().voice_consent;
        let post = Post {
            content: words::moved(voice, consent),
            buttons: Some(Buttons::Consent),
            ..Post::default()
        };
        let nonce = running.board.nonce();
        match notice::tell(&self.means, &running.session, &nonce, &post).await {
            Ok(stands) => self.open_microphone(running, stands),
            Err(NotTold::Ended) => {}
            Err(error) => {
                tracing::warn!(guild = server, %error, "not heard after a move");
                running.end(workshop, Ending::NoNotice).await;
            }
        }
    }

    /// The people in the call know: they are heard, unless the bot has been moved on meanwhile.
    pub(super) fn open_microphone(&self, told: &Running, stands: crate::store::NoticeStands) {
        self.with(told.session.of.guild, |running| {
            if running.session.id == told.session.id && running.moves == told.moves {
                running.microphone.open(stands);
            }
        });
    }
}
