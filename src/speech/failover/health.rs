//! What is known of one transcriber: a state machine without a clock.
//!
//! ```text
//!            worked                      failed (another may do)
//!   Healthy ───────► Healthy     Healthy ───────► Unhealthy, probe after `wait`
//!
//!   Unhealthy ── probe failed ──► Unhealthy, probe after a longer wait
//!   Unhealthy ── probe passed ──► Healthy, but relapsing sooner into long waits
//!   Unhealthy ── worked ────────► Healthy, everything forgotten
//! ```

use std::time::Duration;

use super::FailoverSettings;
use crate::speech::{NextMove, SpeechError};

/// Why a transcriber is left out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// Its key was refused. Somebody has to act, so it is probed rarely.
    KeyRefused,
    /// Its quota is spent. Somebody has to act, so it is probed rarely.
    QuotaSpent,
    /// The account may not use it. Somebody has to act, so it is probed rarely.
    NotAllowed,
    /// The model that is set is refused. Somebody has to act, so it is probed rarely.
    ModelRefused,
    /// It has too much to do.
    Busy,
    /// It can't be reached or makes no sense.
    Unavailable,
    /// It was not done in time.
    TimedOut,
    /// The local engine does not work.
    Local,
}

impl Fault {
    /// The fault behind an error, if the transcriber itself is to blame for it.
    pub fn of(error: &SpeechError) -> Option<Self> {
        if error.next_move() != NextMove::Another {
            return None;
        }
        Some(match error {
            SpeechError::KeyRefused(_) => Self::KeyRefused,
            SpeechError::QuotaSpent(_) => Self::QuotaSpent,
            SpeechError::NotAllowed(_) => Self::NotAllowed,
            SpeechError::Refused { .. } => Self::ModelRefused,
            SpeechError::Busy(_) => Self::Busy,
            SpeechError::TimedOut(_) => Self::TimedOut,
            SpeechError::Local { .. } => Self::Local,
            _ => Self::Unavailable,
        })
    }

    fn needs_somebody(self) -> bool {
        matches!(
            self,
            Self::KeyRefused | Self::QuotaSpent | Self::NotAllowed | Self::ModelRefused
        )
    }
}

/// Whether a transcriber is used.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Health {
    /// It is, as far as anybody knows.
    #[default]
    Healthy,
    /// It is a last resort until a probe passes.
    Unhealthy {
        /// What was last seen.
        fault: Fault,
        /// Probes that have failed since it fell ill.
        failed_probes: u32,
    },
}

/// The memory of one transcriber.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    health: Health,
    /// Times it fell ill without having worked in between. A probe can pass though the work
    /// itself keeps failing: then the waits go on growing.
    relapses: u32,
}

impl Record {
    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    pub(super) fn is_healthy(&self) -> bool {
        self.health == Health::Healthy
    }

    /// It wrote down a clip. True if it was ill.
    pub(super) fn worked(&mut self) -> bool {
        self.relapses = 0;
        std::mem::take(&mut self.health) != Health::Healthy
    }

    /// It failed on a clip and is to blame. True if it was healthy, so that probing begins.
    pub(super) fn failed(&mut self, fault: Fault) -> bool {
        match &mut self.health {
            Health::Healthy => {
                self.relapses = self.relapses.saturating_add(1);
                self.health = Health::Unhealthy {
                    fault,
                    failed_probes: 0,
                };
                true
            }
            Health::Unhealthy { fault: known, .. } => {
                *known = fault;
                false
            }
        }
    }

    /// A probe passed: it gets clips again.
    pub(super) fn probe_passed(&mut self) {
        self.health = Health::Healthy;
    }

    /// A probe failed.
    pub(super) fn probe_failed(&mut self, seen: Fault) {
        if let Health::Unhealthy {
            fault,
            failed_probes,
        } = &mut self.health
        {
            *fault = seen;
            *failed_probes = failed_probes.saturating_add(1);
        }
    }

    /// How long to wait before the next probe. `None`: it is healthy, nobody asks.
    pub(super) fn probe_after(&self, settings: &FailoverSettings) -> Option<Duration> {
        let Health::Unhealthy {
            fault,
            failed_probes,
        } = &self.health
        else {
            return None;
        };
        let (first, longest) = if fault.needs_somebody() {
            (settings.first_slow_probe, settings.longest_slow_probe)
        } else {
            (settings.first_probe, settings.longest_probe)
        };
        let doublings = failed_probes.saturating_add(self.relapses.saturating_sub(1));
        let wait = first.saturating_mul(1 << doublings.min(20));
        Some(wait.min(longest))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wait(record: &Record) -> Option<u64> {
        record
            .probe_after(&FailoverSettings::default())
            .map(|wait| wait.as_secs())
    }

    #[test]
    fn waits_grow_while_it_stays_ill() {
        let mut record = Record::default();
        assert_eq!(wait(&record), None);
        assert!(record.failed(Fault::Busy));
        assert!(
            !record.failed(Fault::Unavailable),
            "it is being probed already"
        );
        let mut waits = vec![wait(&record)];
        for _ in 0..7 {
            record.probe_failed(Fault::Unavailable);
            waits.push(wait(&record));
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300].map(Some));
    }

    #[test]
    fn a_refused_key_is_probed_rarely() {
        let mut record = Record::default();
        record.failed(Fault::KeyRefused);
        assert_eq!(wait(&record), Some(60));
        record.probe_failed(Fault::Unavailable);
        assert_eq!(wait(&record), Some(10), "the key may be right after all");
    }

    #[test]
    fn a_probe_that_passes_without_work_done_is_trusted_less_each_time() {
        let mut record = Record::default();
        for expected in [5, 10, 20] {
            record.failed(Fault::TimedOut);
            assert_eq!(wait(&record), Some(expected));
            record.probe_passed();
            assert!(record.is_healthy());
        }
        record.worked();
        record.failed(Fault::TimedOut);
        assert_eq!(wait(&record), Some(5));
    }

    #[derive(Clone, Debug)]
    enum Event {
        Worked,
        Failed(Fault),
        ProbePassed,
        ProbeFailed(Fault),
    }

    fn fault() -> impl Strategy<Value = Fault> {
        prop::sample::select(vec![
            Fault::KeyRefused,
            Fault::QuotaSpent,
            Fault::Busy,
            Fault::Unavailable,
            Fault::TimedOut,
            Fault::Local,
        ])
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Worked),
            fault().prop_map(Event::Failed),
            Just(Event::ProbePassed),
            fault().prop_map(Event::ProbeFailed),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_exactly_the_ill_are_probed_and_within_bounds(
            events in prop::collection::vec(event(), 0..200),
        ) {
            let settings = FailoverSettings::default();
            let mut record = Record::default();
            for event in events {
                let was_healthy = record.is_healthy();
                match event {
                    Event::Worked => prop_assert_eq!(record.worked(), !was_healthy),
                    Event::Failed(fault) => {
                        prop_assert_eq!(record.failed(fault), was_healthy);
                        prop_assert!(!record.is_healthy());
                    }
                    Event::ProbePassed => record.probe_passed(),
                    Event::ProbeFailed(fault) => {
                        record.probe_failed(fault);
                        prop_assert_eq!(record.is_healthy(), was_healthy);
                    }
                }
                let wait = record.probe_after(&settings);
                prop_assert_eq!(wait.is_none(), record.is_healthy());
                if let Some(wait) = wait {
                    prop_assert!(wait >= settings.first_probe);
                    prop_assert!(wait <= settings.longest_slow_probe);
                }
            }
        }
    }
}
