//! When to poll a job, and when to give up.

use std::time::Duration;

/// How often a job is polled. Polls start soon and become less frequent; longer clips are polled
/// less often.
///
/// With the defaults, a 30 s clip is polled after 0.5 s, then after 0.75, 1.1, 1.7, 2.5, 3, 3 … An
/// hour: after 10 s, then every 15 s. The provider's own SDK polls every 3 s.
#[derive(Clone, Debug)]
pub struct PollSchedule {
    /// The shortest wait before the first poll. Default: 500 ms.
    pub min_first_delay: Duration,
    /// The longest wait between polls of a short clip. Default: 3 s.
    pub max_short_clip_delay: Duration,
    /// The longest wait between polls of any clip. Default: 15 s.
    pub max_delay: Duration,
}

/// The first wait is the clip's length divided by this: about what the provider needs.
const FIRST_DELAY_DIVISOR: u32 = 100;
/// The longest first wait, however long the clip.
const MAX_FIRST_DELAY: Duration = Duration::from_secs(10);
/// The longest wait is the clip's length divided by this.
const MAX_DELAY_DIVISOR: u32 = 60;

impl Default for PollSchedule {
    fn default() -> Self {
        Self {
            min_first_delay: Duration::from_millis(500),
            max_short_clip_delay: Duration::from_secs(3),
            max_delay: Duration::from_secs(15),
        }
    }
}

impl PollSchedule {
    /// How long to wait before poll number `poll` (from 0) of a clip this long.
    pub fn delay_before_poll(&self, clip: Duration, poll: u32) -> Duration {
        let max_delay = (clip / MAX_DELAY_DIVISOR)
            .max(self.max_short_clip_delay)
            .min(self.max_delay);
        let first_delay = (clip / FIRST_DELAY_DIVISOR)
            .min(MAX_FIRST_DELAY)
            .max(self.min_first_delay);
        // 1.5^20 times any sensible first wait exceeds every limit.
        let delay = first_delay.as_secs_f64() * 1.5_f64.powi(poll.min(20) as i32);
        Duration::try_from_secs_f64(delay)
            .unwrap_or(max_delay)
            .min(max_delay)
    }
}

/// Time limit of a job for a clip this long.
pub(super) fn job_timeout(base_timeout: Duration, clip: Duration) -> Duration {
    base_timeout.saturating_add(clip / 2)
}

/// Time limit of an upload of this many bytes.
pub(super) fn upload_timeout(
    stall_timeout: Duration,
    bytes: u64,
    min_bytes_per_second: u64,
) -> Duration {
    stall_timeout.saturating_add(Duration::from_secs(bytes / min_bytes_per_second.max(1)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn delays_start_short_and_grow() {
        let table: [(u64, [u64; 7]); 4] = [
            (1, [500, 750, 1_125, 1_687, 2_531, 3_000, 3_000]),
            (120, [1_200, 1_800, 2_700, 3_000, 3_000, 3_000, 3_000]),
            (600, [6_000, 9_000, 10_000, 10_000, 10_000, 10_000, 10_000]),
            (
                36_000,
                [10_000, 15_000, 15_000, 15_000, 15_000, 15_000, 15_000],
            ),
        ];
        let schedule = PollSchedule::default();
        for (seconds, delays) in table {
            let clip = Duration::from_secs(seconds);
            let actual: Vec<u64> = (0..7)
                .map(|poll| schedule.delay_before_poll(clip, poll).as_millis() as u64)
                .collect();
            assert_eq!(actual, delays, "{seconds} s");
        }
    }

    #[test]
    fn time_limits_grow_with_the_work() {
        let second = Duration::from_secs(1);
        assert_eq!(job_timeout(second * 180, second * 3_600), second * 1_980);
        assert_eq!(job_timeout(Duration::MAX, Duration::MAX), Duration::MAX);
        assert_eq!(
            upload_timeout(second * 60, 320 * 1_024, 32 * 1_024),
            second * 70
        );
        assert_eq!(upload_timeout(second, 5, 0), second * 6);
    }

    proptest! {
        #[test]
        fn delays_never_shrink_or_exceed_the_maximum(clip in 0_u64..100_000_000, poll in 0_u32..10_000) {
            let schedule = PollSchedule::default();
            let clip = Duration::from_millis(clip);
            let delay = schedule.delay_before_poll(clip, poll);
            prop_assert!(delay <= schedule.max_delay && delay >= schedule.min_first_delay);
            prop_assert!(schedule.delay_before_poll(clip, poll + 1) >= delay);
        }
    }
}
