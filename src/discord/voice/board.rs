//! The live transcript: one message for each stretch of talk, edited in place until it is full.
//!
//! A task of its own shows what there is, no oftener than the channel bears.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serenity::all::{GuildId, UserId};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout};

use super::super::reply::Means;
use super::super::servers::Member;
use super::super::snowflake;
use super::super::text;
use super::super::trouble::Trouble;
use super::super::wire::{MAX_CHARS, Post};
use super::end::End;
use super::page::{Page, Pages};
use crate::flow::access::Standing;
use crate::flow::consent::{Stamped, Stamps};
use crate::flow::session::board::{Board, Partial, Remains, Remark};
use crate::store::{Line, LineKind, SessionId, Timestamp};
use crate::words::{bot, session as said, voice as words};

/// Lines that wait to be shown. Older ones are in the ledger, and in the file in the end.
const MAX_WAITING: usize = 2_000;

/// People whose unfinished sentences are shown.
const MAX_PARTIALS: usize = 8;

/// Characters of one unfinished sentence that are shown: its end.
const PARTIAL: usize = 200;

/// After this long without a line, the next one begins a new message.
const STRETCH: Duration = Duration::from_secs(300);

/// The waits between tries, doubling from the first to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long the last lines are tried to be shown.
const PATIENCE: Duration = Duration::from_secs(120);

/// A session's board in a channel.
pub(super) struct ChannelBoard {
    shared: Arc<Shared>,
    _showing: tokio_util::task::AbortOnDropHandle<()>,
}

struct Shared {
    means: Arc<Means>,
    session: i64,
    channel: u64,
    started: Timestamp,
    /// The longest session.
    longest: Duration,
    state: Mutex<State>,
    changed: Notify,
    /// No message can be sent there, as the last try has shown.
    lost: AtomicBool,
    /// Makes every nonce another one, also over processes.
    count: AtomicU64,
    last_id: AtomicU64,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    partials: BTreeMap<u64, Stamped<Partial>>,
    /// Told once everything is shown.
    settled: Vec<oneshot::Sender<()>>,
}

/// Something to be shown.
enum Waiting {
    Line(Stamped<String>),
    /// A message of its own, with what keeps Discord from taking it twice.
    Remark(String, String),
}

/// How far a page is.
#[derive(Clone, Copy, PartialEq)]
enum Filled {
    /// All there is is on it.
    All,
    /// More lines are to come, on another one.
    Full,
    /// A remark comes below it.
    BeforeRemark,
}

impl ChannelBoard {
    pub(super) fn new(
        means: Arc<Means>,
        (session, channel): (i64, u64),
        started: Timestamp,
        longest: Duration,
    ) -> Arc<Self> {
        let shared = Arc::new(Shared {
            means,
            session,
            channel,
            started,
            longest,
            state: Mutex::default(),
            changed: Notify::new(),
            lost: AtomicBool::new(false),
            count: AtomicU64::new(0),
            last_id: AtomicU64::new(0),
        });
        let showing = tokio::spawn(Arc::clone(&shared).show_along());
        Arc::new(Self {
            shared,
            _showing: tokio_util::task::AbortOnDropHandle::new(showing),
        })
    }

    /// What keeps Discord from taking a message twice: no two messages have the same.
    pub(super) fn nonce(&self) -> String {
        self.shared.nonce()
    }
}

#[async_trait]
impl Board for ChannelBoard {
    fn lines(&self, lines: Vec<Stamped<Line>>) {
        let mut state = self.shared.state();
        for line in lines {
            if state.waiting.len() < MAX_WAITING {
                let line = line.map(|line| rendered(&line, self.shared.started));
                state.waiting.push_back(Waiting::Line(line));
            }
        }
        drop(state);
        self.shared.changed.notify_one();
    }

    fn partial(&self, partial: Stamped<Partial>) {
        let person = partial.stamp().person();
        let is_empty = partial.look().is_none_or(|it| it.text.is_empty());
        let mut state = self.shared.state();
        let had = if is_empty {
            state.partials.remove(&person).is_some()
        } else if state.partials.len() < MAX_PARTIALS || state.partials.contains_key(&person) {
            state.partials.insert(person, partial);
            true
        } else {
            false
        };
        drop(state);
        if had {
            self.shared.changed.notify_one();
        }
    }

