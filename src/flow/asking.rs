//! One question to a model, within bounds of time and length.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::admission::Permit;
use super::paid::PaidModel;
use super::{Answer, Answered};
use crate::chat::{ChatError, Conversation, Emptiness, End, EndReason, Interruption, Piece};

/// The longest answer that is taken from any model: 256 KiB of text.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Some words of an answer, as they come.
pub(crate) enum Partial<'a> {
    /// More of it.
    More(&'a str),
    /// All so far was none of it.
    TakeBack,
}

/// Asks `chat` the last turn of `conversation`; `partial` is given the words as they come. All of
/// it takes at most `limit`, and there are words in every answer.
pub(crate) async fn ask(
    (chat, permit): (&PaidModel, &Permit),
    conversation: &Conversation,
    limit: Duration,
    mut partial: impl FnMut(Partial<'_>) + Send,
) -> Result<Answered, ChatError> {
    let deadline = Instant::now() + limit;
    let mut stream = timeout_at(deadline, chat.answer(permit, conversation))
        .await
        .map_err(|_| ChatError::TimedOut(limit))??;
    let mut text = String::new();
    let end = loop {
        let Ok(piece) = timeout_at(deadline, stream.next()).await else {
            return Err(out_of_time(limit, &text));
        };
        match piece {
            Some(Ok(Piece::Text(more))) if text.len() + more.len() > MAX_ANSWER_BYTES => {
                break End {
                    reason: EndReason::Length,
                    usage: None,
                };
            }
            Some(Ok(Piece::Text(more))) => {
                partial(Partial::More(&more));
                text.push_str(&more);
            }
            Some(Ok(Piece::TakeBack)) => {
                partial(Partial::TakeBack);
                text.clear();
            }
            Some(Ok(Piece::End(end))) => break end,
            Some(Err(error)) => return Err(error),
            None => {
                return Err(ChatError::BrokeOff {
                    reason: "the stream ended without an end".into(),
                });
            }
        }
    };
    if text.trim().is_empty() {
        return Err(ChatError::Empty(match end.reason {
            EndReason::Complete => Emptiness::Nothing,
            EndReason::Length => Emptiness::OutOfTokens,
            EndReason::Filtered => Emptiness::Filtered,
        }));
    }
    tracing::info!(?end, bytes = text.len(), "answered");
    Ok(Answered {
        text: Answer(text),
        end,
    })
}

fn out_of_time(limit: Duration, shown: &str) -> ChatError {
    if shown.is_empty() {
        return ChatError::TimedOut(limit);
    }
    ChatError::BrokeOff {
        reason: Interruption::OutOfTime(limit),
    }
}
