//! The actor that owns a session: everything that happens in a call comes to it as a message, and
//! it alone decides what becomes of it. It waits for the ledger and for nothing else.

mod lines;
mod people;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::DropGuard;

use super::addressed::Names;
use super::asking::Asker;
use super::board::{Board, Remark};
use super::ending::{self, Noted};
use super::hearing::{Heard, Microphone, SessionClock};
use super::in_order::{InOrder, Ticket};
use super::report::{self, Delays, Report};
use super::speaking::{LineEvent, Lines};
use super::uploading::Uploads;
use super::writing::{Writer, Written};
use super::{Ending, Setup, record};
use crate::flow::consent::{ConsentBook, Stamped};
use crate::flow::desk::Desk;
use crate::flow::paid::PaidLive;
use crate::store::{Line, Session, StoreError, Timestamp};

/// Messages that wait for the session.
pub const MAX_MESSAGES: usize = 1_024;

/// Utterances that are on their way to words. What is said beyond them is told as not heard.
const MAX_IN_FLIGHT: usize = 256;

/// People that one session knows by name.
const MAX_PEOPLE: usize = 1_000;

/// Lines that are given to the recognizer as what was said before.
const CONTEXT: usize = 10;

/// Loss that is worth a line in the transcript.
const WORTH_A_LINE: Duration = Duration::from_millis(300);

/// How long the words of the last utterances are waited for at the end.
const LAST_WORDS: Duration = Duration::from_secs(30);

/// The same when the process ends, which does not wait long.
const LAST_WORDS_IN_A_HURRY: Duration = Duration::from_secs(4);

/// The thread that listens gives what it has within this time.
const LAST_SOUNDS: Duration = Duration::from_millis(400);

/// How long a person who asked "can you hear me?" is waited for.
pub const CHECK_LIMIT: Duration = Duration::from_secs(20);

/// What happens to a session.
#[derive(Debug)]
pub enum Message {
    /// Somebody is in the call.
    Joined {
        /// Who.
        person: u64,
        /// Their name in the server.
        name: String,
    },
    /// Somebody is no longer in it.
    Left(u64),
    /// These are in the call, with their names, and nobody else.
    Present(Vec<(u64, String)>),
    /// Somebody has decided whether they are written down, or wants to be forgotten. The book knows
    /// it already.
    Decided(u64),
    /// Nobody can be heard since then.
    DeafSince(Duration),
    /// Nobody could be heard from then to then.
    Deaf(Duration, Duration),
    /// Somebody asks whether they are heard; told are the words of what they say next.
    Check {
        /// Who.
        person: u64,
        /// Gets the words.
        reply: oneshot::Sender<Checked>,
    },
    /// Somebody wants to know how the session goes.
    Report(oneshot::Sender<(Report, Cost)>),
    /// Tells everybody in the channel.
    Tell(Remark<'static>),
    /// The session is over.
    End(Noted),
    /// The process ends, and the next one goes on.
    Restart,
}

/// Why a call is no longer listened to.
enum Stop {
    End(Noted),
    Restart,
}

/// What a session has cost so far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cost {
    /// How long it has gone on.
    pub length: Duration,
    /// What writing it down has cost, in millionths of the currency.
    pub micros: u64,
}

/// What came of "can you hear me?".
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Checked {
    /// They were heard to say this.
    Heard(String),
    /// They may not be written down, since they have not agreed.
    NotAgreed,
    /// They are not in the call.
    NotThere,
    /// Something was heard, and no words in it.
    NoWords,
}

/// How long sessions last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// The longest session.
    pub longest: Duration,
    /// How long the bot stays when nobody else is there.
    pub alone: Duration,
}

/// What a session is made of.
pub struct Parts {
    /// As the ledger knows it.
    pub session: Session,
    /// What was chosen for it.
    pub setup: Setup,
    /// Who may be heard.
    pub book: ConsentBook,
    /// Where questions go.
    pub desk: Arc<Desk>,
    /// Where it is shown.
    pub board: Arc<dyn Board>,
    /// Writes down while people speak; none: utterance by utterance.
    pub live: Option<PaidLive>,
    /// What the bot is called in the server.
    pub bot: String,
    /// All names that people call it by.
    pub names: Names,
    /// How long it lasts.
    pub limits: Limits,
    /// Where sound goes in.
    pub microphone: Microphone,
    /// What is heard.
    pub heard: mpsc::Receiver<Heard>,
    /// The time of the session.
    pub clock: SessionClock,
    /// Dropped once nobody is listened to any more, which is before the end is shown.
    pub listening: DropGuard,
}

