use proptest::prelude::*;

use super::*;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn connected_supervisor() -> Supervisor {
    connected_supervisor_with(DriverCapability::ReceivesOnly)
}

fn connected_supervisor_with(capability: DriverCapability) -> Supervisor {
    let mut supervisor = Supervisor::new(at(0), capability);
    assert_eq!(
        supervisor.handle_event(at(1), ConnectionEvent::Connected),
        SupervisorAction::Nothing
    );
    supervisor
}

#[test]
fn close_codes_lead_to_the_right_action() {
    for (code, immediately, later) in [
        (
            None,
            SupervisorAction::Nothing,
            SupervisorAction::RejoinChannel,
        ),
        (
            Some(4_006),
            SupervisorAction::Nothing,
            SupervisorAction::RejoinChannel,
        ),
        (
            Some(4_009),
            SupervisorAction::Nothing,
            SupervisorAction::RejoinChannel,
        ),
        (
            Some(4_014),
            SupervisorAction::Nothing,
            SupervisorAction::End(DisconnectCause::RemovedFromCall),
        ),
        (
            Some(4_022),
            SupervisorAction::Nothing,
            SupervisorAction::End(DisconnectCause::Refused(4_022)),
        ),
        (
            Some(4_017),
            SupervisorAction::End(DisconnectCause::Refused(4_017)),
            SupervisorAction::Nothing,
        ),
        (
            Some(4_021),
            SupervisorAction::End(DisconnectCause::Refused(4_021)),
            SupervisorAction::Nothing,
        ),
    ] {
        let mut supervisor = connected_supervisor();
        assert_eq!(
            supervisor.handle_event(at(10), ConnectionEvent::Disconnected(code)),
            immediately,
            "{code:?}"
        );
        assert_eq!(supervisor.advance(at(17)), later, "{code:?}");
    }
}

#[test]
fn stable_connection_rejoins_at_once() {
    let mut supervisor = connected_supervisor();
    assert_eq!(
        supervisor.handle_event(at(60), ConnectionEvent::Disconnected(Some(4_006))),
        SupervisorAction::RejoinChannel
    );
    assert_eq!(supervisor.interrupted_since(), Some(at(60)));
    supervisor.handle_event(at(61), ConnectionEvent::Connected);
    // Repeated disconnects back off.
    assert_eq!(
        supervisor.handle_event(at(62), ConnectionEvent::Disconnected(Some(4_006))),
        SupervisorAction::Nothing
    );
    assert_eq!(supervisor.advance(at(63)), SupervisorAction::RejoinChannel);
    assert_eq!(
        supervisor.handle_event(at(64), ConnectionEvent::ConnectFailed),
        SupervisorAction::Nothing
    );
}

#[test]
fn moved_bot_reconnects() {
    let mut supervisor = connected_supervisor();
    supervisor.handle_event(at(10), ConnectionEvent::Disconnected(Some(4_014)));
    assert_eq!(
        supervisor.handle_event(at(11), ConnectionEvent::ServerOrChannelChanged),
        SupervisorAction::Reconnect
    );
    assert_eq!(supervisor.interrupted_since(), Some(at(10)));
    supervisor.handle_event(at(12), ConnectionEvent::Connected);
    assert_eq!(supervisor.interrupted_since(), None);
}

#[test]
fn self_reconnecting_driver_is_not_interrupted_by_a_move() {
    let mut supervisor = connected_supervisor_with(DriverCapability::SelfReconnecting);
    assert_eq!(
        supervisor.handle_event(at(10), ConnectionEvent::ServerOrChannelChanged),
        SupervisorAction::Reconnect
    );
    assert_eq!(supervisor.interrupted_since(), None);
    // If the reconnect fails, the channel is joined again.
    assert_eq!(
        supervisor.handle_event(at(20), ConnectionEvent::ConnectFailed),
        SupervisorAction::Nothing
    );
    assert_eq!(supervisor.interrupted_since(), Some(at(20)));
    assert_eq!(supervisor.advance(at(21)), SupervisorAction::RejoinChannel);
}

