//! The one place that lets somebody be paid. A call to a provider needs a [`Permit`]; whoever wants
//! one is judged by the rules against what was used today and what is reserved; and whatever becomes
//! of the call, the permit's end books what it used.
//!
//! A cap of minutes is never passed, nor is a cap of money, but for two things that nobody knows
//! before: what one answer costs (an answer is allowed while anything is left), and what a provider
//! bills for a call that has to be made again.

mod books;
mod permit;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::books::Books;
pub use self::permit::{Permit, Settling};
use super::rules::{Prices, Rules, Today, Verdict};
use super::server::ServerSettings;
use crate::chat::Usage;
use crate::store::{Account, Booking, Scope, SessionId, Stage, Store, StoreError, Timestamp, Used};

/// The waits before a ledger that can't be written is tried again, doubling.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long whoever reads sums waits for what is being written.
const SUMS_WITHIN: Duration = Duration::from_secs(1);

/// Whose caps count. An author of 0 is nobody in particular.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Payer {
    /// The server; none in a direct message.
    pub guild: Option<u64>,
    /// The member.
    pub author: u64,
}

impl Payer {
    fn of(booking: &Booking) -> Self {
        Self {
            guild: booking.guild,
            author: booking.author,
        }
    }
}

/// Who may work on something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Engines {
    /// Whoever the settings name.
    All,
    /// Only the engines of this machine, which cost nothing and use nothing of the caps.
    Local,
}

/// What a call may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cost {
    /// A recording of this length is written down.
    Speech(Duration),
    /// Somebody is listened to for so long while they speak.
    Stream(Duration),
    /// A model answers, in as many tokens at most; what costs nothing has none.
    Answer(Usage),
}

/// A request for one call.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// Who pays.
    pub payer: Payer,
    /// What it is for.
    pub account: Account,
    /// What it may use.
    pub cost: Cost,
    /// What was reserved for it before, and the length of the recordings for which the reservation
    /// stays.
    pub hold: Option<(&'a Hold, Duration)>,
    /// Who may do it at most: what the smaller engines have begun at a cap is theirs to the end.
    pub at_most: Engines,
}

/// Judges and books. Clones are the same one.
#[derive(Clone)]
pub struct Admission(Arc<Inner>);

struct Inner {
    rules: Rules,
    /// None: what is used is kept in memory, for whoever has no ledger.
    store: Option<Store>,
    clock: fn() -> Timestamp,
    /// The engines of this machine may stand in at a cap.
    has_local: bool,
    /// One request at a time is judged, so that many at once can't all pass the same cap.
    judging: tokio::sync::Mutex<()>,
    books: Mutex<Books>,
    /// Something is to be written.
    more: Notify,
    /// Somebody has written something, or given it up.
    less: Notify,
    closing: CancellationToken,
    /// Streams that are being paid for.
    streams: TaskTracker,
}

/// What a request is still going to use, reserved until it is dropped.
pub struct Hold {
    inner: Arc<Inner>,
    number: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.inner.books().let_go(self.number);
    }
}

