//! What our own receiver counts, for whoever operates the bot.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use metrics::{counter, gauge};

use voice_receive::Counts;

/// The jitter and the longest wait of every call that there is, by its number. Only the largest are
/// shown: there are too many calls for a row each.
static WORST: LazyLock<Mutex<Worst>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Worst {
    next: u64,
    calls: HashMap<u64, (Duration, Duration)>,
}

/// How much of the counts of one call has been told.
pub(super) struct Counted {
    number: u64,
    told: Counts,
}

impl Default for Counted {
    fn default() -> Self {
        let mut worst = WORST.lock().unwrap_or_else(PoisonError::into_inner);
        worst.next += 1;
        Self {
            number: worst.next,
            told: Counts::default(),
        }
    }
}

impl Counted {
    /// Tells what has been counted since the last time.
    pub(super) fn add(&mut self, now: Counts) {
        let told = std::mem::replace(&mut self.told, now);
        for (outcome, now, told) in [
            ("heard", now.heard, told.heard),
            ("waited", now.waited, told.waited),
            ("no_speaker", now.no_speaker, told.no_speaker),
            ("no_key", now.no_key, told.no_key),
            ("repeated", now.repeated, told.repeated),
            ("malformed", now.malformed, told.malformed),
            ("forged", now.forged, told.forged),
            ("no_room", now.no_room, told.no_room),
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
            .increment(now.bad_keys.saturating_sub(told.bad_keys));
        self.show(|calls, number| {
            calls.insert(number, (now.jitter, now.longest_wait));
        });
    }

    fn show(&self, change: impl FnOnce(&mut HashMap<u64, (Duration, Duration)>, u64)) {
        let mut worst = WORST.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut worst.calls, self.number);
        let (jitter, wait) = worst.calls.values().fold(
            (Duration::ZERO, Duration::ZERO),
            |(jitter, wait), (its_jitter, its_wait)| (jitter.max(*its_jitter), wait.max(*its_wait)),
        );
        gauge!("talkback_voice_jitter_seconds").set(jitter.as_secs_f64());
        gauge!("talkback_voice_longest_wait_seconds").set(wait.as_secs_f64());
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.show(|calls, number| {
            calls.remove(&number);
        });
    }
}
