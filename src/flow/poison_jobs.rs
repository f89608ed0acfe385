//! Jobs that may be the reason why processes die.
//!
//! Nobody knows which of the jobs that were running ended the process, so each of them has one more
//! beginning to its name. After three of them they run one at a time: then only the culprit goes
//! on to [`super::work::MAX_ATTEMPTS`], and whoever was merely there is answered.

use std::collections::HashMap;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::store::Job;

/// Beginnings that came to nothing, from which a job is suspected.
const SUSPECT_ATTEMPTS: u32 = 3;

/// Who is suspected runs alone.
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
    /// Waits until the job may run: at once, unless it and a job that runs are suspected. It is
    /// over when what this returns is dropped.
    pub async fn isolate(&self, job: &Job) -> Option<SemaphorePermit<'_>> {
        match job.attempts < SUSPECT_ATTEMPTS {
            true => None,
            // It is never closed.
            false => self.exclusive.acquire().await.ok(),
        }
    }
}

/// Puts what an earlier process left into the order in which it is begun: first whoever is least
/// suspected. The jobs of one member keep their order.
pub fn sort_suspects_last(jobs: &mut [Job]) {
    let mut of_member: HashMap<_, u32> = HashMap::new();
    for job in &*jobs {
        let member = (job.details.guild, job.details.author);
        let most = of_member.entry(member).or_default();
        *most = (*most).max(job.attempts);
    }
    jobs.sort_by_key(|job| {
        let most = of_member.get(&(job.details.guild, job.details.author));
        most.copied()
            .filter(|it| *it >= SUSPECT_ATTEMPTS)
            .unwrap_or(0)
    });
}
