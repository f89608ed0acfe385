use bytes::Bytes;

use super::*;
use crate::flow::session::ConsentRule;

fn packet(number: u16, received: Duration) -> VoicePacket {
    VoicePacket {
        sequence: number,
        timestamp: u32::from(number) * 960,
        opus: Bytes::from_static(&[0xF8, 0xFF, 0xFE]),
        received,
    }
}

fn packets(count: u16, received: Duration) -> impl Iterator<Item = (u64, VoicePacket)> {
    (0..count).map(move |number| (7, packet(number, received)))
}

/// Consents under the notice rule: everybody may be heard who has not opted out.
fn notice_rule_consents() -> GuildConsents {
    let book = GuildConsents::default();
    book.set_rule(ConsentRule::Notice);
    book
}

/// An open input without a worker thread, and the channel it sends to.
fn unread_audio_input(clock: SessionClock) -> (AudioInput, Receiver<AudioCommand>) {
    let (sender, sounds) = sync_channel(MAX_QUEUED_PACKETS + RESERVED_CONTROL_SLOTS);
    let microphone = AudioInput {
        sender,
        open_since: Arc::default(),
        queued_packets: Arc::default(),
        consents: notice_rule_consents(),
        allowed_since: Arc::default(),
        drop_counters: Arc::default(),
        counts: SpeakerCountsReader::default(),
        clock,
    };
    microphone.open(NoticePosted::for_test());
    (microphone, sounds)
}

#[test]
fn instants_map_to_session_time() {
    let clock = SessionClock::starting_at(Duration::from_secs(100));
    let at = |instant| clock.elapsed_at(instant);
    assert_eq!(at(clock.origin), Duration::from_secs(100));
    let later = clock.origin + Duration::from_secs(3);
    assert_eq!(at(later), Duration::from_secs(103));
    if let Some(before) = clock.origin.checked_sub(Duration::from_secs(1)) {
        assert_eq!(at(before), Duration::from_secs(99));
    }
}

#[test]
fn packets_from_before_consent_are_dropped() {
    let clock = SessionClock::starting_at(Duration::from_secs(100));
    let (microphone, sounds) = unread_audio_input(clock);
    microphone.push_packets(packets(3, clock.elapsed()));
    microphone.set_allowed(7, true);
    let (before, after) = (Duration::from_secs(99), Duration::from_secs(200));
    microphone.push_packets(packets(2, before).chain(packets(1, after)));
    microphone.set_allowed(7, true);
    microphone.set_allowed(7, false);
    microphone.push_packets(packets(1, after));
    assert!(matches!(sounds.try_recv(), Ok(AudioCommand::Packets(heard)) if heard.len() == 1));
    assert!(matches!(
        sounds.try_recv(),
        Ok(AudioCommand::DiscardSpeaker(7))
    ));
    assert!(sounds.try_recv().is_err());
    assert_eq!(microphone.dropped_packets().not_permitted, 6);
}

#[test]
fn packets_from_before_the_notice_are_dropped() {
    let clock = SessionClock::starting_at(Duration::from_secs(100));
    let (sender, _sounds) = sync_channel(MAX_QUEUED_PACKETS);
    let (microphone, sounds) = unread_audio_input(clock);
    let shut = AudioInput {
        sender,
        open_since: Arc::default(),
        ..microphone.clone()
    };
    let later = Duration::from_secs(200);
    shut.set_allowed(7, true);
    shut.push_packets(packets(2, later));
    assert_eq!(shut.dropped_packets().not_permitted, 2);
    // Packets from before the notice are dropped even after it.
    shut.open(NoticePosted::for_test());
    shut.push_packets(packets(3, Duration::from_secs(99)));
    assert_eq!(shut.dropped_packets().not_permitted, 5);
    microphone.push_packets(packets(1, later));
    microphone.close();
    microphone.push_packets(packets(4, later));
    assert_eq!(shut.dropped_packets().not_permitted, 9);
    assert!(matches!(sounds.try_recv(), Ok(AudioCommand::Packets(heard)) if heard.len() == 1));
    assert!(sounds.try_recv().is_err());
}

#[test]
fn queue_is_bounded_and_commands_always_fit() {
    let clock = SessionClock::starting_at(Duration::ZERO);
    let (microphone, sounds) = unread_audio_input(clock);
    microphone.set_allowed(7, true);
    let later = Duration::from_secs(100);
    for _ in 0..9 {
        microphone.push_packets(packets(1_000, later));
    }
    assert_eq!(
        microphone.dropped_packets().overrun,
        9_000 - MAX_QUEUED_PACKETS as u64
    );
    for _ in 0..RESERVED_CONTROL_SLOTS {
        microphone.finish_speaker(7);
    }
    assert_eq!(
        microphone.dropped_packets().overrun,
        9_000 - MAX_QUEUED_PACKETS as u64
    );
    let waiting = sounds.try_iter().map(|sound| match sound {
        AudioCommand::Packets(packets) => packets.len(),
        AudioCommand::FinishSpeaker(_) | AudioCommand::DiscardSpeaker(_) => 0,
    });
    assert_eq!(waiting.sum::<usize>(), MAX_QUEUED_PACKETS);
}

#[test]
fn large_packet_batches_are_all_received() {
    let clock = SessionClock::starting_at(Duration::from_secs(10));
    let (microphone, mut heard) = spawn_audio_worker(
        SpeakerReceiverSettings::default(),
        clock,
        notice_rule_consents(),
    )
    .expect("a thread");
    microphone.open(NoticePosted::for_test());
    microphone.set_allowed(7, true);
    let now = clock.elapsed();
    let many = (0..1_000).map(|number| {
        let spoken = Duration::from_millis(2) * u32::from(number);
        (7, packet(number, now + spoken))
    });
    microphone.push_packets(many);
    microphone.finish_speaker(7);
    let counts = microphone.counts_reader();
    drop(microphone);
    // The worker publishes its counts before it ends.
    while heard.blocking_recv().is_some() {}
    let counts = counts.snapshot()[&7];
    assert_eq!(counts.received, 1_000);
    assert_eq!((counts.lost, counts.late), (0, 0));
}

#[test]
fn allowed_speakers_keep_their_place_in_a_full_call() {
    let (microphone, sounds) = unread_audio_input(SessionClock::starting_at(Duration::ZERO));
    for person in 0..MAX_SPEAKERS as u64 {
        microphone.set_allowed(person, true);
    }
    microphone.set_allowed(7, true);
    microphone.set_allowed(1_000, true);
    assert!(microphone.is_allowed(7) && !microphone.is_allowed(1_000));
    assert!(sounds.try_recv().is_err(), "nobody is forgotten");
}
