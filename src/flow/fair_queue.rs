//! Decides whose job is next: a pure state machine, without clock or disk.
//!
//! Guilds take turns, and so do the members of a guild: fifty recordings of one member delay each
//! of the others by at most one. The jobs of one member run one after the other, in order, since a
//! conversation has an order too.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::store::JobId;

/// Limits on waiting and running jobs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct QueueLimits {
    /// Jobs that run at the same time.
    pub max_running: usize,
    /// Jobs of one guild that run at the same time.
    pub max_running_per_tenant: usize,
    /// Waiting jobs of one member.
    pub max_waiting_per_member: usize,
    /// Waiting jobs of one guild.
    pub max_waiting_per_tenant: usize,
    /// Waiting jobs in all.
    pub max_waiting: usize,
}

/// A group of members that shares turns and limits.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Tenant {
    /// A guild, by its id.
    Guild(u64),
    /// The direct messages of one user, by their id.
    DirectMessages(u64),
}

impl Tenant {
    /// The tenant for `author` in `guild`, or in a direct message.
    #[must_use]
    pub fn new(guild: Option<u64>, author: u64) -> Self {
        guild.map_or(Self::DirectMessages(author), Self::Guild)
    }
}

/// Which limit keeps a job out of the queue.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum QueueFull {
    /// The member's.
    Member,
    /// The guild's.
    Tenant,
    /// The one for the whole process.
    Global,
}

