//! A transcriber of a failover list and its health.

use std::sync::{Arc, Mutex, PoisonError};

use super::health::HealthRecord;
use crate::speech::Transcriber;

/// A transcriber on the list and its health.
pub(super) struct FailoverProvider {
    pub(super) transcriber: Arc<dyn Transcriber>,
    pub(super) record: Mutex<HealthRecord>,
}

impl FailoverProvider {
    pub(super) fn name(&self) -> &'static str {
        self.transcriber.capabilities().name
    }

    pub(super) fn with_record<T>(&self, access: impl FnOnce(&mut HealthRecord) -> T) -> T {
        // No call leaves the record inconsistent, so a poisoned lock is still usable.
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        access(&mut record)
    }

    pub(super) fn is_healthy(&self) -> bool {
        self.with_record(|record| record.is_healthy())
    }
}
