//! What was said before, as far as the model is to know it.

use std::collections::HashSet;
use std::convert::Infallible;

use serde::{Deserialize, Serialize};

use super::consent::{Consents, Stamped};
use super::session::record;
use crate::chat::{self, Role, budget};
use crate::store::{self, SessionId, Speaker, Store, StoreError};

/// Which conversation somebody goes on with.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Conversation {
    /// None: it begins here.
    New,
    /// The one that this message belongs to, back along its replies.
    RepliesTo(u64),
    /// All of a thread, which is one conversation.
    Thread(u64),
    /// All that is said in a voice session, and written or recorded in its channel meanwhile.
    Call {
        /// The session's number.
        session: i64,
        /// The line that asks; what was said before it is known. None: all there is.
        before: Option<u32>,
    },
}

/// How much of it is remembered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// Turns before the new one; in a call lines are turns.
    pub turns: u32,
    /// Tokens of all turns, by [`budget::estimate_tokens`].
    pub tokens: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            turns: 40,
            tokens: 8_000,
        }
    }
}

impl Bounds {
    /// In a call people say many short things.
    #[must_use]
    pub fn of_a_call() -> Self {
        Self {
            turns: 400,
            ..Self::default()
        }
    }
}

/// What somebody says now.
#[derive(Clone)]
pub struct Said {
    /// Who.
    pub author: u64,
    /// Their name in the place where they say it.
    pub name: String,
    /// What.
    pub text: String,
}

impl std::fmt::Debug for Said {
    /// What people say never reaches a log: only its size does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Said({}, {} bytes)", self.author, self.text.len())
    }
}

/// What the ledger knows of `conversation`, oldest first, as far as those whose words it is let it
/// be used.
///
/// # Errors
///
/// If the ledger can't be read.
pub async fn past(
    consents: &Consents,
    store: &Store,
    conversation: Conversation,
    bounds: Bounds,
) -> Result<Vec<Stamped<store::Turn>>, StoreError> {
    let turns = match conversation {
        Conversation::New => Vec::new(),
        Conversation::RepliesTo(message) => store.chain(message, bounds.turns).await?,
        Conversation::Thread(channel) => store.last_turns(channel, bounds.turns).await?,
        Conversation::Call { session, before } => {
            return record::past(consents, store, SessionId(session), before, bounds.turns).await;
        }
    };
    Ok(stamped(consents, turns))
}

/// Turns with the leave of those whose words they are.
#[must_use]
pub fn stamped(consents: &Consents, turns: Vec<store::Turn>) -> Vec<Stamped<store::Turn>> {
    turns
        .into_iter()
        .filter_map(|turn| Some(consents.kept(turn.author, turn.at)?.on(turn)))
        .collect()
}

