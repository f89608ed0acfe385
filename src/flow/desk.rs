//! Takes orders, decides whose turn it is, and has them worked on.

mod handover;

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use metrics::{counter, gauge};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::Cleared;
use super::admission::{Hold, Payer};
use super::consent::{Stamp, Stamped, Stamps};
use super::order::{Order, Via, Wish};
use super::queue::{Full, Home, Queue, QueueLimits};
use super::rules::Verdict;
use super::suspects;
use super::work::{self, Run, Stop, Workshop};
pub use handover::{Carried, Shown};

use crate::store::{Accepted, BorrowedFrom, Job, JobId, JobState, NewJob, StoreError};

/// The wait before a job is tried again whose answer could not be delivered or written down.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(15);

/// How often it is looked whether the ledger can be read again, before that is left to the next
/// start.
const MAX_LOOKS: u32 = 40;

/// How long an answer that is just being finished is waited for by what goes on with it.
const REMEMBERED_WITHIN: Duration = Duration::from_secs(5);

/// The same for whoever wants it done once more, and must be told something within 3 s.
const SETTLED_WITHIN: Duration = Duration::from_secs(1);

/// Waiting jobs that are read from the ledger at once at the start.
const PAGE: u32 = 500;

/// Deleted messages that are remembered: word of the deletion can come before the message is
/// accepted.
const MAX_DELETED: usize = 1_024;

/// People whose last order is remembered for the cooldown.
const MAX_REMEMBERED: usize = 50_000;

/// An order with where it comes from.
#[derive(Debug)]
pub struct Request {
    /// The message or interaction that asks.
    pub source: u64,
    /// The server; none in a direct message.
    pub guild: Option<u64>,
    /// Where the answer goes.
    pub channel: u64,
    /// Who asks.
    pub author: u64,
    /// What is asked.
    pub order: Order,
    /// They may ask.
    pub cleared: Cleared,
    /// What there is of it already, from another message with the same words.
    pub carried: Carried,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Taken {
    /// It is accepted and on the disk. With the verdict, if something is to be said about it.
    Accepted(JobId, Verdict),
    /// It was accepted before.
    Known,
    /// Its message, or the answer to it, has been deleted in the meantime.
    Withdrawn,
}

/// A place where answers go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// A server.
    Server(u64),
    /// A channel or thread.
    Channel(u64),
}

/// Why a request is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// By the rules.
    #[error("by the rules: {0:?}")]
    Rules(Verdict),
    /// They have not the role without which nobody may use the bot here.
    #[error("without the role")]
    NoAccess,
    /// There is no room.
    #[error("no room: {0:?}")]
    Full(Full),
    /// The bot is about to end.
    #[error("shutting down")]
    Closing,
    /// The ledger can't be written.
    #[error("ledger: {0}")]
    Store(#[from] StoreError),
}

/// Where orders are taken.
pub struct Desk {
    workshop: Workshop,
    state: Mutex<State>,
    /// One order at a time is taken, so that what comes twice is judged once, and haste is seen.
    taking: tokio::sync::Mutex<()>,
    changed: Notify,
    closing: CancellationToken,
    tasks: TaskTracker,
}

struct State {
    queue: Queue,
    open: HashMap<JobId, Open>,
    last_order: HashMap<u64, Instant>,
    deleted: VecDeque<u64>,
}

/// A job that waits or runs.
struct Open {
    source: u64,
    author: u64,
    guild: Option<u64>,
    channel: u64,
    /// The leave of all whose words are in it.
    stamps: Stamps,
    /// This process has accepted it, and nobody has worked on it yet.
    fresh: bool,
    /// What is reserved for it of the day's caps, until somebody works on it.
    hold: Option<Hold>,
    halt: Halt,
    /// It is going to be tried again: nobody works on it, and it is not in line.
    rests: bool,
    /// When there is no place for its answer any more.
    closes: Option<Instant>,
    /// Cancelled once nobody works on it any more.
    ended: CancellationToken,
}

