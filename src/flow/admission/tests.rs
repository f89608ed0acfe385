//! No cap is exceeded and all usage is recorded, in whatever order things happen.

mod random_steps;

use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::chat::TokenUsage;
use crate::flow::usage_rules::{CapScope, DailyCaps, Prices};
use crate::store::JobId;

const NOON: Timestamp = Timestamp(1_800_000_000_000);
const ANA: Payer = Payer {
    guild: Some(1),
    author: 7,
};
const MINUTE: Duration = Duration::from_secs(60);

/// A minute costs 60 micros, a token 1.
const RULES: UsageRules = UsageRules {
    max_duration: Duration::from_secs(3_600),
    cooldown: Duration::ZERO,
    audio_caps: DailyCaps {
        member: 600_000,
        guild: 900_000,
        global: 1_200_000,
    },
    money_caps: DailyCaps {
        member: 700,
        guild: 1_000,
        global: 1_300,
    },
    local_at_cap: false,
    prices: Prices {
        speech_per_hour: 3_600,
        streaming_per_hour: 3_600,
        input_per_million: 1_000_000,
        output_per_million: 1_000_000,
    },
};

/// The most expensive answer.
const ANSWER: TokenUsage = TokenUsage {
    prompt_tokens: 40,
    answer_tokens: 60,
};

fn noon() -> Timestamp {
    NOON
}

async fn open_admission(rules: UsageRules, has_local: bool) -> (TempDir, Store, Admission) {
    let folder = TempDir::new().expect("a folder");
    let (store, _) = Store::open(folder.path(), None).await.expect("a ledger");
    let admission = Admission::open(rules, store.clone(), noon, has_local).await;
    (folder, store, admission.expect("open"))
}

fn job_account(number: i64) -> UsageAccount {
    UsageAccount::Job {
        job: JobId(number),
        generation: 0,
    }
}

fn permit_request(payer: Payer, cost: CallCost) -> PermitRequest<'static> {
    PermitRequest {
        payer,
        account: job_account(1),
        cost,
        reservation: None,
        allowed_engines: AllowedEngines::All,
    }
}

async fn total_usage(store: &Store) -> Usage {
    let used = store.usage_on_day(NOON.day(), UsageScope::Global).await;
    used.expect("read")
}

#[tokio::test]
async fn a_dropped_permit_records_its_usage() {
    let (_folder, store, admission) = open_admission(RULES, false).await;
    let permit = admission
        .admit(&permit_request(ANA, CallCost::Speech(MINUTE)))
        .await;
    let permit = permit.expect("a ledger").expect("room");
    permit.charge_recording(MINUTE);
    // A second provider is tried, and does not bill it.
    permit.charge_recording(MINUTE);
    permit.refund_recording(MINUTE);
    drop(permit);
    admission.shut_down(MINUTE).await;
    let used = total_usage(&store).await;
    assert_eq!((used.audio_ms, used.micros), (60_000, 60));
    assert_eq!(store.charge_interrupted_calls().await.expect("read"), 0);
}

#[tokio::test]
async fn unused_permits_record_nothing() {
    let (_folder, store, admission) = open_admission(RULES, false).await;
    for cost in [
        CallCost::Speech(MINUTE),
        CallCost::Stream(MINUTE),
        CallCost::Answer(ANSWER),
    ] {
        let permit = admission.admit(&permit_request(ANA, cost)).await;
        drop(permit.expect("a ledger").expect("room"));
    }
    admission.shut_down(MINUTE).await;
    assert_eq!(total_usage(&store).await, Usage::default());
    assert_eq!(store.charge_interrupted_calls().await.expect("read"), 0);
}

