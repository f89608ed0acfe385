//! Compares this machine's clock with the `Date` headers of the other checks' responses.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::report::DoctorReport;
use crate::ui_text;
use net::ClockSkew;

/// From this skew on, times in logs and transcripts are noticeably wrong.
const WARN_SKEW: Duration = Duration::from_secs(30);

/// From this skew on, certificates and Discord's ids may be misjudged.
const FAIL_SKEW: Duration = Duration::from_secs(300);

/// The skew that servers' responses showed.
#[derive(Default)]
pub(super) struct ClockCheck(Mutex<Vec<ServerTime>>);

struct ServerTime {
    server: String,
    skew: ClockSkew,
    /// Whether the server's clock can be trusted. A self-hosted server's may be worse than ours.
    reliable: bool,
}

impl ClockCheck {
    /// Records a response, and its skew if it had a date.
    pub(super) fn record(&self, server: &str, skew: Option<ClockSkew>, reliable: bool) {
        if let Some(skew) = skew {
            let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            times.push(ServerTime {
                server: server.to_owned(),
                skew,
                reliable,
            });
        }
    }

    /// Reports the skew, preferring a reliable server. No request is made for the time alone.
    pub(super) fn report(&self) -> DoctorReport {
        let mut report = DoctorReport::default();
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(first) = times.iter().find(|it| it.reliable).or(times.first()) else {
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
