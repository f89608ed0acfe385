//! Limits how fast audio is sent: in real time, with a small head start.

use std::time::Duration;

use tokio::time::Instant;

use audio::SAMPLE_RATE;

/// How far the sent audio may be ahead of real time, in samples: 900 ms. The service accepts
/// messages of up to 1000 ms and closes sessions that run ahead (3007); it publishes no tolerance.
/// The head start makes up for the time that connecting took; longer backlogs are sent in the
/// speaker's pauses.
const MAX_AHEAD_SAMPLES: usize = SAMPLE_RATE as usize * 9 / 10;

/// The sending allowance of one session.
pub(super) struct RealtimeLimiter {
    /// Samples that could be sent at `updated_at`.
    allowance: f64,
    updated_at: Instant,
}

impl RealtimeLimiter {
    /// The allowance of a session that begins at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            allowance: MAX_AHEAD_SAMPLES as f64,
            updated_at: now,
        }
    }

    /// Number of samples that may be sent now.
    pub(super) fn available_samples(&mut self, now: Instant) -> usize {
        let passed = now.saturating_duration_since(self.updated_at).as_secs_f64();
        let allowance = self.allowance + passed * f64::from(SAMPLE_RATE);
        self.allowance = allowance.min(MAX_AHEAD_SAMPLES as f64);
        self.updated_at = self.updated_at.max(now);
        self.allowance as usize
    }

    /// Records that samples were sent.
    pub(super) fn spend(&mut self, samples: usize) {
        self.allowance -= samples as f64;
    }

    /// When `samples` may be sent, but at most the whole head start.
    pub(super) fn available_at(&self, samples: usize) -> Instant {
        let missing = samples.min(MAX_AHEAD_SAMPLES) as f64 - self.allowance;
        self.updated_at + Duration::from_secs_f64((missing.max(0.0) + 1.0) / f64::from(SAMPLE_RATE))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Sent audio is never ahead of real time by more than the head start.
        #[test]
        fn audio_is_never_too_far_ahead(
            steps in prop::collection::vec((0_u64..3_000, 0_usize..20_000), 1..100),
        ) {
            let begin = Instant::now();
            let (mut now, mut sent) = (begin, 0);
            let mut limiter = RealtimeLimiter::new(begin);
            for (wait, wanted) in steps {
                now += Duration::from_millis(wait);
                let count = wanted.min(limiter.available_samples(now));
                limiter.spend(count);
                sent += count;
                let clock = (now - begin).as_secs_f64() * f64::from(SAMPLE_RATE);
                prop_assert!(sent as f64 <= clock + MAX_AHEAD_SAMPLES as f64 + 1.0);
                let later = limiter.available_at(wanted);
                prop_assert!(limiter.available_samples(later) >= wanted.min(MAX_AHEAD_SAMPLES));
                now = now.max(later);
            }
        }
    }
}
