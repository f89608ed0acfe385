//! The earlier turns of a conversation that are sent to the model.

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
        write!(f, "Said({}, {} bytes)", self.author, self.text.len())
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
    bounds: HistoryLimits,
) -> Result<Vec<PersonalData<store::StoredTurn>>, StoreError> {
    let turns = match conversation {
        ConversationRef::New => Vec::new(),
        ConversationRef::RepliesTo(message) => store.reply_chain(message, bounds.max_turns).await?,
        ConversationRef::Thread(channel) => store.latest_turns(channel, bounds.max_turns).await?,
        ConversationRef::Call { session, before } => {
            return transcript_history::turns_before(
                consents,
                store,
                SessionId(session),
                before,
                bounds.max_turns,
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
    said: Vec<UserMessage>,
    tokens: u32,
) -> Vec<chat::ChatTurn> {
    let people: HashSet<u64> = past
        .iter()
        .filter(|turn| turn.role == TurnRole::User)
        .map(|turn| turn.author)
        .chain(said.iter().map(|said| said.author))
        .collect();
    let now = said.len();
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
    turns.extend(said.into_iter().map(|said| chat::ChatTurn {
        role: ChatRole::User,
        speaker_name: named(said.name),
        text: said.text,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Timestamp;

    const ANA: u64 = 1;
    const BEN: u64 = 2;

    fn user_message(author: u64, text: &str) -> UserMessage {
        UserMessage {
            author,
            name: if author == ANA { "Ana" } else { "Ben" }.to_owned(),
            text: text.to_owned(),
        }
    }

    async fn save_turn(
        store: &Store,
        message: u64,
        parent: Option<u64>,
        channel: u64,
        said: UserMessage,
        role: TurnRole,
    ) {
        let turn = store::StoredTurn {
            message,
            parent,
            guild: Some(9),
            channel,
            author: said.author,
            role,
            name: said.name,
            text: said.text,
            at: Timestamp(message.cast_signed()),
        };
        store.save_turn(&turn).await.expect("remembered");
    }

    /// Ana asks and is answered, and Ben asks something else in the same channel.
    async fn store_with_conversation() -> (tempfile::TempDir, Store) {
        let folder = tempfile::TempDir::new().expect("a folder");
        let (store, _) = Store::open(folder.path(), None).await.expect("a ledger");
        save_turn(
            &store,
            10,
            None,
            5,
            user_message(ANA, "Where is Oslo?"),
            TurnRole::User,
        )
        .await;
        save_turn(
            &store,
            11,
            Some(10),
            5,
            user_message(ANA, "In Norway."),
            TurnRole::Assistant,
        )
        .await;
        save_turn(
            &store,
            12,
            None,
            5,
            user_message(BEN, "What is a heron?"),
            TurnRole::User,
        )
        .await;
        (folder, store)
    }

    async fn recall_turns(
        conversation: ConversationRef,
        said: UserMessage,
        bounds: HistoryLimits,
    ) -> Vec<String> {
        let (_folder, store) = store_with_conversation().await;
        let consents = ConsentRegistry::default();
        let past = load_history(&consents, &store, conversation, bounds).await;
        let past = past
            .expect("recalled")
            .into_iter()
            .filter_map(PersonalData::into_inner);
        build_turns(past.collect(), vec![said], bounds.max_tokens)
            .iter()
            .map(|turn| format!("{:?}: {}", turn.role, chat::prompt::with_speaker_name(turn)))
            .collect()
    }

    #[tokio::test]
    async fn a_new_note_has_no_history() {
        let turns = recall_turns(
            ConversationRef::New,
            user_message(ANA, "Hi."),
            HistoryLimits::default(),
        )
        .await;
        assert_eq!(turns, ["User: Hi."]);
    }

    #[tokio::test]
    async fn a_reply_includes_its_reply_chain() {
        let reply = ConversationRef::RepliesTo(11);
        let turns = recall_turns(
            reply,
            user_message(ANA, "How far?"),
            HistoryLimits::default(),
        )
        .await;
        let chain = [
            "User: Where is Oslo?",
            "Assistant: In Norway.",
            "User: How far?",
        ];
        assert_eq!(turns, chain);
        // With a second speaker, turns carry names.
        let turns = recall_turns(reply, user_message(BEN, "Why?"), HistoryLimits::default()).await;
        assert_eq!(turns[0], "User: Ana: Where is Oslo?");
        assert_eq!(turns[2], "User: Ben: Why?");
    }

    #[tokio::test]
    async fn a_reply_to_an_unknown_message_has_no_history() {
        let reply = ConversationRef::RepliesTo(99);
        let turns = recall_turns(reply, user_message(ANA, "And?"), HistoryLimits::default()).await;
        assert_eq!(turns, ["User: And?"]);
    }

    #[tokio::test]
    async fn a_thread_is_one_conversation_within_bounds() {
        let recalled = |max_turns, max_tokens| {
            let bounds = HistoryLimits {
                max_turns,
                max_tokens,
            };
            recall_turns(
                ConversationRef::Thread(5),
                user_message(ANA, "And?"),
                bounds,
            )
        };
        assert_eq!(recalled(40, 8_000).await.len(), 4);
        assert_eq!(
            recalled(1, 8_000).await,
            ["User: Ben: What is a heron?", "User: Ana: And?"]
        );
        // An answer is dropped together with its question.
        assert_eq!(recalled(40, 12).await.len(), 2);
        assert_eq!(recalled(40, 1).await.len(), 1);
    }
}
