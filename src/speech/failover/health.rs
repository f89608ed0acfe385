//! The health of one transcriber: a state machine without a clock.
//!
//! ```text
//!            success                     failure (transcriber at fault)
//!   Healthy ───────► Healthy     Healthy ───────► Unhealthy, probe after a delay
//!
//!   Unhealthy ── probe failed ──► Unhealthy, probe after a longer delay
//!   Unhealthy ── probe passed ──► Healthy, but the next failure starts with a longer delay
//!   Unhealthy ── success ───────► Healthy, delays reset
//! ```

use std::time::Duration;

use super::settings::FailoverSettings;
use crate::speech::{FailoverAction, SpeechError};

/// Why a transcriber is unhealthy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProviderFault {
    /// The key was refused. Only the operator can fix that, so probes are rare.
    KeyRefused,
    /// The account's quota is used up. Only the operator can fix that, so probes are rare.
    QuotaExceeded,
    /// The account may not use the service. Only the operator can fix that, so probes are rare.
    NotAllowed,
    /// The configured model is refused. Only the operator can fix that, so probes are rare.
    ModelRefused,
    /// Too many requests, or no capacity.
    Overloaded,
    /// Unreachable, or its responses are malformed.
    Unavailable,
    /// It didn't finish in time.
    TimedOut,
    /// The local engine doesn't work.
    LocalEngine,
}

impl ProviderFault {
    /// The fault behind an error, if the transcriber itself is at fault.
    pub fn from_error(error: &SpeechError) -> Option<Self> {
        if error.failover_action() != FailoverAction::MarkUnhealthy {
            return None;
        }
        Some(match error {
            SpeechError::KeyRefused(_) => Self::KeyRefused,
            SpeechError::QuotaExceeded(_) => Self::QuotaExceeded,
            SpeechError::NotAllowed(_) => Self::NotAllowed,
            SpeechError::Refused { .. } => Self::ModelRefused,
            SpeechError::Overloaded(_) => Self::Overloaded,
            SpeechError::TimedOut(_) => Self::TimedOut,
            SpeechError::LocalEngine { .. } => Self::LocalEngine,
            _ => Self::Unavailable,
        })
    }

    fn needs_operator(self) -> bool {
        matches!(
            self,
            Self::KeyRefused | Self::QuotaExceeded | Self::NotAllowed | Self::ModelRefused
        )
    }
}

/// Whether a transcriber is used.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum HealthState {
    /// Used normally.
    #[default]
    Healthy,
    /// Used only as a last resort until a probe passes.
    Unhealthy {
        /// The most recent fault.
        fault: ProviderFault,
        /// Failed probes since it became unhealthy.
        failed_probes: u32,
    },
}

/// The health of one transcriber and its history.
#[derive(Clone, Debug, Default)]
pub(super) struct HealthRecord {
    health: HealthState,
    /// How often it became unhealthy without a success in between. If probes pass but clips keep
    /// failing, the delays keep growing.
    relapses: u32,
}

impl HealthRecord {
    pub(super) fn health(&self) -> &HealthState {
        &self.health
    }

    pub(super) fn is_healthy(&self) -> bool {
        self.health == HealthState::Healthy
    }

    /// A clip was transcribed. Returns true if the transcriber was unhealthy.
    pub(super) fn record_success(&mut self) -> bool {
        self.relapses = 0;
        std::mem::take(&mut self.health) != HealthState::Healthy
    }

    /// A clip failed because of the transcriber. Returns true if it was healthy, so probing must
    /// start.
    pub(super) fn record_failure(&mut self, fault: ProviderFault) -> bool {
        match &mut self.health {
            HealthState::Healthy => {
                self.relapses = self.relapses.saturating_add(1);
                self.health = HealthState::Unhealthy {
                    fault,
                    failed_probes: 0,
                };
                true
            }
            HealthState::Unhealthy { fault: known, .. } => {
                *known = fault;
                false
            }
        }
    }

    /// A probe passed: the transcriber gets clips again.
    pub(super) fn record_probe_success(&mut self) {
        self.health = HealthState::Healthy;
    }

    /// A probe failed.
    pub(super) fn record_probe_failure(&mut self, seen: ProviderFault) {
        if let HealthState::Unhealthy {
            fault,
            failed_probes,
        } = &mut self.health
        {
            *fault = seen;
            *failed_probes = failed_probes.saturating_add(1);
        }
    }