impl Desk {
    /// A desk without orders.
    #[must_use]
    pub fn new(workshop: Workshop, limits: QueueLimits) -> Arc<Self> {
        Arc::new(Self {
            workshop,
            state: Mutex::new(State {
                queue: Queue::new(limits),
                open: HashMap::new(),
                last_order: HashMap::new(),
                deleted: VecDeque::new(),
            }),
            taking: tokio::sync::Mutex::new(()),
            changed: Notify::new(),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// What the orders are worked on with.
    #[must_use]
    pub fn workshop(&self) -> &Workshop {
        &self.workshop
    }

    /// Takes up what an earlier process left, then works until [`Desk::close`].
    ///
    /// # Errors
    ///
    /// If the ledger can't be read at the start.
    pub async fn open(self: &Arc<Self>) -> Result<usize, StoreError> {
        let mut left = Vec::new();
        let mut after = None;
        loop {
            let page = self.workshop.store.waiting(after, PAGE).await?;
            let Some(last) = page.last() else {
                break;
            };
            after = Some(*last);
            for id in page {
                match self.workshop.store.job(id).await {
                    Ok(Some(job)) => left.push(job),
                    Ok(None) => {}
                    // One row must not keep all others from being done.
                    Err(StoreError::Damaged) => self.apologize(id),
                    Err(error) => return Err(error),
                }
            }
        }
        suspects::least_suspected_first(&mut left);
        let mut found = 0;
        for job in &left {
            found += usize::from(self.line_up(job).await?);
        }
        let desk = Arc::clone(self);
        self.tasks.spawn(async move { desk.hand_out().await });
        Ok(found)
    }

    /// Judges a request and accepts it: it is on the disk when this returns. Once who asks, or
    /// whose words are in it, takes that back, nobody works for it any more, and nothing is kept.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    pub async fn take(&self, request: Stamped<Request>) -> Result<Taken, Refused> {
        if self.closing.is_cancelled() {
            return Err(Refused::Closing);
        }
        let _one_at_a_time = self.taking.lock().await;
        let stamp = request.stamp().clone();
        let Some(request) = request.open() else {
            return Ok(Taken::Withdrawn);
        };
        let stamps = self.stamps(stamp, &request.order);
        let (guild, author) = (request.guild, request.author);
        let store = &self.workshop.store;
        if store.job_of_source(request.source).await?.is_some() {
            return Ok(Taken::Known);
        }
        let home = Home::new(guild, author);
        self.state().queue.room(home, author).map_err(|full| {
            counter!("talkback_refused_total", "why" => "full").increment(1);
            Refused::Full(full)
        })?;
        let heard = request.carried.notes.len();
        let (hold, verdict) = self.judge(&request, heard).await?;
        let payload = serde_json::to_string(&request.order).map_err(|_| StoreError::Damaged)?;
        let order = NewJob {
            source: request.source,
            guild,
            channel: request.channel,
            author,
            payload,
            borrowed: request.order.borrowed.as_ref().map(|it| BorrowedFrom {
                message: it.message,
                author: it.author,
            }),
        };
        let accepted = store.accept(&order, (self.workshop.clock)()).await?;
        let id = match accepted {
            Accepted::New(id) => id,
            Accepted::Known(_) => return Ok(Taken::Known),
            Accepted::Withdrawn => return Ok(Taken::Withdrawn),
        };
        self.carry(id, &request.carried).await?;
        counter!("talkback_accepted_total").increment(1);
        self.asked_now(author);
        let withdrawn = {
            let state = self.state();
            let borrowed = request.order.borrowed.as_ref().map(|it| it.message);
            let mut messages = borrowed.into_iter().chain([request.source]);
            messages.any(|it| state.deleted.contains(&it)) || !stamps.hold()
        };
        if withdrawn {
            store.forget_source(request.source).await?;
            return Ok(Taken::Withdrawn);
        }
        let place = (guild, request.channel);
        let mut open = Open::new((request.source, author), place, stamps, hold);
        open.fresh = true;
        open.closes = self.closes(request.source, &request.order);
        self.push(id, open, home);
        tracing::info!(
            job = id.0,
            source = request.source,
            guild,
            channel = request.channel,
            order = ?request.order,
            "accepted"
        );
        Ok(Taken::Accepted(id, verdict))
    }

    /// Has a finished job done once more. What was heard is not heard again. Returns false if it
    /// is being worked on, or not there. `pressed` is what asks for it, with its token: the
    /// command's own may be dead.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    pub async fn again(
        self: &Arc<Self>,
        id: JobId,
        cleared: Cleared,
        (pressed, token): (u64, &str),
    ) -> Result<bool, Refused> {
        if self.closing.is_cancelled() {
            return Err(Refused::Closing);
        }
        let _one_at_a_time = self.taking.lock().await;
        let store = &self.workshop.store;
        let Some(job) = store.job(id).await? else {
            return Ok(false);
        };
        let home = Home::new(job.order.guild, job.order.author);
        self.state()
            .queue
            .room(home, job.order.author)
            .map_err(Refused::Full)?;
        let Ok(order) = serde_json::from_str::<Order>(&job.order.payload) else {
            return Ok(false);
        };
        let mut request = Request {
            source: job.order.source,
            guild: job.order.guild,
            channel: job.order.channel,
            author: job.order.author,
            order,
            cleared,
            carried: Carried::default(),
        };
        let Some(stamp) = self.stamp(&job, &request.order).await? else {
            store.forget_source(request.source).await?;
            return Ok(false);
        };
        let stamps = self.stamps(stamp, &request.order);
        // As if it were new, but for what is heard already.
        let (hold, _) = self.judge(&request, work::notes(&job).len()).await?;
        let now = (self.workshop.clock)();
        if !store.reopen(id, true, now).await? {
            // Its outcome may be there to be seen before it is written down that it is over.
            self.ended(id, SETTLED_WITHIN).await;
            if !store.reopen(id, true, now).await? {
                return Ok(false);
            }
        }
        counter!("talkback_again_total").increment(1);
        if let Some(order) = renewed(&job, pressed, token) {
            let payload = serde_json::to_string(&order).map_err(|_| StoreError::Damaged)?;
            store.rewrite(&job, &payload).await?;
            request.order = order;
        }
        self.asked_now(request.author);
        let mut open = Open::new(
            (request.source, request.author),
            (request.guild, request.channel),
            stamps,
            hold,
        );
        open.closes = self.closes(request.source, &request.order);
        self.push(id, open, home);
        Ok(true)
    }

    /// The message or interaction is gone: nobody works for it any more, and nothing is kept of
    /// it. Returns the messages that showed the answer, with the channel they are in.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn withdraw(&self, source: u64) -> Result<Option<(u64, Vec<u64>)>, StoreError> {
        {
            let mut state = self.state();
            if state.deleted.len() >= MAX_DELETED {
                state.deleted.pop_front();
            }
            state.deleted.push_back(source);
        }
        let store = &self.workshop.store;
        let Some(job) = store.job_of_source(source).await? else {
            // What is left of a job that is forgotten already.
            store.forget_source(source).await?;
            return Ok(None);
        };
        self.stop(job.id, Stop::Withdrawn).await;
        let posts = store.forget_source(source).await?;
        tracing::info!(job = job.id.0, source, "withdrawn");
        Ok(Some((job.order.channel, posts)))
    }

