use super::*;

const GUILD: u64 = 1;
const ANA: u64 = 11;
const BEN: u64 = 12;

fn at(milliseconds: i64) -> Timestamp {
    Timestamp(milliseconds)
}

async fn temporary_store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::TempDir::new().expect("a temporary directory");
    let (store, _) = Store::open(folder.path(), None).await.expect("a ledger");
    (folder, store)
}

#[tokio::test]
async fn withdrawn_grant_stays_withdrawn() {
    let (_folder, store) = temporary_store().await;
    let consents = ConsentRegistry::default();
    let guild_consents = consents.for_guild(GUILD);
    assert!(
        guild_consents.current_grant(ANA).is_none(),
        "she has not agreed yet"
    );
    let decide = async |consent, milliseconds| {
        let who = (GUILD, ANA);
        let decided = consents
            .record_decision(&store, who, consent, at(milliseconds))
            .await;
        decided.expect("stored");
    };
    decide(Consent::Yes, 1).await;
    let before = guild_consents
        .current_grant(ANA)
        .expect("she has agreed")
        .wrap("before");
    // Agreeing again changes nothing.
    decide(Consent::Yes, 2).await;
    assert_eq!(before.get(), Some(&"before"));
    decide(Consent::No, 3).await;
    assert!(guild_consents.current_grant(ANA).is_none());
    decide(Consent::Yes, 4).await;
    assert_eq!(before.get(), None);
    assert_eq!(before.into_inner(), None);
    assert!(guild_consents.current_grant(ANA).is_some());
    // Speech stored before she withdrew consent stays unusable.
    assert!(guild_consents.grant_for_speech_at(ANA, at(3)).is_none());
    assert!(guild_consents.grant_for_speech_at(ANA, at(5)).is_some());
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
    agreed.expect("stored");
    let grants = [
        one.current_grant(ANA).expect("she has agreed"),
        two.current_grant(ANA).expect("allowed by the notice rule"),
        consents.current_grant(ANA),
    ];
    let other_grants = two.current_grant(BEN).expect("allowed by the notice rule");
    consents
        .forget_user(&store, ANA, at(5))
        .await
        .expect("stored");
    assert!(grants.iter().all(|grant| !grant.is_active()));
    assert!(other_grants.is_active());
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
        .expect("stored");
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
    let guild_consents = GuildConsents::default();
    guild_consents.tighten_rule(ConsentRule::Notice);
    let grant = guild_consents
        .current_grant(ANA)
        .expect("allowed by the notice rule");
    guild_consents.tighten_rule(ConsentRule::Ask);
    assert!(!grant.is_active() && guild_consents.current_grant(ANA).is_none());
    guild_consents.tighten_rule(ConsentRule::Notice);
    assert!(guild_consents.current_grant(ANA).is_none());
    guild_consents.set_rule(ConsentRule::Notice);
    assert!(guild_consents.current_grant(ANA).is_some());
}

#[tokio::test]
async fn work_stops_when_its_grant_ends() {
    let consents = ConsentRegistry::default();
    let grant = consents.current_grant(ANA);
    let other_grants: ConsentGrants = [consents.current_grant(BEN), ConsentGrant::unowned()]
        .into_iter()
        .collect();
    assert_eq!(grant.unless_withdrawn(async { 1 }).await, Some(1));
    let endless = std::future::pending::<()>;
    let forgetting = async { consents.end_all_grants(ANA, at(1)) };
    let (stopped, ()) = tokio::join!(grant.unless_withdrawn(endless()), forgetting);
    assert_eq!(stopped, None);
    assert!(other_grants.all_active());
    let forgetting = async { consents.end_all_grants(BEN, at(1)) };
    let (stopped, ()) = tokio::join!(other_grants.unless_withdrawn(endless()), forgetting);
    assert_eq!(stopped, None);
    assert_eq!(grant.unless_withdrawn(async { 1 }).await, None);
}
