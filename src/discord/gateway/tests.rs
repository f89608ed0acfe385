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
    let actions = machine.handle_input(ShardInput::Hello(None), now, 0.5);
    assert_eq!(actions, [ShardAction::Send(GatewayCommand::Identify)]);
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
    let mut delays = vec![disconnect_delay(
        &mut machine,
        GatewayDisconnect::ConnectionFailed,
        now,
    )];
    for _ in 0..9 {
        machine.on_socket_open(now);
        delays.push(disconnect_delay(
            &mut machine,
            GatewayDisconnect::ConnectionFailed,
            now,
        ));
    }
    let seconds: Vec<u64> = delays.iter().map(Duration::as_secs).collect();
    assert_eq!(seconds, [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
    // A connection that lasts less than STABLE_AFTER does not reset the delay.
    for (lasts, delay) in [(10, 60), (40, 0)] {
        machine.on_socket_open(now);
        machine.handle_input(ShardInput::Hello(None), now, 0.5);
        machine.handle_input(ShardInput::Resumed, now, 0.5);
        machine.handle_input(ready_input(), now, 0.5);
        now += lasts * SECOND;
        assert_eq!(
            disconnect_delay(&mut machine, GatewayDisconnect::ConnectionFailed, now).as_secs(),
            delay
        );
    }
}

#[test]
fn a_session_is_resumed_as_long_as_possible() {
    let now = Instant::now();
    let resumable = [
        GatewayDisconnect::ConnectionFailed,
        GatewayDisconnect::Closed(None),
        GatewayDisconnect::Closed(Some(1_000)),
        GatewayDisconnect::Closed(Some(4_000)),
        GatewayDisconnect::Closed(Some(4_008)),
    ];
    let ending = [4_003, 4_006, 4_007, 4_009].map(|code| GatewayDisconnect::Closed(Some(code)));
    for (disconnect, is_kept) in resumable
        .iter()
        .map(|disconnect| (disconnect, true))
        .chain(ending.iter().map(|disconnect| (disconnect, false)))
    {
        let mut machine = connected_machine(now);
        machine.handle_input(ShardInput::Dispatch(Some(7)), now, 0.5);
        disconnect_delay(&mut machine, *disconnect, now);
        assert_eq!(machine.needs_identify(), !is_kept, "{disconnect:?}");
        assert_eq!(machine.resume_url(), is_kept.then_some("wss://own"));
        machine.on_socket_open(now);
        let actions = machine.handle_input(ShardInput::Hello(None), now, 0.5);
        let expected = match is_kept {
            true => GatewayCommand::Resume {
                session_id: "a".to_owned(),
                sequence: Some(7),
            },
            false => GatewayCommand::Identify,
        };
        assert_eq!(actions, [ShardAction::Send(expected)], "{disconnect:?}");
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
        let actions = machine.handle_input(ShardInput::InvalidSession { resumable }, now, 0.5);
        assert_eq!(actions, [ShardAction::Disconnect]);
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
    let mut urls = Vec::new();
    while !machine.needs_identify() {
        urls.push(machine.resume_url().map(str::to_owned));
        machine.on_socket_open(now);
        machine.handle_input(ShardInput::Hello(None), now, 0.5);
        disconnect_delay(&mut machine, GatewayDisconnect::ConnectionFailed, now);
        assert!(urls.len() < 10);
    }
    let resume_url = Some("wss://own".to_owned());
    assert_eq!(urls, [resume_url.clone(), resume_url, None, None, None]);
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
    let actions = machine.handle_input(ShardInput::HeartbeatRequest, now, 0.5);
    assert_eq!(
        actions,
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
    let deadline = machine.next_deadline(start);
    assert_eq!(deadline - start, 20 * SECOND);
    assert_eq!(machine.tick(deadline), [ShardAction::Disconnect]);
    machine.on_socket_open(start);
    machine.handle_input(ShardInput::Hello(Some(200 * SECOND)), start, 1.0);
    let deadline = machine.next_deadline(start);
    assert_eq!(deadline - start, 60 * SECOND);
    assert_eq!(machine.tick(deadline), [ShardAction::Disconnect]);
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
    behavior: &GatewayBehavior,
    mut now: Instant,
) -> (Instant, GatewayDisconnect) {
    match behavior {
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
            let input = match machine.needs_identify() {
                true => ready_input(),
                false => ShardInput::Resumed,
            };
            machine.handle_input(input, now, 0.5);
            play_connection(machine, then, now + Duration::from_secs(*lasts))
        }
        GatewayBehavior::InvalidatesSession(resumable) => {
            let input = ShardInput::InvalidSession {
                resumable: *resumable,
            };
            assert_eq!(
                machine.handle_input(input, now, 0.5),
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
            unreachable!("a silent connection never times out");
        }
    }
}

proptest! {
    /// Whatever the server does, the shard reconnects, and never faster than the delays allow.
    #[test]
    fn reconnects_never_spin(behaviors in prop::collection::vec(any_behavior(), 1..40), jitter in 0.0..1.0_f64) {
        let start = Instant::now();
        let mut now = start;
        let mut machine = connected_machine(now);
        let mut attempts = Vec::new();
        for behavior in &behaviors {
            machine.on_socket_open(now);
            let (lost_at, lost) = play_connection(&mut machine, behavior, now);
            prop_assert_eq!(machine.on_disconnect(lost, lost_at, jitter), Ok(()));
            prop_assert!(machine.next_attempt() >= lost_at);
            prop_assert!(machine.next_attempt() <= lost_at + Duration::from_secs(60));
            now = machine.next_attempt();
            attempts.push(now);
        }
        // None of these connections lasts STABLE_AFTER, except silent ones, which take even longer
        // to time out.
        for window in attempts.windows(10) {
            let took = *window.last().expect("ten attempts") - window[0];
            prop_assert!(took >= Duration::from_secs(20), "{:?}", took);
        }
    }
}
