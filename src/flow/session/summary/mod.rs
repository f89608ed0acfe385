//! Topics, decisions and actions of a session, each with the lines it rests on.
//!
//! A model reads the transcript, in parts if it is long, and its answer is believed only as far as
//! it cites lines that it was shown.

mod chunks;
mod citation_check;
mod parse;
mod prompt;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use self::chunks::{PromptLine, split_into_chunks};
use self::citation_check::KnownLines;
use crate::chat::{ChatError, Conversation};
use crate::flow::usage_rules::AdmissionDecision;
use crate::store::{StoreError, TranscriptLine};

/// The most items of a kind; where the parts of a long session are not joined, of each part.
pub const MAX_ITEMS: usize = 12;

/// The most lines that an item cites.
pub const MAX_CITATIONS: usize = 8;

/// The most characters of an item.
pub const MAX_ITEM_CHARS: usize = 300;

/// Parts are not made smaller than this: a model that can't read as much can't sum up anything.
const MIN_CHUNK_TOKENS: u32 = 250;

/// How much is read, and how long it may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SummaryLimits {
    /// Tokens of transcript that a model is given at once, by [`estimate_tokens`](crate::chat::budget::estimate_tokens). A model
    /// that can't read as much is given less.
    pub chunk_tokens: u32,
    /// The most questions to the model. Where they do not suffice, the oldest lines are not read.
    pub max_calls: u32,
    /// The longest time that one question may take.
    pub answer_limit: Duration,
}

impl Default for SummaryLimits {
    fn default() -> Self {
        Self {
            chunk_tokens: 4_000,
            max_calls: 9,
            answer_limit: Duration::from_secs(120),
        }
    }
}

/// A line that something rests on.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Citation {
    /// Its number in the session.
    pub number: u32,
    /// Where it begins, in milliseconds since the session began.
    pub start_ms: u64,
}

/// A topic or a decision.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct SummaryItem {
    /// What it is, in one line.
    pub text: String,
    /// What it rests on: at least one line, in order.
    pub cites: Vec<Citation>,
}

/// Something that somebody is to do.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct ActionItem {
    /// Who: one of those who spoke. None if nobody was named, or somebody who did not take part.
    pub owner: Option<String>,
    /// What, in one line.
    pub text: String,
    /// What it rests on: at least one line, in order.
    pub cites: Vec<Citation>,
}

/// What a session came to.
#[derive(Clone, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct SessionSummary {
    /// What was talked about.
    pub topics: Vec<SummaryItem>,
    /// What was decided.
    pub decisions: Vec<SummaryItem>,
    /// What is to be done.
    pub actions: Vec<ActionItem>,
    /// Items that are left out because they cite no line that there is: the model made them up.
    pub dropped: usize,
    /// Lines that no model has read, because they are too many or the model failed on the way.
    pub unread: usize,
}

impl SessionSummary {
    /// Whether the model's answers made no sense, or there was nothing to sum up.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.decisions.is_empty() && self.actions.is_empty()
    }
}

impl std::fmt::Debug for SummaryItem {
    /// What was said never reaches a log: only its size does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Item({} bytes, {:?})", self.text.len(), self.cites)
    }
}

impl std::fmt::Debug for ActionItem {
    /// What was said never reaches a log: only its size does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Action({} bytes, {:?})", self.text.len(), self.cites)
    }
}

impl std::fmt::Debug for SessionSummary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sizes = [self.topics.len(), self.decisions.len(), self.actions.len()];
        write!(
            f,
            "Summary({sizes:?}, {} dropped, {} unread)",
            self.dropped, self.unread
        )
    }
}