    /// The message that shows an answer is deleted: while it grows, that ends the work on it. What
    /// is there for good is nobody's business any more.
    ///
    /// # Errors
    ///
    /// If the ledger fails.
    pub async fn reply_deleted(&self, message: u64) -> Result<(), StoreError> {
        let store = &self.workshop.store;
        let Some(id) = store.job_shown_by(message).await? else {
            return Ok(());
        };
        self.stop(id, Stop::Withdrawn).await;
        let now = (self.workshop.clock)();
        store.finish(id, JobState::Cancelled, &[], now).await?;
        tracing::info!(job = id.0, message, "the reply was deleted");
        Ok(())
    }

    /// Whoever asked this has asked something else since: it is not answered any more. What is
    /// shown of an answer stays, and says so.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn supersede(&self, source: u64) -> Result<(), StoreError> {
        let running = {
            let state = self.state();
            let found = state.open.iter().find(|(_, open)| open.source == source);
            found.map(|(id, _)| *id)
        };
        let Some(id) = running else {
            return Ok(());
        };
        match self.stop(id, Stop::Superseded).await {
            Stopped::Unbegun { fresh: true } => {
                let now = (self.workshop.clock)();
                let store = &self.workshop.store;
                store.finish(id, JobState::Cancelled, &[], now).await?;
            }
            // Something is shown of it, and says that more is to come.
            Stopped::Unbegun { fresh: false } => {
                let workshop = &self.workshop;
                workshop.break_off(id, false, Stop::Superseded).await?;
            }
            Stopped::AtWork => {}
        }
        tracing::info!(job = id.0, source, "superseded");
        Ok(())
    }

    /// Waits until nobody works on a job, for a while: who replies to an answer at once may come
    /// before it is remembered.
    pub async fn until_done(&self, id: JobId) {
        self.ended(id, REMEMBERED_WITHIN).await;
    }

    /// Waits until nobody works on anything of a channel (of one person there), for a while: what is
    /// just being answered would be remembered after its conversation was forgotten.
    pub async fn until_done_in(&self, channel: u64, only: Option<u64>) {
        let theirs: Vec<CancellationToken> = self
            .state()
            .open
            .values()
            .filter(|open| open.channel == channel)
            .filter(|open| only.is_none_or(|author| open.author == author))
            .map(|open| open.ended.clone())
            .collect();
        let all = async {
            for ended in theirs {
                ended.cancelled().await;
            }
        };
        let _ = tokio::time::timeout(REMEMBERED_WITHIN, all).await;
    }

    async fn ended(&self, id: JobId, patience: Duration) {
        let ended = self.state().open.get(&id).map(|open| open.ended.clone());
        if let Some(ended) = ended {
            let _ = tokio::time::timeout(patience, ended.cancelled()).await;
        }
    }

    /// Ends all work for people who have taken back what it is about, and waits for that.
    pub async fn stop_taken_back(&self) {
        let theirs: Vec<JobId> = self
            .state()
            .open
            .iter()
            .filter(|(_, open)| !open.stamps.hold())
            .map(|(id, _)| *id)
            .collect();
        for id in theirs {
            self.stop(id, Stop::Withdrawn).await;
            if let Err(error) = self.workshop.take_away(id).await {
                let error = &error as &dyn std::error::Error;
                tracing::error!(job = id.0, error, "the beginning of an answer stays");
            }
        }
    }

    /// Stops all work for a place that is gone: nobody is paid for what nobody will see.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn stop_all_in(&self, gone: Place) -> Result<(), StoreError> {
        let theirs: Vec<JobId> = self
            .state()
            .open
            .iter()
            .filter(|(_, open)| match gone {
                Place::Server(guild) => open.guild == Some(guild),
                Place::Channel(channel) => open.channel == channel,
            })
            .map(|(id, _)| *id)
            .collect();
        for id in theirs {
            self.stop(id, Stop::Withdrawn).await;
            let now = (self.workshop.clock)();
            let store = &self.workshop.store;
            store.finish(id, JobState::Cancelled, &[], now).await?;
            tracing::info!(job = id.0, ?gone, "stopped with its place");
        }
        Ok(())
    }

    /// How many jobs wait and run.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        let state = self.state();
        (state.queue.waiting(), state.queue.running())
    }

    /// Takes nothing more on, and lets what runs come to its end for at most `patience`. What does
    /// not is as far as the ledger says, for the next process.
    pub async fn close(&self, patience: Duration) {
        self.closing.cancel();
        self.tasks.close();
        let left = tokio::time::timeout(patience, self.tasks.wait()).await;
        if left.is_err() {
            for open in self.state().open.values() {
                open.halt.stop(Stop::Closing);
            }
            // Whoever is sending something at the moment finishes that.
            let _ = tokio::time::timeout(patience, self.tasks.wait()).await;
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides about a request whose first recordings are `heard` already, and reserves what is
    /// known of its use.
    async fn judge(&self, request: &Request, heard: usize) -> Result<(Hold, Verdict), Refused> {
        let payer = Payer {
            guild: request.guild,
            author: request.author,
        };
        let since_last = {
            let state = self.state();
            state.last_order.get(&request.author).map(Instant::elapsed)
        };
        let answer = request.order.wish == Wish::Answer && self.workshop.answers_cost();
        let expected = (request.order.unheard(heard), answer);
        let admission = &self.workshop.admission;
        admission
            .hold(payer, expected, since_last)
            .await?
            .map_err(refused)
    }

    /// Remembers when somebody asked last, for the cooldown.
    fn asked_now(&self, author: u64) {
        let mut state = self.state();
        if state.last_order.len() >= MAX_REMEMBERED {
            let cooldown = self.workshop.admission.rules().cooldown;
            state.last_order.retain(|_, at| at.elapsed() < cooldown);
        }
        if state.last_order.len() < MAX_REMEMBERED {
            state.last_order.insert(author, Instant::now());
        }
    }

    /// When there is no place for the answer any more.
    fn closes(&self, source: u64, order: &Order) -> Option<Instant> {
        let left = self.workshop.front.closes_in(source, order)?;
        Some(Instant::now() + left)
    }

    /// Puts a job in line that was accepted before. False if it can't be done, or may not be any
    /// more.
    async fn line_up(self: &Arc<Self>, job: &Job) -> Result<bool, StoreError> {
        let Ok(order) = serde_json::from_str::<Order>(&job.order.payload) else {
            self.apologize(job.id);
            return Ok(false);
        };
        let (guild, author) = (job.order.guild, job.order.author);
        let Some(stamp) = self.stamp(job, &order).await? else {
            self.workshop.store.forget_source(job.order.source).await?;
            return Ok(false);
        };
        let stamps = self.stamps(stamp, &order);
        let unheard = order.unheard(work::notes(job).len());
        let payer = Payer { guild, author };
        let hold = self.workshop.admission.hold_again(payer, unheard).await?;
        let place = (guild, job.order.channel);
        let mut open = Open::new((job.order.source, author), place, stamps, hold);
        open.closes = self.closes(job.order.source, &order);
        self.push(job.id, open, Home::new(guild, author));
        Ok(true)
    }

    /// The leave of who asked, as it is now. What was said in a call needs more than what was
    /// written.
    async fn stamp(&self, job: &Job, order: &Order) -> Result<Option<Stamp>, StoreError> {
        let author = job.order.author;
        match (&order.via, job.order.guild) {
            (Via::Spoken, Some(guild)) => {
                let book = self.workshop.book(guild).await?;
                Ok(book.said_at(author, job.created))
            }
            _ => Ok(self.workshop.consents.kept(author, job.created)),
        }
    }

    fn stamps(&self, stamp: Stamp, order: &Order) -> Stamps {
        let consents = &self.workshop.consents;
        let others = order.borrowed.iter().filter(|it| it.author != 0);
        let others = others.map(|it| consents.stamp(it.author));
        others.chain([stamp]).collect()
    }

    fn push(&self, id: JobId, open: Open, home: Home) {
        let mut state = self.state();
        let author = open.author;
        if let Some(rested) = state.open.insert(id, open) {
            rested.ended.cancel();
        }
        state.queue.push(home, author, id);
        report(&state.queue);
        drop(state);
        self.changed.notify_one();
    }

    /// Ends the work on a job and waits until nobody works on it.
    async fn stop(&self, id: JobId, why: Stop) -> Stopped {
        let ended = {
            let mut state = self.state();
            let waits = state.queue.remove(id);
            report(&state.queue);
            let rests = state.open.get(&id).is_some_and(|open| open.rests);
            if waits || rests {
                let open = state.open.remove(&id);
                if let Some(open) = &open {
                    open.halt.stop(why);
                    open.ended.cancel();
                }
                let fresh = open.is_some_and(|open| open.fresh);
                return Stopped::Unbegun { fresh };
            }
            let Some(open) = state.open.get(&id) else {
                return Stopped::AtWork;
            };
            open.halt.stop(why);
            open.ended.clone()
        };
        ended.cancelled().await;
        Stopped::AtWork
    }

    async fn hand_out(self: &Arc<Self>) {
        loop {
            while let Some((id, begun)) = self.next() {
                let desk = Arc::clone(self);
                self.tasks.spawn(async move { desk.work(id, begun).await });
            }
            let (late, next) = self.out_of_time();
            for id in late {
                let desk = Arc::clone(self);
                self.tasks.spawn(async move { desk.expire(id).await });
            }
            let next_closes = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = next_closes => {}
                () = self.closing.cancelled() => return,
            }
        }
    }

    /// The jobs for whose answers there is no place any more, and when the next one has none.
    fn out_of_time(&self) -> (Vec<JobId>, Option<Instant>) {
        let now = Instant::now();
        let mut late = Vec::new();
        let mut next: Option<Instant> = None;
        for (id, open) in &mut self.state().open {
            match open.closes {
                Some(at) if at <= now => {
                    open.closes = None;
                    late.push(*id);
                }
                Some(at) => next = Some(next.map_or(at, |next| next.min(at))),
                None => {}
            }
        }
        (late, next)
    }

    /// Says that there will be no answer as long as that can be said.
    async fn expire(&self, id: JobId) {
        let Stopped::Unbegun { fresh } = self.stop(id, Stop::OutOfTime).await else {
            return;
        };
        let ended = self.workshop.break_off(id, fresh, Stop::OutOfTime).await;
        if let Err(error) = ended {
            let error = &error as &dyn std::error::Error;
            tracing::error!(job = id.0, error, "an end is not said");
        }
    }

    /// Ends a job that can't be read.
    fn apologize(self: &Arc<Self>, id: JobId) {
        let desk = Arc::clone(self);
        self.tasks.spawn(async move {
            if let Err(error) = desk.workshop.apologize(id).await {
                let error = &error as &dyn std::error::Error;
                tracing::error!(job = id.0, error, "waits for the next start");
            }
        });
    }

    fn next(&self) -> Option<(JobId, Begun)> {
        if self.closing.is_cancelled() {
            return None;
        }
        let mut state = self.state();
        let id = state.queue.begin()?;
        report(&state.queue);
        let open = state.open.get_mut(&id);
        let begun = open.map(|open| Begun {
            fresh: open.fresh,
            hold: open.hold.take(),
            halt: open.halt.clone(),
            stamps: open.stamps.clone(),
        });
        Some((id, begun.unwrap_or_default()))
    }

    async fn work(self: &Arc<Self>, id: JobId, mut begun: Begun) {
        // A job must not keep its place for ever, however the work on it ends.
        let mut done = Done {
            desk: self,
            id,
            rests: false,
        };
        let hold = begun.hold.take();
        let run = self.workshop.run(
            id,
            begun.fresh,
            hold.as_ref(),
            &begun.stamps,
            begun.stopped(),
        );
        let run = match AssertUnwindSafe(run).catch_unwind().await {
            Ok(run) => run,
            Err(_) => self.stumbled(id).await,
        };
        drop(hold);
        let later = match run {
            Ok(Run::Over) => false,
            Ok(Run::Later) => true,
            Err(StoreError::Damaged) => {
                self.apologize(id);
                false
            }
            Err(error) => {
                tracing::error!(
                    job = id.0,
                    error = &error as &dyn std::error::Error,
                    "the ledger fails"
                );
                true
            }
        };
        let stopped = begun.halt.is_stopped() || !begun.stamps.hold();
        done.rests = later && !stopped && !self.closing.is_cancelled();
        if done.rests {
            let desk = Arc::clone(self);
            let halt = begun.halt.clone();
            self.tasks.spawn(async move { desk.later(id, halt).await });
        }
    }

    /// The work on a job panicked: whoever asked sees an end all the same.
    async fn stumbled(&self, id: JobId) -> Result<Run, StoreError> {
        tracing::error!(job = id.0, "a job panicked");
        let stumbled = AssertUnwindSafe(self.workshop.stumbled(id));
        match stumbled.catch_unwind().await {
            Ok(run) => run,
            Err(_) => Ok(Run::Over),
        }
    }

    /// Has a job that rests done once more. Until then it can be stopped like any other.
    async fn later(self: &Arc<Self>, id: JobId, halt: Halt) {
        for _ in 0..MAX_LOOKS {
            tokio::select! {
                () = tokio::time::sleep(TRY_AGAIN_AFTER) => {}
                why = halt.stopped() => return self.stopped_at_rest(id, why).await,
                () = self.closing.cancelled() => return,
            }
            let lined_up = match self.workshop.store.job(id).await {
                Ok(Some(job)) if job.state == JobState::Waiting => self.line_up(&job).await,
                Ok(_) => return self.rested(id),
                Err(error) => Err(error),
            };
            match lined_up {
                Ok(true) => return,
                Ok(false) => return self.rested(id),
                Err(StoreError::Damaged) => {
                    self.rested(id);
                    return self.apologize(id);
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(job = id.0, error, "the ledger fails");
                }
            }
        }
        tracing::error!(job = id.0, "waits for the next start");
        self.rested(id);
    }

    /// Somebody stopped a job just when it began to rest, and has left its end to us.
    async fn stopped_at_rest(&self, id: JobId, why: Stop) {
        let Some(open) = self.state().open.remove(&id) else {
            return;
        };
        let ended = match why {
            Stop::Superseded | Stop::OutOfTime => self.workshop.break_off(id, false, why).await,
            Stop::Withdrawn | Stop::TakenBack | Stop::Closing => Ok(()),
        };
        open.ended.cancel();
        if let Err(error) = ended {
            let error = &error as &dyn std::error::Error;
            tracing::error!(job = id.0, error, "an end is not said");
        }
    }

    /// Nobody goes on with a job that rests.
    fn rested(&self, id: JobId) {
        if let Some(open) = self.state().open.remove(&id) {
            open.ended.cancel();
        }
    }
}

