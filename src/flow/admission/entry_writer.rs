//! Writes usage entries to the ledger, and retries those that failed.

use std::sync::Arc;
use std::time::Duration;

use net::Backoff;
use tokio::time::sleep;

use super::AdmissionState;
use crate::store::{StoreError, UsageEntry};

/// Delay before a failed write to the ledger is retried; doubles each time.
const INITIAL_RETRY_DELAY: Duration = Duration::from_secs(1);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(60);

impl AdmissionState {
    /// The writer of an entry is done. If it is not in the ledger yet, another writer takes over.
    pub(super) fn release_claim(&self, number: u64) {
        self.pending().release_claim(number);
        self.entry_added.notify_one();
        self.entry_settled.notify_waiters();
    }

    pub(super) async fn record_usage(&self, entry: &UsageEntry) -> Result<(), StoreError> {
        match &self.store {
            Some(store) => store.record_usage(entry).await,
            None => {
                self.pending().add_to_ledgerless_total(entry);
                Ok(())
            }
        }
    }

    /// Writes entries as they arrive, and retries those that failed.
    pub(super) async fn writer_loop(self: Arc<Self>) {
        let mut backoff = Backoff::new(INITIAL_RETRY_DELAY, MAX_RETRY_DELAY);
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                () = self.entry_added.notified() => {}
            }
            if self.write_pending().await {
                backoff.reset();
                continue;
            }
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                () = sleep(backoff.next_delay()) => {}
            }
            self.entry_added.notify_one();
        }
    }

    /// Waits until nothing is left to write, including by other writers. Returns false if a write
    /// failed.
    pub(super) async fn drain(&self) -> bool {
        loop {
            let mut settled = std::pin::pin!(self.entry_settled.notified());
            settled.as_mut().enable();
            if !self.write_pending().await {
                return false;
            }
            if self.pending().is_all_written() {
                return true;
            }
            settled.await;
        }
    }

    /// Writes all entries that no other writer has claimed. Returns false if a write failed.
    async fn write_pending(&self) -> bool {
        loop {
            let next = self.pending().claim_next_unwritten();
            let Some((number, entry)) = next else {
                return true;
            };
            let claim = WriteClaim {
                state: self,
                number,
            };
            if let Err(error) = self.record_usage(&entry).await {
                drop(claim);
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "usage not written yet, but counted"
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