    fn remark(&self, remark: Remark<'_>) {
        let sentence = match remark {
            Remark::NotWrittenDown => words::NOT_WRITTEN_DOWN.to_owned(),
            Remark::Spent { person, verdict } => words::spent(person, verdict),
            Remark::Refused(refused) => bot::refused(refused),
            Remark::Unhearing(why) => words::unhearing(why).to_owned(),
            Remark::HearingAgain => words::HEARING_AGAIN.to_owned(),
            Remark::Restarting => words::RESTART.to_owned(),
        };
        let remark = Waiting::Remark(sentence, self.shared.nonce());
        let mut state = self.shared.state();
        if state.waiting.len() < MAX_WAITING {
            state.waiting.push_back(remark);
        }
        drop(state);
        self.shared.changed.notify_one();
    }

    async fn standing(&self, guild: u64, person: u64) -> Standing {
        let means = &self.shared.means;
        let member = Member {
            user: UserId::new(person),
            roles: None,
            permissions: None,
        };
        let guild = Some(GuildId::new(guild));
        means.servers.standing(&means.wire, guild, member).await
    }

    fn stands(&self) -> bool {
        !self.shared.lost.load(Ordering::Relaxed)
    }

    async fn settle(&self) {
        let (settled, done) = oneshot::channel();
        self.shared.state().settled.push(settled);
        self.shared.changed.notify_one();
        if timeout(PATIENCE, done).await.is_err() {
            tracing::warn!(session = self.shared.session, "lines are not shown");
        }
    }

