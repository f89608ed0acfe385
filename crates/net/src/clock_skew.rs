//! How this machine's clock goes, measured by the `Date` of an answer that came anyway.

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap};

/// How far this machine's clock is from a server's. A `Date` has whole seconds, and the way of the
/// answer is in it, so a second or two mean nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClockSkew {
    /// How far.
    pub offset: Duration,
    /// Whether this machine is ahead of the server.
    pub is_ahead: bool,
}

impl ClockSkew {
    /// Compares the system's clock with the `Date` of an answer that came just now. None if it
    /// has none.
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
    fn a_clock_is_ahead_or_behind() {
        let (early, late) = (Duration::from_secs(1_000), Duration::from_secs(1_060));
        let at = |span| SystemTime::UNIX_EPOCH + span;
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
