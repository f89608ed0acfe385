//! Whose job is next: a pure state machine, without clock and without disk.
//!
//! Servers take turns, and so do the members of a server, so that fifty notes of one member delay
//! nobody else by more than one. One member's jobs run one after the other, in order: a
//! conversation has an order too.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::store::JobId;

/// How much may wait and run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct QueueLimits {
    /// Jobs that run at the same time.
    pub running: usize,
    /// Jobs of one server that run at the same time.
    pub running_per_home: usize,
    /// Jobs of one member that wait.
    pub waiting_per_member: usize,
    /// Jobs of one server that wait.
    pub waiting_per_home: usize,
    /// Jobs that wait in all.
    pub waiting: usize,
}

/// Among whom turns are taken.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Home {
    /// A server, by its id.
    Server(u64),
    /// The direct messages of one person, by their id.
    Direct(u64),
}

impl Home {
    /// Where `author` asks: in `guild`, or in a direct message.
    #[must_use]
    pub fn new(guild: Option<u64>, author: u64) -> Self {
        guild.map_or(Self::Direct(author), Self::Server)
    }
}

/// Why a job can't wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Full {
    /// The member has too many waiting already.
    Member,
    /// The server has.
    Home,
    /// The process has.
    Process,
}

/// The jobs that wait, and who has one running.
#[derive(Debug)]
pub struct Queue {
    limits: QueueLimits,
    /// The homes with waiting jobs, in the order of their turns.
    turns: VecDeque<Home>,
    homes: HashMap<Home, Members>,
    places: HashMap<JobId, Place>,
    running: HashMap<JobId, Place>,
    running_in: HashMap<Home, usize>,
    busy: HashSet<(Home, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    home: Home,
    member: u64,
}

/// The waiting jobs of one home.
#[derive(Debug, Default)]
struct Members {
    /// The members with waiting jobs, in the order of their turns.
    turns: VecDeque<u64>,
    jobs: HashMap<u64, VecDeque<JobId>>,
    waiting: usize,
}

impl Queue {
    /// An empty queue.
    #[must_use]
    pub fn new(limits: QueueLimits) -> Self {
        Self {
            limits,
            turns: VecDeque::new(),
            homes: HashMap::new(),
            places: HashMap::new(),
            running: HashMap::new(),
            running_in: HashMap::new(),
            busy: HashSet::new(),
        }
    }

    /// Whether one more job of `member` may wait. Ask before it is accepted.
    ///
    /// # Errors
    ///
    /// If it may not, says who has too many.
    pub fn room(&self, home: Home, member: u64) -> Result<(), Full> {
        if self.places.len() >= self.limits.waiting {
            return Err(Full::Process);
        }
        let Some(members) = self.homes.get(&home) else {
            return Ok(());
        };
        if members.waiting >= self.limits.waiting_per_home {
            return Err(Full::Home);
        }
        let own = members.jobs.get(&member).map_or(0, VecDeque::len);
        if own >= self.limits.waiting_per_member {
            return Err(Full::Member);
        }
        Ok(())
    }

    /// Puts an accepted job in line. One that waits or runs already is left where it is.
    pub fn push(&mut self, home: Home, member: u64, job: JobId) {
        if self.running.contains_key(&job) || self.places.contains_key(&job) {
            return;
        }
        self.places.insert(job, Place { home, member });
        let members = self.homes.entry(home).or_insert_with(|| {
            self.turns.push_back(home);
            Members::default()
        });
        members.waiting += 1;
        members
            .jobs
            .entry(member)
            .or_insert_with(|| {
                members.turns.push_back(member);
                VecDeque::new()
            })
            .push_back(job);
    }

