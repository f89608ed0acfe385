//! How unhealthy transcribers are probed.

use std::time::Duration;

/// How unhealthy transcribers are probed. Delays double from the first to the longest.
#[derive(Clone, Debug)]
pub struct FailoverSettings {
    /// Delay before the first probe. Default: 5 s.
    pub first_probe_delay: Duration,
    /// Longest delay between probes. Default: 5 min.
    pub max_probe_delay: Duration,
    /// Delay before the first probe after a refused key or a used-up quota, which only the operator
    /// can fix. Default: 1 min.
    pub first_slow_probe_delay: Duration,
    /// Longest delay between such probes. Default: 30 min.
    pub max_slow_probe_delay: Duration,
    /// Time limit of one probe. Default: 30 s.
    pub probe_timeout: Duration,
}

impl Default for FailoverSettings {
    fn default() -> Self {
        Self {
            first_probe_delay: Duration::from_secs(5),
            max_probe_delay: Duration::from_secs(300),
            first_slow_probe_delay: Duration::from_secs(60),
            max_slow_probe_delay: Duration::from_secs(1_800),
            probe_timeout: Duration::from_secs(30),
        }
    }
}
