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
    content: UserMessage,
    role: TurnRole,
) {
    let turn = store::StoredTurn {
        message,
        parent,
        guild: Some(9),
        channel,
        author: content.author,
        role,
        name: content.name,
        text: content.text,
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
    question: UserMessage,
    limits: HistoryLimits,
) -> Vec<String> {
    let (_folder, store) = store_with_conversation().await;
    let consents = ConsentRegistry::default();
    let past = load_history(&consents, &store, conversation, limits).await;
    let past = past
        .expect("recalled")
        .into_iter()
        .filter_map(PersonalData::into_inner);
    build_turns(past.collect(), vec![question], limits.max_tokens)
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
        let limits = HistoryLimits {
            max_turns,
            max_tokens,
        };
        recall_turns(
            ConversationRef::Thread(5),
            user_message(ANA, "And?"),
            limits,
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
