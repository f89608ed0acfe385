//! The difference between this machine's clock and a server's, from the `Date` header of a
//! response.

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap};

/// How far this machine's clock is off from a server's. `Date` has whole seconds, and the response
/// takes time to arrive, so a second or two mean nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClockSkew {
    /// The absolute difference.
    pub offset: Duration,
    /// Whether this machine is ahead of the server.
    pub is_ahead: bool,
}

impl ClockSkew {
    /// Compares the system's clock with the `Date` of a response that has just arrived. `None` if
    /// it has no valid one.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let date = headers.get(DATE)?.to_str().ok()?;
        let theirs = httpdate::parse_http_date(date).ok()?;
        Some(Self::between(SystemTime::now(), theirs))
    }

    fn between(ours: SystemTime, theirs: SystemTime) -> Self {
        match ours.duration_since(theirs) {
            Ok(by) => Self {
                offset: by,
                is_ahead: true,
            },
            Err(error) => Self {
                offset: error.duration(),
                is_ahead: false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_is_ahead_or_behind() {
        let (early, late) = (Duration::from_secs(1_000), Duration::from_secs(1_060));
        let at = |since_epoch| SystemTime::UNIX_EPOCH + since_epoch;
        let offset = late - early;
        assert_eq!(
            ClockSkew::between(at(late), at(early)),
            ClockSkew {
                offset,
                is_ahead: true
            }
        );
        assert_eq!(
            ClockSkew::between(at(early), at(late)),
            ClockSkew {
                offset,
                is_ahead: false
            }
        );
    }
}
