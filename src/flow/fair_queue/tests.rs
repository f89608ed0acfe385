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
fn guilds_and_members_take_turns() {
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
fn running_jobs_are_limited_per_member_and_guild() {
    let mut queue = queue_with(&[(1, 1, 10), (1, 1, 11), (1, 2, 20), (1, 3, 30), (2, 4, 40)]);
    let started: Vec<i64> = std::iter::from_fn(|| queue.start_next())
        .map(|it| it.0)
        .collect();
    assert_eq!(started, [10, 40, 20]);
    queue.finish(JobId(40));
    assert_eq!(queue.start_next(), None, "the guild has two running");
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
fn a_removed_job_is_not_started() {
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
    fn limits_and_order_hold_in_any_sequence(
        steps in prop::collection::vec((0_u8..4, 0_u64..4, 0_u64..4), 1..200),
    ) {
        let mut queue = FairQueue::new(LIMITS);
        let mut owners = HashMap::new();
        let mut running: Vec<JobId> = Vec::new();
        let mut started: Vec<JobId> = Vec::new();
        let mut removed = 0;
        for (number, (step, guild, member)) in steps.into_iter().enumerate() {
            let tenant = Tenant::Guild(guild);
            match step {
                0 | 1 => if queue.check_capacity(tenant, member).is_ok() {
                    let job = JobId(number as i64);
                    queue.push(tenant, member, job);
                    owners.insert(job, (tenant, member));
                },
                2 => if let Some(job) = queue.start_next() {
                    running.push(job);
                    started.push(job);
                },
                _ if guild == 0 => {
                    let oldest = owners.keys().min().copied();
                    removed += usize::from(oldest.is_some_and(|job| queue.remove(job)));
                }
                _ => if let Some(job) = running.pop() { queue.finish(job) },
            }
            prop_assert!(queue.running_count() <= LIMITS.max_running && queue.waiting_count() <= LIMITS.max_waiting);
            prop_assert_eq!(queue.running_count(), running.len());
            let members: HashSet<_> = running.iter().map(|job| owners[job]).collect();
            prop_assert_eq!(members.len(), running.len());
        }
        running.drain(..).for_each(|job| queue.finish(job));
        while let Some(job) = queue.start_next() {
            queue.finish(job);
            started.push(job);
        }
        prop_assert_eq!(started.len() + removed, owners.len());
        let mut last = HashMap::new();
        for job in started {
            let before = last.insert(owners[&job], job);
            prop_assert!(before.is_none_or(|before| before < job));
        }
        prop_assert!(queue.tenants.is_empty() && queue.tenant_turns.is_empty());
        prop_assert!(queue.busy_members.is_empty() && queue.running_per_tenant.is_empty());
    }
}
