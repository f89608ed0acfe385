//! No cap is passed, and everything is booked, in whatever order things happen.

use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::flow::rules::{Caps, Whose};
use crate::store::JobId;

const NOON: Timestamp = Timestamp(1_800_000_000_000);
const ANA: Payer = Payer {
    guild: Some(1),
    author: 7,
};
const MINUTE: Duration = Duration::from_secs(60);

/// A minute costs 60 and a token 1.
const RULES: Rules = Rules {
    longest: Duration::from_secs(3_600),
    cooldown: Duration::ZERO,
    audio: Caps {
        member: 600_000,
        server: 900_000,
        all: 1_200_000,
    },
    money: Caps {
        member: 700,
        server: 1_000,
        all: 1_300,
    },
    local_at_cap: false,
    prices: Prices {
        speech_hour: 3_600,
        streaming_hour: 3_600,
        input_million: 1_000_000,
        output_million: 1_000_000,
    },
};

/// The dearest answer.
const ANSWER: Usage = Usage {
    prompt_tokens: 40,
    answer_tokens: 60,
};

fn noon() -> Timestamp {
    NOON
}

async fn books(rules: Rules, has_local: bool) -> (TempDir, Store, Admission) {
    let folder = TempDir::new().expect("a folder");
    let (store, _) = Store::open(folder.path(), None).await.expect("a ledger");
    let admission = Admission::open(rules, store.clone(), noon, has_local).await;
    (folder, store, admission.expect("open"))
}

fn job(number: i64) -> Account {
    Account::Job {
        job: JobId(number),
        generation: 0,
    }
}

fn ask(payer: Payer, cost: Cost) -> Ask<'static> {
    Ask {
        payer,
        account: job(1),
        cost,
        hold: None,
        at_most: Engines::All,
    }
}

async fn used(store: &Store) -> Used {
    let used = store.used(NOON.day(), Scope::Everyone).await;
    used.expect("read")
}

#[tokio::test]
async fn what_is_dropped_is_booked() {
    let (_folder, store, admission) = books(RULES, false).await;
    let permit = admission.admit(&ask(ANA, Cost::Speech(MINUTE))).await;
    let permit = permit.expect("a ledger").expect("room");
    permit.charge_recording(MINUTE);
    // It is given to a second one, who surely does nothing.
    permit.charge_recording(MINUTE);
    permit.refund_recording(MINUTE);
    drop(permit);
    admission.close(MINUTE).await;
    let used = used(&store).await;
    assert_eq!((used.audio_ms, used.micros), (60_000, 60));
    assert_eq!(store.book_left_calls().await.expect("read"), 0);
}

#[tokio::test]
async fn what_was_never_used_leaves_nothing() {
    let (_folder, store, admission) = books(RULES, false).await;
    for cost in [
        Cost::Speech(MINUTE),
        Cost::Stream(MINUTE),
        Cost::Answer(ANSWER),
    ] {
        let permit = admission.admit(&ask(ANA, cost)).await;
        drop(permit.expect("a ledger").expect("room"));
    }
    admission.close(MINUTE).await;
    assert_eq!(used(&store).await, Used::default());
    assert_eq!(store.book_left_calls().await.expect("read"), 0);
}

#[tokio::test]
async fn what_is_reserved_is_granted_and_what_goes_beyond_is_judged() {
    let (_folder, _store, admission) = books(RULES, false).await;
    let hold = admission.hold(ANA, (MINUTE * 6, false), None).await;
    let (hold, _) = hold.expect("a ledger").expect("room");
    let full = admission.hold(ANA, (MINUTE * 5, false), None).await;
    assert_eq!(
        full.expect("a ledger").err(),
        Some(Verdict::Spent(Whose::Member))
    );
    let with = |length, rest| Ask {
        hold: Some((&hold, rest)),
        ..ask(ANA, Cost::Speech(length))
    };
    // Of six announced minutes it plays eleven.
    let lying = admission.admit(&with(MINUTE * 11, Duration::ZERO)).await;
    assert!(lying.expect("a ledger").is_err());
    // Two minutes of the six, and four are to come.
    let first = admission.admit(&with(MINUTE * 2, MINUTE * 4)).await;
    let first = first.expect("a ledger").expect("reserved");
    first.charge_recording(MINUTE * 2);
    drop(first);
    let rest = admission.hold(ANA, (MINUTE * 4, false), None).await;
    let (_rest, _) = rest.expect("a ledger").expect("what is left of ten");
    let second = admission.admit(&with(MINUTE * 4, Duration::ZERO)).await;
    assert!(second.expect("a ledger").is_ok(), "it was reserved");
}

