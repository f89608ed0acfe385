//! What was heard of whom, and what was not.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::store::{Line, LineKind};

/// The most delays of a speaker that are remembered; after that the oldest go.
const MAX_DELAYS: usize = 4_096;

/// What was heard of one speaker.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Heard {
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
    pub delays: Delays,
}

impl Heard {
    /// How much of what was sent was heard, in tenths of a percent. Rounded down, so that it is all
    /// of it only if nothing is missing. None if nothing was sent.
    pub fn share(&self) -> Option<u32> {
        let (heard, lost) = (self.heard.as_millis(), self.lost.as_millis());
        let share = (heard * 1_000).checked_div(heard + lost)?;
        u32::try_from(share).ok()
    }
}

/// What was heard in a session.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Report {
    /// Speaker by speaker.
    pub speakers: Vec<Heard>,
    /// The time in which nobody could be heard.
    pub deaf: Duration,
}

impl Report {
    /// What the lines of a transcript tell, for a session whose process was killed. They know
    /// neither packets nor delays. Speakers come in the order in which they first appear.
    pub fn of(lines: &[Line]) -> Self {
        let mut report = Self::default();
        let mut places: HashMap<u64, usize> = HashMap::new();
        for line in lines {
            let span = Duration::from_millis(line.end_ms.saturating_sub(line.start_ms));
            match line.kind {
                LineKind::Deaf => report.deaf = report.deaf.saturating_add(span),
                LineKind::Answer => {}
                LineKind::Speech | LineKind::Lost => {
                    let place = *places.entry(line.author).or_insert_with(|| {
                        report.speakers.push(Heard {
                            person: line.author,
                            ..Heard::default()
                        });
                        report.speakers.len() - 1
                    });
                    let Some(speaker) = report.speakers.get_mut(place) else {
                        continue;
                    };
                    // Names change; the latest is the one people know.
                    speaker.name.clone_from(&line.name);
                    let sum = match line.kind {
                        LineKind::Lost => &mut speaker.lost,
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
pub struct Delays {
    latest: Vec<Duration>,
    next: usize,
}

impl From<Delays> for [Option<Duration>; 2] {
    /// All that is told of them.
    fn from(delays: Delays) -> Self {
        [delays.median(), delays.p95()]
    }
}

impl From<[Option<Duration>; 2]> for Delays {
    fn from(told: [Option<Duration>; 2]) -> Self {
        Self {
            latest: told.into_iter().flatten().collect(),
            next: 0,
        }
    }
}

impl Delays {
    /// It took so long once more.
    pub fn add(&mut self, delay: Duration) {
        if self.latest.len() < MAX_DELAYS {
            self.latest.push(delay);
        } else if let Some(oldest) = self.latest.get_mut(self.next) {
            *oldest = delay;
            self.next = (self.next + 1) % MAX_DELAYS;
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
        let mut sorted = self.latest.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100);
        sorted.get(rank.checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(author: u64, name: &str, seconds: u64, kind: LineKind) -> Line {
        Line {
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
    fn lines_tell_what_was_heard() {
        let report = Report::of(&[
            line(1, "Ana", 10, LineKind::Speech),
            line(2, "Ben", 5, LineKind::Lost),
            line(0, "", 7, LineKind::Deaf),
            line(0, "Talkback", 9, LineKind::Answer),
            line(1, "Anna", 20, LineKind::Speech),
            line(1, "Anna", 1, LineKind::Lost),
        ]);
        let told: Vec<_> = report
            .speakers
            .iter()
            .map(|it| {
                (
                    it.name.as_str(),
                    it.heard.as_secs(),
                    it.lost.as_secs(),
                    it.share(),
                )
            })
            .collect();
        assert_eq!(told, [("Anna", 30, 1, Some(967)), ("Ben", 0, 5, Some(0))]);
        assert_eq!(report.deaf, Duration::from_secs(7));
    }

    #[test]
    fn all_is_said_only_of_all() {
        let mut heard = Heard::default();
        assert_eq!(heard.share(), None);
        heard.heard = Duration::from_secs(1_000_000);
        assert_eq!(heard.share(), Some(1_000));
        heard.lost = Duration::from_millis(1);
        assert_eq!(heard.share(), Some(999));
    }

    #[test]
    fn a_report_that_is_kept_tells_the_same() {
        let mut heard = Heard {
            name: "Ana".to_owned(),
            late: 3,
            ..Heard::default()
        };
        for second in [5, 1, 9, 7, 2] {
            heard.delays.add(Duration::from_secs(second));
        }
        let delays = (heard.delays.median(), heard.delays.p95());
        let report = Report {
            speakers: vec![heard, Heard::default()],
            deaf: Duration::from_millis(1_234),
        };
        let kept = serde_json::to_string(&report).expect("JSON");
        let read: Report = serde_json::from_str(&kept).expect("a report");
        let first = &read.speakers[0];
        assert_eq!((first.delays.median(), first.delays.p95()), delays);
        assert_eq!((first.late, read.deaf), (3, report.deaf));
        assert_eq!(read.speakers[1], Heard::default());
    }

    #[test]
    fn delays_are_bounded_and_were_met() {
        let mut delays = Delays::default();
        assert_eq!((delays.median(), delays.p95()), (None, None));
        let seconds = Duration::from_secs;
        delays.add(seconds(3));
        assert_eq!(delays.p95(), Some(seconds(3)));
        for second in 1..=20 {
            delays.add(seconds(second));
        }
        assert_eq!(delays.median(), Some(seconds(10)));
        assert_eq!(delays.p95(), Some(seconds(19)));
        for _ in 0..MAX_DELAYS + 10 {
            delays.add(seconds(1));
        }
        assert_eq!(delays.latest.len(), MAX_DELAYS);
        assert_eq!(delays.p95(), Some(seconds(1)));
    }
}