impl Admission {
    /// Opens the books on `store`. What an earlier process was paying for when it was killed is
    /// booked first.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn open(
        rules: Rules,
        store: Store,
        clock: fn() -> Timestamp,
        has_local: bool,
    ) -> Result<Self, StoreError> {
        let left = store.book_left_calls().await?;
        if left > 0 {
            tracing::warn!(calls = left, "booked what a killed process was paying for");
        }
        let opened = Self::with(rules, Some(store), clock, has_local);
        tokio::spawn(Arc::clone(&opened.0).write_down());
        Ok(opened)
    }

    /// For one person at their own machine, who has no ledger: only the caps for everybody count,
    /// and only what this process has used.
    #[must_use]
    pub fn in_memory(rules: Rules, clock: fn() -> Timestamp) -> Self {
        let local_at_cap = false;
        let rules = Rules {
            local_at_cap,
            ..rules
        };
        Self::with(rules, None, clock, false)
    }

    fn with(rules: Rules, store: Option<Store>, clock: fn() -> Timestamp, has_local: bool) -> Self {
        Self(Arc::new(Inner {
            rules,
            store,
            clock,
            has_local,
            judging: tokio::sync::Mutex::new(()),
            books: Mutex::default(),
            more: Notify::new(),
            less: Notify::new(),
            closing: CancellationToken::new(),
            streams: TaskTracker::new(),
        }))
    }

    /// What is paid for, and the caps.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.0.rules
    }

    /// Judges a request with recordings of this length, whose author asked `since_last` ago for the
    /// last time; `answer` says whether it is to be answered by a model that costs something. What
    /// is known of its use is reserved.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn hold(
        &self,
        payer: Payer,
        (recordings, answer): (Duration, bool),
        since_last: Option<Duration>,
    ) -> Result<Result<(Hold, Verdict), Verdict>, StoreError> {
        let inner = &self.0;
        let _one_at_a_time = inner.judging.lock().await;
        let (rules, today) = inner.situation(payer).await?;
        let mut verdict = rules.judge(recordings, &today, since_last);
        if verdict == Verdict::Go && answer {
            verdict = rules.judge_answer(&today);
        }
        Ok(match inner.possible(verdict) {
            Ok(engines) => {
                let reserved = match engines {
                    Engines::All => inner.speech(recordings),
                    Engines::Local => Used::default(),
                };
                let number = inner.books().hold(payer, reserved);
                let inner = Arc::clone(inner);
                Ok((Hold { inner, number }, verdict))
            }
            Err(verdict) => Err(verdict),
        })
    }

    /// Reserves for a request that an earlier process has accepted. If there is no room for it any
    /// more, its calls are judged one by one.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn hold_again(&self, payer: Payer, recordings: Duration) -> Result<Hold, StoreError> {
        let inner = &self.0;
        let _one_at_a_time = inner.judging.lock().await;
        let wanted = inner.speech(recordings);
        let mut reserved = Used::default();
        // After a crash there may be many.
        if !wanted.is_nothing() {
            let (rules, today) = inner.situation(payer).await?;
            if rules.judge_use(&wanted, &today) == Verdict::Go {
                reserved = wanted;
            }
        }
        let number = inner.books().hold(payer, reserved);
        Ok(Hold {
            inner: Arc::clone(inner),
            number,
        })
    }

    /// Judges one call. What is reserved for it already is granted; whatever goes beyond is judged
    /// against everything else. The permit is in the ledger when this returns, so that a killed
    /// process has paid for nothing that nobody counts.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read, or, where a job is to be paid for, not be written.
    pub async fn admit(&self, ask: &Ask<'_>) -> Result<Result<Permit, Verdict>, StoreError> {
        let inner = &self.0;
        let one_at_a_time = inner.judging.lock().await;
        let estimate = ask.cost.estimate(&inner.rules.prices);
        let rest = ask.hold.map(|(hold, rest)| (hold, inner.speech(rest)));
        let granted = rest.as_ref().map_or_else(Used::default, |(hold, rest)| {
            inner.books().left_of(hold.number).without(rest)
        });
        let beyond = estimate.without(&granted);
        let (rules, today) = inner.situation(ask.payer).await?;
        let verdict = match ask.cost {
            Cost::Answer(_) if estimate.micros == 0 => Verdict::Go,
            Cost::Answer(_) => rules.judge_answer(&today),
            _ if beyond.audio_ms == 0 && beyond.micros == 0 => Verdict::Go,
            _ => rules.judge_use(&beyond, &today),
        };
        let engines = match inner.possible(verdict) {
            Ok(_) | Err(_) if ask.at_most == Engines::Local && inner.has_local => Engines::Local,
            Ok(engines) => engines,
            Err(verdict) => return Ok(Err(verdict)),
        };
        let booking = Booking {
            call: None,
            account: ask.account,
            stage: ask.cost.stage(),
            guild: ask.payer.guild,
            author: ask.payer.author,
            day: (inner.clock)().day(),
            used: match engines {
                Engines::All => estimate,
                Engines::Local => Used::default(),
            },
        };
        let permit = {
            let mut books = inner.books();
            if let Some((hold, rest)) = rest {
                books.shrink(hold.number, &rest);
            }
            let number = books.begin(booking);
            Permit::new(Arc::clone(inner), number, engines)
        };
        drop(one_at_a_time);
        if booking.used.audio_ms == 0 && booking.used.micros == 0 {
            return Ok(Ok(permit));
        }
        // A task of its own: a row that is being written when nobody waits any more must be known.
        let writing = tokio::spawn(async move {
            let noted = permit.note(&booking).await;
            (permit, noted)
        });
        match writing.await {
            Ok((permit, Ok(()))) => Ok(Ok(permit)),
            Ok((_, Err(error))) if matches!(ask.account, Account::Job { .. }) => Err(error),
            Ok((permit, Err(error))) => {
                // A conversation goes on; what it costs is counted in memory.
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a paid call is not in the ledger"
                );
                Ok(Ok(permit))
            }
            // It only ends early with the whole runtime.
            Err(_) => Err(StoreError::Damaged),
        }
    }

    /// What writing down a session has cost so far, in millionths of the currency.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn spent_on(&self, session: SessionId) -> Result<u64, StoreError> {
        let account = Account::Session(session);
        let here = self.0.books().used_by(account, Stage::Speech);
        let written = match &self.0.store {
            Some(store) => store.used_in_session(session).await?,
            None => Used::default(),
        };
        Ok(written.and(&here).micros)
    }

    /// Waits until everything is written, for whoever reads sums next, but not for long.
    pub async fn write_now(&self) {
        let _ = timeout(SUMS_WITHIN, self.0.all_written()).await;
    }

    /// Waits until streams are over and everything is booked, each at most for `patience`. What
    /// can't be booked then is booked by the next process as if all of it had been used.
    pub async fn close(&self, patience: Duration) {
        let inner = &self.0;
        inner.streams.close();
        let _ = timeout(patience, inner.streams.wait()).await;
        let written = timeout(patience, inner.all_written()).await;
        inner.closing.cancel();
        if written != Ok(true) {
            tracing::error!("not everything that was paid is booked");
        }
    }
}

