//! Decides whose job is next: a pure state machine, without clock or disk.
//!
//! Guilds take turns, and so do the members of a guild: fifty recordings of one member delay each
//! of the others by at most one. The jobs of one member run one after the other, in order, since a
//! conversation has an order too.

#[cfg(test)]
mod tests;

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
    pub fn check_capacity(&self, tenant: Tenant, member: u64) -> Result<(), QueueFull> {
        if self.waiting_jobs.len() >= self.limits.max_waiting {
            return Err(QueueFull::Global);
        }
        let Some(tenant_queue) = self.tenants.get(&tenant) else {
            return Ok(());
        };
        if tenant_queue.waiting >= self.limits.max_waiting_per_tenant {
            return Err(QueueFull::Tenant);
        }
        let own = tenant_queue.jobs.get(&member).map_or(0, VecDeque::len);
        if own >= self.limits.max_waiting_per_member {
            return Err(QueueFull::Member);
        }
        Ok(())
    }

    /// Queues an accepted job. Does nothing if it already waits or runs.
    pub fn push(&mut self, tenant: Tenant, member: u64, job: JobId) {
        if self.running_jobs.contains_key(&job) || self.waiting_jobs.contains_key(&job) {
            return;
        }
        self.waiting_jobs.insert(job, JobOwner { tenant, member });
        let tenant_queue = self.tenants.entry(tenant).or_insert_with(|| {
            self.tenant_turns.push_back(tenant);
            TenantQueue::default()
        });
        tenant_queue.waiting += 1;
        tenant_queue
            .jobs
            .entry(member)
            .or_insert_with(|| {
                tenant_queue.member_turns.push_back(member);
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
            let tenant = self.tenant_turns[turn];
            if self.running_per_tenant.get(&tenant).copied().unwrap_or(0)
                >= self.limits.max_running_per_tenant
            {
                continue;
            }
            let Some(tenant_queue) = self.tenants.get(&tenant) else {
                continue;
            };
            let free = tenant_queue
                .member_turns
                .iter()
                .position(|member| !self.busy_members.contains(&(tenant, *member)));
            let Some(position) = free else { continue };
            return self.dequeue(turn, tenant, position);
        }
        None
    }

    fn dequeue(&mut self, turn: usize, tenant: Tenant, position: usize) -> Option<JobId> {
        let tenant_queue = self.tenants.get_mut(&tenant)?;
        let member = tenant_queue.member_turns.remove(position)?;
        let jobs = tenant_queue.jobs.get_mut(&member)?;
        let job = jobs.pop_front()?;
        tenant_queue.waiting -= 1;
        if jobs.is_empty() {
            tenant_queue.jobs.remove(&member);
        } else {
            tenant_queue.member_turns.push_back(member);
        }
        self.tenant_turns.remove(turn);
        if tenant_queue.waiting == 0 {
            self.tenants.remove(&tenant);
        } else {
            self.tenant_turns.push_back(tenant);
        }
        self.waiting_jobs.remove(&job);
        self.running_jobs.insert(job, JobOwner { tenant, member });
        *self.running_per_tenant.entry(tenant).or_default() += 1;
        self.busy_members.insert((tenant, member));
        Some(job)
    }

    /// Marks a job as no longer running.
    pub fn finish(&mut self, job: JobId) {
        let Some(JobOwner { tenant, member }) = self.running_jobs.remove(&job) else {
            return;
        };
        self.busy_members.remove(&(tenant, member));
        if let Some(running) = self.running_per_tenant.get_mut(&tenant) {
            *running -= 1;
            if *running == 0 {
                self.running_per_tenant.remove(&tenant);
            }
        }
    }

    /// Takes a job out of the queue. Returns false if it was not waiting.
    pub fn remove(&mut self, job: JobId) -> bool {
        let Some(JobOwner { tenant, member }) = self.waiting_jobs.remove(&job) else {
            return false;
        };
        let Some(tenant_queue) = self.tenants.get_mut(&tenant) else {
            return false;
        };
        if let Some(jobs) = tenant_queue.jobs.get_mut(&member) {
            jobs.retain(|waiting| *waiting != job);
            tenant_queue.waiting -= 1;
            if jobs.is_empty() {
                tenant_queue.jobs.remove(&member);
                tenant_queue.member_turns.retain(|turn| *turn != member);
            }
        }
        if tenant_queue.waiting == 0 {
            self.tenants.remove(&tenant);
            self.tenant_turns.retain(|turn| *turn != tenant);
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