    /// The job to be begun now, if there is one and the limits allow it. It counts as running
    /// until [`Queue::done`].
    pub fn begin(&mut self) -> Option<JobId> {
        if self.running.len() >= self.limits.running {
            return None;
        }
        for turn in 0..self.turns.len() {
            let home = self.turns[turn];
            if self.running_in.get(&home).copied().unwrap_or(0) >= self.limits.running_per_home {
                continue;
            }
            let Some(members) = self.homes.get(&home) else {
                continue;
            };
            let free = members
                .turns
                .iter()
                .position(|member| !self.busy.contains(&(home, *member)));
            let Some(position) = free else { continue };
            return self.take(turn, home, position);
        }
        None
    }

    fn take(&mut self, turn: usize, home: Home, position: usize) -> Option<JobId> {
        let members = self.homes.get_mut(&home)?;
        let member = members.turns.remove(position)?;
        let jobs = members.jobs.get_mut(&member)?;
        let job = jobs.pop_front()?;
        members.waiting -= 1;
        if jobs.is_empty() {
            members.jobs.remove(&member);
        } else {
            members.turns.push_back(member);
        }
        self.turns.remove(turn);
        if members.waiting == 0 {
            self.homes.remove(&home);
        } else {
            self.turns.push_back(home);
        }
        self.places.remove(&job);
        self.running.insert(job, Place { home, member });
        *self.running_in.entry(home).or_default() += 1;
        self.busy.insert((home, member));
        Some(job)
    }

    /// A job does not run any more.
    pub fn done(&mut self, job: JobId) {
        let Some(Place { home, member }) = self.running.remove(&job) else {
            return;
        };
        self.busy.remove(&(home, member));
        if let Some(running) = self.running_in.get_mut(&home) {
            *running -= 1;
            if *running == 0 {
                self.running_in.remove(&home);
            }
        }
    }

    /// Takes a job out of the line. Returns false if it does not wait.
    pub fn remove(&mut self, job: JobId) -> bool {
        let Some(Place { home, member }) = self.places.remove(&job) else {
            return false;
        };
        let Some(members) = self.homes.get_mut(&home) else {
            return false;
        };
        if let Some(jobs) = members.jobs.get_mut(&member) {
            jobs.retain(|waiting| *waiting != job);
            members.waiting -= 1;
            if jobs.is_empty() {
                members.jobs.remove(&member);
                members.turns.retain(|turn| *turn != member);
            }
        }
        if members.waiting == 0 {
            self.homes.remove(&home);
            self.turns.retain(|turn| *turn != home);
        }
        true
    }

    /// How many jobs wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.places.len()
    }

