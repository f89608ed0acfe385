//! Work queues by key: in order within a key, concurrent across keys.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;

/// Maximum queue length. A longer queue is collapsed into one item.
const MAX_PENDING_PER_KEY: usize = 256;

/// Maximum number of queues: two per server, for more servers than one process serves.
const MAX_KEYS: usize = 20_000;

/// All queues. A queue exists only while it has work.
pub(super) struct KeyedQueue<K, T>(Mutex<HashMap<K, VecDeque<T>>>);

impl<K, T> Default for KeyedQueue<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, T> KeyedQueue<K, T>
where
    K: Copy + Eq + Hash + Send + 'static,
    T: Send + 'static,
{
    /// Appends `item` to the queue of `key`. If the queue is full, `overflow_item` replaces its
    /// contents.
    /// Never waits.
    pub(super) fn enqueue<F>(
        self: &Arc<Self>,
        key: K,
        item: T,
        overflow_item: T,
        work: impl Fn(T) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send,
    {
        {
            let mut queues = self.lock_queues();
            if let Some(queue) = queues.get_mut(&key) {
                if queue.len() < MAX_PENDING_PER_KEY {
                    queue.push_back(item);
                } else {
                    queue.clear();
                    queue.push_back(overflow_item);
                }
                return;
            }
            if queues.len() >= MAX_KEYS {
                tracing::error!("change dropped: too many queues");
                return;
            }
            queues.insert(key, VecDeque::from([item]));
        }
        let queues = Arc::clone(self);
        tokio::spawn(async move {
            while let Some(next) = queues.pop_next(key) {
                if AssertUnwindSafe(work(next)).catch_unwind().await.is_err() {
                    tracing::error!("applying a change panicked");
                }
            }
        });
    }

    /// Takes the next item. Removes the queue if it is empty.
    fn pop_next(&self, key: K) -> Option<T> {
        let mut queues = self.lock_queues();
        let next = queues.get_mut(&key).and_then(VecDeque::pop_front);
        if next.is_none() {
            queues.remove(&key);
        }
        next
    }

    fn lock_queues(&self) -> MutexGuard<'_, HashMap<K, VecDeque<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::{Semaphore, mpsc};

    use super::*;

    #[tokio::test]
    async fn a_slow_key_blocks_only_itself() {
        let queues = Arc::new(KeyedQueue::<u64, u64>::default());
        let gate = Arc::new(Semaphore::new(0));
        let (done, mut results) = mpsc::unbounded_channel();
        let enqueue = |key: u64, number: u64| {
            let (gate, done) = (Arc::clone(&gate), done.clone());
            queues.enqueue(key, number, u64::MAX, move |number| {
                let (gate, done) = (Arc::clone(&gate), done.clone());
                async move {
                    if key == 1 {
                        gate.acquire().await.expect("semaphore is open").forget();
                    }
                    done.send((key, number)).expect("receiver is alive");
                }
            });
        };
        (0..3).for_each(|number| enqueue(1, number));
        (0..3).for_each(|number| enqueue(2, number));
        for number in 0..3 {
            assert_eq!(results.recv().await, Some((2, number)));
        }
        assert!(results.try_recv().is_err());
        gate.add_permits(3);
        for number in 0..3 {
            assert_eq!(results.recv().await, Some((1, number)));
        }
        while !queues.lock_queues().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn overflow_collapses_and_a_panic_stops_nothing() {
        let queues = Arc::new(KeyedQueue::<u64, u64>::default());
        let (done, mut results) = mpsc::unbounded_channel();
        // The worker task does not run before this one awaits.
        for number in 0..=MAX_PENDING_PER_KEY as u64 + 1 {
            let done = done.clone();
            queues.enqueue(1, number, u64::MAX, move |number| {
                let done = done.clone();
                async move {
                    assert_ne!(number, u64::MAX, "panics on purpose");
                    done.send(number).expect("receiver is alive");
                }
            });
        }
        assert_eq!(results.recv().await, Some(MAX_PENDING_PER_KEY as u64 + 1));
    }
}
