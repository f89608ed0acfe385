//! Random sequences of requests, calls and cancellations.

use proptest::prelude::*;

use super::*;

/// One step of a random run. Numbers select among what exists at that point.
#[derive(Clone, Debug)]
enum AdmissionStep {
    Request {
        payer: usize,
        minutes: u64,
    },
    /// A recording of some request, which may play longer than was announced.
    Transcribe {
        which: usize,
        minutes: u64,
        billed: u64,
    },
    Answer {
        which: usize,
        tokens: u64,
    },
    Stream {
        payer: usize,
        seconds: u64,
    },
    Cancel {
        which: usize,
    },
    Finish {
        which: usize,
        settle: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<AdmissionStep>> {
    let which = 0_usize..8;
    let step = prop_oneof![
        3 => (0_usize..4, 0_u64..6).prop_map(|(payer, minutes)| AdmissionStep::Request { payer, minutes }),
        3 => (which.clone(), 0_u64..8, 0_u64..2)
            .prop_map(|(which, minutes, billed)| AdmissionStep::Transcribe { which, minutes, billed }),
        3 => (which.clone(), 0_u64..60)
            .prop_map(|(which, tokens)| AdmissionStep::Answer { which, tokens }),
        1 => (0_usize..4, 0_u64..10)
            .prop_map(|(payer, seconds)| AdmissionStep::Stream { payer, seconds }),
        1 => which.clone().prop_map(|which| AdmissionStep::Cancel { which }),
        4 => (which, any::<bool>()).prop_map(|(which, settle)| AdmissionStep::Finish { which, settle }),
    ];
    prop::collection::vec(step, 1..60)
}

/// Three members of two guilds, and one in a direct message.
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

/// Runs the steps, and returns the usage as the callers know it.
async fn run_steps(admission: &Admission, steps: Vec<AdmissionStep>) -> Usage {
    // Each request has its own job, and a job has one payer.
    let mut requests: Vec<(Payer, Reservation, UsageAccount)> = Vec::new();
    let mut jobs = 0;
    let mut running: Vec<Permit> = Vec::new();
    let mut expected = Usage::default();
    for step in steps {
        match step {
            AdmissionStep::Request { payer, minutes } => {
                let length = MINUTE * u32::try_from(minutes).expect("few");
                let reserved = admission.reserve(PAYERS[payer], (length, true), None).await;
                if let Ok((reservation, _)) = reserved.expect("a ledger") {
                    jobs += 1;
                    requests.push((PAYERS[payer], reservation, job_account(jobs)));
                }
            }
            AdmissionStep::Transcribe {
                which,
                minutes,
                billed,
            } => {
                let Some((payer, reservation, account)) = requests.get(which) else {
                    continue;
                };
                let length = MINUTE * u32::try_from(minutes).expect("few");
                let request = PermitRequest {
                    reservation: Some((reservation, Duration::ZERO)),
                    account: *account,
                    ..permit_request(*payer, CallCost::Speech(length))
                };
                if let Ok(permit) = admission.admit(&request).await.expect("a ledger") {
                    permit.charge_recording(length);
                    if billed == 0 {
                        permit.refund_recording(length);
                    } else {
                        expected = expected.saturating_add(&RULES.prices.recording_usage(length));
                    }
                    running.push(permit);
                }
            }
            AdmissionStep::Answer { which, tokens } => {
                let Some((payer, _, account)) = requests.get(which) else {
                    continue;
                };
                let request = PermitRequest {
                    account: *account,
                    ..permit_request(*payer, CallCost::Answer(ANSWER))
                };
                if let Ok(permit) = admission.admit(&request).await.expect("a ledger") {
                    let usage = TokenUsage {
                        prompt_tokens: ANSWER.prompt_tokens,
                        answer_tokens: tokens,
                    };
                    permit.set_answer_usage(usage, true);
                    expected = expected.saturating_add(&RULES.prices.answer_usage(usage));
                    running.push(permit);
                }
            }
            AdmissionStep::Stream { payer, seconds } => {
                let slice = Duration::from_secs(10);
                jobs += 1;
                let request = PermitRequest {
                    account: job_account(jobs),
                    ..permit_request(PAYERS[payer], CallCost::Stream(slice))
                };
                if let Ok(permit) = admission.admit(&request).await.expect("a ledger") {
                    let open = Duration::from_secs(seconds);
                    permit.set_streamed(open, open);
                    expected = expected.saturating_add(&RULES.prices.stream_usage(open, open));
                    running.push(permit);
                }
            }
            AdmissionStep::Cancel { which } if which < requests.len() => {
                drop(requests.swap_remove(which));
            }
            AdmissionStep::Finish { which, settle } if which < running.len() => {
                let permit = running.swap_remove(which);
                if settle {
                    permit.settle().await;
                }
            }
            AdmissionStep::Cancel { .. } | AdmissionStep::Finish { .. } => {}
        }
        assert_caps_hold(admission).await;
    }
    expected
}

/// Recorded and reserved usage exceed no cap by more than one answer.
async fn assert_caps_hold(admission: &Admission) {
    let slack = RULES.prices.answer_price(ANSWER);
    // An entry that is just being written is counted twice for a moment.
    assert!(admission.0.drain().await);
    for payer in PAYERS {
        let (rules, today) = admission.0.rules_and_usage(payer).await.expect("a ledger");
        let within = [
            (
                today.member,
                rules.audio_caps.member,
                rules.money_caps.member,
            ),
            (today.guild, rules.audio_caps.guild, rules.money_caps.guild),
            (
                today.global,
                rules.audio_caps.global,
                rules.money_caps.global,
            ),
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
    fn no_cap_is_passed_and_all_usage_is_recorded(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let (_folder, store, admission) = open_admission(RULES, false).await;
            let expected = run_steps(&admission, steps).await;
            admission.shut_down(MINUTE).await;
            assert_eq!(total_usage(&store).await, expected);
            assert_eq!(store.charge_interrupted_calls().await.expect("read"), 0);
        });
    }
}
