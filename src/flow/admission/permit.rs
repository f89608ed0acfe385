//! The right to one paid call, and the record of what it used.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio_util::task::TaskTracker;

use super::{AdmissionState, AllowedEngines, CallCost, Payer, PermitRequest};
use crate::chat::TokenUsage;
use crate::flow::usage_rules::AdmissionDecision;
use crate::store::{StoreError, Usage, UsageAccount, UsageEntry, UsageStage};

/// The right to one paid call. However it ends, what was used is booked.
pub struct Permit {
    /// None: nobody counts.
    state: Option<Arc<AdmissionState>>,
    number: u64,
    engines: AllowedEngines,
}

impl Permit {
    pub(super) fn new(inner: Arc<AdmissionState>, number: u64, engines: AllowedEngines) -> Self {
        Self {
            state: Some(inner),
            number,
            engines,
        }
    }

    /// For whoever pays for themselves at their own machine: the command line has no caps and no
    /// ledger.
    #[must_use]
    pub fn unmetered() -> Self {
        Self {
            state: None,
            number: 0,
            engines: AllowedEngines::All,
        }
    }

    /// Who may work with it.
    #[must_use]
    pub fn engines(&self) -> AllowedEngines {
        self.engines
    }

    /// Writes down that the call is about to be made.
    pub(super) async fn record_start(&self, booking: &UsageEntry) -> Result<(), StoreError> {
        let Some(inner) = &self.state else {
            return Ok(());
        };
        let Some(store) = &inner.store else {
            return Ok(());
        };
        let call = store.begin_paid_call(booking).await?;
        inner.pending().set_call_id(self.number, call);
        Ok(())
    }

    fn update_usage(&self, change: impl FnOnce(&AdmissionState, &mut Usage)) {
        if let Some(inner) = &self.state
            && self.engines == AllowedEngines::All
            && let Some(used) = inner.pending().usage_mut(self.number)
        {
            change(inner, used);
        }
    }

    /// A provider that is paid was given a recording.
    pub(in crate::flow) fn charge_recording(&self, length: Duration) {
        self.update_usage(|inner, used| {
            *used = used.saturating_add(&inner.recording_usage(length))
        });
    }

    /// A provider that is paid was given so much of a clip so far.
    pub(in crate::flow) fn set_uploaded(&self, length: Duration) {
        self.update_usage(|inner, used| *used = inner.recording_usage(length));
    }

    /// A provider does not bill the recording it was given last.
    pub(in crate::flow) fn refund_recording(&self, length: Duration) {
        self.update_usage(|inner, used| {
            *used = used.saturating_sub(&inner.recording_usage(length))
        });
    }

    /// An engine of this machine has listened in the place of a provider: minutes, no money.
    pub(in crate::flow) fn charge_local_audio(&self, length: Duration) {
        self.update_usage(|inner, used| {
            used.audio_ms = used
                .audio_ms
                .saturating_add(inner.recording_usage(length).audio_ms);
        });
    }

    /// So much has been streamed so far, in a session that was open for so long.
    pub(in crate::flow) fn set_streamed(&self, audio: Duration, open: Duration) {
        self.update_usage(|inner, used| *used = inner.rules.prices.stream_usage(audio, open));
    }

    /// So many tokens so far.
    pub(in crate::flow) fn set_answer_usage(&self, usage: TokenUsage, is_paid: bool) {
        self.update_usage(|inner, used| {
            *used = inner.rules.prices.answer_usage(usage);
            if !is_paid {
                used.micros = 0;
            }
        });
    }

    /// Whether it counts against the caps of this day.
    pub(in crate::flow) fn counts_against_today(&self) -> bool {
        self.state.as_ref().is_none_or(|inner| {
            let day = inner.pending().call_day(self.number);
            day.is_none_or(|day| day == (inner.clock)().day())
        })
    }

    /// Asks for another one, for what goes on after this.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub(in crate::flow) async fn request_next(
        &self,
        payer: Payer,
        account: UsageAccount,
        cost: CallCost,
    ) -> Result<Result<Self, AdmissionDecision>, StoreError> {
        let Some(inner) = self.state.clone() else {
            return Ok(Ok(Self::unmetered()));
        };
        let ask = PermitRequest {
            payer,
            account,
            cost,
            reservation: None,
            allowed_engines: AllowedEngines::All,
        };
        super::Admission(inner).admit(&ask).await
    }

    /// Where to run what must be over before the books are closed.
    pub(in crate::flow) fn task_tracker(&self) -> TaskTracker {
        match &self.state {
            Some(inner) => inner.metering_tasks.clone(),
            None => TaskTracker::new(),
        }
    }

    /// Books what was used, now.
    pub async fn settle(self) {
        let Some(inner) = self.state.clone() else {
            return;
        };
        let settling = self.into_settlement();
        let Some(booking) = settling.entry() else {
            return;
        };
        match inner.record_usage(booking).await {
            Ok(()) => settling.mark_written(),
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "not booked yet, but counted"
            ),
        }
    }

    /// The end of the call, for whoever writes what it used together with what came of it.
    #[must_use]
    pub fn into_settlement(mut self) -> Settlement {
        let inner = self.state.take();
        let booking = inner
            .as_ref()
            .and_then(|it| close_call(it, self.number, true));
        Settlement {
            state: inner.filter(|_| booking.is_some()),
            number: self.number,
            entry: booking,
        }
    }
}

/// What a call used, on its way into the ledger. What does not get there is booked later, alone.
pub struct Settlement {
    state: Option<Arc<AdmissionState>>,
    number: u64,
    entry: Option<UsageEntry>,
}

impl Settlement {
    /// What is to be written, if anything is.
    #[must_use]
    pub fn entry(&self) -> Option<&UsageEntry> {
        self.entry.as_ref()
    }

    /// It is in the ledger.
    pub fn mark_written(self) {
        if let Some(inner) = &self.state {
            inner.pending().remove_written(self.number);
        }
    }
}

impl Drop for Settlement {
    fn drop(&mut self) {
        if let Some(inner) = &self.state {
            inner.release_claim(self.number);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(inner) = self.state.take()
            && close_call(&inner, self.number, false).is_some()
        {
            inner.entry_added.notify_one();
        }
    }
}

/// Ends a call in memory, and tells the metrics.
fn close_call(inner: &AdmissionState, number: u64, in_hand: bool) -> Option<UsageEntry> {
    let booking = inner.pending().close_call(number, in_hand)?;
    if inner.store.is_none() {
        let mut books = inner.pending();
        books.remove_written(number);
        books.add_to_ledgerless_total(&booking);
        return None;
    }
    let used = &booking.usage;
    if booking.stage == UsageStage::Speech {
        counter!("talkback_audio_seconds_total").increment(used.audio_ms / 1_000);
    }
    counter!("talkback_tokens_total", "direction" => "in").increment(used.tokens_in);
    counter!("talkback_tokens_total", "direction" => "out").increment(used.tokens_out);
    counter!("talkback_cost_micros_total").increment(used.micros);
    Some(booking)
}
