//! Isolates jobs that may be crashing the process.
//!
//! When the process dies, it is unknown which of the running jobs was to blame, so each of them
//! keeps the attempt it started. After three attempts a job runs only while no other suspect runs:
//! then only the culprit goes on to [`MAX_ATTEMPTS`](super::job_runner::MAX_ATTEMPTS), and the
//! others are answered.

use std::collections::HashMap;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::store::Job;

/// Unfinished attempts from which on a job is suspected.
const SUSPECT_ATTEMPTS: u32 = 3;

/// Lets suspected jobs run one at a time.
#[derive(Debug)]
pub struct PoisonJobIsolator {
    exclusive: Semaphore,
}

impl Default for PoisonJobIsolator {
    fn default() -> Self {
        Self {
            exclusive: Semaphore::new(1),
        }
    }
}

impl PoisonJobIsolator {
    /// Waits until the job may run: at once, unless both it and a running job are suspected.
    /// Dropping the returned permit lets the next suspect run.
    pub async fn isolate(&self, job: &Job) -> Option<SemaphorePermit<'_>> {
        match job.attempts < SUSPECT_ATTEMPTS {
            true => None,
            // The semaphore is never closed.
            false => self.exclusive.acquire().await.ok(),
        }
    }
}

/// Sorts recovered jobs into starting order, members with suspected jobs last. Jobs of one member
/// keep their order.
pub fn sort_suspects_last(jobs: &mut [Job]) {
    let mut max_attempts: HashMap<_, u32> = HashMap::new();
    for job in &*jobs {
        let member = (job.details.guild, job.details.author);
        let attempts = max_attempts.entry(member).or_default();
        *attempts = (*attempts).max(job.attempts);
    }
    jobs.sort_by_key(|job| {
        let attempts = max_attempts.get(&(job.details.guild, job.details.author));
        attempts
            .copied()
            .filter(|it| *it >= SUSPECT_ATTEMPTS)
            .unwrap_or(0)
    });
}
