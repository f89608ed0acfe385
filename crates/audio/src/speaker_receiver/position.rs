//! Positions on the session timeline, in samples since the start of the session.

use std::time::Duration;

use crate::pcm::duration_to_samples;

/// Upper bound of positions in samples, about 500 years into a session, so that sums of positions
/// don't overflow.
const MAX_POSITION: u64 = 1 << 48;

/// Converts a time to samples since the start of the session.
pub(super) fn timeline_position(time: Duration) -> u64 {
    duration_to_samples(time).min(MAX_POSITION)
}
