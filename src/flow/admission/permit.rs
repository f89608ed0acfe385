//! The right to one paid call, and the record of what it used.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio_util::task::TaskTracker;

use super::{Ask, Cost, Engines, Inner, Payer};
use crate::chat::Usage;
use crate::flow::rules::Verdict;
use crate::store::{Account, Booking, Stage, StoreError, Used};

/// The right to one paid call. However it ends, what was used is booked.
pub struct Permit {
    /// None: nobody counts.
    inner: Option<Arc<Inner>>,
    number: u64,
    engines: Engines,
}

impl Permit {
    pub(super) fn new(inner: Arc<Inner>, number: u64, engines: Engines) -> Self {
        Self {
            inner: Some(inner),
            number,
            engines,
        }
    }

    /// For whoever pays for themselves at their own machine: the command line has no caps and no
    /// ledger.
    #[must_use]
    pub fn unmetered() -> Self {
        Self {
            inner: None,
            number: 0,
            engines: Engines::All,
        }
    }

    /// Who may work with it.
    #[must_use]
    pub fn engines(&self) -> Engines {
        self.engines
    }

    /// Writes down that the call is about to be made.
    pub(super) async fn note(&self, booking: &Booking) -> Result<(), StoreError> {
        let Some(inner) = &self.inner else {
            return Ok(());
        };
        let Some(store) = &inner.store else {
            return Ok(());
        };
        let call = store.begin_call(booking).await?;
        inner.books().known(self.number, call);
        Ok(())
    }

    fn change(&self, change: impl FnOnce(&Inner, &mut Used)) {
        if let Some(inner) = &self.inner
            && self.engines == Engines::All
            && let Some(used) = inner.books().used(self.number)
        {
            change(inner, used);
        }
    }

    /// A provider that is paid was given a recording.
    pub(in crate::flow) fn charge_recording(&self, length: Duration) {
        self.change(|inner, used| *used = used.and(&inner.speech(length)));
    }

    /// A provider that is paid was given so much of a clip so far.
    pub(in crate::flow) fn uploaded(&self, length: Duration) {
        self.change(|inner, used| *used = inner.speech(length));
    }

    /// A provider does not bill the recording it was given last.
    pub(in crate::flow) fn refund_recording(&self, length: Duration) {
        self.change(|inner, used| *used = used.without(&inner.speech(length)));
    }

    /// An engine of this machine has listened in the place of a provider: minutes, no money.
    pub(in crate::flow) fn heard_here(&self, length: Duration) {
        self.change(|inner, used| {
            used.audio_ms = used.audio_ms.saturating_add(inner.speech(length).audio_ms);
        });
    }

    /// So much has been streamed so far, in a session that was open for so long.
    pub(in crate::flow) fn streamed(&self, audio: Duration, open: Duration) {
        self.change(|inner, used| *used = inner.rules.prices.of_stream(audio, open));
    }

    /// So many tokens so far.
    pub(in crate::flow) fn answered(&self, usage: Usage, is_paid: bool) {
        self.change(|inner, used| {
            *used = inner.rules.prices.of_answer(usage);
            if !is_paid {
                used.micros = 0;
            }
        });
    }

    /// Whether it counts against the caps of this day.
    pub(in crate::flow) fn is_of_today(&self) -> bool {
        self.inner.as_ref().is_none_or(|inner| {
            let day = inner.books().day(self.number);
            day.is_none_or(|day| day == (inner.clock)().day())
        })
    }

    /// Asks for another one, for what goes on after this.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub(in crate::flow) async fn another(
        &self,
        payer: Payer,
        account: Account,
        cost: Cost,
    ) -> Result<Result<Self, Verdict>, StoreError> {
        let Some(inner) = self.inner.clone() else {
            return Ok(Ok(Self::unmetered()));
        };
        let ask = Ask {
            payer,
            account,
            cost,
            hold: None,
            at_most: Engines::All,
        };
        super::Admission(inner).admit(&ask).await
    }

    /// Where to run what must be over before the books are closed.
    pub(in crate::flow) fn tasks(&self) -> TaskTracker {
        match &self.inner {
            Some(inner) => inner.streams.clone(),
            None => TaskTracker::new(),
        }
    }

    /// Books what was used, now.
    pub async fn settle(self) {
        let Some(inner) = self.inner.clone() else {
            return;
        };
        let settling = self.finish();
        let Some(booking) = settling.booking() else {
            return;
        };
        match inner.book(booking).await {
            Ok(()) => settling.written(),
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "not booked yet, but counted"
            ),
        }
    }

    /// The end of the call, for whoever writes what it used together with what came of it.
    #[must_use]
    pub fn finish(mut self) -> Settling {
        let inner = self.inner.take();
        let booking = inner.as_ref().and_then(|it| end(it, self.number, true));
        Settling {
            inner: inner.filter(|_| booking.is_some()),
            number: self.number,
            booking,
        }
    }
}

/// What a call used, on its way into the ledger. What does not get there is booked later, alone.
pub struct Settling {
    inner: Option<Arc<Inner>>,
    number: u64,
    booking: Option<Booking>,
}

impl Settling {
    /// What is to be written, if anything is.
    #[must_use]
    pub fn booking(&self) -> Option<&Booking> {
        self.booking.as_ref()
    }

    /// It is in the ledger.
    pub fn written(self) {
        if let Some(inner) = &self.inner {
            inner.books().written(self.number);
        }
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        if let Some(inner) = &self.inner {
            inner.put_back(self.number);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take()
            && end(&inner, self.number, false).is_some()
        {
            inner.more.notify_one();
        }
    }
}

/// Ends a call in memory, and tells the metrics.
fn end(inner: &Inner, number: u64, in_hand: bool) -> Option<Booking> {
    let booking = inner.books().finish(number, in_hand)?;
    if inner.store.is_none() {
        let mut books = inner.books();
        books.written(number);
        books.keep(&booking);
        return None;
    }
    let used = &booking.used;
    if booking.stage == Stage::Speech {
        counter!("talkback_audio_seconds_total").increment(used.audio_ms / 1_000);
    }
    counter!("talkback_tokens_total", "direction" => "in").increment(used.tokens_in);
    counter!("talkback_tokens_total", "direction" => "out").increment(used.tokens_out);
    counter!("talkback_cost_micros_total").increment(used.micros);
    Some(booking)
}
