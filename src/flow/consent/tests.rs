use super::*;
use crate::flow::session::ConsentRule;

const GUILD: u64 = 1;
const ANA: u64 = 11;
const BEN: u64 = 12;

fn at(milliseconds: i64) -> Timestamp {
    Timestamp(milliseconds)
}

async fn ledger() -> (tempfile::TempDir, Store) {
    let folder = tempfile::TempDir::new().expect("a folder");
    let (store, _) = Store::open(folder.path(), None).await.expect("a ledger");
    (folder, store)
}

#[tokio::test]
async fn a_stamp_that_has_ended_stays_ended() {
    let (_folder, store) = ledger().await;
    let consents = Consents::default();
    let book = consents.book(GUILD);
    assert!(book.stamp(ANA).is_none(), "nobody has asked her");
    let decides = async |consent, milliseconds| {
        let who = (GUILD, ANA);
        let decided = consents
            .decide(&store, who, consent, at(milliseconds))
            .await;
        decided.expect("written");
    };
    decides(Consent::Yes, 1).await;
    let before = book.stamp(ANA).expect("she agreed").on("before");
    // Saying the same again changes nothing.
    decides(Consent::Yes, 2).await;
    assert_eq!(before.look(), Some(&"before"));
    decides(Consent::No, 3).await;
    assert!(book.stamp(ANA).is_none());
    decides(Consent::Yes, 4).await;
    assert_eq!(before.look(), None);
    assert_eq!(before.open(), None);
    assert!(book.stamp(ANA).is_some());
    // What the ledger kept of her is older than her no.
    assert!(book.said_at(ANA, at(3)).is_none());
    assert!(book.said_at(ANA, at(5)).is_some());
}

#[tokio::test]
async fn whoever_is_forgotten_is_forgotten_everywhere() {
    let (_folder, store) = ledger().await;
    let consents = Consents::default();
    let (one, two) = (consents.book(1), consents.book(2));
    two.set_rule(ConsentRule::Notice);
    let agreed = consents.decide(&store, (1, ANA), Consent::Yes, at(1)).await;
    agreed.expect("written");
    let stamps = [
        one.stamp(ANA).expect("agreed"),
        two.stamp(ANA).expect("the rule"),
        consents.stamp(ANA),
    ];
    let others = two.stamp(BEN).expect("the rule");
    consents.forget(&store, ANA, at(5)).await.expect("written");
    assert!(stamps.iter().all(|stamp| !stamp.holds()));
    assert!(others.holds());
    assert!(consents.kept(ANA, at(5)).is_none() && consents.kept(ANA, at(6)).is_some());
    // Her yes is forgotten too; where nobody asks, she is heard anew.
    assert!(one.stamp(ANA).is_none());
    assert!(two.said_at(ANA, at(4)).is_none() && two.said_at(ANA, at(6)).is_some());
}

#[tokio::test]
async fn what_was_just_read_of_somebody_unknown_is_not_used_once_they_are_forgotten() {
    let (_folder, store) = ledger().await;
    let consents = Consents::default();
    consents.book(GUILD).set_rule(ConsentRule::Notice);
    consents.forget(&store, ANA, at(5)).await.expect("written");
    assert!(consents.kept_in_call(GUILD, ANA, at(4)).is_none());
    assert!(consents.kept_in_call(GUILD, ANA, at(6)).is_some());
    assert!(consents.kept_in_call(GUILD, 0, at(4)).is_some());
}

#[tokio::test]
async fn a_stricter_rule_holds_at_once_and_a_laxer_one_waits_for_its_notice() {
    let book = ConsentBook::default();
    book.tighten(ConsentRule::Notice);
    let stamp = book.stamp(ANA).expect("the rule");
    book.tighten(ConsentRule::Ask);
    assert!(!stamp.holds() && book.stamp(ANA).is_none());
    book.tighten(ConsentRule::Notice);
    assert!(book.stamp(ANA).is_none());
    book.set_rule(ConsentRule::Notice);
    assert!(book.stamp(ANA).is_some());
}

#[tokio::test]
async fn work_on_something_stops_when_its_leave_ends() {
    let consents = Consents::default();
    let stamp = consents.stamp(ANA);
    let others: Stamps = [consents.stamp(BEN), Stamp::nobody()].into_iter().collect();
    assert_eq!(stamp.unless_withdrawn(async { 1 }).await, Some(1));
    let endless = std::future::pending::<()>;
    let forgetting = async { consents.end_all_of(ANA, at(1)) };
    let (stopped, ()) = tokio::join!(stamp.unless_withdrawn(endless()), forgetting);
    assert_eq!(stopped, None);
    assert!(others.hold());
    let forgetting = async { consents.end_all_of(BEN, at(1)) };
    let (stopped, ()) = tokio::join!(others.unless_withdrawn(endless()), forgetting);
    assert_eq!(stopped, None);
    assert_eq!(stamp.unless_withdrawn(async { 1 }).await, None);
}
