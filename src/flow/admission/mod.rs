//! The only place that allows a paid call. A call to a provider needs a [`Permit`]. Admission
//! checks each request against today's usage and reservations, and when the permit ends, however it
//! ends, records what the call used.
//!
//! No cap on minutes or money is exceeded, except by two amounts that can't be known in advance:
//! the cost of one answer (allowed while anything is left), and what a provider bills for a call
//! that has to be repeated.

mod pending_usage;
mod permit;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::pending_usage::PendingUsage;
pub use self::permit::{Permit, Settlement};
use super::guild_settings::GuildSettings;
use super::usage_rules::{AdmissionDecision, DailyUsage, Prices, UsageRules};
use crate::chat::TokenUsage;
use crate::store::{
    SessionId, Store, StoreError, Timestamp, Usage, UsageAccount, UsageEntry, UsageScope,
    UsageStage,
};

/// Delay before a failed write to the ledger is retried; doubles each time.
const INITIAL_RETRY_DELAY: Duration = Duration::from_secs(1);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(60);

/// How long a reader of totals waits for pending writes.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Whose caps a call counts against. Author 0 stands for nobody in particular.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Payer {
    /// The guild; `None` in a direct message.
    pub guild: Option<u64>,
    /// The member.
    pub author: u64,
}

impl Payer {
    fn from_entry(booking: &UsageEntry) -> Self {
        Self {
            guild: booking.guild,
            author: booking.author,
        }
    }
}

/// Which engines may do the work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AllowedEngines {
    /// Those named in the settings.
    All,
    /// Only engines on this machine, which cost nothing and don't count against the caps.
    LocalOnly,
}

/// Upper bound of what a call may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CallCost {
    /// Transcribing a recording of this length.
    Speech(Duration),
    /// Streaming a speaker's audio for this long.
    Stream(Duration),
    /// An answer with at most these tokens; zero for a free model.
    Answer(TokenUsage),
}

/// A request for one call.
#[derive(Clone, Copy)]
pub struct PermitRequest<'a> {
    /// Who pays.
    pub payer: Payer,
    /// The job or session it is for.
    pub account: UsageAccount,
    /// What it may use.
    pub cost: CallCost,
    /// Usage reserved for it earlier, and the length of the recordings that remain to be
    /// transcribed: their share of the reservation is kept.
    pub reservation: Option<(&'a Reservation, Duration)>,
    /// Upper limit for the engines: what local engines began at a cap, they also finish.
    pub allowed_engines: AllowedEngines,
}

/// Checks usage against the caps and records it. Clones share one state.
#[derive(Clone)]
pub struct Admission(Arc<AdmissionState>);

struct AdmissionState {
    rules: UsageRules,
    /// `None`: usage is kept in memory only.
    store: Option<Store>,
    clock: fn() -> Timestamp,
    /// The engines of this machine may stand in at a cap.
    has_local: bool,
    /// Local engines can take over at a cap.
    admission_lock: tokio::sync::Mutex<()>,
    pending: Mutex<PendingUsage>,
    /// A new entry waits to be written.
    entry_added: Notify,
    /// An entry was written, or its writer gave up.
    entry_settled: Notify,
    shutdown: CancellationToken,
    /// Tasks that meter open streams and uploads.
    metering_tasks: TaskTracker,
}

/// Usage reserved for a request until this is dropped.
pub struct Reservation {
    state: Arc<AdmissionState>,
    number: u64,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.state.pending().release_reservation(self.number);
    }
}

