//! Permits: the right to one paid call, which meters what the call uses.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio_util::task::TaskTracker;

use super::{AdmissionState, AllowedEngines, CallCost, Payer, PermitRequest};
use crate::chat::TokenUsage;
use crate::flow::usage_rules::AdmissionDecision;
use crate::store::{StoreError, Usage, UsageAccount, UsageEntry, UsageStage};

/// The right to one paid call. Its usage is recorded however it ends.
pub struct Permit {
    /// `None`: usage is not metered.
    state: Option<Arc<AdmissionState>>,
    number: u64,
    engines: AllowedEngines,
}

impl Permit {
    pub(super) fn new(state: Arc<AdmissionState>, number: u64, engines: AllowedEngines) -> Self {
        Self {
            state: Some(state),
            number,
            engines,
        }
    }

    /// A permit without caps or ledger, for the command line.
    #[must_use]
    pub fn unmetered() -> Self {
        Self {
            state: None,
            number: 0,
            engines: AllowedEngines::All,
        }
    }

    /// Which engines may work under this permit.
    #[must_use]
    pub fn engines(&self) -> AllowedEngines {
        self.engines
    }

    /// Records in the ledger that the call is about to start.
    pub(super) async fn record_start(&self, entry: &UsageEntry) -> Result<(), StoreError> {
        let Some(state) = &self.state else {
            return Ok(());
        };
        let Some(store) = &state.store else {
            return Ok(());
        };
        let call = store.begin_paid_call(entry).await?;
        state.pending().set_call_id(self.number, call);
        Ok(())
    }

    fn update_usage(&self, change: impl FnOnce(&AdmissionState, &mut Usage)) {
        if let Some(state) = &self.state
            && self.engines == AllowedEngines::All
            && let Some(used) = state.pending().usage_mut(self.number)
        {
            change(state, used);
        }
    }

    /// A paid provider was given a recording of this length.
    pub(in crate::flow) fn charge_recording(&self, length: Duration) {
        self.update_usage(|state, used| {
            *used = used.saturating_add(&state.recording_usage(length));
        });
    }

    /// Sets how much of a clip a paid provider was given so far.
    pub(in crate::flow) fn set_uploaded(&self, length: Duration) {
        self.update_usage(|state, used| *used = state.recording_usage(length));
    }

    /// The provider does not bill the recording it was given last.
    pub(in crate::flow) fn refund_recording(&self, length: Duration) {
        self.update_usage(|state, used| {
            *used = used.saturating_sub(&state.recording_usage(length));
        });
    }

    /// A local engine did the work instead of the provider: counts minutes, but no money.
    pub(in crate::flow) fn charge_local_audio(&self, length: Duration) {
        self.update_usage(|state, used| {
            used.audio_ms = used
                .audio_ms
                .saturating_add(state.recording_usage(length).audio_ms);
        });
    }

    /// Sets how much audio was streamed so far, and how long the stream was open.
    pub(in crate::flow) fn set_streamed(&self, audio: Duration, open: Duration) {
        self.update_usage(|state, used| *used = state.rules.prices.stream_usage(audio, open));
    }

    /// Sets the tokens used so far.
    pub(in crate::flow) fn set_answer_usage(&self, usage: TokenUsage, is_paid: bool) {
        self.update_usage(|state, used| {
            *used = state.rules.prices.answer_usage(usage);
            if !is_paid {
                used.micros = 0;
            }
        });
    }

    /// Whether it counts against today's caps.
    pub(in crate::flow) fn counts_against_today(&self) -> bool {
        self.state.as_ref().is_none_or(|state| {
            let day = state.pending().call_day(self.number);
            day.is_none_or(|day| day == (state.clock)().day())
        })
    }

    /// Requests another permit for the continuation of this call.
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
        let Some(state) = self.state.clone() else {
            return Ok(Ok(Self::unmetered()));
        };
        let request = PermitRequest {
            payer,
            account,
            cost,
            reservation: None,
            allowed_engines: AllowedEngines::All,
        };
        super::Admission(state).admit(&request).await
    }

    /// Tracks tasks that must finish before admission shuts down.
    pub(in crate::flow) fn task_tracker(&self) -> TaskTracker {
        match &self.state {
            Some(state) => state.metering_tasks.clone(),
            None => TaskTracker::new(),
        }
    }

    /// Records the usage now.
    pub async fn settle(self) {
        let Some(state) = self.state.clone() else {
            return;
        };
        let settlement = self.into_settlement();
        let Some(entry) = settlement.entry() else {
            return;
        };
        match state.record_usage(entry).await {
            Ok(()) => settlement.mark_written(),
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "usage not written yet, but counted"
            ),
        }
    }

    /// Ends the call, for a caller that saves its usage together with its result.
    #[must_use]
    pub fn into_settlement(mut self) -> Settlement {
        let state = self.state.take();
        let entry = state
            .as_ref()
            .and_then(|it| close_call(it, self.number, true));
        Settlement {
            state: state.filter(|_| entry.is_some()),
            number: self.number,
            entry,
        }
    }
}

/// Usage of a finished call on its way into the ledger. If it is dropped unwritten, it is written
/// later on its own.
pub struct Settlement {
    state: Option<Arc<AdmissionState>>,
    number: u64,
    entry: Option<UsageEntry>,
}

impl Settlement {
    /// The entry to write, if there is one.
    #[must_use]
    pub fn entry(&self) -> Option<&UsageEntry> {
        self.entry.as_ref()
    }

    /// The entry is in the ledger.
    pub fn mark_written(self) {
        if let Some(state) = &self.state {
            state.pending().remove_written(self.number);
        }
    }
}

impl Drop for Settlement {
    fn drop(&mut self) {
        if let Some(state) = &self.state {
            state.release_claim(self.number);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(state) = self.state.take()
            && close_call(&state, self.number, false).is_some()
        {
            state.entry_added.notify_one();
        }
    }
}

/// Closes a call in memory and updates the metrics.
fn close_call(state: &AdmissionState, number: u64, is_claimed: bool) -> Option<UsageEntry> {
    let entry = state.pending().close_call(number, is_claimed)?;
    if state.store.is_none() {
        let mut pending = state.pending();
        pending.remove_written(number);
        pending.add_to_ledgerless_total(&entry);
        return None;
    }
    let used = &entry.usage;
    if entry.stage == UsageStage::Speech {
        counter!("talkback_audio_seconds_total").increment(used.audio_ms / 1_000);
    }
    counter!("talkback_tokens_total", "direction" => "in").increment(used.tokens_in);
    counter!("talkback_tokens_total", "direction" => "out").increment(used.tokens_out);
    counter!("talkback_cost_micros_total").increment(used.micros);
    Some(entry)
}
