//! Whatever happens in whatever order, nothing of theirs goes anywhere once somebody has said no,
//! is forgotten, or was never asked: the real session against the rule in a few lines.
//!
//! `PROPTEST_CASES` says how many runs there are.

mod process;
mod rule;
mod world;

use proptest::prelude::*;
use proptest::test_runner::Config;

use self::process::Run;

/// Runs where nobody says how many.
const RUNS: u32 = 48;

/// What happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Joins(usize),
    Leaves(usize),
    SaysYes(usize),
    SaysNo(usize),
    IsForgotten(usize),
    Speaks(usize),
    Asks(usize),
    /// A recognizer answers whoever waits longest.
    Heard,
    /// The same, and it fails.
    HeardBadly,
    /// A model answers whoever waits longest.
    Thought,
    DiskFull,
    DiskEmptied,
    /// The process is killed, and another one goes on.
    Dies,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let person = 0..3_usize;
    let event = prop_oneof![
        1 => person.clone().prop_map(Event::Joins),
        1 => person.clone().prop_map(Event::Leaves),
        4 => person.clone().prop_map(Event::SaysYes),
        3 => person.clone().prop_map(Event::SaysNo),
        2 => person.clone().prop_map(Event::IsForgotten),
        9 => person.clone().prop_map(Event::Speaks),
        4 => person.prop_map(Event::Asks),
        6 => Just(Event::Heard),
        1 => Just(Event::HeardBadly),
        3 => Just(Event::Thought),
        1 => Just(Event::DiskFull),
        1 => Just(Event::DiskEmptied),
        1 => Just(Event::Dies),
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
    proptest!(config, |(everybody in any::<bool>(), before in events(), after in events())| {
        let mut run = Run::begin(everybody);
        for event in before {
            run.happens(event);
        }
        run.ends();
        // Also while the end is being written.
        for event in after {
            run.happens(event);
        }
        run.is_over();
        let broken = run.broken();
        prop_assert!(broken.is_empty(), "{broken:?}");
    });
}
