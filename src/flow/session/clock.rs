//! Session time: how long a session has been running, across restarts of the process.

use std::time::{Duration, Instant};

use crate::store::{SessionRecord, Timestamp};

/// Measures session time. A resumed session continues where it left off.
#[derive(Clone, Copy, Debug)]
pub struct SessionClock {
    origin: Instant,
    offset: Duration,
}

impl SessionClock {
    /// A clock that reads `offset` now.
    #[must_use]
    pub fn starting_at(offset: Duration) -> Self {
        Self {
            origin: Instant::now(),
            offset,
        }
    }

    /// Session time now.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed_at(Instant::now())
    }

    /// Session time at `instant`.
    #[must_use]
    pub fn elapsed_at(&self, instant: Instant) -> Duration {
        match instant.checked_duration_since(self.origin) {
            Some(after) => self.offset.saturating_add(after),
            None => self.offset.saturating_sub(self.origin - instant),
        }
    }
}

/// How far a session has progressed at `now`.
#[must_use]
pub fn session_elapsed(session: &SessionRecord, now: Timestamp) -> Duration {
    let millis = now.0.saturating_sub(session.started.0);
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_map_to_session_time() {
        let clock = SessionClock::starting_at(Duration::from_secs(100));
        let at = |instant| clock.elapsed_at(instant);
        assert_eq!(at(clock.origin), Duration::from_secs(100));
        let later = clock.origin + Duration::from_secs(3);
        assert_eq!(at(later), Duration::from_secs(103));
        if let Some(before) = clock.origin.checked_sub(Duration::from_secs(1)) {
            assert_eq!(at(before), Duration::from_secs(99));
        }
    }
}
