use super::*;
use crate::flow::session::ConsentRule;

const GUILD: u64 = 1;
const ANA: u64 = 11;
const BEN: u64 = 12;

fn at(milliseconds: i64) -> Timestamp {
    Timestamp(milliseconds)
}

async fn temporary_store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::TempDir::new().expect("a folder");
    let (store, _) = Store::open(folder.path(), None).await.expect("a ledger");
    (folder, store)
}

#[tokio::test]
async fn withdrawn_grant_stays_withdrawn() {
    let (_folder, store) = temporary_store().await;
    let consents = ConsentRegistry::default();
    let book = consents.for_guild(GUILD);
    assert!(book.current_grant(ANA).is_none(), "nobody has asked her");
    let decides = async |consent, milliseconds| {
        let who = (GUILD, ANA);
        let decided = consents
            .record_decision(&store, who, consent, at(milliseconds))
            .await;
        decided.expect("written");
    };
    decides(Consent::Yes, 1).await;
    let before = book.current_grant(ANA).expect("she agreed").wrap("before");
    // Agreeing again changes nothing.
    decides(Consent::Yes, 2).await;
    assert_eq!(before.get(), Some(&"before"));
    decides(Consent::No, 3).await;
    assert!(book.current_grant(ANA).is_none());
    decides(Consent::Yes, 4).await;
    assert_eq!(before.get(), None);
    assert_eq!(before.into_inner(), None);
    assert!(book.current_grant(ANA).is_some());
    // Speech stored before she withdrew consent stays unusable.
    assert!(book.grant_for_speech_at(ANA, at(3)).is_none());
    assert!(book.grant_for_speech_at(ANA, at(5)).is_some());
}

#[tokio::test]
async fn forgetting_a_user_ends_all_their_grants() {
    let (_folder, store) = temporary_store().await;
    let consents = ConsentRegistry::default();
    let (one, two) = (consents.for_guild(1), consents.for_guild(2));
    two.set_rule(ConsentRule::Notice);
    let agreed = consents
        .record_decision(&store, (1, ANA), Consent::Yes, at(1))
        .await;
    agreed.expect("written");
    let stamps = [
        one.current_grant(ANA).expect("agreed"),
        two.current_grant(ANA).expect("the rule"),
        consents.current_grant(ANA),
    ];
    let others = two.current_grant(BEN).expect("the rule");
    consents
        .forget_user(&store, ANA, at(5))
        .await
        .expect("written");
    assert!(stamps.iter().all(|stamp| !stamp.is_active()));
    assert!(others.is_active());
    assert!(
        consents.grant_for_stored(ANA, at(5)).is_none()
            && consents.grant_for_stored(ANA, at(6)).is_some()
    );
    // Her consent is forgotten too; under the notice rule she can be heard again.
    assert!(one.current_grant(ANA).is_none());
    assert!(
        two.grant_for_speech_at(ANA, at(4)).is_none()
            && two.grant_for_speech_at(ANA, at(6)).is_some()
    );
}

#[tokio::test]
async fn data_from_before_forgetting_is_not_used() {
    let (_folder, store) = temporary_store().await;
    let consents = ConsentRegistry::default();
    consents.for_guild(GUILD).set_rule(ConsentRule::Notice);
    consents
        .forget_user(&store, ANA, at(5))
        .await
        .expect("written");
    assert!(
        consents
            .grant_for_stored_speech(GUILD, ANA, at(4))
            .is_none()
    );
    assert!(
        consents
            .grant_for_stored_speech(GUILD, ANA, at(6))
            .is_some()
    );
    assert!(consents.grant_for_stored_speech(GUILD, 0, at(4)).is_some());
}

#[tokio::test]
async fn stricter_rule_applies_at_once_and_laxer_one_waits_for_the_notice() {
    let book = GuildConsents::default();
    book.tighten_rule(ConsentRule::Notice);
    let stamp = book.current_grant(ANA).expect("the rule");
    book.tighten_rule(ConsentRule::Ask);
    assert!(!stamp.is_active() && book.current_grant(ANA).is_none());
    book.tighten_rule(ConsentRule::Notice);
    assert!(book.current_grant(ANA).is_none());
    book.set_rule(ConsentRule::Notice);
    assert!(book.current_grant(ANA).is_some());
}

#[tokio::test]
async fn work_stops_when_its_grant_ends() {
    let consents = ConsentRegistry::default();
    let stamp = consents.current_grant(ANA);
    let others: ConsentGrants = [consents.current_grant(BEN), ConsentGrant::unowned()]
        .into_iter()
        .collect();
    assert_eq!(stamp.unless_withdrawn(async { 1 }).await, Some(1));
    let endless = std::future::pending::<()>;
    let forgetting = async { consents.end_all_grants(ANA, at(1)) };
    let (stopped, ()) = tokio::join!(stamp.unless_withdrawn(endless()), forgetting);
    assert_eq!(stopped, None);
    assert!(others.all_active());
    let forgetting = async { consents.end_all_grants(BEN, at(1)) };
    let (stopped, ()) = tokio::join!(others.unless_withdrawn(endless()), forgetting);
    assert_eq!(stopped, None);
    assert_eq!(stamp.unless_withdrawn(async { 1 }).await, None);
}