/// Why there is no summary.
#[derive(Debug, thiserror::Error)]
pub enum SummaryError {
    /// The model.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// The rules are against it.
    #[error("not allowed: {0:?}")]
    NotAllowed(AdmissionDecision),
    /// The ledger.
    #[error("ledger: {0}")]
    Store(#[from] StoreError),
    /// Somebody has taken back what they said, and it rests on that.
    #[error("taken back")]
    Withdrawn,
}

/// Who answers the questions that a summary takes, and is paid for each.
#[async_trait]
pub trait SummaryModel: Send + Sync {
    /// Answers one question within `limit`.
    ///
    /// # Errors
    ///
    /// See [`SummaryError`].
    async fn answer(
        &self,
        question: &Conversation,
        limit: Duration,
    ) -> Result<String, SummaryError>;
}

/// Sums up `lines`. A model whose answers make no sense gives an empty summary, not an error; so
/// does a session in which nothing was said, without asking anybody.
///
/// # Errors
///
/// If the model fails before it has answered for any part. If it fails later, the summary is of
/// what was read until then, and says how many lines were not.
pub async fn summarize(
    model: &dyn SummaryModel,
    lines: &[TranscriptLine],
    bounds: SummaryLimits,
) -> Result<SessionSummary, SummaryError> {
    let quoted: Vec<PromptLine> = lines.iter().filter_map(PromptLine::from_line).collect();
    let writer = Summarizer {
        model,
        limits: bounds,
        speaker_names: citation_check::speaker_names(lines),
    };
    if quoted.is_empty() {
        return Ok(SessionSummary::default());
    }
    let mut tokens = bounds.chunk_tokens.max(MIN_CHUNK_TOKENS);
    loop {
        match writer.summarize_chunks(&quoted, tokens).await {
            // Refused before anything is spent.
            Err(SummaryError::Chat(ChatError::PromptTooLong)) if tokens > MIN_CHUNK_TOKENS => {
                tokens = (tokens / 2).max(MIN_CHUNK_TOKENS);
            }
            done => return done,
        }
    }
}

struct Summarizer<'a> {
    model: &'a dyn SummaryModel,
    limits: SummaryLimits,
    speaker_names: Vec<String>,
}

impl Summarizer<'_> {
    async fn summarize_chunks(
        &self,
        lines: &[PromptLine],
        tokens: u32,
    ) -> Result<SessionSummary, SummaryError> {
        // One more question joins the parts.
        let most = usize::try_from(self.limits.max_calls.max(2) - 1).unwrap_or(usize::MAX);
        let (parts, left_out) = split_into_chunks(lines, tokens, most);
        let mut read: Vec<SessionSummary> = Vec::new();
        let mut unread = left_out;
        let several = parts.len() > 1;
        // The newest one is the fullest: if the model can't read it, it says so at once.
        for (place, part) in parts.iter().enumerate().rev() {
            let known: KnownLines = part
                .iter()
                .map(|line| (line.number, line.start_ms))
                .collect();
            let question = prompt::summarize_prompt(part, several);
            match self.ask_model(&question, &known).await {
                Ok(summary) => read.push(summary),
                Err(error) if read.is_empty() => return Err(error),
                Err(SummaryError::Chat(ChatError::PromptTooLong)) => unread += part.len(),
                Err(error) => {
                    tracing::warn!(%error, "not all of a session is summed up");
                    unread += parts[..=place].iter().map(Vec::len).sum::<usize>();
                    break;
                }
            }
        }
        read.reverse();
        let mut summary = match <[SessionSummary; 1]>::try_from(read) {
            Ok([summary]) => summary,
            Err(read) => self.merge_summaries(&read).await,
        };
        summary.unread = unread;
        Ok(summary)
    }

    /// One summary out of several. If the model can't do it, they stand one after the other.
    async fn merge_summaries(&self, read: &[SessionSummary]) -> SessionSummary {
        let all = citation_check::concatenate(read);
        if all.is_empty() {
            return all;
        }
        let known: KnownLines = all.citations().collect::<BTreeMap<_, _>>();
        match self.ask_model(&prompt::merge_prompt(&all), &known).await {
            Ok(joined) if !joined.is_empty() => SessionSummary {
                dropped: joined.dropped + all.dropped,
                ..joined
            },
            Ok(_) => all,
            Err(error) => {
                tracing::warn!(%error, "the parts of a summary are not joined");
                all
            }
        }
    }

    async fn ask_model(
        &self,
        question: &Conversation,
        known: &KnownLines,
    ) -> Result<SessionSummary, SummaryError> {
        let limit = self.limits.answer_limit;
        let text = self.model.answer(question, limit).await?;
        Ok(citation_check::check_draft(
            parse::parse_answer(&text),
            known,
            &self.speaker_names,
        ))
    }
}
