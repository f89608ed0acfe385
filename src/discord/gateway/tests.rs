//! The shard's state machine, without a socket and a clock.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::FatalGatewayError;
use super::shard_state::{
    GatewayCommand, GatewayDisconnect, ShardAction, ShardInput, ShardStateMachine,
};

const SECOND: Duration = Duration::from_secs(1);

fn ready_input() -> ShardInput {
    ShardInput::Ready {
        session_id: "a".to_owned(),
        resume_url: Some("wss://own".to_owned()),
    }
}

fn connected_machine(now: Instant) -> ShardStateMachine {
    let mut machine = ShardStateMachine::new(now);
    machine.on_socket_open(now);
    let said = machine.handle_input(ShardInput::Hello(None), now, 0.5);
    assert_eq!(said, [ShardAction::Send(GatewayCommand::Identify)]);
    machine.handle_input(ShardInput::Dispatch(Some(1)), now, 0.5);
    machine.handle_input(ready_input(), now, 0.5);
    assert!(machine.is_connected());
    machine
}

/// Loses the connection and returns the delay before the next attempt.
fn disconnect_delay(
    machine: &mut ShardStateMachine,
    lost: GatewayDisconnect,
    now: Instant,
) -> Duration {
    assert_eq!(machine.on_disconnect(lost, now, 0.0), Ok(()));
    machine.next_attempt() - now
}