/// What was found when a job was stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stopped {
    /// Nobody works on it, and nobody is going to: whoever stopped it ends it. `fresh`: nobody
    /// ever has.
    Unbegun { fresh: bool },
    /// Somebody worked on it, and has ended it; or it is not there.
    AtWork,
}

/// Stops the work on a job, and says why.
#[derive(Clone, Default)]
struct Halt {
    token: CancellationToken,
    why: Arc<OnceLock<Stop>>,
}

impl Halt {
    /// Only the first reason counts.
    fn stop(&self, why: Stop) {
        let _ = self.why.set(why);
        self.token.cancel();
    }

    fn is_stopped(&self) -> bool {
        self.token.is_cancelled()
    }

    async fn stopped(&self) -> Stop {
        self.token.cancelled().await;
        self.why.get().copied().unwrap_or(Stop::Closing)
    }
}

/// What the work on a job needs of it, and what stops it.
#[derive(Default)]
struct Begun {
    fresh: bool,
    hold: Option<Hold>,
    halt: Halt,
    stamps: Stamps,
}

impl Begun {
    async fn stopped(&self) -> Stop {
        tokio::select! {
            biased;
            () = self.stamps.any_withdrawn() => Stop::TakenBack,
            why = self.halt.stopped() => why,
        }
    }
}

