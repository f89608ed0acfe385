//! The earlier turns of a conversation that are sent to the model.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::convert::Infallible;

use serde::{Deserialize, Serialize};

use super::consent::{ConsentRegistry, PersonalData};
use super::session::transcript_history;
use crate::chat::{self, ChatRole, token_budget};
use crate::store::{self, SessionId, Store, StoreError, TurnRole};

/// The conversation that a request continues.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum ConversationRef {
    /// None: a new conversation.
    New,
    /// The chain of replies that ends with this message.
    RepliesTo(u64),
    /// A whole thread, which is one conversation.
    Thread(u64),
    /// Everything said in a voice session, and written or recorded in its channel meanwhile.
    Call {
        /// Id of the session.
        session: i64,
        /// Number of the line that asks; only earlier lines are used. `None`: all lines.
        before: Option<u32>,
    },
}

/// How much of a conversation is used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HistoryLimits {
    /// Turns before the new one; each line of a voice session is a turn.
    pub max_turns: u32,
    /// Tokens of all turns, by [`token_budget::estimate_tokens`].
    pub max_tokens: u32,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self {
            max_turns: 40,
            max_tokens: 8_000,
        }
    }
}

impl HistoryLimits {
    /// Limits for voice sessions, where people say many short things.
    #[must_use]
    pub fn for_voice_session() -> Self {
        Self {
            max_turns: 400,
            ..Self::default()
        }
    }
}

/// A new message of a user.
#[derive(Clone)]
pub struct UserMessage {
    /// Id of the author.
    pub author: u64,
    /// Display name of the author.
    pub name: String,
    /// The text.
    pub text: String,
}

impl std::fmt::Debug for UserMessage {
    /// Prints only the size: messages must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UserMessage({}, {} bytes)", self.author, self.text.len())
    }
}

/// The stored turns of `conversation`, oldest first, as far as their authors consent.
///
/// # Errors
///
/// If the ledger can't be read.
pub async fn load_history(
    consents: &ConsentRegistry,
    store: &Store,
    conversation: ConversationRef,
    limits: HistoryLimits,
) -> Result<Vec<PersonalData<store::StoredTurn>>, StoreError> {
    let turns = match conversation {
        ConversationRef::New => Vec::new(),
        ConversationRef::RepliesTo(message) => store.reply_chain(message, limits.max_turns).await?,
        ConversationRef::Thread(channel) => store.latest_turns(channel, limits.max_turns).await?,
        ConversationRef::Call { session, before } => {
            return transcript_history::turns_before(
                consents,
                store,
                SessionId(session),
                before,
                limits.max_turns,
            )
            .await;
        }
    };
    Ok(with_consent(consents, turns))
}

/// Wraps turns in their authors' consent, and drops those without.
#[must_use]
pub fn with_consent(
    consents: &ConsentRegistry,
    turns: Vec<store::StoredTurn>,
) -> Vec<PersonalData<store::StoredTurn>> {
    turns
        .into_iter()
        .filter_map(|turn| Some(consents.grant_for_stored(turn.author, turn.at)?.wrap(turn)))
        .collect()
}

/// The turns for the model: as many of the `past` ones, oldest first, as fit into `tokens`, then
/// the new messages.
#[must_use]
pub fn build_turns(
    past: Vec<store::StoredTurn>,
    messages: Vec<UserMessage>,
    tokens: u32,
) -> Vec<chat::ChatTurn> {
    let people: HashSet<u64> = past
        .iter()
        .filter(|turn| turn.role == TurnRole::User)
        .map(|turn| turn.author)
        .chain(messages.iter().map(|message| message.author))
        .collect();
    let now = messages.len();
    let named = |name: String| (people.len() > 1).then_some(name);
    let mut turns: Vec<chat::ChatTurn> = past
        .into_iter()
        .map(|turn| match turn.role {
            TurnRole::User => chat::ChatTurn {
                role: ChatRole::User,
                speaker_name: named(turn.name),
                text: turn.text,
            },
            TurnRole::Assistant => chat::ChatTurn {
                role: ChatRole::Assistant,
                speaker_name: None,
                text: turn.text,
            },
        })
        .collect();
    turns.extend(messages.into_iter().map(|message| chat::ChatTurn {
        role: ChatRole::User,
        speaker_name: named(message.name),
        text: message.text,
    }));
    let cost = |turns: &[chat::ChatTurn]| {
        turns
            .iter()
            .map(|turn| token_budget::estimate_tokens(&turn.text))
            .fold(0, u32::saturating_add)
    };
    let Ok(kept) = token_budget::longest_fitting_suffix(&turns, |turns| {
        Ok::<_, Infallible>(cost(turns) <= tokens)
    });
    // If the question alone is too long, the model refuses it with an error that says so.
    let kept = kept.map_or(now, |kept| kept.len().max(now));
    turns.split_off(turns.len() - kept)
}