/// A running session.
pub struct Call {
    session: Session,
    setup: Setup,
    book: ConsentBook,
    desk: Arc<Desk>,
    board: Arc<dyn Board>,
    limits: Limits,
    microphone: Microphone,
    clock: SessionClock,
    writer: Writer,
    live: Option<Lines>,
    live_events: mpsc::Receiver<LineEvent>,
    /// None: what people say is sent when it is whole, or as they speak by `live`.
    uploads: Option<Uploads>,
    asker: Asker,
    bot: String,
    people: HashMap<u64, Person>,
    order: InOrder<Stamped<Line>>,
    next_line: u32,
    /// The ledger takes no more lines.
    full: bool,
    recent: Vec<Stamped<String>>,
    checks: HashMap<u64, (oneshot::Sender<Checked>, Duration)>,
    /// Loss of a person that has no line yet: where it began, and how much.
    lost: HashMap<u64, (Duration, Duration)>,
    delays: HashMap<u64, Delays>,
    /// People who have been told that a cap is reached.
    told_spent: Vec<u64>,
    told_failing: bool,
    /// Packets of the microphone that found no room, as counted so far.
    overrun: u64,
    alone_since: Option<Duration>,
    deaf: Duration,
    /// Since when nobody can be heard.
    deaf_since: Option<Duration>,
    writing: JoinSet<Written>,
    /// The places of what is being written down.
    tickets: HashMap<Id, Ticket>,
    listening: Option<DropGuard>,
}

#[derive(Clone, Debug)]
struct Person {
    name: String,
    present: bool,
}