/// The waiting jobs, and the members with a running one.
#[derive(Debug)]
pub struct FairQueue {
    limits: QueueLimits,
    /// Tenants with waiting jobs, in the order of their turns.
    tenant_turns: VecDeque<Tenant>,
    tenants: HashMap<Tenant, TenantQueue>,
    waiting_jobs: HashMap<JobId, JobOwner>,
    running_jobs: HashMap<JobId, JobOwner>,
    running_per_tenant: HashMap<Tenant, usize>,
    busy_members: HashSet<(Tenant, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct JobOwner {
    tenant: Tenant,
    member: u64,
}

/// The waiting jobs of one tenant.
#[derive(Debug, Default)]
struct TenantQueue {
    /// Members with waiting jobs, in the order of their turns.
    member_turns: VecDeque<u64>,
    jobs: HashMap<u64, VecDeque<JobId>>,
    waiting: usize,
}

impl FairQueue {
    /// An empty queue.
    #[must_use]
    pub fn new(limits: QueueLimits) -> Self {
        Self {
            limits,
            tenant_turns: VecDeque::new(),
            tenants: HashMap::new(),
            waiting_jobs: HashMap::new(),
            running_jobs: HashMap::new(),
            running_per_tenant: HashMap::new(),
            busy_members: HashSet::new(),
        }
    }

    /// Whether one more job of `member` may wait. Check before accepting the job.
    ///
    /// # Errors
    ///
    /// The limit that is reached.
    pub fn check_capacity(&self, home: Tenant, member: u64) -> Result<(), QueueFull> {
        if self.waiting_jobs.len() >= self.limits.max_waiting {
            return Err(QueueFull::Global);
        }
        let Some(members) = self.tenants.get(&home) else {
            return Ok(());
        };
        if members.waiting >= self.limits.max_waiting_per_tenant {
            return Err(QueueFull::Tenant);
        }
        let own = members.jobs.get(&member).map_or(0, VecDeque::len);
        if own >= self.limits.max_waiting_per_member {
            return Err(QueueFull::Member);
        }
        Ok(())
    }

    /// Queues an accepted job. Does nothing if it already waits or runs.
    pub fn push(&mut self, home: Tenant, member: u64, job: JobId) {
        if self.running_jobs.contains_key(&job) || self.waiting_jobs.contains_key(&job) {
            return;
        }
        self.waiting_jobs.insert(
            job,
            JobOwner {
                tenant: home,
                member,
            },
        );
        let members = self.tenants.entry(home).or_insert_with(|| {
            self.tenant_turns.push_back(home);
            TenantQueue::default()
        });
        members.waiting += 1;
        members
            .jobs
            .entry(member)
            .or_insert_with(|| {
                members.member_turns.push_back(member);
                VecDeque::new()
            })
            .push_back(job);
    }

    /// Takes the next job to start, if there is one and the limits allow it. It counts as running
    /// until [`FairQueue::finish`].
    pub fn start_next(&mut self) -> Option<JobId> {
        if self.running_jobs.len() >= self.limits.max_running {
            return None;
        }
        for turn in 0..self.tenant_turns.len() {
            let home = self.tenant_turns[turn];
            if self.running_per_tenant.get(&home).copied().unwrap_or(0)
                >= self.limits.max_running_per_tenant
            {
                continue;
            }
            let Some(members) = self.tenants.get(&home) else {
                continue;
            };
            let free = members
                .member_turns
                .iter()
                .position(|member| !self.busy_members.contains(&(home, *member)));
            let Some(position) = free else { continue };
            return self.dequeue(turn, home, position);
        }
        None
    }

    fn dequeue(&mut self, turn: usize, home: Tenant, position: usize) -> Option<JobId> {
        let members = self.tenants.get_mut(&home)?;
        let member = members.member_turns.remove(position)?;
        let jobs = members.jobs.get_mut(&member)?;
        let job = jobs.pop_front()?;
        members.waiting -= 1;
        if jobs.is_empty() {
            members.jobs.remove(&member);
        } else {
            members.member_turns.push_back(member);
        }
        self.tenant_turns.remove(turn);
        if members.waiting == 0 {
            self.tenants.remove(&home);
        } else {
            self.tenant_turns.push_back(home);
        }
        self.waiting_jobs.remove(&job);
        self.running_jobs.insert(
            job,
            JobOwner {
                tenant: home,
                member,
            },
        );
        *self.running_per_tenant.entry(home).or_default() += 1;
        self.busy_members.insert((home, member));
        Some(job)
    }

    /// Marks a job as no longer running.
    pub fn finish(&mut self, job: JobId) {
        let Some(JobOwner {
            tenant: home,
            member,
        }) = self.running_jobs.remove(&job)
        else {
            return;
        };
        self.busy_members.remove(&(home, member));
        if let Some(running) = self.running_per_tenant.get_mut(&home) {
            *running -= 1;
            if *running == 0 {
                self.running_per_tenant.remove(&home);
            }
        }
    }

    /// Takes a job out of the queue. Returns false if it was not waiting.
    pub fn remove(&mut self, job: JobId) -> bool {
        let Some(JobOwner {
            tenant: home,
            member,
        }) = self.waiting_jobs.remove(&job)
        else {
            return false;
        };
        let Some(members) = self.tenants.get_mut(&home) else {
            return false;
        };
        if let Some(jobs) = members.jobs.get_mut(&member) {
            jobs.retain(|waiting| *waiting != job);
            members.waiting -= 1;
            if jobs.is_empty() {
                members.jobs.remove(&member);
                members.member_turns.retain(|turn| *turn != member);
            }
        }
        if members.waiting == 0 {
            self.tenants.remove(&home);
            self.tenant_turns.retain(|turn| *turn != home);
        }
        true
    }

    /// Number of waiting jobs.
    #[must_use]
    pub fn waiting_count(&self) -> usize {
        self.waiting_jobs.len()
    }

    /// Number of running jobs.
    #[must_use]
    pub fn running_count(&self) -> usize {
        self.running_jobs.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: QueueLimits = QueueLimits {
        max_running: 3,
        max_running_per_tenant: 2,
        max_waiting_per_member: 4,
        max_waiting_per_tenant: 6,
        max_waiting: 9,
    };

    fn queue_with(jobs: &[(u64, u64, i64)]) -> FairQueue {
        let mut queue = FairQueue::new(LIMITS);
        for &(guild, member, job) in jobs {
            queue.push(Tenant::Guild(guild), member, JobId(job));
        }
        queue
    }

    /// The order in which jobs start if each finishes before the next.
    fn start_order(mut queue: FairQueue) -> Vec<i64> {
        std::iter::from_fn(|| {
            let job = queue.start_next()?;
            queue.finish(job);
            Some(job.0)
        })
        .collect()
    }

    #[test]
    fn servers_and_members_take_turns() {
        let jobs = [
            (1, 1, 10),
            (1, 1, 11),
            (1, 1, 12),
            (1, 2, 20),
            (2, 3, 30),
            (2, 3, 31),
        ];
        assert_eq!(start_order(queue_with(&jobs)), [10, 30, 20, 31, 11, 12]);
    }

    #[test]
    fn a_member_runs_one_job_and_a_server_not_all() {
        let mut queue = queue_with(&[(1, 1, 10), (1, 1, 11), (1, 2, 20), (1, 3, 30), (2, 4, 40)]);
        let begun: Vec<i64> = std::iter::from_fn(|| queue.start_next())
            .map(|it| it.0)
            .collect();
        assert_eq!(begun, [10, 40, 20]);
        queue.finish(JobId(40));
        assert_eq!(queue.start_next(), None, "the server has two running");
        queue.finish(JobId(10));
        assert_eq!(queue.start_next(), Some(JobId(30)));
        queue.finish(JobId(20));
        assert_eq!(queue.start_next(), Some(JobId(11)));
        assert_eq!((queue.running_count(), queue.waiting_count()), (2, 0));
    }

    #[test]
    fn each_limit_names_its_scope() {
        let of_one: Vec<_> = (0..4).map(|job| (1, 1, job)).collect();
        let one = queue_with(&of_one);
        assert_eq!(
            one.check_capacity(Tenant::Guild(1), 1),
            Err(QueueFull::Member)
        );
        assert_eq!(one.check_capacity(Tenant::Guild(1), 2), Ok(()));
        assert_eq!(one.check_capacity(Tenant::DirectMessages(1), 1), Ok(()));
        let of_six: Vec<_> = (0..6).map(|job| (1, job as u64, job)).collect();
        assert_eq!(
            queue_with(&of_six).check_capacity(Tenant::Guild(1), 9),
            Err(QueueFull::Tenant)
        );
        let of_nine: Vec<_> = (0..9).map(|job| (job as u64, 1, job)).collect();
        assert_eq!(
            queue_with(&of_nine).check_capacity(Tenant::Guild(99), 1),
            Err(QueueFull::Global)
        );
    }

    #[test]
    fn a_job_is_queued_once() {
        let mut queue = queue_with(&[(1, 1, 10), (1, 1, 10)]);
        assert_eq!(queue.waiting_count(), 1);
        assert_eq!(queue.start_next(), Some(JobId(10)));
        queue.push(Tenant::Guild(1), 1, JobId(10));
        assert_eq!(queue.waiting_count(), 0);
        assert!(!queue.remove(JobId(10)));
        queue.finish(JobId(10));
        queue.finish(JobId(10));
        assert_eq!(queue.running_count(), 0);
    }

    #[test]
    fn a_job_that_is_taken_out_is_not_begun() {
        let mut queue = queue_with(&[(1, 1, 10), (1, 1, 11), (2, 2, 20)]);
        assert!(queue.remove(JobId(10)));
        assert!(queue.remove(JobId(20)));
        assert!(!queue.remove(JobId(20)));
        assert_eq!(start_order(queue), [11]);
    }

    proptest! {
        /// In any sequence of steps: limits hold, each job starts once, a member's jobs start in
        /// order, and nothing is left behind.
        #[test]
        fn nothing_is_lost_doubled_or_too_much(
            steps in prop::collection::vec((0_u8..4, 0_u64..4, 0_u64..4), 1..200),
        ) {
            let mut queue = FairQueue::new(LIMITS);
            let mut whose = HashMap::new();
            let mut running: Vec<JobId> = Vec::new();
            let mut begun: Vec<JobId> = Vec::new();
            let mut removed = 0;
            for (number, (step, guild, member)) in steps.into_iter().enumerate() {
                let home = Tenant::Guild(guild);
                match step {
                    0 | 1 => if queue.check_capacity(home, member).is_ok() {
                        let job = JobId(number as i64);
                        queue.push(home, member, job);
                        whose.insert(job, (home, member));
                    },
                    2 => if let Some(job) = queue.start_next() {
                        running.push(job);
                        begun.push(job);
                    },
                    _ if guild == 0 => {
                        let oldest = whose.keys().min().copied();
                        removed += usize::from(oldest.is_some_and(|job| queue.remove(job)));
                    }
                    _ => if let Some(job) = running.pop() { queue.finish(job) },
                }
                prop_assert!(queue.running_count() <= LIMITS.max_running && queue.waiting_count() <= LIMITS.max_waiting);
                prop_assert_eq!(queue.running_count(), running.len());
                let members: HashSet<_> = running.iter().map(|job| whose[job]).collect();
                prop_assert_eq!(members.len(), running.len());
            }
            running.drain(..).for_each(|job| queue.finish(job));
            while let Some(job) = queue.start_next() {
                queue.finish(job);
                begun.push(job);
            }
            prop_assert_eq!(begun.len() + removed, whose.len());
            let mut last = HashMap::new();
            for job in begun {
                let before = last.insert(whose[&job], job);
                prop_assert!(before.is_none_or(|before| before < job));
            }
            prop_assert!(queue.tenants.is_empty() && queue.tenant_turns.is_empty());
            prop_assert!(queue.busy_members.is_empty() && queue.running_per_tenant.is_empty());
        }
    }
}
