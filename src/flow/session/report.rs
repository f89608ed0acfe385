//! Reception statistics: how much of each speaker was heard, and how much was lost.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::store::{LineKind, TranscriptLine};

/// Latency samples kept per speaker; after that the oldest are replaced.
const MAX_SAMPLES: usize = 4_096;

/// Reception statistics of one speaker.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct SpeakerReception {
    /// The speaker's user id.
    pub person: u64,
    /// The speaker's display name.
    pub name: String,
    /// Length of the audio that was decoded.
    pub heard: Duration,
    /// Length of the audio that did not arrive or could not be used.
    pub lost: Duration,
    /// Packets that arrived too late to be used.
    pub late: u64,
    /// Times from the end of speech to its transcript line.
    pub delays: LatencySamples,
}

impl SpeakerReception {
    /// The share of the audio that was heard, in tenths of a percent. Rounded down, so that 1,000
    /// means that nothing is missing. `None` if no audio was sent.
    pub fn received_permille(&self) -> Option<u32> {
        let (heard, lost) = (self.heard.as_millis(), self.lost.as_millis());
        let share = (heard * 1_000).checked_div(heard + lost)?;
        u32::try_from(share).ok()
    }
}

/// Reception statistics of a session.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ReceptionReport {
    /// One entry per speaker.
    pub speakers: Vec<SpeakerReception>,
    /// Total time without any audio.
    #[serde(rename = "deaf")]
    pub interrupted_for: Duration,
}

impl ReceptionReport {
    /// Reconstructs a report from transcript lines, for a session whose process was killed. Lines
    /// have neither packet counts nor latencies. Speakers are in the order in which they first
    /// appear.
    pub fn from_lines(lines: &[TranscriptLine]) -> Self {
        let mut report = Self::default();
        let mut indexes: HashMap<u64, usize> = HashMap::new();
        for line in lines {
            let span = Duration::from_millis(line.end_ms.saturating_sub(line.start_ms));
            match line.kind {
                LineKind::Interrupted => {
                    report.interrupted_for = report.interrupted_for.saturating_add(span);
                }
                LineKind::Answer => {}
                LineKind::Speech | LineKind::AudioLost => {
                    let index = *indexes.entry(line.author).or_insert_with(|| {
                        report.speakers.push(SpeakerReception {
                            person: line.author,
                            ..SpeakerReception::default()
                        });
                        report.speakers.len() - 1
                    });
                    let Some(speaker) = report.speakers.get_mut(index) else {
                        continue;
                    };
                    // Names change; use the latest.
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

/// Latency samples with percentiles. Only the median and the 95th percentile are serialized.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "[Option<Duration>; 2]", into = "[Option<Duration>; 2]")]
pub struct LatencySamples {
    samples: Vec<Duration>,
    next_index: usize,
}

impl From<LatencySamples> for [Option<Duration>; 2] {
    /// The values that are kept: median and 95th percentile.
    fn from(samples: LatencySamples) -> Self {
        [samples.median(), samples.p95()]
    }
}

impl From<[Option<Duration>; 2]> for LatencySamples {
    fn from(values: [Option<Duration>; 2]) -> Self {
        Self {
            samples: values.into_iter().flatten().collect(),
            next_index: 0,
        }
    }
}

impl LatencySamples {
    /// Adds a sample.
    pub fn record(&mut self, latency: Duration) {
        if self.samples.len() < MAX_SAMPLES {
            self.samples.push(latency);
        } else if let Some(oldest) = self.samples.get_mut(self.next_index) {
            *oldest = latency;
            self.next_index = (self.next_index + 1) % MAX_SAMPLES;
        }
    }

    /// The median latency.
    pub fn median(&self) -> Option<Duration> {
        self.percentile(50)
    }

    /// The 95th percentile of the latencies.
    pub fn p95(&self) -> Option<Duration> {
        self.percentile(95)
    }

    /// Uses the nearest-rank method, so that the result is an actual sample.
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
        let values: Vec<_> = report
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
        assert_eq!(values, [("Anna", 30, 1, Some(967)), ("Ben", 0, 5, Some(0))]);
        assert_eq!(report.interrupted_for, Duration::from_secs(7));
    }

    #[test]
    fn share_is_full_only_without_loss() {
        let mut speaker = SpeakerReception::default();
        assert_eq!(speaker.received_permille(), None);
        speaker.heard = Duration::from_secs(1_000_000);
        assert_eq!(speaker.received_permille(), Some(1_000));
        speaker.lost = Duration::from_millis(1);
        assert_eq!(speaker.received_permille(), Some(999));
    }

    #[test]
    fn report_survives_serialization() {
        let mut speaker = SpeakerReception {
            name: "Ana".to_owned(),
            late: 3,
            ..SpeakerReception::default()
        };
        for second in [5, 1, 9, 7, 2] {
            speaker.delays.record(Duration::from_secs(second));
        }
        let delays = (speaker.delays.median(), speaker.delays.p95());
        let report = ReceptionReport {
            speakers: vec![speaker, SpeakerReception::default()],
            interrupted_for: Duration::from_millis(1_234),
        };
        let json = serde_json::to_string(&report).expect("reports serialize");
        let read: ReceptionReport = serde_json::from_str(&json).expect("reports deserialize");
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