impl Call {
    /// A session, begun or taken up again.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn open(parts: Parts) -> Result<(Self, mpsc::Receiver<Heard>), StoreError> {
        let store = &parts.desk.workshop().store;
        let guild = parts.session.of.guild;
        let consents = &parts.desk.workshop().consents;
        let next_line = store.last_line(parts.session.id).await? + 1;
        let lines = record::spoken(consents, store, &parts.session).await?;
        let open: Vec<Line> = lines.iter().filter_map(Stamped::look).cloned().collect();
        let deaf = Report::of(&open).deaf;
        let latest = lines.into_iter().rev().take(CONTEXT).rev();
        let recent = latest.map(|line| line.map(|line| said(&line))).collect();
        let place = (parts.session.id, guild, parts.session.of.text);
        let asker = Asker::new(
            Arc::clone(&parts.desk),
            Arc::clone(&parts.board),
            parts.names,
            place,
        );
        let (live, live_events) = match parts.live {
            Some(transcriber) => {
                let (lines, events) = Lines::new(transcriber);
                (Some(lines), events)
            }
            None => (None, mpsc::channel(1).1),
        };
        let transcriber = &parts.desk.workshop().pipeline.transcriber;
        let uploads = Uploads::new(transcriber).filter(|_| live.is_none());
        let call = Self {
            live,
            uploads,
            live_events,
            writer: Writer::new(Arc::clone(&parts.desk), parts.session.id, guild),
            asker,
            bot: parts.bot,
            people: HashMap::new(),
            order: InOrder::default(),
            next_line,
            full: false,
            recent,
            checks: HashMap::new(),
            lost: HashMap::new(),
            delays: HashMap::new(),
            told_spent: Vec::new(),
            told_failing: false,
            overrun: 0,
            alone_since: None,
            deaf,
            deaf_since: None,
            writing: JoinSet::new(),
            tickets: HashMap::new(),
            listening: Some(parts.listening),
            session: parts.session,
            setup: parts.setup,
            book: parts.book,
            desk: parts.desk,
            board: parts.board,
            limits: parts.limits,
            microphone: parts.microphone,
            clock: parts.clock,
        };
        Ok((call, parts.heard))
    }

    /// Lives until the session ends. Gives the reason; none if another process goes on with it.
    pub async fn run(
        mut self,
        mut heard: mpsc::Receiver<Heard>,
        mut inbox: mpsc::Receiver<Message>,
    ) -> Option<Ending> {
        gauge!("talkback_sessions").increment(1.0);
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stop = loop {
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(Message::End(noted)) => break Stop::End(noted),
                    Some(Message::Restart) | None => break Stop::Restart,
                    Some(message) => self.hear_of(message).await,
                },
                Some(heard) = heard.recv() => self.hear(heard).await,
                Some(done) = self.writing.join_next_with_id() => self.came_back(done).await,
                Some(event) = self.live_events.recv() => self.spoken(event).await,
                _ = tick.tick() => {
                    if let Some(ending) = self.look_around().await {
                        let workshop = self.desk.workshop();
                        break Stop::End(ending::begin(workshop, self.session.id, ending).await);
                    }
                }
            }
        };
        let (ending, limit) = match &stop {
            Stop::End(noted) => (Some(noted.ending()), LAST_WORDS),
            Stop::Restart => (None, LAST_WORDS_IN_A_HURRY),
        };
        tracing::info!(session = self.session.id.0, ?ending, "session ends");
        drop(self.listening.take());
        self.last_words(&mut heard, &mut inbox, limit).await;
        // Whoever still asks something is told that there is no session.
        drop(inbox);
        match stop {
            Stop::Restart => {
                self.board.remark(Remark::Restarting);
                self.board.settle().await;
            }
            Stop::End(noted) => {
                let told = (self.bot.as_str(), Some(self.report()));
                ending::tell(&self.desk, &*self.board, &self.session, &noted, told).await;
            }
        }
        gauge!("talkback_sessions").decrement(1.0);
        ending
    }

    async fn hear_of(&mut self, message: Message) {
        match message {
            Message::Joined { person, name } => self.joined(person, name),
            Message::Left(person) => self.left(person),
            Message::Present(there) => {
                let gone: Vec<u64> = self
                    .people
                    .iter()
                    .filter(|(known, it)| it.present && !there.iter().any(|(id, _)| id == *known))
                    .map(|(known, _)| *known)
                    .collect();
                for person in gone {
                    self.left(person);
                }
                for (person, name) in there {
                    self.joined(person, name);
                }
            }
            Message::Decided(person) => self.has_decided(person).await,
            Message::DeafSince(since) => self.deaf_from(since).await,
            Message::Deaf(from, to) => self.deaf(from, to).await,
            Message::Tell(remark) => self.board.remark(remark),
            Message::Check { person, reply } => self.check(person, reply),
            Message::Report(reply) => {
                // Whoever asked may have gone.
                let admission = &self.desk.workshop().admission;
                let micros = admission.spent_on(self.session.id).await;
                let cost = Cost {
                    length: self.clock.now(),
                    micros: micros.unwrap_or_else(|error| {
                        log("nobody knows what it costs", &error);
                        0
                    }),
                };
                let _ = reply.send((self.report(), cost));
            }
            Message::End(_) | Message::Restart => {}
        }
    }

    /// Once a second: signs of life, and whether it is time to go.
    async fn look_around(&mut self) -> Option<Ending> {
        let now = self.clock.now();
        self.checks
            .retain(|_, (_, asked)| now.saturating_sub(*asked) < CHECK_LIMIT);
        let workshop = self.desk.workshop();
        let (id, at) = (self.session.id, (workshop.clock)());
        if let Err(error) = workshop.store.session_alive(id, at).await {
            log("no sign of life", &error);
        }
        let tally = self.microphone.tally();
        let overrun = tally.overrun + tally.events_lost;
        let told = std::mem::replace(&mut self.overrun, overrun);
        counter!("talkback_packets_overrun_total").increment(overrun.saturating_sub(told));
        if !self.board.stands() {
            self.close_lines().await;
        }
        if now >= self.limits.longest || self.full {
            return Some(Ending::TooLong);
        }
        if self.present() > 0 {
            self.alone_since = None;
            return None;
        }
        let since = *self.alone_since.get_or_insert(now);
        (now.saturating_sub(since) >= self.limits.alone).then_some(Ending::Alone)
    }

    /// Lets what is on its way become lines. Whoever says no meanwhile is still obeyed.
    async fn last_words(
        &mut self,
        heard: &mut mpsc::Receiver<Heard>,
        inbox: &mut mpsc::Receiver<Message>,
        limit: Duration,
    ) {
        let deadline = Instant::now() + limit;
        let people: Vec<u64> = self.people.keys().copied().collect();
        for person in people {
            self.microphone.over(person);
        }
        if let Some(since) = self.deaf_since {
            self.deaf(since, self.clock.now()).await;
        }
        while let Ok(Some(heard)) = timeout(LAST_SOUNDS, heard.recv()).await {
            self.hear(heard).await;
        }
        let lost = self.lost.keys().filter_map(|it| self.book.stamp(*it));
        for stamp in lost.collect::<Vec<_>>() {
            self.lost_line(&stamp).await;
        }
        while !self.order.is_empty() {
            tokio::select! {
                () = sleep_until(deadline) => {
                    tracing::warn!(
                        session = self.session.id.0,
                        utterances = self.order.len(),
                        "the last words are missing"
                    );
                    break;
                }
                Some(message) = inbox.recv() => self.hear_of(message).await,
                Some(done) = self.writing.join_next_with_id() => self.came_back(done).await,
                Some(event) = self.live_events.recv() => self.spoken(event).await,
                else => break,
            }
        }
        self.writing.abort_all();
        self.order.missed_all();
        self.commit().await;
    }

    fn report(&self) -> Report {
        let mut counts: Vec<_> = self.microphone.counts().into_iter().collect();
        counts.sort_by_key(|(person, _)| *person);
        let speakers = counts
            .into_iter()
            .filter(|(person, _)| self.may_hear(*person))
            .map(|(person, counts)| report::Heard {
                person,
                name: self.name(person),
                heard: counts.heard,
                lost: counts.lost_time,
                late: counts.late,
                delays: self.delays.get(&person).cloned().unwrap_or_default(),
            });
        let going_on = self.deaf_since;
        let going_on = going_on.map(|since| self.clock.now().saturating_sub(since));
        Report {
            speakers: speakers.collect(),
            deaf: self.deaf + going_on.unwrap_or_default(),
        }
    }
}

/// A line as what was said before.
fn said(line: &Line) -> String {
    format!("{}: {}", line.name, line.text)
}

fn log(what: &'static str, error: &StoreError) {
    tracing::error!(error = error as &dyn std::error::Error, "{what}");
}

/// How far a session has come by `now`.
#[must_use]
pub fn age(session: &Session, now: Timestamp) -> Duration {
    let millis = now.0.saturating_sub(session.started.0);
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