    fn request_id(&self) -> u64 {
        let now = snowflake::before(Duration::ZERO);
        let last = self.shared.last_id.fetch_max(now, Ordering::Relaxed);
        if last < now {
            return now;
        }
        self.shared.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    async fn close(&self, remains: &Remains) -> bool {
        self.settle().await;
        let end = End {
            means: &self.shared.means,
            session: SessionId(self.shared.session),
            channel: self.shared.channel,
            started: self.shared.started,
            longest: self.shared.longest,
        };
        end.tell(remains).await
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn show_along(self: Arc<Self>) {
        let (mut page, mut pages) = (Page::default(), Pages::default());
        let mut wait = FIRST_WAIT;
        loop {
            tokio::select! {
                () = self.changed.notified() => {}
                () = self.taken_back(&page, &pages) => {}
            }
            if page.message.is_some() {
                self.means.pace.wait(self.channel).await;
            }
            while let Err(trouble) = self.show(&mut page, &mut pages).await {
                tracing::debug!(session = self.session, %trouble, "the transcript is not shown");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
                if trouble.is_final() {
                    let gone = matches!(trouble, Trouble::Forbidden(_) | Trouble::Gone(_));
                    // A deleted message is followed by another one, if that can be sent.
                    if gone && page.message.is_none() {
                        tracing::warn!(session = self.session, %trouble, "nothing can be shown");
                        self.lost.store(true, Ordering::Relaxed);
                    }
                    if let Trouble::Refused(..) = trouble {
                        // A filter, say. What comes after it may be taken.
                        let note = words::LINES_WITHHELD.to_owned();
                        let note = Waiting::Remark(note, self.nonce());
                        self.state().waiting.push_front(note);
                        self.changed.notify_one();
                    } else {
                        // The channel is gone, or closed to us; what is said is in the ledger.
                        self.state().waiting.clear();
                    }
                    (page, pages) = (Page::default(), Pages::default());
                    break;
                }
            }
            wait = FIRST_WAIT;
            for settled in std::mem::take(&mut self.state().settled) {
                let _ = settled.send(());
            }
        }
    }

    /// Waits until something is shown that somebody no longer wants to be.
    async fn taken_back(&self, page: &Page, pages: &Pages) {
        let shown = page.stamps().chain(pages.stamps()).cloned();
        let mut stamps: Stamps = shown.collect();
        for partial in self.state().partials.values() {
            stamps.add(partial.stamp());
        }
        stamps.any_withdrawn().await;
        self.state().partials.retain(|_, it| it.stamp().holds());
    }

    /// Shows all there is, in as many messages as it takes, and no longer what is not to be shown.
    async fn show(&self, page: &mut Page, pages: &mut Pages) -> Result<(), Trouble> {
        for old in pages.stale() {
            self.draw(old, "").await?;
        }
        pages.clear();
        let old = page.touched.is_some_and(|at| at.elapsed() > STRETCH);
        if old && !self.state().waiting.is_empty() {
            pages.push(std::mem::take(page));
        }
        loop {
            let filled = self.fill(page);
            let partials = match filled {
                Filled::All => self.partials(),
                Filled::Full | Filled::BeforeRemark => String::new(),
            };
            self.draw(page, &partials).await?;
            match filled {
                Filled::All => return Ok(()),
                Filled::Full => {}
                Filled::BeforeRemark => self.show_remark().await?,
            }
            pages.push(std::mem::take(page));
        }
    }

    /// Makes a message show its page. What is taken back while it is sent is taken away after.
    async fn draw(&self, page: &mut Page, partials: &str) -> Result<(), Trouble> {
        loop {
            page.clear();
            let leave: Stamps = page.stamps().cloned().collect();
            let lines = page.text();
            let room = MAX_CHARS - lines.chars().count();
            let shown = if partials.chars().count() < room {
                format!("{lines}{partials}")
            } else {
                lines
            };
            let shown = shown.trim_end();
            if shown == page.shown {
                return Ok(());
            }
            let wire = &self.means.wire;
            match page.message {
                Some(message) if shown.is_empty() => {
                    wire.delete(self.channel, message).await?;
                    (page.message, page.nonce) = (None, None);
                }
                Some(message) => {
                    let post = Post::text(shown);
                    let edit = wire.edit(self.channel, message, &post);
                    match leave.unless_withdrawn(edit).await {
                        Some(edited) => edited?,
                        None => continue,
                    };
                }
                None => {
                    let post = Post::text(shown);
                    let nonce = page.nonce.get_or_insert_with(|| self.nonce());
                    let message = wire.create(self.channel, None, nonce, &post).await?;
                    page.message = Some(message);
                    self.lost.store(false, Ordering::Relaxed);
                }
            }
            shown.clone_into(&mut page.shown);
            page.touched = Some(Instant::now());
        }
    }

    /// Shows the remark that is first in line.
    async fn show_remark(&self) -> Result<(), Trouble> {
        let (sentence, nonce) = match self.state().waiting.front() {
            Some(Waiting::Remark(sentence, nonce)) => (sentence.clone(), nonce.clone()),
            _ => return Ok(()),
        };
        let post = Post::text(sentence);
        let wire = &self.means.wire;
        match wire.create(self.channel, None, &nonce, &post).await {
            Err(trouble @ Trouble::Refused(..)) => {
                tracing::warn!(session = self.session, %trouble, "a remark is refused");
            }
            done => {
                done?;
            }
        }
        self.state().waiting.pop_front();
        Ok(())
    }

    /// Takes the lines that fit.
    fn fill(&self, page: &mut Page) -> Filled {
        let mut state = self.state();
        loop {
            let line = match state.waiting.front() {
                None => return Filled::All,
                Some(Waiting::Remark(..)) => return Filled::BeforeRemark,
                Some(Waiting::Line(line)) => line.clone(),
            };
            let length = line.look().map(|line| line.chars().count() + 1);
            if length.is_some_and(|length| !page.has_room(length)) {
                return Filled::Full;
            }
            page.push(line);
            state.waiting.pop_front();
        }
    }

    fn partials(&self) -> String {
        let state = self.state();
        let partials = state.partials.values().filter_map(Stamped::look);
        let lines = partials.map(|Partial { name, text: said }| {
            let skip = said.chars().count().saturating_sub(PARTIAL);
            let end: String = said.chars().skip(skip).collect();
            format!("-# {}: {}…\n", text::escape(name), text::escape(&end))
        });
        lines.collect()
    }

    /// What keeps Discord from taking a message twice: no two messages have the same.
    fn nonce(&self) -> String {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        format!(
            "v{}.{:x}.{count}",
            self.session,
            Timestamp::now().0 & 0xff_ffff
        )
    }
}

/// A line as people read it, with the time in their own zone.
fn rendered(line: &Line, started: Timestamp) -> String {
    let at = started.0 + i64::try_from(line.start_ms).unwrap_or(0);
    let time = format!("<t:{}:t>", at.div_euclid(1_000));
    let name = match line.name.as_str() {
        "" => words::SOMEBODY.to_owned(),
        name => text::escape(name),
    };
    match line.kind {
        LineKind::Speech | LineKind::Answer => {
            let said = line.text.split_whitespace().collect::<Vec<_>>().join(" ");
            format!("{time} **{name}:** {}", text::escape(&said))
        }
        LineKind::Lost | LineKind::Deaf => {
            let plain = Line {
                name,
                ..line.clone()
            };
            format!("{time} *{}*", said::gap(&plain))
        }
    }
}
