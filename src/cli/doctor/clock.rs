//! This machine's clock, beside those of the servers that were asked anyway.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::report::Report;
use crate::words;
use net::Skew;

/// From here on times in logs and transcripts are wrong.
const NOTICEABLE: Duration = Duration::from_secs(30);

/// From here on certificates and Discord's ids may not be taken for what they are.
const TOO_MUCH: Duration = Duration::from_secs(300);

/// What servers told of the time.
#[derive(Default)]
pub(super) struct Clock(Mutex<Vec<Told>>);

struct Told {
    server: String,
    skew: Skew,
    /// Whether it can be relied on: a machine at home may have a worse clock than this one.
    reliable: bool,
}

impl Clock {
    /// A server has answered, and perhaps told the time.
    pub(super) fn saw(&self, server: &str, skew: Option<Skew>, reliable: bool) {
        if let Some(skew) = skew {
            let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            told.push(Told {
                server: server.to_owned(),
                skew,
                reliable,
            });
        }
    }

    /// Nobody is asked for the time alone. One that can be relied on counts first.
    pub(super) fn report(&self) -> Report {
        let mut report = Report::default();
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(first) = told.iter().find(|it| it.reliable).or(told.first()) else {
            report.ok("clock", words::doctor::NO_TIME);
            return report;
        };
        let sentence = words::doctor::skew(&first.server, first.skew);
        match first.skew.by {
            by if by > TOO_MUCH => report.graded(first.reliable, "clock", &sentence),
            by if by > NOTICEABLE => report.warn("clock", &sentence),
            _ => report.ok("clock", &words::doctor::clock_right(&first.server)),
        }
        report
    }
}
