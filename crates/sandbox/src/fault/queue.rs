//! The queue of faults of every endpoint.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Fault, FaultRepeat};

/// Faults by endpoint, first in, first out.
#[derive(Debug)]
pub(crate) struct FaultQueue<E>(Mutex<HashMap<E, VecDeque<Fault>>>);

impl<E> Default for FaultQueue<E> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<E: Eq + Hash> FaultQueue<E> {
    fn queues(&self) -> MutexGuard<'_, HashMap<E, VecDeque<Fault>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, endpoint: E, fault: Fault) {
        self.queues().entry(endpoint).or_default().push_back(fault);
    }

    pub(crate) fn clear(&self) {
        self.queues().clear();
    }

    /// The fault for the request at hand.
    pub(crate) fn take_next(&self, endpoint: &E) -> Option<Fault> {
        let mut queues = self.queues();
        let queue = queues.get_mut(endpoint)?;
        loop {
            let fault = queue.front_mut()?;
            match &mut fault.repeat {
                FaultRepeat::Always => return Some(fault.clone()),
                FaultRepeat::Remaining(0) => {
                    queue.pop_front();
                }
                FaultRepeat::Remaining(1) => return queue.pop_front(),
                FaultRepeat::Remaining(left) => {
                    *left -= 1;
                    return Some(fault.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses(faults: &FaultQueue<u8>, count: usize) -> Vec<Option<u16>> {
        (0..count)
            .map(|_| {
                let fault = faults.take_next(&1)?;
                fault
                    .error_override()
                    .map(|refusal| refusal.status.as_u16())
            })
            .collect()
    }

    #[test]
    fn faults_strike_in_the_order_they_were_given() {
        let faults = FaultQueue::default();
        faults.add(1, Fault::status(503).times(2));
        faults.add(1, Fault::status(400).times(0));
        faults.add(1, Fault::status(429));
        faults.add(2, Fault::status(401));
        assert_eq!(
            statuses(&faults, 4),
            [Some(503), Some(503), Some(429), None]
        );
    }

    #[test]
    fn a_permanent_fault_stays_until_cleared() {
        let faults = FaultQueue::default();
        faults.add(1, Fault::status(500).always());
        faults.add(1, Fault::status(429));
        assert_eq!(statuses(&faults, 3), [Some(500); 3]);
        faults.clear();
        assert_eq!(statuses(&faults, 1), [None]);
    }
}
