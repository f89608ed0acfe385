//! The machine, without a socket and a clock.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::Fatal;
use super::machine::{Do, Heard, Lost, Machine, Say};

const SECOND: Duration = Duration::from_secs(1);

fn ready() -> Heard {
    Heard::Ready {
        session: "a".to_owned(),
        url: Some("wss://own".to_owned()),
    }
}

/// A machine that is connected.
fn connected(now: Instant) -> Machine {
    let mut machine = Machine::new(now);
    machine.opened(now);
    let said = machine.heard(Heard::Hello(None), now, 0.5);
    assert_eq!(said, [Do::Say(Say::Identify)]);
    machine.heard(Heard::Event(Some(1)), now, 0.5);
    machine.heard(ready(), now, 0.5);
    assert!(machine.is_connected());
    machine
}

/// Loses the connection, and gives the wait for the next one.
fn lost(machine: &mut Machine, lost: Lost, now: Instant) -> Duration {
    assert_eq!(machine.lost(lost, now, 0.0), Ok(()));
    machine.next_try() - now
}

#[test]
fn a_connection_is_made_again_at_once_and_then_after_longer_and_longer_times() {
    let mut now = Instant::now();
    let mut machine = connected(now);
    now += 40 * SECOND;
    let mut waits = vec![lost(&mut machine, Lost::Broken, now)];
    for _ in 0..9 {
        machine.opened(now);
        waits.push(lost(&mut machine, Lost::Broken, now));
    }
    let seconds: Vec<u64> = waits.iter().map(Duration::as_secs).collect();
    assert_eq!(seconds, [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
    // One that lasts counts as good, one that does not, does not.
    for (lasts, wait) in [(10, 60), (40, 0)] {
        machine.opened(now);
        machine.heard(Heard::Hello(None), now, 0.5);
        machine.heard(Heard::Resumed, now, 0.5);
        machine.heard(ready(), now, 0.5);
        now += lasts * SECOND;
        assert_eq!(lost(&mut machine, Lost::Broken, now).as_secs(), wait);
    }
}

#[test]
fn a_session_is_gone_on_with_as_long_as_it_can_be() {
    let now = Instant::now();
    let keeps = [
        Lost::Broken,
        Lost::Closed(None),
        Lost::Closed(Some(1_000)),
        Lost::Closed(Some(4_000)),
        Lost::Closed(Some(4_008)),
    ];
    let ends = [4_003, 4_006, 4_007, 4_009].map(|code| Lost::Closed(Some(code)));
    for (how, kept) in keeps
        .iter()
        .map(|how| (how, true))
        .chain(ends.iter().map(|how| (how, false)))
    {
        let mut machine = connected(now);
        machine.heard(Heard::Event(Some(7)), now, 0.5);
        lost(&mut machine, *how, now);
        assert_eq!(machine.begins(), !kept, "{how:?}");
        assert_eq!(machine.address(), kept.then_some("wss://own"));
        machine.opened(now);
        let said = machine.heard(Heard::Hello(None), now, 0.5);
        let expected = match kept {
            true => Say::Resume {
                session: "a".to_owned(),
                last: Some(7),
            },
            false => Say::Identify,
        };
        assert_eq!(said, [Do::Say(expected)], "{how:?}");
    }
}

#[test]
fn codes_after_which_nothing_is_better_are_the_end() {
    let now = Instant::now();
    for (code, fatal) in [
        (4_004, Fatal::Token),
        (4_010, Fatal::Closed(4_010)),
        (4_011, Fatal::Closed(4_011)),
        (4_012, Fatal::Closed(4_012)),
        (4_013, Fatal::Closed(4_013)),
        (4_014, Fatal::Intents),
    ] {
        let mut machine = connected(now);
        let ended = machine.lost(Lost::Closed(Some(code)), now, 0.5);
        assert_eq!(ended, Err(fatal));
    }
}

#[test]
fn the_gateway_may_take_the_session_away() {
    let now = Instant::now();
    for resumable in [true, false] {
        let mut machine = connected(now);
        let said = machine.heard(Heard::Invalid { resumable }, now, 0.5);
        assert_eq!(said, [Do::HangUp]);
        assert_eq!(machine.begins(), !resumable);
    }
    let mut machine = connected(now);
    assert_eq!(machine.heard(Heard::Reconnect, now, 0.5), [Do::HangUp]);
    assert!(!machine.begins());
}

#[test]
fn resumes_that_always_break_end_in_a_new_session_by_the_usual_way() {
    let now = Instant::now();
    let mut machine = connected(now);
    lost(&mut machine, Lost::Broken, now);
    let mut addresses = Vec::new();
    while !machine.begins() {
        addresses.push(machine.address().map(str::to_owned));
        machine.opened(now);
        machine.heard(Heard::Hello(None), now, 0.5);
        lost(&mut machine, Lost::Broken, now);
        assert!(addresses.len() < 10);
    }
    let own = Some("wss://own".to_owned());
    assert_eq!(addresses, [own.clone(), own, None, None, None]);
}

#[test]
fn a_heartbeat_that_is_not_answered_is_the_last() {
    let start = Instant::now();
    let mut machine = Machine::new(start);
    machine.opened(start);
    machine.heard(Heard::Hello(Some(10 * SECOND)), start, 0.5);
    machine.heard(ready(), start, 0.5);
    machine.heard(Heard::Event(Some(3)), start, 0.5);
    let mut now = machine.due(start);
    assert_eq!(now - start, 5 * SECOND);
    assert_eq!(machine.tick(now), [Do::Say(Say::Heartbeat(Some(3)))]);
    machine.heard(Heard::Beat, now, 0.5);
    now = machine.due(now);
    assert_eq!(now - start, 15 * SECOND);
    assert_eq!(machine.tick(now), [Do::Say(Say::Heartbeat(Some(3)))]);
    // It may be asked for in between.
    let said = machine.heard(Heard::BeatAsked, now, 0.5);
    assert_eq!(said, [Do::Say(Say::Heartbeat(Some(3)))]);
    now = machine.due(now);
    assert_eq!(machine.tick(now), [Do::HangUp]);
}

#[test]
fn neither_a_greeting_nor_an_answer_is_waited_for_without_end() {
    let start = Instant::now();
    let mut machine = Machine::new(start);
    machine.opened(start);
    let due = machine.due(start);
    assert_eq!(due - start, 20 * SECOND);
    assert_eq!(machine.tick(due), [Do::HangUp]);
    machine.opened(start);
    machine.heard(Heard::Hello(Some(200 * SECOND)), start, 1.0);
    let due = machine.due(start);
    assert_eq!(due - start, 60 * SECOND);
    assert_eq!(machine.tick(due), [Do::HangUp]);
}

/// What a gateway may do with a connection.
#[derive(Clone, Debug)]
enum Act {
    Refuses,
    Breaks,
    Greets { then: Box<Self> },
    Enters { lasts: u64, then: Box<Self> },
    Closes(u16),
    Invalid(bool),
    Reconnects,
    Silent,
}

fn act() -> impl Strategy<Value = Act> {
    let end = prop_oneof![
        Just(Act::Refuses),
        Just(Act::Breaks),
        prop::sample::select(vec![1_000, 4_000, 4_001, 4_003, 4_006, 4_007, 4_008, 4_009])
            .prop_map(Act::Closes),
        any::<bool>().prop_map(Act::Invalid),
        Just(Act::Reconnects),
        Just(Act::Silent),
    ];
    end.prop_recursive(3, 8, 1, |inner| {
        prop_oneof![
            inner.clone().prop_map(|then| Act::Greets {
                then: Box::new(then)
            }),
            (0..25_u64, inner).prop_map(|(lasts, then)| Act::Enters {
                lasts,
                then: Box::new(then)
            }),
        ]
    })
}

/// Plays one connection; says when it is lost.
fn play(machine: &mut Machine, act: &Act, mut now: Instant) -> (Instant, Lost) {
    match act {
        Act::Refuses | Act::Breaks => (now, Lost::Broken),
        Act::Closes(code) => (now, Lost::Closed(Some(*code))),
        Act::Greets { then } => {
            machine.heard(Heard::Hello(None), now, 0.5);
            play(machine, then, now)
        }
        Act::Enters { lasts, then } => {
            machine.heard(Heard::Hello(None), now, 0.5);
            let entered = match machine.begins() {
                true => ready(),
                false => Heard::Resumed,
            };
            machine.heard(entered, now, 0.5);
            play(machine, then, now + Duration::from_secs(*lasts))
        }
        Act::Invalid(resumable) => {
            let heard = Heard::Invalid {
                resumable: *resumable,
            };
            assert_eq!(machine.heard(heard, now, 0.5), [Do::HangUp]);
            (now, Lost::Broken)
        }
        Act::Reconnects => (now, Lost::Broken),
        Act::Silent => {
            for _ in 0..100 {
                now = machine.due(now);
                if machine.tick(now) == [Do::HangUp] {
                    return (now, Lost::Broken);
                }
            }
            unreachable!("it waits without end");
        }
    }
}

proptest! {
    /// Whatever the other end does: it is come to again, and never faster than the waits allow.
    #[test]
    fn nothing_spins(acts in prop::collection::vec(act(), 1..40), chance in 0.0..1.0_f64) {
        let start = Instant::now();
        let mut now = start;
        let mut machine = connected(now);
        let mut tries = Vec::new();
        for act in &acts {
            machine.opened(now);
            let (lost_at, lost) = play(&mut machine, act, now);
            prop_assert_eq!(machine.lost(lost, lost_at, chance), Ok(()));
            prop_assert!(machine.next_try() >= lost_at);
            prop_assert!(machine.next_try() <= lost_at + Duration::from_secs(60));
            now = machine.next_try();
            tries.push(now);
        }
        // None of these connections lasts half a minute but those that go silent, and they take
        // longer than that to be given up.
        for window in tries.windows(10) {
            let took = *window.last().expect("ten") - window[0];
            prop_assert!(took >= Duration::from_secs(20), "{:?}", took);
        }
    }
}
