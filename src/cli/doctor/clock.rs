//! This machine's clock, beside those of the servers that were asked anyway.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::report::DoctorReport;
use crate::ui_text;
use net::ClockSkew;

/// From here on times in logs and transcripts are wrong.
const WARN_SKEW: Duration = Duration::from_secs(30);

/// From here on certificates and Discord's ids may not be taken for what they are.
const FAIL_SKEW: Duration = Duration::from_secs(300);

/// What servers told of the time.
#[derive(Default)]
pub(super) struct ClockCheck(Mutex<Vec<ServerTime>>);

struct ServerTime {
    server: String,
    skew: ClockSkew,
    /// Whether it can be relied on: a machine at home may have a worse clock than this one.
    reliable: bool,
}

impl ClockCheck {
    /// A server has answered, and perhaps told the time.
    pub(super) fn record(&self, server: &str, skew: Option<ClockSkew>, reliable: bool) {
        if let Some(skew) = skew {
            let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            told.push(ServerTime {
                server: server.to_owned(),
                skew,
                reliable,
            });
        }
    }

    /// Nobody is asked for the time alone. One that can be relied on counts first.
    pub(super) fn report(&self) -> DoctorReport {
        let mut report = DoctorReport::default();
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(first) = told.iter().find(|it| it.reliable).or(told.first()) else {
            report.ok("clock", ui_text::doctor::CLOCK_NOT_COMPARED);
            return report;
        };
        let sentence = ui_text::doctor::clock_skewed(&first.server, first.skew);
        match first.skew.offset {
            by if by > FAIL_SKEW => report.fail_or_warn(first.reliable, "clock", &sentence),
            by if by > WARN_SKEW => report.warn("clock", &sentence),
            _ => report.ok("clock", &ui_text::doctor::clock_accurate(&first.server)),
        }
        report
    }
}
