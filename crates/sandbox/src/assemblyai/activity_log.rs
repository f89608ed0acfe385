//! What goes on with one server, entry by entry, each as far as it has come.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// The most entries that are remembered.
const MAX_ENTRIES: usize = 1_000;

/// Exchanges that take a while, and can be waited for.
#[derive(Debug)]
pub(super) struct ActivityLog<T> {
    log: Mutex<Vec<T>>,
    changes: watch::Sender<u64>,
}

impl<T> Default for ActivityLog<T> {
    fn default() -> Self {
        Self {
            log: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }
}

impl<T: Clone> ActivityLog<T> {
    fn log(&self) -> MutexGuard<'_, Vec<T>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify_changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// The place of a new entry, or `None` if there are too many already.
    pub(super) fn insert(&self, entry: T) -> Option<usize> {
        let mut log = self.log();
        if log.len() == MAX_ENTRIES {
            return None;
        }
        log.push(entry);
        let place = log.len() - 1;
        drop(log);
        self.notify_changed();
        Some(place)
    }

    /// Writes down what has come of the entry at a place.
    pub(super) fn update(&self, place: Option<usize>, change: impl FnOnce(&mut T)) {
        let mut log = self.log();
        if let Some(entry) = place.and_then(|place| log.get_mut(place)) {
            change(entry);
        }
        drop(log);
        self.notify_changed();
    }

    pub(super) fn entries(&self) -> Vec<T> {
        self.log().clone()
    }

    pub(super) async fn wait_until(&self, enough: impl Fn(&[T]) -> bool) -> Vec<T> {
        let mut changes = self.changes.subscribe();
        let wait = async {
            loop {
                changes.mark_unchanged();
                if enough(&self.log()) || changes.changed().await.is_err() {
                    break;
                }
            }
        };
        // Whoever waited in vain sees so in what is returned.
        let _ = tokio::time::timeout(crate::MAX_WAIT, wait).await;
        self.entries()
    }
}
