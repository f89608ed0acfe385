//! From the time of a session to utterances.

use audio::SAMPLE_RATE;

/// What was sent in one session, in order.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// Samples sent so far, with padding.
    length: usize,
    spans: Vec<Span>,
}

/// A stretch of one utterance without gaps.
#[derive(Debug)]
struct Span {
    /// Where it begins in the session.
    start: usize,
    utterance: u64,
    /// Where it begins in the utterance.
    sample: usize,
}

/// A place in an utterance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) utterance: u64,
    pub(super) sample: usize,
}

impl Timeline {
    /// So much was sent, beginning with this sample of the utterance.
    pub(super) fn sent(&mut self, utterance: u64, sample: usize, count: usize) {
        let goes_on = self.spans.last().is_some_and(|last| {
            last.utterance == utterance && last.sample + (self.length - last.start) == sample
        });
        if !goes_on {
            self.spans.push(Span {
                start: self.length,
                utterance,
                sample,
            });
        }
        self.length += count;
    }

    /// Whether something of the utterance was sent.
    pub(super) fn knows(&self, utterance: u64) -> bool {
        self.spans.iter().any(|span| span.utterance == utterance)
    }

    /// What was sent at this millisecond of the session; `None`: something forgotten, or nothing.
    pub(super) fn place(&self, milliseconds: f64) -> Option<Place> {
        // `as` saturates, and makes 0 of what is no number.
        let at = (milliseconds * f64::from(SAMPLE_RATE) / 1_000.0) as usize;
        let after = self.spans.partition_point(|span| span.start <= at);
        let span = self.spans.get(after.checked_sub(1)?)?;
        Some(Place {
            utterance: span.utterance,
            sample: span.sample + (at - span.start),
        })
    }

    /// Utterances up to this one are of no interest any more.
    pub(super) fn forget_until(&mut self, utterance: u64) {
        self.spans.retain(|span| span.utterance > utterance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(utterance: u64, sample: usize) -> Option<Place> {
        Some(Place { utterance, sample })
    }

    #[test]
    fn times_of_the_session_lead_to_utterances() {
        let mut timeline = Timeline::default();
        assert_eq!(timeline.place(0.0), None);
        timeline.sent(7, 1_000, 1_600);
        timeline.sent(7, 2_600, 1_600);
        // 50 ms of which only some is audio: the rest is padding.
        timeline.sent(7, 4_200, 800);
        timeline.sent(9, 0, 16_000);
        assert_eq!(timeline.spans.len(), 2, "what goes on is one span");
        assert_eq!(timeline.place(0.0), place(7, 1_000));
        assert_eq!(timeline.place(200.0), place(7, 4_200));
        assert_eq!(timeline.place(250.0), place(9, 0));
        assert_eq!(timeline.place(1e9), place(9, 16_000_000_000 - 4_000));
        assert_eq!(timeline.place(f64::NAN), place(7, 1_000));
        timeline.forget_until(7);
        assert_eq!(timeline.place(200.0), None);
        assert_eq!(timeline.place(251.0), place(9, 16));
        assert!(timeline.knows(9) && !timeline.knows(7));
    }
}
