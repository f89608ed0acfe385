//! What was heard of whom, and what was not.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::store::{LineKind, TranscriptLine};

/// The most delays of a speaker that are remembered; after that the oldest go.
const MAX_SAMPLES: usize = 4_096;

/// What was heard of one speaker.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct SpeakerReception {
    /// The speaker.
    pub person: u64,
    /// The speaker's name.
    pub name: String,
    /// Speech that was heard.
    pub heard: Duration,
    /// Audio that was sent and did not arrive, or could not be used.
    pub lost: Duration,
    /// Packets that came too late to be used.
    pub late: u64,
    /// From the end of speech until it was written down.
    pub delays: LatencySamples,
}

impl SpeakerReception {
    /// How much of what was sent was heard, in tenths of a percent. Rounded down, so that it is all
    /// of it only if nothing is missing. None if nothing was sent.
    pub fn received_permille(&self) -> Option<u32> {
        let (heard, lost) = (self.heard.as_millis(), self.lost.as_millis());
        let share = (heard * 1_000).checked_div(heard + lost)?;
        u32::try_from(share).ok()
    }
}

/// What was heard in a session.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ReceptionReport {
    /// Speaker by speaker.
    pub speakers: Vec<SpeakerReception>,
    /// The time in which nobody could be heard.
    #[serde(rename = "deaf")]
    pub interrupted_for: Duration,
}

impl ReceptionReport {
    /// What the lines of a transcript tell, for a session whose process was killed. They know
    /// neither packets nor delays. Speakers come in the order in which they first appear.
    pub fn from_lines(lines: &[TranscriptLine]) -> Self {
        let mut report = Self::default();
        let mut places: HashMap<u64, usize> = HashMap::new();
        for line in lines {
            let span = Duration::from_millis(line.end_ms.saturating_sub(line.start_ms));
            match line.kind {
                LineKind::Interrupted => {
                    report.interrupted_for = report.interrupted_for.saturating_add(span)
                }
                LineKind::Answer => {}
                LineKind::Speech | LineKind::AudioLost => {
                    let place = *places.entry(line.author).or_insert_with(|| {
                        report.speakers.push(SpeakerReception {
                            person: line.author,
                            ..SpeakerReception::default()
                        });
                        report.speakers.len() - 1
                    });
                    let Some(speaker) = report.speakers.get_mut(place) else {
                        continue;
                    };
                    // Names change; the latest is the one people know.
                    speaker.name.clone_from(&line.name);
                    let sum = match line.kind {
                        LineKind::AudioLost => &mut speaker.lost,
                        _ => &mut speaker.heard,
                    };
                    *sum = sum.saturating_add(span);
                }
            }
        }
        report
    }
}

/// How long something took, again and again.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "[Option<Duration>; 2]", into = "[Option<Duration>; 2]")]
pub struct LatencySamples {
    samples: Vec<Duration>,
    next_index: usize,
}

impl From<LatencySamples> for [Option<Duration>; 2] {
    /// All that is told of them.
    fn from(delays: LatencySamples) -> Self {
        [delays.median(), delays.p95()]
    }
}

impl From<[Option<Duration>; 2]> for LatencySamples {
    fn from(told: [Option<Duration>; 2]) -> Self {
        Self {
            samples: told.into_iter().flatten().collect(),
            next_index: 0,
        }
    }
}

impl LatencySamples {
    /// It took so long once more.
    pub fn record(&mut self, delay: Duration) {
        if self.samples.len() < MAX_SAMPLES {
            self.samples.push(delay);
        } else if let Some(oldest) = self.samples.get_mut(self.next_index) {
            *oldest = delay;
            self.next_index = (self.next_index + 1) % MAX_SAMPLES;
        }
    }

    /// Half of the delays were no longer than this.
    pub fn median(&self) -> Option<Duration> {
        self.percentile(50)
    }

    /// 95 of 100 delays were no longer than this.
    pub fn p95(&self) -> Option<Duration> {
        self.percentile(95)
    }

    /// By the nearest rank, so that it is a delay that was met.
    fn percentile(&self, percent: usize) -> Option<Duration> {
        let mut sorted = self.samples.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100);
        sorted.get(rank.checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(author: u64, name: &str, seconds: u64, kind: LineKind) -> TranscriptLine {
        TranscriptLine {
            number: 0,
            author,
            name: name.to_owned(),
            start_ms: 1_000,
            end_ms: 1_000 + seconds * 1_000,
            kind,
            text: String::new(),
        }
    }

    #[test]
    fn report_is_rebuilt_from_lines() {
        let report = ReceptionReport::from_lines(&[
            line(1, "Ana", 10, LineKind::Speech),
            line(2, "Ben", 5, LineKind::AudioLost),
            line(0, "", 7, LineKind::Interrupted),
            line(0, "Talkback", 9, LineKind::Answer),
            line(1, "Anna", 20, LineKind::Speech),
            line(1, "Anna", 1, LineKind::AudioLost),
        ]);
        let told: Vec<_> = report
            .speakers
            .iter()
            .map(|it| {
                (
                    it.name.as_str(),
                    it.heard.as_secs(),
                    it.lost.as_secs(),
                    it.received_permille(),
                )
            })
            .collect();
        assert_eq!(told, [("Anna", 30, 1, Some(967)), ("Ben", 0, 5, Some(0))]);
        assert_eq!(report.interrupted_for, Duration::from_secs(7));
    }

    #[test]
    fn share_is_full_only_without_loss() {
        let mut heard = SpeakerReception::default();
        assert_eq!(heard.received_permille(), None);
        heard.heard = Duration::from_secs(1_000_000);
        assert_eq!(heard.received_permille(), Some(1_000));
        heard.lost = Duration::from_millis(1);
        assert_eq!(heard.received_permille(), Some(999));
    }

    #[test]
    fn report_survives_serialization() {
        let mut heard = SpeakerReception {
            name: "Ana".to_owned(),
            late: 3,
            ..SpeakerReception::default()
        };
        for second in [5, 1, 9, 7, 2] {
            heard.delays.record(Duration::from_secs(second));
        }
        let delays = (heard.delays.median(), heard.delays.p95());
        let report = ReceptionReport {
            speakers: vec![heard, SpeakerReception::default()],
            interrupted_for: Duration::from_millis(1_234),
        };
        let kept = serde_json::to_string(&report).expect("JSON");
        let read: ReceptionReport = serde_json::from_str(&kept).expect("a report");
        let first = &read.speakers[0];
        assert_eq!((first.delays.median(), first.delays.p95()), delays);
        assert_eq!(
            (first.late, read.interrupted_for),
            (3, report.interrupted_for)
        );
        assert_eq!(read.speakers[1], SpeakerReception::default());
    }

    #[test]
    fn latency_samples_are_bounded_and_percentiles_are_samples() {
        let mut delays = LatencySamples::default();
        assert_eq!((delays.median(), delays.p95()), (None, None));
        let seconds = Duration::from_secs;
        delays.record(seconds(3));
        assert_eq!(delays.p95(), Some(seconds(3)));
        for second in 1..=20 {
            delays.record(seconds(second));
        }
        assert_eq!(delays.median(), Some(seconds(10)));
        assert_eq!(delays.p95(), Some(seconds(19)));
        for _ in 0..MAX_SAMPLES + 10 {
            delays.record(seconds(1));
        }
        assert_eq!(delays.samples.len(), MAX_SAMPLES);
        assert_eq!(delays.p95(), Some(seconds(1)));
    }
}