impl Admission {
    /// Opens admission on `store`. Calls that were open when an earlier process was killed are
    /// charged first.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn open(
        rules: UsageRules,
        store: Store,
        clock: fn() -> Timestamp,
        has_local: bool,
    ) -> Result<Self, StoreError> {
        let left = store.charge_interrupted_calls().await?;
        if left > 0 {
            tracing::warn!(calls = left, "booked what a killed process was paying for");
        }
        let opened = Self::build(rules, Some(store), clock, has_local);
        tokio::spawn(Arc::clone(&opened.0).writer_loop());
        Ok(opened)
    }

    /// For the command line, which has no ledger: only the global caps apply, and only to what this
    /// process has used.
    #[must_use]
    pub fn in_memory(rules: UsageRules, clock: fn() -> Timestamp) -> Self {
        let local_at_cap = false;
        let rules = UsageRules {
            local_at_cap,
            ..rules
        };
        Self::build(rules, None, clock, false)
    }

    fn build(
        rules: UsageRules,
        store: Option<Store>,
        clock: fn() -> Timestamp,
        has_local: bool,
    ) -> Self {
        Self(Arc::new(AdmissionState {
            rules,
            store,
            clock,
            has_local,
            admission_lock: tokio::sync::Mutex::new(()),
            pending: Mutex::default(),
            entry_added: Notify::new(),
            entry_settled: Notify::new(),
            shutdown: CancellationToken::new(),
            metering_tasks: TaskTracker::new(),
        }))
    }

    /// The caps and prices.
    #[must_use]
    pub fn rules(&self) -> &UsageRules {
        &self.0.rules
    }

    /// Checks a request with recordings of this total length, whose author last asked `since_last`
    /// ago, and reserves its expected usage. `answer` says whether a paid model is to answer it.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn reserve(
        &self,
        payer: Payer,
        (recordings, answer): (Duration, bool),
        since_last: Option<Duration>,
    ) -> Result<Result<(Reservation, AdmissionDecision), AdmissionDecision>, StoreError> {
        let inner = &self.0;
        let _one_at_a_time = inner.admission_lock.lock().await;
        let (rules, today) = inner.rules_and_usage(payer).await?;
        let mut verdict = rules.check_request(recordings, &today, since_last);
        if verdict == AdmissionDecision::Allow && answer {
            verdict = rules.check_answer(&today);
        }
        Ok(match inner.engines_for_decision(verdict) {
            Ok(engines) => {
                let reserved = match engines {
                    AllowedEngines::All => inner.recording_usage(recordings),
                    AllowedEngines::LocalOnly => Usage::default(),
                };
                let number = inner.pending().reserve(payer, reserved);
                let inner = Arc::clone(inner);
                Ok((
                    Reservation {
                        state: inner,
                        number,
                    },
                    verdict,
                ))
            }
            Err(verdict) => Err(verdict),
        })
    }

    /// Reserves for a job that an earlier process has accepted. If the caps leave no room, nothing
    /// is reserved and its calls are checked one by one.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn restore_reservation(
        &self,
        payer: Payer,
        recordings: Duration,
    ) -> Result<Reservation, StoreError> {
        let inner = &self.0;
        let _one_at_a_time = inner.admission_lock.lock().await;
        let wanted = inner.recording_usage(recordings);
        let mut reserved = Usage::default();
        // Skip the lookup where nothing is needed: after a crash there may be many jobs.
        if !wanted.is_zero() {
            let (rules, today) = inner.rules_and_usage(payer).await?;
            if rules.check_usage(&wanted, &today) == AdmissionDecision::Allow {
                reserved = wanted;
            }
        }
        let number = inner.pending().reserve(payer, reserved);
        Ok(Reservation {
            state: Arc::clone(inner),
            number,
        })
    }

    /// Checks one call. The reserved part is granted; only the excess is checked against the caps.
    /// The permit is in the ledger when this returns, so that a paid call is counted even if the
    /// process is killed.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read, or, for a job, can't be written.
    pub async fn admit(
        &self,
        ask: &PermitRequest<'_>,
    ) -> Result<Result<Permit, AdmissionDecision>, StoreError> {
        let inner = &self.0;
        let one_at_a_time = inner.admission_lock.lock().await;
        let estimate = ask.cost.estimate(&inner.rules.prices);
        let rest = ask
            .reservation
            .map(|(hold, rest)| (hold, inner.recording_usage(rest)));
        let granted = rest.as_ref().map_or_else(Usage::default, |(hold, rest)| {
            inner.pending().remaining(hold.number).saturating_sub(rest)
        });
        let beyond = estimate.saturating_sub(&granted);
        let (rules, today) = inner.rules_and_usage(ask.payer).await?;
        let verdict = match ask.cost {
            CallCost::Answer(_) if estimate.micros == 0 => AdmissionDecision::Allow,
            CallCost::Answer(_) => rules.check_answer(&today),
            _ if beyond.audio_ms == 0 && beyond.micros == 0 => AdmissionDecision::Allow,
            _ => rules.check_usage(&beyond, &today),
        };
        let engines = match inner.engines_for_decision(verdict) {
            Ok(_) | Err(_)
                if ask.allowed_engines == AllowedEngines::LocalOnly && inner.has_local =>
            {
                AllowedEngines::LocalOnly
            }
            Ok(engines) => engines,
            Err(verdict) => return Ok(Err(verdict)),
        };
        let booking = UsageEntry {
            call: None,
            account: ask.account,
            stage: ask.cost.stage(),
            guild: ask.payer.guild,
            author: ask.payer.author,
            day: (inner.clock)().day(),
            usage: match engines {
                AllowedEngines::All => estimate,
                AllowedEngines::LocalOnly => Usage::default(),
            },
        };
        let permit = {
            let mut books = inner.pending();
            if let Some((hold, rest)) = rest {
                books.shrink_reservation(hold.number, &rest);
            }
            let number = books.open_call(booking);
            Permit::new(Arc::clone(inner), number, engines)
        };
        drop(one_at_a_time);
        if booking.usage.audio_ms == 0 && booking.usage.micros == 0 {
            return Ok(Ok(permit));
        }
        // In its own task: if the caller is cancelled, the permit must still learn of the row being
        // written.
        let writing = tokio::spawn(async move {
            let noted = permit.record_start(&booking).await;
            (permit, noted)
        });
        match writing.await {
            Ok((permit, Ok(()))) => Ok(Ok(permit)),
            Ok((_, Err(error))) if matches!(ask.account, UsageAccount::Job { .. }) => Err(error),
            Ok((permit, Err(error))) => {
                // A voice session goes on; the cost is counted in memory.
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a paid call is not in the ledger"
                );
                Ok(Ok(permit))
            }
            // The task ends early only if the runtime shuts down.
            Err(_) => Err(StoreError::Damaged),
        }
    }

    /// Cost of transcribing a session so far, in millionths of the currency.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn session_cost_micros(&self, session: SessionId) -> Result<u64, StoreError> {
        let account = UsageAccount::Session(session);
        let here = self.0.pending().account_usage(account, UsageStage::Speech);
        let written = match &self.0.store {
            Some(store) => store.session_transcription_usage(session).await?,
            None => Usage::default(),
        };
        Ok(written.saturating_add(&here).micros)
    }

    /// Waits a limited time until all entries are written, so that totals are up to date.
    pub async fn flush(&self) {
        let _ = timeout(FLUSH_TIMEOUT, self.0.drain()).await;
    }

    /// Waits until streams have ended and all entries are written, each for at most `patience`. The
    /// next process charges whatever is left as if its full estimate had been used.
    pub async fn shut_down(&self, patience: Duration) {
        let inner = &self.0;
        inner.metering_tasks.close();
        let _ = timeout(patience, inner.metering_tasks.wait()).await;
        let written = timeout(patience, inner.drain()).await;
        inner.shutdown.cancel();
        if written != Ok(true) {
            tracing::error!("not everything that was paid is booked");
        }
    }
}

