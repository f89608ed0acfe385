//! Metrics of our own receiver.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use metrics::{counter, gauge};

use voice_receive::ReceiveStats;

/// Jitter and longest wait of each running call, by call number. Only the maxima are exported: a
/// label per call would be too many time series.
static CALL_MAXIMA: LazyLock<Mutex<CallMaxima>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct CallMaxima {
    next_call_number: u64,
    calls: HashMap<u64, (Duration, Duration)>,
}

/// Exports the counters of one call. Remembers what has been exported.
pub(super) struct ReceiverMetrics {
    call_number: u64,
    reported: ReceiveStats,
}

impl Default for ReceiverMetrics {
    fn default() -> Self {
        let mut maxima = CALL_MAXIMA.lock().unwrap_or_else(PoisonError::into_inner);
        maxima.next_call_number += 1;
        Self {
            call_number: maxima.next_call_number,
            reported: ReceiveStats::default(),
        }
    }
}

impl ReceiverMetrics {
    /// Exports what was counted since the last report.
    pub(super) fn report(&mut self, now: ReceiveStats) {
        let before = std::mem::replace(&mut self.reported, now);
        for (outcome, now, before) in [
            ("heard", now.delivered, before.delivered),
            ("waited", now.delayed, before.delayed),
            ("no_speaker", now.no_speaker, before.no_speaker),
            ("no_key", now.no_key, before.no_key),
            ("repeated", now.duplicate, before.duplicate),
            ("malformed", now.malformed, before.malformed),
            ("forged", now.unauthenticated, before.unauthenticated),
            ("no_room", now.buffer_full, before.buffer_full),
            ("overrun", now.overrun, before.overrun),
            ("other", now.other, before.other),
        ] {
            counter!("talkback_voice_packets_total", "outcome" => outcome)
                .increment(now.saturating_sub(before));
        }
        counter!("talkback_voice_resumes_total")
            .increment(now.resumed.saturating_sub(before.resumed));
        counter!("talkback_voice_identifies_total")
            .increment(now.identified.saturating_sub(before.identified));
        counter!("talkback_voice_epochs_total").increment(now.epochs.saturating_sub(before.epochs));
        counter!("talkback_voice_bad_keys_total")
            .increment(now.dave_errors.saturating_sub(before.dave_errors));
        self.update_gauges(|calls, call_number| {
            calls.insert(call_number, (now.jitter, now.longest_wait));
        });
    }

    fn update_gauges(&self, change: impl FnOnce(&mut HashMap<u64, (Duration, Duration)>, u64)) {
        let mut maxima = CALL_MAXIMA.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut maxima.calls, self.call_number);
        let (jitter, longest_wait) = maxima.calls.values().fold(
            (Duration::ZERO, Duration::ZERO),
            |(jitter, longest_wait), (call_jitter, call_wait)| {
                (jitter.max(*call_jitter), longest_wait.max(*call_wait))
            },
        );
        gauge!("talkback_voice_jitter_seconds").set(jitter.as_secs_f64());
        gauge!("talkback_voice_longest_wait_seconds").set(longest_wait.as_secs_f64());
    }
}

impl Drop for ReceiverMetrics {
    fn drop(&mut self) {
        self.update_gauges(|calls, call_number| {
            calls.remove(&call_number);
        });
    }
}