#[tokio::test]
async fn an_answer_that_costs_is_allowed_while_anything_is_left() {
    let (_folder, _store, admission) = books(
        Rules {
            money: Caps {
                member: 1,
                ..RULES.money
            },
            ..RULES
        },
        false,
    )
    .await;
    let one = admission.admit(&ask(ANA, Cost::Answer(ANSWER))).await;
    let one = one.expect("a ledger").expect("something is left");
    // What it may cost counts while nobody knows.
    let two = admission.admit(&ask(ANA, Cost::Answer(ANSWER))).await;
    assert_eq!(
        two.expect("a ledger").err(),
        Some(Verdict::Spent(Whose::Member))
    );
    let free = Cost::Answer(Usage {
        prompt_tokens: 0,
        answer_tokens: 0,
    });
    assert!(
        admission
            .admit(&ask(ANA, free))
            .await
            .expect("a ledger")
            .is_ok()
    );
    drop(one);
    let three = admission.admit(&ask(ANA, Cost::Answer(ANSWER))).await;
    assert!(three.expect("a ledger").is_ok(), "it has cost nothing");
}

#[tokio::test]
async fn at_a_cap_a_permit_is_for_this_machine_and_costs_nothing() {
    let rules = Rules {
        local_at_cap: true,
        money: Caps {
            member: 0,
            ..RULES.money
        },
        ..RULES
    };
    for (has_local, engines) in [(true, Some(Engines::Local)), (false, None)] {
        let (_folder, store, admission) = books(rules, has_local).await;
        for cost in [
            Cost::Speech(MINUTE),
            Cost::Stream(MINUTE),
            Cost::Answer(ANSWER),
        ] {
            let permit = admission.admit(&ask(ANA, cost)).await.expect("a ledger");
            assert_eq!(permit.as_ref().ok().map(Permit::engines), engines);
            if let Ok(permit) = permit {
                permit.charge_recording(MINUTE);
                permit.settle().await;
            }
        }
        assert_eq!(used(&store).await, Used::default());
    }
}

#[tokio::test]
async fn what_can_not_be_written_is_counted_all_the_same() {
    let (_folder, store, admission) = books(RULES, false).await;
    let permit = admission.admit(&ask(ANA, Cost::Speech(MINUTE * 6))).await;
    let permit = permit.expect("a ledger").expect("room");
    permit.charge_recording(MINUTE * 6);
    let settling = permit.finish();
    assert!(settling.booking().is_some());
    // Whoever was writing it gives up, and so does everybody else.
    let again = admission.0.books().counted(ANA, NOON.day());
    assert_eq!(again.member.audio_ms, 360_000);
    let full = admission.admit(&ask(ANA, Cost::Speech(MINUTE * 5))).await;
    assert!(full.expect("a ledger").is_err());
    drop(settling);
    admission.close(MINUTE).await;
    assert_eq!(used(&store).await.audio_ms, 360_000);
}

