//! The only place that allows a paid call. A call to a provider needs a [`Permit`]. Admission
//! checks each request against today's usage and reservations, and when the permit ends, however it
//! ends, records what the call used.
//!
//! No cap on minutes or money is exceeded, except by two amounts that can't be known in advance:
//! the cost of one answer (allowed while anything is left), and what a provider bills for a call
//! that has to be repeated.

mod entry_writer;
mod pending_usage;
mod permit;
mod permit_request;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::pending_usage::PendingUsage;
pub use self::permit::{Permit, Settlement};
pub use self::permit_request::{AllowedEngines, CallCost, Payer, PermitRequest};
use super::guild_settings::GuildSettings;
use super::usage_rules::{AdmissionDecision, DailyUsage, UsageRules};
use crate::store::{
    SessionId, Store, StoreError, Timestamp, Usage, UsageAccount, UsageEntry, UsageScope,
    UsageStage,
};

/// How long a reader of totals waits for pending writes.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Checks usage against the caps and records it. Clones share one state.
#[derive(Clone)]
pub struct Admission(Arc<AdmissionState>);

struct AdmissionState {
    rules: UsageRules,
    /// `None`: usage is kept in memory only.
    store: Option<Store>,
    clock: fn() -> Timestamp,
    /// Local engines can take over at a cap.
    has_local: bool,
    /// Requests are checked one at a time, so that several at once can't all pass the same cap.
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
        let count = store.charge_interrupted_calls().await?;
        if count > 0 {
            tracing::warn!(
                calls = count,
                "charged calls that a killed process left open"
            );
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
        let state = &self.0;
        let _one_at_a_time = state.admission_lock.lock().await;
        let (rules, today) = state.rules_and_usage(payer).await?;
        let mut decision = rules.check_request(recordings, &today, since_last);
        if decision == AdmissionDecision::Allow && answer {
            decision = rules.check_answer(&today);
        }
        Ok(match state.engines_for_decision(decision) {
            Ok(engines) => {
                let reserved = match engines {
                    AllowedEngines::All => state.recording_usage(recordings),
                    AllowedEngines::LocalOnly => Usage::default(),
                };
                let number = state.pending().reserve(payer, reserved);
                let state = Arc::clone(state);
                Ok((Reservation { state, number }, decision))
            }
            Err(decision) => Err(decision),
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
        let state = &self.0;
        let _one_at_a_time = state.admission_lock.lock().await;
        let wanted = state.recording_usage(recordings);
        let mut reserved = Usage::default();
        // Skip the lookup where nothing is needed: after a crash there may be many jobs.
        if !wanted.is_zero() {
            let (rules, today) = state.rules_and_usage(payer).await?;
            if rules.check_usage(&wanted, &today) == AdmissionDecision::Allow {
                reserved = wanted;
            }
        }
        let number = state.pending().reserve(payer, reserved);
        Ok(Reservation {
            state: Arc::clone(state),
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
        request: &PermitRequest<'_>,
    ) -> Result<Result<Permit, AdmissionDecision>, StoreError> {
        let state = &self.0;
        let one_at_a_time = state.admission_lock.lock().await;
        let estimate = request.cost.estimate(&state.rules.prices);
        let rest = request
            .reservation
            .map(|(reservation, rest)| (reservation, state.recording_usage(rest)));
        let granted = rest
            .as_ref()
            .map_or_else(Usage::default, |(reservation, rest)| {
                state
                    .pending()
                    .remaining(reservation.number)
                    .saturating_sub(rest)
            });
        let excess = estimate.saturating_sub(&granted);
        let (rules, today) = state.rules_and_usage(request.payer).await?;
        let decision = match request.cost {
            CallCost::Answer(_) if estimate.micros == 0 => AdmissionDecision::Allow,
            CallCost::Answer(_) => rules.check_answer(&today),
            _ if excess.audio_ms == 0 && excess.micros == 0 => AdmissionDecision::Allow,
            _ => rules.check_usage(&excess, &today),
        };
        let engines = match state.engines_for_decision(decision) {
            Ok(_) | Err(_)
                if request.allowed_engines == AllowedEngines::LocalOnly && state.has_local =>
            {
                AllowedEngines::LocalOnly
            }
            Ok(engines) => engines,
            Err(decision) => return Ok(Err(decision)),
        };
        let entry = UsageEntry {
            call: None,
            account: request.account,
            stage: request.cost.stage(),
            guild: request.payer.guild,
            author: request.payer.author,
            day: (state.clock)().day(),
            usage: match engines {
                AllowedEngines::All => estimate,
                AllowedEngines::LocalOnly => Usage::default(),
            },
        };
        let permit = {
            let mut pending = state.pending();
            if let Some((reservation, rest)) = rest {
                pending.shrink_reservation(reservation.number, &rest);
            }
            let number = pending.open_call(entry);
            Permit::new(Arc::clone(state), number, engines)
        };
        drop(one_at_a_time);
        if entry.usage.audio_ms == 0 && entry.usage.micros == 0 {
            return Ok(Ok(permit));
        }
        // In its own task: if the caller is cancelled, the permit must still learn of the row being
        // written.
        let writing = tokio::spawn(async move {
            let recorded = permit.record_start(&entry).await;
            (permit, recorded)
        });
        match writing.await {
            Ok((permit, Ok(()))) => Ok(Ok(permit)),
            Ok((_, Err(error))) if matches!(request.account, UsageAccount::Job { .. }) => {
                Err(error)
            }
            Ok((permit, Err(error))) => {
                // A voice session goes on; the cost is counted in memory.
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "failed to record a paid call, counting it in memory"
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
        let pending = self.0.pending().account_usage(account, UsageStage::Speech);
        let written = match &self.0.store {
            Some(store) => store.session_transcription_usage(session).await?,
            None => Usage::default(),
        };
        Ok(written.saturating_add(&pending).micros)
    }

    /// Waits a limited time until all entries are written, so that totals are up to date.
    pub async fn flush(&self) {
        let _ = timeout(FLUSH_TIMEOUT, self.0.drain()).await;
    }

    /// Waits until streams have ended and all entries are written, each for at most `patience`. The
    /// next process charges whatever is left as if its full estimate had been used.
    pub async fn shut_down(&self, patience: Duration) {
        let state = &self.0;
        state.metering_tasks.close();
        let _ = timeout(patience, state.metering_tasks.wait()).await;
        let written = timeout(patience, state.drain()).await;
        state.shutdown.cancel();
        if written != Ok(true) {
            tracing::error!("some usage was not written");
        }
    }
}

impl AdmissionState {
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
        let pending = self.pending().pending_for(payer, day);
        let Some(store) = &self.store else {
            return Ok((self.rules, pending));
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
        Ok((rules, written.saturating_add(&pending)))
    }

    /// Which engines may work after this decision, if any.
    fn engines_for_decision(
        &self,
        decision: AdmissionDecision,
    ) -> Result<AllowedEngines, AdmissionDecision> {
        match decision {
            AdmissionDecision::Allow => Ok(AllowedEngines::All),
            AdmissionDecision::LocalOnly(_) if self.has_local => Ok(AllowedEngines::LocalOnly),
            AdmissionDecision::LocalOnly(scope) => Err(AdmissionDecision::CapReached(scope)),
            AdmissionDecision::CapReached(_)
            | AdmissionDecision::TooLong(_)
            | AdmissionDecision::Cooldown(_) => Err(decision),
        }
    }
}
