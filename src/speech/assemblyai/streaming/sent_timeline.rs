//! Maps session time to positions in utterances.

use audio::SAMPLE_RATE;

/// The audio sent in one session, in order.
#[derive(Debug, Default)]
pub(super) struct SentTimeline {
    /// Samples sent so far, including padding.
    sent_samples: usize,
    spans: Vec<SentSpan>,
}

/// Audio of one utterance that was sent without a gap.
#[derive(Debug)]
struct SentSpan {
    /// First sample, counted in the session.
    start: usize,
    utterance: u64,
    /// First sample, counted in the utterance.
    sample: usize,
}

/// A position in an utterance, in samples.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct UtterancePosition {
    pub(super) utterance: u64,
    pub(super) sample: usize,
}

impl SentTimeline {
    /// Records that `count` samples were sent, starting at `sample` of the utterance.
    pub(super) fn record_sent(&mut self, utterance: u64, sample: usize, count: usize) {
        let continues = self.spans.last().is_some_and(|last| {
            last.utterance == utterance && last.sample + (self.sent_samples - last.start) == sample
        });
        if !continues {
            self.spans.push(SentSpan {
                start: self.sent_samples,
                utterance,
                sample,
            });
        }
        self.sent_samples += count;
    }

    /// Whether any audio of the utterance was sent.
    pub(super) fn contains_utterance(&self, utterance: u64) -> bool {
        self.spans.iter().any(|span| span.utterance == utterance)
    }

    /// The position sent at this millisecond of the session; `None` if it was forgotten or never
    /// sent.
    pub(super) fn locate(&self, milliseconds: f64) -> Option<UtterancePosition> {
        // `as` saturates, and turns NaN into 0.
        let at = (milliseconds * f64::from(SAMPLE_RATE) / 1_000.0) as usize;
        let after = self.spans.partition_point(|span| span.start <= at);
        let span = self.spans.get(after.checked_sub(1)?)?;
        Some(UtterancePosition {
            utterance: span.utterance,
            sample: span.sample + (at - span.start),
        })
    }

    /// Forgets all utterances up to this one.
    pub(super) fn forget_through(&mut self, utterance: u64) {
        self.spans.retain(|span| span.utterance > utterance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(utterance: u64, sample: usize) -> Option<UtterancePosition> {
        Some(UtterancePosition { utterance, sample })
    }

    #[test]
    fn session_times_map_to_utterances() {
        let mut timeline = SentTimeline::default();
        assert_eq!(timeline.locate(0.0), None);
        timeline.record_sent(7, 1_000, 1_600);
        timeline.record_sent(7, 2_600, 1_600);
        // 50 ms, only part of it audio: the rest is padding.
        timeline.record_sent(7, 4_200, 800);
        timeline.record_sent(9, 0, 16_000);
        assert_eq!(timeline.spans.len(), 2, "contiguous audio is one span");
        assert_eq!(timeline.locate(0.0), position(7, 1_000));
        assert_eq!(timeline.locate(200.0), position(7, 4_200));
        assert_eq!(timeline.locate(250.0), position(9, 0));
        assert_eq!(timeline.locate(1e9), position(9, 16_000_000_000 - 4_000));
        assert_eq!(timeline.locate(f64::NAN), position(7, 1_000));
        timeline.forget_through(7);
        assert_eq!(timeline.locate(200.0), None);
        assert_eq!(timeline.locate(251.0), position(9, 16));
        assert!(timeline.contains_utterance(9) && !timeline.contains_utterance(7));
    }
}
