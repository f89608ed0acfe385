//! What can be chosen.

use std::time::Duration;

/// How a call is listened to.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long a packet waits for its speaker and its key before it is given up.
    pub patience: Duration,
    /// How often in a row a connection is tried to be made before it is given up.
    pub attempts: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(2),
            attempts: 5,
        }
    }
}
