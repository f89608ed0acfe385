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
        let mut worst = CALL_MAXIMA.lock().unwrap_or_else(PoisonError::into_inner);
        worst.next_call_number += 1;
        Self {
            call_number: worst.next_call_number,
            reported: ReceiveStats::default(),
        }
    }
}

impl ReceiverMetrics {
    /// Exports what was counted since the last report.
    pub(super) fn report(&mut self, now: ReceiveStats) {
        let told = std::mem::replace(&mut self.reported, now);
        for (outcome, now, told) in [
            ("heard", now.delivered, told.delivered),
            ("waited", now.delayed, told.delayed),
            ("no_speaker", now.no_speaker, told.no_speaker),
            ("no_key", now.no_key, told.no_key),
            ("repeated", now.duplicate, told.duplicate),
            ("malformed", now.malformed, told.malformed),
            ("forged", now.unauthenticated, told.unauthenticated),
            ("no_room", now.buffer_full, told.buffer_full),
            ("overrun", now.overrun, told.overrun),
            ("other", now.other, told.other),
        ] {
            counter!("talkback_voice_packets_total", "outcome" => outcome)
                .increment(now.saturating_sub(told));
        }
        counter!("talkback_voice_resumes_total")
            .increment(now.resumed.saturating_sub(told.resumed));
        counter!("talkback_voice_identifies_total")
            .increment(now.identified.saturating_sub(told.identified));
        counter!("talkback_voice_epochs_total").increment(now.epochs.saturating_sub(told.epochs));
        counter!("talkback_voice_bad_keys_total")
            .increment(now.dave_errors.saturating_sub(told.dave_errors));
        self.update_gauges(|calls, number| {
            calls.insert(number, (now.jitter, now.longest_wait));
        });
    }

    fn update_gauges(&self, change: impl FnOnce(&mut HashMap<u64, (Duration, Duration)>, u64)) {
        let mut worst = CALL_MAXIMA.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut worst.calls, self.call_number);
        let (jitter, wait) = worst.calls.values().fold(
            (Duration::ZERO, Duration::ZERO),
            |(jitter, wait), (its_jitter, its_wait)| (jitter.max(*its_jitter), wait.max(*its_wait)),
        );
        gauge!("talkback_voice_jitter_seconds").set(jitter.as_secs_f64());
        gauge!("talkback_voice_longest_wait_seconds").set(wait.as_secs_f64());
    }
}

impl Drop for ReceiverMetrics {
    fn drop(&mut self) {
        self.update_gauges(|calls, number| {
            calls.remove(&number);
        });
    }
}