#[test]
fn self_reconnecting_driver_is_left_alone_and_its_gap_recorded() {
    let mut supervisor = connected_supervisor_with(DriverCapability::SelfReconnecting);
    assert_eq!(
        supervisor.handle_event(at(12), ConnectionEvent::Interrupted(at(10))),
        SupervisorAction::Nothing
    );
    for second in 12..30 {
        supervisor.record_liveness(at(second));
        supervisor.handle_event(at(second), ConnectionEvent::SpeakingStarted);
        assert_eq!(supervisor.advance(at(second)), SupervisorAction::Nothing);
    }
    assert_eq!(supervisor.interrupted_since(), Some(at(10)));
    supervisor.handle_event(at(30), ConnectionEvent::Connected);
    assert_eq!(supervisor.interrupted_since(), None);
    // A driver that gives up reports it.
    supervisor.handle_event(at(42), ConnectionEvent::Interrupted(at(41)));
    assert_eq!(
        supervisor.handle_event(at(45), ConnectionEvent::Disconnected(None)),
        SupervisorAction::RejoinChannel
    );
    assert_eq!(supervisor.interrupted_since(), Some(at(41)));
}

#[test]
fn rejoining_member_forces_a_reconnect_only_for_some_drivers() {
    let rejoin = |capability| {
        connected_supervisor_with(capability).handle_event(at(10), ConnectionEvent::MemberRejoined)
    };
    assert_eq!(
        rejoin(DriverCapability::ReceivesOnly),
        SupervisorAction::Reconnect
    );
    assert_eq!(
        rejoin(DriverCapability::SelfReconnecting),
        SupervisorAction::Nothing
    );
}

#[test]
fn a_silent_driver_is_replaced() {
    let mut supervisor = connected_supervisor();
    supervisor.record_liveness(at(5));
    assert_eq!(supervisor.advance(at(7)), SupervisorAction::Nothing);
    assert_eq!(supervisor.advance(at(9)), SupervisorAction::ReplaceDriver);
    assert_eq!(supervisor.interrupted_since(), Some(at(5)));
    supervisor.handle_event(at(10), ConnectionEvent::Connected);
    assert_eq!(supervisor.interrupted_since(), None);
}

#[test]
fn speech_without_packets_reconnects_with_a_cooldown() {
    let mut supervisor = connected_supervisor();
    let mut reconnects = Vec::new();
    for second in 2..200 {
        supervisor.record_liveness(at(second));
        supervisor.handle_event(at(second), ConnectionEvent::SpeakingStarted);
        if supervisor.advance(at(second)) == SupervisorAction::Reconnect {
            reconnects.push(second);
            supervisor.handle_event(at(second), ConnectionEvent::Connected);
        }
    }
    assert_eq!(reconnects, [7, 67, 127, 187]);
}

#[test]
fn packets_clear_the_no_packets_timer() {
    let mut supervisor = connected_supervisor();
    for second in 2..60 {
        supervisor.record_liveness(at(second));
        supervisor.handle_event(at(second), ConnectionEvent::SpeakingStarted);
        supervisor.handle_event(at(second), ConnectionEvent::PacketReceived);
        assert_eq!(supervisor.advance(at(second)), SupervisorAction::Nothing);
    }
}

#[test]
fn reconnecting_gives_up_after_the_timeout() {
    let mut supervisor = connected_supervisor();
    supervisor.handle_event(at(10), ConnectionEvent::Disconnected(None));
    let mut tries = 0;
    let mut ended = None;
    for second in 10..1_000 {
        let action = supervisor.advance(at(second));
        assert!(
            matches!(
                action,
                SupervisorAction::RejoinChannel | SupervisorAction::Nothing
            ),
            "{action:?}"
        );
        if action == SupervisorAction::RejoinChannel {
            tries += 1;
            if let SupervisorAction::End(cause) =
                supervisor.handle_event(at(second), ConnectionEvent::ConnectFailed)
            {
                ended = Some((second, cause));
            }
        }
    }
    let (second, cause) = ended.expect("the supervisor gives up");
    assert_eq!(cause, DisconnectCause::Unreachable);
    assert!((310..360).contains(&second), "{second}");
    assert!((8..20).contains(&tries), "{tries}");
}

