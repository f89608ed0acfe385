//! Durations as whole milliseconds, the unit of subtitles, the ledger and the usage limits.

use std::time::Duration;

/// The whole milliseconds of a duration. What does not fit, some 584 million years, is `u64::MAX`.
pub(crate) fn to_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
