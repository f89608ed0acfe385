//! What a session asks of the place where it is shown.

use std::time::Duration;

use async_trait::async_trait;

use super::Ending;
use super::files::Facts;
use super::report::{Heard, Report};
use super::summary::{NoSummary, Summary};
use crate::flow::access::Standing;
use crate::flow::consent::{Stamped, Stamps};
use crate::flow::desk::Refused;
use crate::flow::rules::Verdict;
use crate::store::{Line, Timestamp};

/// Where one session's transcript and sentences appear. How often anything is drawn is the
/// board's business, and so are the words.
#[async_trait]
pub trait Board: Send + Sync {
    /// More of the transcript, in order. It is opened anew each time it is shown. Never waits.
    fn lines(&self, lines: Vec<Stamped<Line>>);

    /// What somebody seems to be saying at the moment, with their name; empty once it is a line or
    /// nothing. Never waits.
    fn partial(&self, partial: Stamped<Partial>);

    /// Tells everybody in the channel, after all lines so far. Never waits.
    fn remark(&self, remark: Remark<'_>);

    /// Whether anything can be shown there, as far as is known. Nobody is paid for what can't.
    fn stands(&self) -> bool {
        true
    }

    /// Waits until all there is so far is shown; for some time only.
    async fn settle(&self);

    /// A new id for a request that was spoken, later than all ids so far.
    fn request_id(&self) -> u64;

    /// What somebody is in the server of the session.
    async fn standing(&self, guild: u64, person: u64) -> Standing;

    /// Shows the end, after all lines that are still to be shown; once, however often it is asked
    /// to. Returns false if the place takes nothing at the moment.
    async fn close(&self, remains: &Remains) -> bool;
}

/// What somebody seems to be saying.
#[derive(Clone)]
pub struct Partial {
    /// Their name.
    pub name: String,
    /// The words so far.
    pub text: String,
}

/// Something that everybody should know.
#[derive(Clone, Copy, Debug)]
pub enum Remark<'a> {
    /// What is said can't be written down at the moment.
    NotWrittenDown,
    /// What this person says is not written down any more today.
    Spent {
        /// Who.
        person: u64,
        /// Whose cap it is.
        verdict: Verdict,
    },
    /// What somebody asked is not answered.
    Refused(&'a Refused),
    /// Nobody is heard.
    Unhearing(Unhearing),
    /// People are heard again.
    HearingAgain,
    /// The process ends, and the next one goes on.
    Restarting,
}

/// Why nobody is heard although there is a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unhearing {
    /// A moderator has deafened the bot.
    Deafened,
    /// The bot has no right to speak, and Discord may keep from it what is said.
    Suppressed,
}

/// What is left of a session. Whoever shows it asks anew each time what of it may still be shown.
#[derive(Debug)]
pub struct Remains {
    /// Why it is over.
    pub ending: Ending,
    /// What it was.
    pub title: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// How everybody was heard.
    pub speakers: Vec<Stamped<Heard>>,
    /// The time in which nobody could be heard.
    pub deaf: Duration,
    /// All that was said.
    pub lines: Vec<Stamped<Line>>,
    /// What it was about; none where there is nothing to sum up, or the model may not know.
    pub summary: Option<Result<Summary, NoSummary>>,
    /// Those whose words the summary rests on.
    pub summed_up: Stamps,
}

impl Remains {
    /// What it was, and how everybody was heard who still wants that told.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let speakers = self.speakers.iter().filter_map(Stamped::look);
        Facts {
            title: self.title.clone(),
            started: self.started,
            ended: Some(self.ended),
            report: Report {
                speakers: speakers.cloned().collect(),
                deaf: self.deaf,
            },
        }
    }

    /// What may be shown of what was said.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let lines = self.lines.iter().filter_map(Stamped::look);
        lines.cloned().collect()
    }

    /// The summary, as long as all that it rests on may be shown.
    #[must_use]
    pub fn summary(&self) -> Option<Result<&Summary, &NoSummary>> {
        let summary = self.summary.as_ref()?.as_ref();
        Some(match summary {
            Ok(_) if !self.summed_up.hold() => Err(&NoSummary::TakenBack),
            summary => summary,
        })
    }

    /// All on whose leave it rests that it is shown as it is now.
    #[must_use]
    pub fn leave(&self) -> Stamps {
        let lines = self.lines.iter().map(Stamped::stamp);
        let speakers = self.speakers.iter().map(Stamped::stamp);
        let holding = lines.chain(speakers).filter(|stamp| stamp.holds());
        holding.cloned().collect()
    }
}