#[test]
fn immediate_disconnects_back_off() {
    for capability in [
        DriverCapability::ReceivesOnly,
        DriverCapability::SelfReconnecting,
    ] {
        let mut supervisor = connected_supervisor_with(capability);
        let mut tries = Vec::new();
        let mut ended = None;
        supervisor.handle_event(at(2), ConnectionEvent::Disconnected(None));
        for second in 2..1_000 {
            if supervisor.advance(at(second)) == SupervisorAction::RejoinChannel {
                tries.push(second);
                supervisor.handle_event(at(second), ConnectionEvent::Connected);
                if let SupervisorAction::End(cause) =
                    supervisor.handle_event(at(second), ConnectionEvent::Disconnected(None))
                {
                    ended = Some((second, cause));
                    break;
                }
            }
        }
        assert_eq!(tries[..6], [3, 5, 9, 17, 33, 63]);
        let (second, cause) = ended.expect("the supervisor gives up");
        assert_eq!(cause, DisconnectCause::Unreachable);
        assert!((300..350).contains(&second), "{second}");
    }
}

#[test]
fn only_a_stable_connection_resets_the_backoff() {
    let mut supervisor = connected_supervisor();
    for (lost, tried) in [(2, 3), (4, 6), (7, 11)] {
        assert_eq!(
            supervisor.handle_event(at(lost), ConnectionEvent::Disconnected(None)),
            SupervisorAction::Nothing
        );
        assert_eq!(
            supervisor.advance(at(tried)),
            SupervisorAction::RejoinChannel
        );
        supervisor.handle_event(at(tried), ConnectionEvent::Connected);
    }
    for second in 11..30 {
        supervisor.record_liveness(at(second));
        supervisor.advance(at(second));
    }
    assert_eq!(
        supervisor.handle_event(at(30), ConnectionEvent::Disconnected(None)),
        SupervisorAction::RejoinChannel
    );
    assert_eq!(
        supervisor.handle_event(at(31), ConnectionEvent::ConnectFailed),
        SupervisorAction::Nothing
    );
    assert_eq!(supervisor.advance(at(32)), SupervisorAction::RejoinChannel);
}

fn any_connection_events() -> impl Strategy<Value = Option<ConnectionEvent>> {
    prop_oneof![
        3 => Just(None),
        1 => Just(Some(ConnectionEvent::Connected)),
        1 => prop::option::of(3_990_u16..4_030).prop_map(|code| Some(ConnectionEvent::Disconnected(code))),
        1 => Just(Some(ConnectionEvent::ConnectFailed)),
        1 => Just(Some(ConnectionEvent::ServerOrChannelChanged)),
        1 => Just(Some(ConnectionEvent::SpeakingStarted)),
        1 => Just(Some(ConnectionEvent::PacketReceived)),
        1 => Just(Some(ConnectionEvent::MemberRejoined)),
        1 => (0_u64..600).prop_map(|since| Some(ConnectionEvent::Interrupted(at(since)))),
    ]
}

proptest! {
    #[test]
    fn supervisor_never_hangs(
        steps in prop::collection::vec((any_connection_events(), 0_u64..20), 0..60),
        capability in prop_oneof![Just(DriverCapability::ReceivesOnly), Just(DriverCapability::SelfReconnecting)],
    ) {
        let mut supervisor = Supervisor::new(at(0), capability);
        let mut now = 0;
        let mut over = false;
        for (event, pause) in steps {
            now += pause;
            let action = match event {
                Some(event) => supervisor.handle_event(at(now), event),
                None => supervisor.advance(at(now)),
            };
            // After the end, no more actions are returned.
            prop_assert!(!over || action == SupervisorAction::Nothing);
            over |= matches!(action, SupervisorAction::End(_));
        }
        // Without further events, it acts or ends; it never stays stuck.
        let mut acted = over;
        for second in 0..400 {
            acted |= supervisor.advance(at(now + second)) != SupervisorAction::Nothing;
        }
        prop_assert!(acted);
    }
}