/// What happens next; numbers choose among what is there.
#[derive(Clone, Debug)]
enum Step {
    Request {
        payer: usize,
        minutes: u64,
    },
    /// A recording of some request, which may play longer than was announced.
    Hear {
        which: usize,
        minutes: u64,
        billed: u64,
    },
    Answer {
        which: usize,
        tokens: u64,
    },
    Listen {
        payer: usize,
        seconds: u64,
    },
    Cancel {
        which: usize,
    },
    End {
        which: usize,
        settle: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = 0_usize..8;
    let step = prop_oneof![
        3 => (0_usize..4, 0_u64..6).prop_map(|(payer, minutes)| Step::Request { payer, minutes }),
        3 => (which.clone(), 0_u64..8, 0_u64..2)
            .prop_map(|(which, minutes, billed)| Step::Hear { which, minutes, billed }),
        3 => (which.clone(), 0_u64..60)
            .prop_map(|(which, tokens)| Step::Answer { which, tokens }),
        1 => (0_usize..4, 0_u64..10)
            .prop_map(|(payer, seconds)| Step::Listen { payer, seconds }),
        1 => which.clone().prop_map(|which| Step::Cancel { which }),
        4 => (which, any::<bool>()).prop_map(|(which, settle)| Step::End { which, settle }),
    ];
    prop::collection::vec(step, 1..60)
}

/// Three members of two servers, and one in a direct message.
const PAYERS: [Payer; 4] = [
    ANA,
    Payer {
        guild: Some(1),
        author: 8,
    },
    Payer {
        guild: Some(2),
        author: 7,
    },
    Payer {
        guild: None,
        author: 9,
    },
];

/// Lives through the steps. Gives what was used, as whoever used it knows.
async fn lived(admission: &Admission, steps: Vec<Step>) -> Used {
    // Each with a job of its own, which is one person's for good.
    let mut requests: Vec<(Payer, Hold, Account)> = Vec::new();
    let mut jobs = 0;
    let mut running: Vec<Permit> = Vec::new();
    let mut truth = Used::default();
    for step in steps {
        match step {
            Step::Request { payer, minutes } => {
                let length = MINUTE * u32::try_from(minutes).expect("few");
                let held = admission.hold(PAYERS[payer], (length, true), None).await;
                if let Ok((hold, _)) = held.expect("a ledger") {
                    jobs += 1;
                    requests.push((PAYERS[payer], hold, job(jobs)));
                }
            }
            Step::Hear {
                which,
                minutes,
                billed,
            } => {
                let Some((payer, hold, account)) = requests.get(which) else {
                    continue;
                };
                let length = MINUTE * u32::try_from(minutes).expect("few");
                let asked = Ask {
                    hold: Some((hold, Duration::ZERO)),
                    account: *account,
                    ..ask(*payer, Cost::Speech(length))
                };
                if let Ok(permit) = admission.admit(&asked).await.expect("a ledger") {
                    permit.charge_recording(length);
                    if billed == 0 {
                        permit.refund_recording(length);
                    } else {
                        truth = truth.and(&RULES.prices.of_recording(length));
                    }
                    running.push(permit);
                }
            }
            Step::Answer { which, tokens } => {
                let Some((payer, _, account)) = requests.get(which) else {
                    continue;
                };
                let asked = Ask {
                    account: *account,
                    ..ask(*payer, Cost::Answer(ANSWER))
                };
                if let Ok(permit) = admission.admit(&asked).await.expect("a ledger") {
                    let usage = Usage {
                        prompt_tokens: ANSWER.prompt_tokens,
                        answer_tokens: tokens,
                    };
                    permit.answered(usage, true);
                    truth = truth.and(&RULES.prices.of_answer(usage));
                    running.push(permit);
                }
            }
            Step::Listen { payer, seconds } => {
                let slice = Duration::from_secs(10);
                jobs += 1;
                let asked = Ask {
                    account: job(jobs),
                    ..ask(PAYERS[payer], Cost::Stream(slice))
                };
                if let Ok(permit) = admission.admit(&asked).await.expect("a ledger") {
                    let open = Duration::from_secs(seconds);
                    permit.streamed(open, open);
                    truth = truth.and(&RULES.prices.of_stream(open, open));
                    running.push(permit);
                }
            }
            Step::Cancel { which } if which < requests.len() => {
                drop(requests.swap_remove(which));
            }
            Step::End { which, settle } if which < running.len() => {
                let permit = running.swap_remove(which);
                if settle {
                    permit.settle().await;
                }
            }
            Step::Cancel { .. } | Step::End { .. } => {}
        }
        holds(admission).await;
    }
    truth
}

/// No cap is passed, by what is booked and reserved, but for one answer.
async fn holds(admission: &Admission) {
    let slack = RULES.prices.chat(ANSWER);
    // What is just being written counts twice for a moment, rather than not at all.
    assert!(admission.0.all_written().await);
    for payer in PAYERS {
        let (rules, today) = admission.0.situation(payer).await.expect("a ledger");
        let within = [
            (today.member, rules.audio.member, rules.money.member),
            (today.server, rules.audio.server, rules.money.server),
            (today.all, rules.audio.all, rules.money.all),
        ];
        for (used, audio, money) in within {
            assert!(used.audio_ms <= audio, "{today:?}");
            assert!(used.micros < money + slack, "{today:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_cap_is_passed_and_everything_is_booked(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let (_folder, store, admission) = books(RULES, false).await;
            let truth = lived(&admission, steps).await;
            admission.close(MINUTE).await;
            assert_eq!(used(&store).await, truth);
            assert_eq!(store.book_left_calls().await.expect("read"), 0);
        });
    }
}