/// The turns that a model is to answer: as much of the `past`, oldest first, as fits into
/// `tokens`, then what is `said` now.
#[must_use]
pub fn turns(past: Vec<store::Turn>, said: Vec<Said>, tokens: u32) -> Vec<chat::Turn> {
    let people: HashSet<u64> = past
        .iter()
        .filter(|turn| turn.role == Speaker::User)
        .map(|turn| turn.author)
        .chain(said.iter().map(|said| said.author))
        .collect();
    let now = said.len();
    let named = |name: String| (people.len() > 1).then_some(name);
    let mut turns: Vec<chat::Turn> = past
        .into_iter()
        .map(|turn| match turn.role {
            Speaker::User => chat::Turn {
                role: Role::User,
                speaker: named(turn.name),
                text: turn.text,
            },
            Speaker::Assistant => chat::Turn {
                role: Role::Assistant,
                speaker: None,
                text: turn.text,
            },
        })
        .collect();
    turns.extend(said.into_iter().map(|said| chat::Turn {
        role: Role::User,
        speaker: named(said.name),
        text: said.text,
    }));
    let cost = |turns: &[chat::Turn]| {
        turns
            .iter()
            .map(|turn| budget::estimate_tokens(&turn.text))
            .fold(0, u32::saturating_add)
    };
    let Ok(kept) = budget::keep_last(&turns, |turns| Ok::<_, Infallible>(cost(turns) <= tokens));
    // A question that is too long alone is the model's to refuse, with its own sentence.
    let kept = kept.map_or(now, |kept| kept.len().max(now));
    turns.split_off(turns.len() - kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Timestamp;

    const ANA: u64 = 1;
    const BEN: u64 = 2;

    fn said(author: u64, text: &str) -> Said {
        Said {
            author,
            name: if author == ANA { "Ana" } else { "Ben" }.to_owned(),
            text: text.to_owned(),
        }
    }

    async fn keep(
        store: &Store,
        message: u64,
        parent: Option<u64>,
        channel: u64,
        said: Said,
        role: Speaker,
    ) {
        let turn = store::Turn {
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
        store.remember(&turn).await.expect("remembered");
    }

    /// Ana asks, is answered, and Ben asks something else in the same channel.
    async fn talk() -> (tempfile::TempDir, Store) {
        let folder = tempfile::TempDir::new().expect("a folder");
        let (store, _) = Store::open(folder.path(), None).await.expect("a ledger");
        keep(
            &store,
            10,
            None,
            5,
            said(ANA, "Where is Oslo?"),
            Speaker::User,
        )
        .await;
        keep(
            &store,
            11,
            Some(10),
            5,
            said(ANA, "In Norway."),
            Speaker::Assistant,
        )
        .await;
        keep(
            &store,
            12,
            None,
            5,
            said(BEN, "What is a heron?"),
            Speaker::User,
        )
        .await;
        (folder, store)
    }

    async fn recalled(conversation: Conversation, said: Said, bounds: Bounds) -> Vec<String> {
        let (_folder, store) = talk().await;
        let consents = Consents::default();
        let past = past(&consents, &store, conversation, bounds).await;
        let past = past
            .expect("recalled")
            .into_iter()
            .filter_map(Stamped::open);
        turns(past.collect(), vec![said], bounds.tokens)
            .iter()
            .map(|turn| format!("{:?}: {}", turn.role, chat::prompt::attributed(turn)))
            .collect()
    }

    #[tokio::test]
    async fn a_note_starts_anew() {
        let turns = recalled(Conversation::New, said(ANA, "Hi."), Bounds::default()).await;
        assert_eq!(turns, ["User: Hi."]);
    }

    #[tokio::test]
    async fn a_reply_goes_on_with_its_own_chain() {
        let reply = Conversation::RepliesTo(11);
        let turns = recalled(reply, said(ANA, "How far?"), Bounds::default()).await;
        let chain = [
            "User: Where is Oslo?",
            "Assistant: In Norway.",
            "User: How far?",
        ];
        assert_eq!(turns, chain);
        // Somebody else joins in: now it matters who says what.
        let turns = recalled(reply, said(BEN, "Why?"), Bounds::default()).await;
        assert_eq!(turns[0], "User: Ana: Where is Oslo?");
        assert_eq!(turns[2], "User: Ben: Why?");
    }

    #[tokio::test]
    async fn a_reply_to_something_unknown_starts_anew() {
        let reply = Conversation::RepliesTo(99);
        let turns = recalled(reply, said(ANA, "And?"), Bounds::default()).await;
        assert_eq!(turns, ["User: And?"]);
    }

    #[tokio::test]
    async fn a_thread_is_one_conversation_within_bounds() {
        let recalled = |turns, tokens| {
            let bounds = Bounds { turns, tokens };
            recalled(Conversation::Thread(5), said(ANA, "And?"), bounds)
        };
        assert_eq!(recalled(40, 8_000).await.len(), 4);
        assert_eq!(
            recalled(1, 8_000).await,
            ["User: Ben: What is a heron?", "User: Ana: And?"]
        );
        // An answer without its question goes with it.
        assert_eq!(recalled(40, 12).await.len(), 2);
        assert_eq!(recalled(40, 1).await.len(), 1);
    }
}