    /// How many jobs run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: QueueLimits = QueueLimits {
        running: 3,
        running_per_home: 2,
        waiting_per_member: 4,
        waiting_per_home: 6,
        waiting: 9,
    };

    fn queue(jobs: &[(u64, u64, i64)]) -> Queue {
        let mut queue = Queue::new(LIMITS);
        for &(guild, member, job) in jobs {
            queue.push(Home::Server(guild), member, JobId(job));
        }
        queue
    }

    /// The order in which jobs are begun when each is done before the next.
    fn order(mut queue: Queue) -> Vec<i64> {
        std::iter::from_fn(|| {
            let job = queue.begin()?;
            queue.done(job);
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
        assert_eq!(order(queue(&jobs)), [10, 30, 20, 31, 11, 12]);
    }

    #[test]
    fn a_member_runs_one_job_and_a_server_not_all() {
        let mut queue = queue(&[(1, 1, 10), (1, 1, 11), (1, 2, 20), (1, 3, 30), (2, 4, 40)]);
        let begun: Vec<i64> = std::iter::from_fn(|| queue.begin())
            .map(|it| it.0)
            .collect();
        assert_eq!(begun, [10, 40, 20]);
        queue.done(JobId(40));
        assert_eq!(queue.begin(), None, "the server has two running");
        queue.done(JobId(10));
        assert_eq!(queue.begin(), Some(JobId(30)));
        queue.done(JobId(20));
        assert_eq!(queue.begin(), Some(JobId(11)));
        assert_eq!((queue.running(), queue.waiting()), (2, 0));
    }

    #[test]
    fn each_limit_says_whose_it_is() {
        let of_one: Vec<_> = (0..4).map(|job| (1, 1, job)).collect();
        let one = queue(&of_one);
        assert_eq!(one.room(Home::Server(1), 1), Err(Full::Member));
        assert_eq!(one.room(Home::Server(1), 2), Ok(()));
        assert_eq!(one.room(Home::Direct(1), 1), Ok(()));
        let of_six: Vec<_> = (0..6).map(|job| (1, job as u64, job)).collect();
        assert_eq!(queue(&of_six).room(Home::Server(1), 9), Err(Full::Home));
        let of_nine: Vec<_> = (0..9).map(|job| (job as u64, 1, job)).collect();
        assert_eq!(
            queue(&of_nine).room(Home::Server(99), 1),
            Err(Full::Process)
        );
    }

    #[test]
    fn a_job_stands_in_line_once() {
        let mut queue = queue(&[(1, 1, 10), (1, 1, 10)]);
        assert_eq!(queue.waiting(), 1);
        assert_eq!(queue.begin(), Some(JobId(10)));
        queue.push(Home::Server(1), 1, JobId(10));
        assert_eq!(queue.waiting(), 0);
        assert!(!queue.remove(JobId(10)));
        queue.done(JobId(10));
        queue.done(JobId(10));
        assert_eq!(queue.running(), 0);
    }

    #[test]
    fn a_job_that_is_taken_out_is_not_begun() {
        let mut queue = queue(&[(1, 1, 10), (1, 1, 11), (2, 2, 20)]);
        assert!(queue.remove(JobId(10)));
        assert!(queue.remove(JobId(20)));
        assert!(!queue.remove(JobId(20)));
        assert_eq!(order(queue), [11]);
    }

    proptest! {
        /// Whatever happens in whatever order: limits hold, each job is begun once, a member's in
        /// order, and nothing is left behind.
        #[test]
        fn nothing_is_lost_doubled_or_too_much(
            steps in prop::collection::vec((0_u8..4, 0_u64..4, 0_u64..4), 1..200),
        ) {
            let mut queue = Queue::new(LIMITS);
            let mut whose = HashMap::new();
            let mut running: Vec<JobId> = Vec::new();
            let mut begun: Vec<JobId> = Vec::new();
            let mut removed = 0;
            for (number, (step, guild, member)) in steps.into_iter().enumerate() {
                let home = Home::Server(guild);
                match step {
                    0 | 1 => if queue.room(home, member).is_ok() {
                        let job = JobId(number as i64);
                        queue.push(home, member, job);
                        whose.insert(job, (home, member));
                    },
                    2 => if let Some(job) = queue.begin() {
                        running.push(job);
                        begun.push(job);
                    },
                    _ if guild == 0 => {
                        let oldest = whose.keys().min().copied();
                        removed += usize::from(oldest.is_some_and(|job| queue.remove(job)));
                    }
                    _ => if let Some(job) = running.pop() { queue.done(job) },
                }
                prop_assert!(queue.running() <= LIMITS.running && queue.waiting() <= LIMITS.waiting);
                prop_assert_eq!(queue.running(), running.len());
                let members: HashSet<_> = running.iter().map(|job| whose[job]).collect();
                prop_assert_eq!(members.len(), running.len());
            }
            running.drain(..).for_each(|job| queue.done(job));
            while let Some(job) = queue.begin() {
                queue.done(job);
                begun.push(job);
            }
            prop_assert_eq!(begun.len() + removed, whose.len());
            let mut last = HashMap::new();
            for job in begun {
                let before = last.insert(whose[&job], job);
                prop_assert!(before.is_none_or(|before| before < job));
            }
            prop_assert!(queue.homes.is_empty() && queue.turns.is_empty());
            prop_assert!(queue.busy.is_empty() && queue.running_in.is_empty());
        }
    }
}
