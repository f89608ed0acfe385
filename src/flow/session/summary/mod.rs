//! Summarizes a session: topics, decisions and actions, each with the lines it cites.
//!
//! A model reads the transcript, in chunks if it is long. Items of its answer are kept only if they
//! cite lines that it was shown: see `citation_check`.

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

/// Maximum items of each kind. Applies per chunk if the chunks' summaries could not be merged.
pub const MAX_ITEMS: usize = 12;

/// Maximum citations of an item.
pub const MAX_CITATIONS: usize = 8;

/// Maximum characters of an item.
pub const MAX_ITEM_CHARS: usize = 300;

/// Chunks are not made smaller than this: a model with less context can't summarize.
const MIN_CHUNK_TOKENS: u32 = 250;

/// How much a summary may read and cost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SummaryLimits {
    /// Transcript tokens per chunk, by
    /// [`estimate_tokens`](crate::chat::token_budget::estimate_tokens). Halved while the model's
    /// context is too small.
    pub chunk_tokens: u32,
    /// Maximum calls to the model. If they don't suffice, the oldest lines are not read.
    pub max_calls: u32,
    /// Time limit of each call.
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

/// A cited transcript line.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Citation {
    /// Line number in the session.
    pub number: u32,
    /// Start of the line, in milliseconds since the session began.
    pub start_ms: u64,
}

/// A topic or a decision.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct SummaryItem {
    /// A single line of at most [`MAX_ITEM_CHARS`] characters.
    pub text: String,
    /// Cited lines: at least one, in order.
    pub cites: Vec<Citation>,
}

/// A task that was agreed on.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct ActionItem {
    /// One of the speakers; `None` if nobody was named, or somebody who did not speak.
    pub owner: Option<String>,
    /// What to do: a single line of at most [`MAX_ITEM_CHARS`] characters.
    pub text: String,
    /// Cited lines: at least one, in order.
    pub cites: Vec<Citation>,
}

/// The summary of a session.
#[derive(Clone, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct SessionSummary {
    /// What was discussed.
    pub topics: Vec<SummaryItem>,
    /// What was decided.
    pub decisions: Vec<SummaryItem>,
    /// What is to be done.
    pub actions: Vec<ActionItem>,
    /// Items that were dropped because they cite no line that the model was shown.
    pub dropped: usize,
    /// Lines that were not read: there were too many, or the model failed before it reached them.
    pub unread: usize,
}

impl SessionSummary {
    /// Whether there are no items: nothing was said, or the model's answer was unusable.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.decisions.is_empty() && self.actions.is_empty()
    }
}

impl std::fmt::Debug for SummaryItem {
    /// Never prints the text: speech must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "SummaryItem({} bytes, {:?})",
            self.text.len(),
            self.cites
        )
    }
}

impl std::fmt::Debug for ActionItem {
    /// Never prints the text: speech must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ActionItem({} bytes, {:?})", self.text.len(), self.cites)
    }
}

impl std::fmt::Debug for SessionSummary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sizes = [self.topics.len(), self.decisions.len(), self.actions.len()];
        write!(
            f,
            "SessionSummary({sizes:?}, {} dropped, {} unread)",
            self.dropped, self.unread
        )
    }
}

/// Why there is no summary.
#[derive(Debug, thiserror::Error)]
pub enum SummaryError {
    /// The model failed.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// A usage cap does not allow the request.
    #[error("not allowed: {0:?}")]
    NotAllowed(AdmissionDecision),
    /// The ledger failed.
    #[error("ledger: {0}")]
    Store(#[from] StoreError),
    /// A speaker whose lines it depends on withdrew consent.
    #[error("taken back")]
    Withdrawn,
}

/// A chat model whose calls are paid for.
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

/// Summarizes `lines`. If the model's answers are unusable, the summary is empty, not an error. If
/// nothing was said, it is empty and the model is not called.
///
/// # Errors
///
/// If the model fails on the first chunk. If it fails later, the summary covers the chunks read so
/// far, and [`SessionSummary::unread`] counts the other lines.
pub async fn summarize(
    model: &dyn SummaryModel,
    lines: &[TranscriptLine],
    limits: SummaryLimits,
) -> Result<SessionSummary, SummaryError> {
    let prompt_lines: Vec<PromptLine> = lines.iter().filter_map(PromptLine::from_line).collect();
    let summarizer = Summarizer {
        model,
        limits,
        speaker_names: citation_check::speaker_names(lines),
    };
    if prompt_lines.is_empty() {
        return Ok(SessionSummary::default());
    }
    let mut tokens = limits.chunk_tokens.max(MIN_CHUNK_TOKENS);
    loop {
        match summarizer.summarize_chunks(&prompt_lines, tokens).await {
            // Rejected before anything was spent.
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
        // One call is reserved for merging.
        let max_chunks = usize::try_from(self.limits.max_calls.max(2) - 1).unwrap_or(usize::MAX);
        let (chunks, mut unread) = split_into_chunks(lines, tokens, max_chunks);
        let mut summaries: Vec<SessionSummary> = Vec::new();
        let is_partial = chunks.len() > 1;
        // Newest first: that chunk is the fullest, so a context that is too small shows at once.
        for (index, chunk) in chunks.iter().enumerate().rev() {
            let known_lines: KnownLines = chunk
                .iter()
                .map(|line| (line.number, line.start_ms))
                .collect();
            let question = prompt::summarize_prompt(chunk, is_partial);
            match self.ask_model(&question, &known_lines).await {
                Ok(summary) => summaries.push(summary),
                Err(error) if summaries.is_empty() => return Err(error),
                Err(SummaryError::Chat(ChatError::PromptTooLong)) => unread += chunk.len(),
                Err(error) => {
                    tracing::warn!(%error, "part of the session was not summarized");
                    unread += chunks[..=index].iter().map(Vec::len).sum::<usize>();
                    break;
                }
            }
        }
        summaries.reverse();
        let mut summary = match <[SessionSummary; 1]>::try_from(summaries) {
            Ok([summary]) => summary,
            Err(summaries) => self.merge_summaries(&summaries).await,
        };
        summary.unread = unread;
        Ok(summary)
    }

    /// Merges the summaries of the chunks. If the model fails, they are concatenated.
    async fn merge_summaries(&self, summaries: &[SessionSummary]) -> SessionSummary {
        let all = citation_check::concatenate(summaries);
        if all.is_empty() {
            return all;
        }
        let known_lines: KnownLines = all.citations().collect::<BTreeMap<_, _>>();
        match self
            .ask_model(&prompt::merge_prompt(&all), &known_lines)
            .await
        {
            Ok(merged) if !merged.is_empty() => SessionSummary {
                dropped: merged.dropped + all.dropped,
                ..merged
            },
            Ok(_) => all,
            Err(error) => {
                tracing::warn!(%error, "the summaries of the chunks could not be merged");
                all
            }
        }
    }

    async fn ask_model(
        &self,
        question: &Conversation,
        known_lines: &KnownLines,
    ) -> Result<SessionSummary, SummaryError> {
        let limit = self.limits.answer_limit;
        let text = self.model.answer(question, limit).await?;
        Ok(citation_check::check_draft(
            parse::parse_answer(&text),
            known_lines,
            &self.speaker_names,
        ))
    }
}