impl Open {
    fn new(
        (source, author): (u64, u64),
        (guild, channel): (Option<u64>, u64),
        stamps: Stamps,
        hold: Hold,
    ) -> Self {
        Self {
            source,
            author,
            guild,
            channel,
            stamps,
            fresh: false,
            hold: Some(hold),
            halt: Halt::default(),
            rests: false,
            closes: None,
            ended: CancellationToken::new(),
        }
    }
}

/// Frees the place of a job when the work on it ends, however it ends.
struct Done<'a> {
    desk: &'a Desk,
    id: JobId,
    /// It is going to be tried again.
    rests: bool,
}

impl Drop for Done<'_> {
    fn drop(&mut self) {
        let mut state = self.desk.state();
        state.queue.done(self.id);
        if self.rests {
            if let Some(open) = state.open.get_mut(&self.id) {
                open.rests = true;
                open.fresh = false;
            }
        } else if let Some(open) = state.open.remove(&self.id) {
            tracing::debug!(job = self.id.0, source = open.source, "place is free");
            open.ended.cancel();
        }
        report(&state.queue);
        drop(state);
        self.desk.changed.notify_one();
    }
}

/// The order with the token of the button that was pressed.
fn renewed(job: &Job, by: u64, fresh: &str) -> Option<Order> {
    let mut order: Order = serde_json::from_str(&job.order.payload).ok()?;
    let Via::Command { token, pressed, .. } = &mut order.via else {
        return None;
    };
    fresh.clone_into(token);
    *pressed = Some(by);
    Some(order)
}

fn refused(verdict: Verdict) -> Refused {
    counter!("talkback_refused_total", "why" => "rules").increment(1);
    Refused::Rules(verdict)
}

fn report(queue: &Queue) {
    let count = |number: usize| u32::try_from(number).map_or(f64::MAX, f64::from);
    gauge!("talkback_queue_waiting").set(count(queue.waiting()));
    gauge!("talkback_queue_running").set(count(queue.running()));
}