#[test]
fn reconnects_at_once_then_with_growing_delays() {
    let mut now = Instant::now();
    let mut machine = connected_machine(now);
    now += 40 * SECOND;
    let mut waits = vec![disconnect_delay(
        &mut machine,
        GatewayDisconnect::ConnectionFailed,
        now,
    )];
    for _ in 0..9 {
        machine.on_socket_open(now);
        waits.push(disconnect_delay(
            &mut machine,
            GatewayDisconnect::ConnectionFailed,
            now,
        ));
    }
    let seconds: Vec<u64> = waits.iter().map(Duration::as_secs).collect();
    assert_eq!(seconds, [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
    // A connection that lasts less than STABLE_AFTER does not reset the delay.
    for (lasts, wait) in [(10, 60), (40, 0)] {
        machine.on_socket_open(now);
        machine.handle_input(ShardInput::Hello(None), now, 0.5);
        machine.handle_input(ShardInput::Resumed, now, 0.5);
        machine.handle_input(ready_input(), now, 0.5);
        now += lasts * SECOND;
        assert_eq!(
            disconnect_delay(&mut machine, GatewayDisconnect::ConnectionFailed, now).as_secs(),
            wait
        );
    }
}

#[test]
fn a_session_is_resumed_as_long_as_possible() {
    let now = Instant::now();
    let keeps = [
        GatewayDisconnect::ConnectionFailed,
        GatewayDisconnect::Closed(None),
        GatewayDisconnect::Closed(Some(1_000)),
        GatewayDisconnect::Closed(Some(4_000)),
        GatewayDisconnect::Closed(Some(4_008)),
    ];
    let ends = [4_003, 4_006, 4_007, 4_009].map(|code| GatewayDisconnect::Closed(Some(code)));
    for (how, kept) in keeps
        .iter()
        .map(|how| (how, true))
        .chain(ends.iter().map(|how| (how, false)))
    {
        let mut machine = connected_machine(now);
        machine.handle_input(ShardInput::Dispatch(Some(7)), now, 0.5);
        disconnect_delay(&mut machine, *how, now);
        assert_eq!(machine.needs_identify(), !kept, "{how:?}");
        assert_eq!(machine.resume_url(), kept.then_some("wss://own"));
        machine.on_socket_open(now);
        let said = machine.handle_input(ShardInput::Hello(None), now, 0.5);
        let expected = match kept {
            true => GatewayCommand::Resume {
                session_id: "a".to_owned(),
                sequence: Some(7),
            },
            false => GatewayCommand::Identify,
        };
        assert_eq!(said, [ShardAction::Send(expected)], "{how:?}");
    }
}

#[test]
fn fatal_close_codes_stop_the_shard() {
    let now = Instant::now();
    for (code, fatal) in [
        (4_004, FatalGatewayError::InvalidToken),
        (4_010, FatalGatewayError::Closed(4_010)),
        (4_011, FatalGatewayError::Closed(4_011)),
        (4_012, FatalGatewayError::Closed(4_012)),
        (4_013, FatalGatewayError::Closed(4_013)),
        (4_014, FatalGatewayError::DisallowedIntents),
    ] {
        let mut machine = connected_machine(now);
        let ended = machine.on_disconnect(GatewayDisconnect::Closed(Some(code)), now, 0.5);
        assert_eq!(ended, Err(fatal));
    }
}

#[test]
fn an_invalid_session_leads_to_a_new_identify() {
    let now = Instant::now();
    for resumable in [true, false] {
        let mut machine = connected_machine(now);
        let said = machine.handle_input(ShardInput::InvalidSession { resumable }, now, 0.5);
        assert_eq!(said, [ShardAction::Disconnect]);
        assert_eq!(machine.needs_identify(), !resumable);
    }
    let mut machine = connected_machine(now);
    assert_eq!(
        machine.handle_input(ShardInput::Reconnect, now, 0.5),
        [ShardAction::Disconnect]
    );
    assert!(!machine.needs_identify());
}

#[test]
fn repeated_failed_resumes_end_in_a_new_session_at_the_default_url() {
    let now = Instant::now();
    let mut machine = connected_machine(now);
    disconnect_delay(&mut machine, GatewayDisconnect::ConnectionFailed, now);
    let mut addresses = Vec::new();
    while !machine.needs_identify() {
        addresses.push(machine.resume_url().map(str::to_owned));
        machine.on_socket_open(now);
        machine.handle_input(ShardInput::Hello(None), now, 0.5);
        disconnect_delay(&mut machine, GatewayDisconnect::ConnectionFailed, now);
        assert!(addresses.len() < 10);
    }
    let own = Some("wss://own".to_owned());
    assert_eq!(addresses, [own.clone(), own, None, None, None]);
}

#[test]
fn a_heartbeat_without_ack_disconnects() {
    let start = Instant::now();
    let mut machine = ShardStateMachine::new(start);
    machine.on_socket_open(start);
    machine.handle_input(ShardInput::Hello(Some(10 * SECOND)), start, 0.5);
    machine.handle_input(ready_input(), start, 0.5);
    machine.handle_input(ShardInput::Dispatch(Some(3)), start, 0.5);
    let mut now = machine.next_deadline(start);
    assert_eq!(now - start, 5 * SECOND);
    assert_eq!(
        machine.tick(now),
        [ShardAction::Send(GatewayCommand::Heartbeat(Some(3)))]
    );
    machine.handle_input(ShardInput::HeartbeatAck, now, 0.5);
    now = machine.next_deadline(now);
    assert_eq!(now - start, 15 * SECOND);
    assert_eq!(
        machine.tick(now),
        [ShardAction::Send(GatewayCommand::Heartbeat(Some(3)))]
    );
    // The gateway may request a heartbeat in between.
    let said = machine.handle_input(ShardInput::HeartbeatRequest, now, 0.5);
    assert_eq!(
        said,
        [ShardAction::Send(GatewayCommand::Heartbeat(Some(3)))]
    );
    now = machine.next_deadline(now);
    assert_eq!(machine.tick(now), [ShardAction::Disconnect]);
}

#[test]
fn hello_and_ready_time_out() {
    let start = Instant::now();
    let mut machine = ShardStateMachine::new(start);
    machine.on_socket_open(start);
    let due = machine.next_deadline(start);
    assert_eq!(due - start, 20 * SECOND);
    assert_eq!(machine.tick(due), [ShardAction::Disconnect]);
    machine.on_socket_open(start);
    machine.handle_input(ShardInput::Hello(Some(200 * SECOND)), start, 1.0);
    let due = machine.next_deadline(start);
    assert_eq!(due - start, 60 * SECOND);
    assert_eq!(machine.tick(due), [ShardAction::Disconnect]);
}

/// How the server behaves on one connection.
#[derive(Clone, Debug)]
enum GatewayBehavior {
    RefusesConnection,
    BreaksConnection,
    SendsHello { then: Box<Self> },
    EstablishesSession { lasts: u64, then: Box<Self> },
    Closes(u16),
    InvalidatesSession(bool),
    Reconnects,
    GoesSilent,
}

fn any_behavior() -> impl Strategy<Value = GatewayBehavior> {
    let end = prop_oneof![
        Just(GatewayBehavior::RefusesConnection),
        Just(GatewayBehavior::BreaksConnection),
        prop::sample::select(vec![1_000, 4_000, 4_001, 4_003, 4_006, 4_007, 4_008, 4_009])
            .prop_map(GatewayBehavior::Closes),
        any::<bool>().prop_map(GatewayBehavior::InvalidatesSession),
        Just(GatewayBehavior::Reconnects),
        Just(GatewayBehavior::GoesSilent),
    ];
    end.prop_recursive(3, 8, 1, |inner| {
        prop_oneof![
            inner.clone().prop_map(|then| GatewayBehavior::SendsHello {
                then: Box::new(then)
            }),
            (0..25_u64, inner).prop_map(|(lasts, then)| GatewayBehavior::EstablishesSession {
                lasts,
                then: Box::new(then)
            }),
        ]
    })
}

/// Plays one connection; returns when and how it was lost.
fn play_connection(
    machine: &mut ShardStateMachine,
    act: &GatewayBehavior,
    mut now: Instant,
) -> (Instant, GatewayDisconnect) {
    match act {
        GatewayBehavior::RefusesConnection | GatewayBehavior::BreaksConnection => {
            (now, GatewayDisconnect::ConnectionFailed)
        }
        GatewayBehavior::Closes(code) => (now, GatewayDisconnect::Closed(Some(*code))),
        GatewayBehavior::SendsHello { then } => {
            machine.handle_input(ShardInput::Hello(None), now, 0.5);
            play_connection(machine, then, now)
        }
        GatewayBehavior::EstablishesSession { lasts, then } => {
            machine.handle_input(ShardInput::Hello(None), now, 0.5);
            let entered = match machine.needs_identify() {
                true => ready_input(),
                false => ShardInput::Resumed,
            };
            machine.handle_input(entered, now, 0.5);
            play_connection(machine, then, now + Duration::from_secs(*lasts))
        }
        GatewayBehavior::InvalidatesSession(resumable) => {
            let heard = ShardInput::InvalidSession {
                resumable: *resumable,
            };
            assert_eq!(
                machine.handle_input(heard, now, 0.5),
                [ShardAction::Disconnect]
            );
            (now, GatewayDisconnect::ConnectionFailed)
        }
        GatewayBehavior::Reconnects => (now, GatewayDisconnect::ConnectionFailed),
        GatewayBehavior::GoesSilent => {
            for _ in 0..100 {
                now = machine.next_deadline(now);
                if machine.tick(now) == [ShardAction::Disconnect] {
                    return (now, GatewayDisconnect::ConnectionFailed);
                }
            }
            unreachable!("it waits without end");
        }
    }
}

proptest! {
    /// Whatever the server does, the shard reconnects, and never faster than the delays allow.
    #[test]
    fn reconnects_never_spin(acts in prop::collection::vec(any_behavior(), 1..40), chance in 0.0..1.0_f64) {
        let start = Instant::now();
        let mut now = start;
        let mut machine = connected_machine(now);
        let mut tries = Vec::new();
        for act in &acts {
            machine.on_socket_open(now);
            let (lost_at, lost) = play_connection(&mut machine, act, now);
            prop_assert_eq!(machine.on_disconnect(lost, lost_at, chance), Ok(()));
            prop_assert!(machine.next_attempt() >= lost_at);
            prop_assert!(machine.next_attempt() <= lost_at + Duration::from_secs(60));
            now = machine.next_attempt();
            tries.push(now);
        }
        // None of these connections lasts STABLE_AFTER, except silent ones, which take even longer
        // to time out.
        for window in tries.windows(10) {
            let took = *window.last().expect("ten") - window[0];
            prop_assert!(took >= Duration::from_secs(20), "{:?}", took);
        }
    }
}