impl CallCost {
    fn stage(self) -> UsageStage {
        match self {
            Self::Speech(_) | Self::Stream(_) => UsageStage::Speech,
            Self::Answer(_) => UsageStage::Chat,
        }
    }

    fn estimate(self, prices: &Prices) -> Usage {
        match self {
            Self::Speech(length) => prices.recording_usage(length),
            Self::Stream(open) => prices.stream_usage(open, open),
            Self::Answer(usage) => prices.answer_usage(usage),
        }
    }
}

impl AdmissionState {
    /// The writer of an entry is done. If it is not in the ledger yet, another writer takes over.
    fn release_claim(&self, number: u64) {
        self.pending().release_claim(number);
        self.entry_added.notify_one();
        self.entry_settled.notify_waiters();
    }

    fn pending(&self) -> MutexGuard<'_, PendingUsage> {
        // No call leaves the state half changed, so a poisoned lock can be used.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recording_usage(&self, recordings: Duration) -> Usage {
        self.rules.prices.recording_usage(recordings)
    }

    /// The rules for a payer, and today's usage. An entry written in between is counted twice
    /// rather than not at all.
    async fn rules_and_usage(&self, payer: Payer) -> Result<(UsageRules, DailyUsage), StoreError> {
        let day = (self.clock)().day();
        let here = self.pending().pending_for(payer, day);
        let Some(store) = &self.store else {
            return Ok((self.rules, here));
        };
        let settings = GuildSettings::load(store, payer.guild).await?;
        let rules = settings.apply_to_rules(self.rules);
        let used = |scope| store.usage_on_day(day, scope);
        let written = DailyUsage {
            member: match payer.author {
                0 => Usage::default(),
                author => used(UsageScope::Author(author)).await?,
            },
            guild: match payer.guild {
                Some(guild) => used(UsageScope::Guild(guild)).await?,
                None => Usage::default(),
            },
            global: used(UsageScope::Global).await?,
        };
        Ok((rules, written.saturating_add(&here)))
    }

    async fn record_usage(&self, booking: &UsageEntry) -> Result<(), StoreError> {
        match &self.store {
            Some(store) => store.record_usage(booking).await,
            None => {
                self.pending().add_to_ledgerless_total(booking);
                Ok(())
            }
        }
    }

    /// Which engines may work after this decision, if any.
    fn engines_for_decision(
        &self,
        verdict: AdmissionDecision,
    ) -> Result<AllowedEngines, AdmissionDecision> {
        match verdict {
            AdmissionDecision::Allow => Ok(AllowedEngines::All),
            AdmissionDecision::LocalOnly(_) if self.has_local => Ok(AllowedEngines::LocalOnly),
            AdmissionDecision::LocalOnly(whose) => Err(AdmissionDecision::CapReached(whose)),
            AdmissionDecision::CapReached(_)
            | AdmissionDecision::TooLong(_)
            | AdmissionDecision::Cooldown(_) => Err(verdict),
        }
    }

    /// Writes entries as they arrive, and retries those that failed.
    async fn writer_loop(self: Arc<Self>) {
        let mut wait = INITIAL_RETRY_DELAY;
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                () = self.entry_added.notified() => {}
            }
            if self.write_pending().await {
                wait = INITIAL_RETRY_DELAY;
                continue;
            }
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                () = sleep(wait) => {}
            }
            wait = (wait * 2).min(MAX_RETRY_DELAY);
            self.entry_added.notify_one();
        }
    }

    /// Waits until nothing is left to write, including by other writers. Returns false if a write
    /// failed.
    async fn drain(&self) -> bool {
        loop {
            let mut less = std::pin::pin!(self.entry_settled.notified());
            less.as_mut().enable();
            if !self.write_pending().await {
                return false;
            }
            if self.pending().is_all_written() {
                return true;
            }
            less.await;
        }
    }

    /// Writes all entries that no other writer has claimed. Returns false if a write failed.
    async fn write_pending(&self) -> bool {
        loop {
            let next = self.pending().claim_next_unwritten();
            let Some((number, booking)) = next else {
                return true;
            };
            let in_hand = WriteClaim {
                state: self,
                number,
            };
            if let Err(error) = self.record_usage(&booking).await {
                drop(in_hand);
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "not booked yet, but counted"
                );
                return false;
            }
            self.pending().remove_written(number);
        }
    }
}

/// An entry that is being written. Dropping the claim leaves it to other writers.
struct WriteClaim<'a> {
    state: &'a AdmissionState,
    number: u64,
}

impl Drop for WriteClaim<'_> {
    fn drop(&mut self) {
        self.state.release_claim(self.number);
    }
}
