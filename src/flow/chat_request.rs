//! One request to a chat model, limited in time and length.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::admission::Permit;
use super::paid_providers::PaidModel;
use super::{AnswerText, CompletedAnswer};
use crate::chat::{
    AnswerChunk, AnswerEnd, ChatError, Conversation, EmptyReason, FinishReason, Interruption,
};

/// The longest answer accepted from any model: 256 KiB of text.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// A change to an answer while it streams.
pub(crate) enum AnswerDelta<'a> {
    /// More text.
    Append(&'a str),
    /// Discard all text so far.
    Retract,
}

/// Asks `chat` to answer the last turn of `conversation`, and passes each change to `on_delta`. The
/// whole request takes at most `limit`. An empty answer is an error.
pub(crate) async fn request_answer(
    (chat, permit): (&PaidModel, &Permit),
    conversation: &Conversation,
    limit: Duration,
    mut on_delta: impl FnMut(AnswerDelta<'_>) + Send,
) -> Result<CompletedAnswer, ChatError> {
    let deadline = Instant::now() + limit;
    let mut stream = timeout_at(deadline, chat.answer(permit, conversation))
        .await
        .map_err(|_| ChatError::TimedOut(limit))??;
    let mut text = String::new();
    let end = loop {
        let Ok(chunk) = timeout_at(deadline, stream.next()).await else {
            return Err(timeout_error(limit, &text));
        };
        match chunk {
            Some(Ok(AnswerChunk::Text(more))) if text.len() + more.len() > MAX_ANSWER_BYTES => {
                break AnswerEnd {
                    reason: FinishReason::Length,
                    usage: None,
                };
            }
            Some(Ok(AnswerChunk::Text(more))) => {
                on_delta(AnswerDelta::Append(&more));
                text.push_str(&more);
            }
            Some(Ok(AnswerChunk::Retract)) => {
                on_delta(AnswerDelta::Retract);
                text.clear();
            }
            Some(Ok(AnswerChunk::End(end))) => break end,
            Some(Err(error)) => return Err(error),
            None => {
                return Err(ChatError::StreamInterrupted {
                    reason: "the stream ended without an end".into(),
                });
            }
        }
    };
    if text.trim().is_empty() {
        return Err(ChatError::EmptyAnswer(match end.reason {
            FinishReason::Complete => EmptyReason::Nothing,
            FinishReason::Length => EmptyReason::OutOfTokens,
            FinishReason::ContentFilter => EmptyReason::Filtered,
        }));
    }
    tracing::info!(?end, bytes = text.len(), "answered");
    Ok(CompletedAnswer {
        text: AnswerText(text),
        end,
    })
}

fn timeout_error(limit: Duration, shown: &str) -> ChatError {
    if shown.is_empty() {
        return ChatError::TimedOut(limit);
    }
    ChatError::StreamInterrupted {
        reason: Interruption::DeadlineExceeded(limit),
    }
}
