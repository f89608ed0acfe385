//! What can be chosen.

use std::time::Duration;

/// How a call is listened to.
#[derive(Clone, Copy, Debug)]
pub struct ConnectOptions {
    /// How long a packet waits for its speaker and its key before it is given up.
    pub pending_timeout: Duration,
    /// How often in a row a connection is tried to be made before it is given up.
    pub max_connect_attempts: u32,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            pending_timeout: Duration::from_secs(2),
            max_connect_attempts: 5,
        }
    }
}
