//! Whatever happens in whatever order, nothing of theirs goes anywhere once somebody has said no,
//! is forgotten, or was never asked: the real session against the rule in a few lines.
//!
//! `PROPTEST_CASES` says how many runs there are.

mod fake_services;
mod rule;
mod test_run;

use proptest::prelude::*;
use proptest::test_runner::Config;

use self::test_run::TestRun;

/// Runs where nobody says how many.
const RUNS: u32 = 48;

/// What happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ConsentEvent {
    Joins(usize),
    Leaves(usize),
    Consents(usize),
    Declines(usize),
    IsForgotten(usize),
    Speaks(usize),
    Asks(usize),
    /// A recognizer answers whoever waits longest.
    TranscriptionSucceeds,
    /// The same, and it fails.
    TranscriptionFails,
    /// A model answers whoever waits longest.
    ModelAnswers,
    DiskFull,
    DiskFreed,
    /// The process is killed, and another one goes on.
    Crashes,
}

fn event_sequences() -> impl Strategy<Value = Vec<ConsentEvent>> {
    let person = 0..3_usize;
    let event = prop_oneof![
        1 => person.clone().prop_map(ConsentEvent::Joins),
        1 => person.clone().prop_map(ConsentEvent::Leaves),
        4 => person.clone().prop_map(ConsentEvent::Consents),
        3 => person.clone().prop_map(ConsentEvent::Declines),
        2 => person.clone().prop_map(ConsentEvent::IsForgotten),
        9 => person.clone().prop_map(ConsentEvent::Speaks),
        4 => person.prop_map(ConsentEvent::Asks),
        6 => Just(ConsentEvent::TranscriptionSucceeds),
        1 => Just(ConsentEvent::TranscriptionFails),
        3 => Just(ConsentEvent::ModelAnswers),
        1 => Just(ConsentEvent::DiskFull),
        1 => Just(ConsentEvent::DiskFreed),
        1 => Just(ConsentEvent::Crashes),
    ];
    prop::collection::vec(event, 1..40)
}

#[test]
fn nothing_of_anybody_goes_anywhere_once_they_take_it_back() {
    let cases = std::env::var("PROPTEST_CASES").ok();
    let cases = cases.and_then(|it| it.parse().ok()).unwrap_or(RUNS);
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    proptest!(config, |(everybody in any::<bool>(), before in event_sequences(), after in event_sequences())| {
        let mut run = TestRun::begin(everybody);
        for event in before {
            run.apply(event);
        }
        run.end_session();
        // Also while the end is being written.
        for event in after {
            run.apply(event);
        }
        run.run_to_end();
        let broken = run.violations();
        prop_assert!(broken.is_empty(), "{broken:?}");
    });
}