impl Cost {
    fn stage(self) -> Stage {
        match self {
            Self::Speech(_) | Self::Stream(_) => Stage::Speech,
            Self::Answer(_) => Stage::Chat,
        }
    }

    fn estimate(self, prices: &Prices) -> Used {
        match self {
            Self::Speech(length) => prices.of_recording(length),
            Self::Stream(open) => prices.of_stream(open, open),
            Self::Answer(usage) => prices.of_answer(usage),
        }
    }
}

impl Inner {
    /// Whoever was writing a booking is done. What is not in the ledger is for others.
    fn put_back(&self, number: u64) {
        self.books().not_written(number);
        self.more.notify_one();
        self.less.notify_waiters();
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // Whole between any two calls.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn speech(&self, recordings: Duration) -> Used {
        self.rules.prices.of_recording(recordings)
    }

    /// The rules for somebody, and what counts against them today. What is booked in between is
    /// counted twice rather than not at all.
    async fn situation(&self, payer: Payer) -> Result<(Rules, Today), StoreError> {
        let day = (self.clock)().day();
        let here = self.books().counted(payer, day);
        let Some(store) = &self.store else {
            return Ok((self.rules, here));
        };
        let settings = ServerSettings::of(store, payer.guild).await?;
        let rules = settings.applied_to(self.rules);
        let used = |scope| store.used(day, scope);
        let written = Today {
            member: match payer.author {
                0 => Used::default(),
                author => used(Scope::Author(author)).await?,
            },
            server: match payer.guild {
                Some(guild) => used(Scope::Guild(guild)).await?,
                None => Used::default(),
            },
            all: used(Scope::Everyone).await?,
        };
        Ok((rules, written.and(&here)))
    }

    async fn book(&self, booking: &Booking) -> Result<(), StoreError> {
        match &self.store {
            Some(store) => store.book(booking).await,
            None => {
                self.books().keep(booking);
                Ok(())
            }
        }
    }

    /// Who may work after this verdict, if anybody.
    fn possible(&self, verdict: Verdict) -> Result<Engines, Verdict> {
        match verdict {
            Verdict::Go => Ok(Engines::All),
            Verdict::Local(_) if self.has_local => Ok(Engines::Local),
            Verdict::Local(whose) => Err(Verdict::Spent(whose)),
            Verdict::Spent(_) | Verdict::TooLong(_) | Verdict::Wait(_) => Err(verdict),
        }
    }

    /// Writes bookings as they come, and tries again those that could not be written.
    async fn write_down(self: Arc<Self>) {
        let mut wait = FIRST_WAIT;
        loop {
            tokio::select! {
                () = self.closing.cancelled() => return,
                () = self.more.notified() => {}
            }
            if self.write_all().await {
                wait = FIRST_WAIT;
                continue;
            }
            tokio::select! {
                () = self.closing.cancelled() => return,
                () = sleep(wait) => {}
            }
            wait = (wait * 2).min(LONGEST_WAIT);
            self.more.notify_one();
        }
    }

    /// Waits until nothing is left to be written, also by others. Whether that was possible.
    async fn all_written(&self) -> bool {
        loop {
            let mut less = std::pin::pin!(self.less.notified());
            less.as_mut().enable();
            if !self.write_all().await {
                return false;
            }
            if self.books().is_written() {
                return true;
            }
            less.await;
        }
    }

    /// Writes all that nobody else is writing. Whether that was possible.
    async fn write_all(&self) -> bool {
        loop {
            let next = self.books().next_unwritten();
            let Some((number, booking)) = next else {
                return true;
            };
            let in_hand = InHand {
                inner: self,
                number,
            };
            if let Err(error) = self.book(&booking).await {
                drop(in_hand);
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "not booked yet, but counted"
                );
                return false;
            }
            self.books().written(number);
        }
    }
}

/// A booking that somebody is writing; whoever is interrupted leaves it to others.
struct InHand<'a> {
    inner: &'a Inner,
    number: u64,
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.inner.put_back(self.number);
    }
}