    /// How long to wait before the next probe. `None` if healthy: no probe is due.
    pub(super) fn next_probe_delay(&self, settings: &FailoverSettings) -> Option<Duration> {
        let HealthState::Unhealthy {
            fault,
            failed_probes,
        } = &self.health
        else {
            return None;
        };
        let (first_delay, max_delay) = if fault.needs_operator() {
            (
                settings.first_slow_probe_delay,
                settings.max_slow_probe_delay,
            )
        } else {
            (settings.first_probe_delay, settings.max_probe_delay)
        };
        let doublings = failed_probes.saturating_add(self.relapses.saturating_sub(1));
        let delay = first_delay.saturating_mul(1 << doublings.min(20));
        Some(delay.min(max_delay))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn delay(record: &HealthRecord) -> Option<u64> {
        record
            .next_probe_delay(&FailoverSettings::default())
            .map(|delay| delay.as_secs())
    }

    #[test]
    fn delays_grow_while_unhealthy() {
        let mut record = HealthRecord::default();
        assert_eq!(delay(&record), None);
        assert!(record.record_failure(ProviderFault::Overloaded));
        assert!(
            !record.record_failure(ProviderFault::Unavailable),
            "already being probed"
        );
        let mut delays = vec![delay(&record)];
        for _ in 0..7 {
            record.record_probe_failure(ProviderFault::Unavailable);
            delays.push(delay(&record));
        }
        assert_eq!(delays, [5, 10, 20, 40, 80, 160, 300, 300].map(Some));
    }

    #[test]
    fn a_refused_key_is_probed_rarely() {
        let mut record = HealthRecord::default();
        record.record_failure(ProviderFault::KeyRefused);
        assert_eq!(delay(&record), Some(60));
        record.record_probe_failure(ProviderFault::Unavailable);
        assert_eq!(delay(&record), Some(10), "the key may be right after all");
    }

    #[test]
    fn passed_probes_without_a_success_lengthen_the_delay() {
        let mut record = HealthRecord::default();
        for expected in [5, 10, 20] {
            record.record_failure(ProviderFault::TimedOut);
            assert_eq!(delay(&record), Some(expected));
            record.record_probe_success();
            assert!(record.is_healthy());
        }
        record.record_success();
        record.record_failure(ProviderFault::TimedOut);
        assert_eq!(delay(&record), Some(5));
    }

    #[derive(Clone, Debug)]
    enum HealthEvent {
        Succeeded,
        Failed(ProviderFault),
        ProbePassed,
        ProbeFailed(ProviderFault),
    }

    fn fault() -> impl Strategy<Value = ProviderFault> {
        prop::sample::select(vec![
            ProviderFault::KeyRefused,
            ProviderFault::QuotaExceeded,
            ProviderFault::Overloaded,
            ProviderFault::Unavailable,
            ProviderFault::TimedOut,
            ProviderFault::LocalEngine,
        ])
    }

    fn event() -> impl Strategy<Value = HealthEvent> {
        prop_oneof![
            Just(HealthEvent::Succeeded),
            fault().prop_map(HealthEvent::Failed),
            Just(HealthEvent::ProbePassed),
            fault().prop_map(HealthEvent::ProbeFailed),
        ]
    }

    proptest! {
        #[test]
        fn only_unhealthy_transcribers_are_probed_and_within_bounds(
            events in prop::collection::vec(event(), 0..200),
        ) {
            let settings = FailoverSettings::default();
            let mut record = HealthRecord::default();
            for event in events {
                let was_healthy = record.is_healthy();
                match event {
                    HealthEvent::Succeeded => prop_assert_eq!(record.record_success(), !was_healthy),
                    HealthEvent::Failed(fault) => {
                        prop_assert_eq!(record.record_failure(fault), was_healthy);
                        prop_assert!(!record.is_healthy());
                    }
                    HealthEvent::ProbePassed => record.record_probe_success(),
                    HealthEvent::ProbeFailed(fault) => {
                        record.record_probe_failure(fault);
                        prop_assert_eq!(record.is_healthy(), was_healthy);
                    }
                }
                let delay = record.next_probe_delay(&settings);
                prop_assert_eq!(delay.is_none(), record.is_healthy());
                if let Some(delay) = delay {
                    prop_assert!(delay >= settings.first_probe_delay);
                    prop_assert!(delay <= settings.max_slow_probe_delay);
                }
            }
        }
    }
}