#[tokio::test]
async fn reserved_usage_is_granted_and_excess_is_checked() {
    let (_folder, _store, admission) = open_admission(RULES, false).await;
    let reservation = admission.reserve(ANA, (MINUTE * 6, false), None).await;
    let (reservation, _) = reservation.expect("a ledger").expect("room");
    let refused = admission.reserve(ANA, (MINUTE * 5, false), None).await;
    assert_eq!(
        refused.expect("a ledger").err(),
        Some(AdmissionDecision::CapReached(CapScope::Member))
    );
    let request_with = |length, rest| PermitRequest {
        reservation: Some((&reservation, rest)),
        ..permit_request(ANA, CallCost::Speech(length))
    };
    // Six minutes were announced, but it plays eleven.
    let too_long = admission
        .admit(&request_with(MINUTE * 11, Duration::ZERO))
        .await;
    assert!(too_long.expect("a ledger").is_err());
    // Two of the six minutes; four remain reserved.
    let first = admission.admit(&request_with(MINUTE * 2, MINUTE * 4)).await;
    let first = first.expect("a ledger").expect("reserved");
    first.charge_recording(MINUTE * 2);
    drop(first);
    let rest = admission.reserve(ANA, (MINUTE * 4, false), None).await;
    let (_rest, _) = rest.expect("a ledger").expect("what is left of ten");
    let second = admission
        .admit(&request_with(MINUTE * 4, Duration::ZERO))
        .await;
    assert!(second.expect("a ledger").is_ok(), "it was reserved");
}

#[tokio::test]
async fn a_paid_answer_is_allowed_while_anything_is_left() {
    let (_folder, _store, admission) = open_admission(
        UsageRules {
            money_caps: DailyCaps {
                member: 1,
                ..RULES.money_caps
            },
            ..RULES
        },
        false,
    )
    .await;
    let one = admission
        .admit(&permit_request(ANA, CallCost::Answer(ANSWER)))
        .await;
    let one = one.expect("a ledger").expect("something is left");
    // The estimate counts until the call is over.
    let two = admission
        .admit(&permit_request(ANA, CallCost::Answer(ANSWER)))
        .await;
    assert_eq!(
        two.expect("a ledger").err(),
        Some(AdmissionDecision::CapReached(CapScope::Member))
    );
    let free = CallCost::Answer(TokenUsage {
        prompt_tokens: 0,
        answer_tokens: 0,
    });
    assert!(
        admission
            .admit(&permit_request(ANA, free))
            .await
            .expect("a ledger")
            .is_ok()
    );
    drop(one);
    let three = admission
        .admit(&permit_request(ANA, CallCost::Answer(ANSWER)))
        .await;
    assert!(three.expect("a ledger").is_ok(), "it has cost nothing");
}

#[tokio::test]
async fn at_a_cap_permits_are_local_and_free() {
    let rules = UsageRules {
        local_at_cap: true,
        money_caps: DailyCaps {
            member: 0,
            ..RULES.money_caps
        },
        ..RULES
    };
    for (has_local, engines) in [(true, Some(AllowedEngines::LocalOnly)), (false, None)] {
        let (_folder, store, admission) = open_admission(rules, has_local).await;
        for cost in [
            CallCost::Speech(MINUTE),
            CallCost::Stream(MINUTE),
            CallCost::Answer(ANSWER),
        ] {
            let permit = admission
                .admit(&permit_request(ANA, cost))
                .await
                .expect("a ledger");
            assert_eq!(permit.as_ref().ok().map(Permit::engines), engines);
            if let Ok(permit) = permit {
                permit.charge_recording(MINUTE);
                permit.settle().await;
            }
        }
        assert_eq!(total_usage(&store).await, Usage::default());
    }
}

#[tokio::test]
async fn unwritten_usage_counts_against_caps() {
    let (_folder, store, admission) = open_admission(RULES, false).await;
    let permit = admission
        .admit(&permit_request(ANA, CallCost::Speech(MINUTE * 6)))
        .await;
    let permit = permit.expect("a ledger").expect("room");
    permit.charge_recording(MINUTE * 6);
    let settlement = permit.into_settlement();
    assert!(settlement.entry().is_some());
    // The writer has not written it, and no other writer takes over.
    let pending = admission.0.pending().pending_for(ANA, NOON.day());
    assert_eq!(pending.member.audio_ms, 360_000);
    let refused = admission
        .admit(&permit_request(ANA, CallCost::Speech(MINUTE * 5)))
        .await;
    assert!(refused.expect("a ledger").is_err());
    drop(settlement);
    admission.shut_down(MINUTE).await;
    assert_eq!(total_usage(&store).await.audio_ms, 360_000);
}
