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
    /// Appends `one` to the queue of `lane`. If the queue is full, `all` replaces its contents.
    /// Never waits.
    pub(super) fn enqueue<F>(
        self: &Arc<Self>,
        lane: K,
        one: T,
        all: T,
        work: impl Fn(T) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send,
    {
        {
            let mut lanes = self.lock_queues();
            if let Some(waiting) = lanes.get_mut(&lane) {
                if waiting.len() < MAX_PENDING_PER_KEY {
                    waiting.push_back(one);
                } else {
                    waiting.clear();
                    waiting.push_back(all);
                }
                return;
            }
            if lanes.len() >= MAX_KEYS {
                tracing::error!("no lane for a server's changes");
                return;
            }
            lanes.insert(lane, VecDeque::from([one]));
        }
        let lanes = Arc::clone(self);
        tokio::spawn(async move {
            while let Some(next) = lanes.pop_next(lane) {
                if AssertUnwindSafe(work(next)).catch_unwind().await.is_err() {
                    tracing::error!("a server's change broke");
                }
            }
        });
    }

    /// Takes the next item. Removes the queue if it is empty.
    fn pop_next(&self, lane: K) -> Option<T> {
        let mut lanes = self.lock_queues();
        let next = lanes.get_mut(&lane).and_then(VecDeque::pop_front);
        if next.is_none() {
            lanes.remove(&lane);
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
        let lanes = Arc::new(KeyedQueue::<u64, u64>::default());
        let gate = Arc::new(Semaphore::new(0));
        let (done, mut told) = mpsc::unbounded_channel();
        let put = |lane: u64, number: u64| {
            let (gate, done) = (Arc::clone(&gate), done.clone());
            lanes.enqueue(lane, number, u64::MAX, move |number| {
                let (gate, done) = (Arc::clone(&gate), done.clone());
                async move {
                    if lane == 1 {
                        gate.acquire().await.expect("open").forget();
                    }
                    done.send((lane, number)).expect("heard");
                }
            });
        };
        (0..3).for_each(|number| put(1, number));
        (0..3).for_each(|number| put(2, number));
        for number in 0..3 {
            assert_eq!(told.recv().await, Some((2, number)));
        }
        assert!(told.try_recv().is_err());
        gate.add_permits(3);
        for number in 0..3 {
            assert_eq!(told.recv().await, Some((1, number)));
        }
        while !lanes.lock_queues().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn overflow_collapses_and_a_panic_stops_nothing() {
        let lanes = Arc::new(KeyedQueue::<u64, u64>::default());
        let (done, mut told) = mpsc::unbounded_channel();
        // The worker task does not run before this one awaits.
        for number in 0..=MAX_PENDING_PER_KEY as u64 + 1 {
            let done = done.clone();
            lanes.enqueue(1, number, u64::MAX, move |number| {
                let done = done.clone();
                async move {
                    assert_ne!(number, u64::MAX, "it breaks");
                    done.send(number).expect("heard");
                }
            });
        }
        assert_eq!(told.recv().await, Some(MAX_PENDING_PER_KEY as u64 + 1));
    }
}
