use std::sync::mpsc::Receiver;

use bytes::Bytes;

use super::*;
use crate::flow::consent::ConsentRule;
use crate::store::NoticePosted;

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
    let consents = GuildConsents::default();
    consents.set_rule(ConsentRule::Notice);
    consents
}

/// An open input without a worker thread, and the channel it sends to.
fn unread_audio_input(clock: SessionClock) -> (AudioInput, Receiver<AudioCommand>) {
    let (sender, commands) = sync_channel(MAX_QUEUED_PACKETS + RESERVED_CONTROL_SLOTS);
    let audio_input = AudioInput {
        sender,
        open_since: Arc::default(),
        queued_packets: Arc::default(),
        consents: notice_rule_consents(),
        allowed_since: Arc::default(),
        drop_counters: Arc::default(),
        counts: SpeakerCountsReader::default(),
        clock,
    };
    audio_input.open(NoticePosted::for_test());
    (audio_input, commands)
}

#[test]
fn packets_from_before_consent_are_dropped() {
    let clock = SessionClock::starting_at(Duration::from_secs(100));
    let (audio_input, commands) = unread_audio_input(clock);
    audio_input.push_packets(packets(3, clock.elapsed()));
    audio_input.set_allowed(7, true);
    let (before, after) = (Duration::from_secs(99), Duration::from_secs(200));
    audio_input.push_packets(packets(2, before).chain(packets(1, after)));
    audio_input.set_allowed(7, true);
    audio_input.set_allowed(7, false);
    audio_input.push_packets(packets(1, after));
    assert!(matches!(commands.try_recv(), Ok(AudioCommand::Packets(events)) if events.len() == 1));
    assert!(matches!(
        commands.try_recv(),
        Ok(AudioCommand::DiscardSpeaker(7))
    ));
    assert!(commands.try_recv().is_err());
    assert_eq!(audio_input.dropped_packets().not_permitted, 6);
}

#[test]
fn packets_from_before_the_notice_are_dropped() {
    let clock = SessionClock::starting_at(Duration::from_secs(100));
    let (sender, _sounds) = sync_channel(MAX_QUEUED_PACKETS);
    let (audio_input, commands) = unread_audio_input(clock);
    let closed = AudioInput {
        sender,
        open_since: Arc::default(),
        ..audio_input.clone()
    };
    let later = Duration::from_secs(200);
    closed.set_allowed(7, true);
    closed.push_packets(packets(2, later));
    assert_eq!(closed.dropped_packets().not_permitted, 2);
    // Packets from before the notice are dropped even after it.
    closed.open(NoticePosted::for_test());
    closed.push_packets(packets(3, Duration::from_secs(99)));
    assert_eq!(closed.dropped_packets().not_permitted, 5);
    audio_input.push_packets(packets(1, later));
    audio_input.close();
    audio_input.push_packets(packets(4, later));
    assert_eq!(closed.dropped_packets().not_permitted, 9);
    assert!(matches!(commands.try_recv(), Ok(AudioCommand::Packets(events)) if events.len() == 1));
    assert!(commands.try_recv().is_err());
}

#[test]
fn queue_is_bounded_and_commands_always_fit() {
    let clock = SessionClock::starting_at(Duration::ZERO);
    let (audio_input, commands) = unread_audio_input(clock);
    audio_input.set_allowed(7, true);
    let later = Duration::from_secs(100);
    for _ in 0..9 {
        audio_input.push_packets(packets(1_000, later));
    }
    assert_eq!(
        audio_input.dropped_packets().overrun,
        9_000 - MAX_QUEUED_PACKETS as u64
    );
    for _ in 0..RESERVED_CONTROL_SLOTS {
        audio_input.finish_speaker(7);
    }
    assert_eq!(
        audio_input.dropped_packets().overrun,
        9_000 - MAX_QUEUED_PACKETS as u64
    );
    let waiting = commands.try_iter().map(|command| match command {
        AudioCommand::Packets(packets) => packets.len(),
        AudioCommand::FinishSpeaker(_) | AudioCommand::DiscardSpeaker(_) => 0,
    });
    assert_eq!(waiting.sum::<usize>(), MAX_QUEUED_PACKETS);
}

#[test]
fn large_packet_batches_are_all_received() {
    let clock = SessionClock::starting_at(Duration::from_secs(10));
    let (audio_input, mut events) = spawn_audio_worker(
        SpeakerReceiverSettings::default(),
        clock,
        notice_rule_consents(),
    )
    .expect("the thread starts");
    audio_input.open(NoticePosted::for_test());
    audio_input.set_allowed(7, true);
    let now = clock.elapsed();
    let batch = (0..1_000).map(|number| {
        let offset = Duration::from_millis(2) * u32::from(number);
        (7, packet(number, now + offset))
    });
    audio_input.push_packets(batch);
    audio_input.finish_speaker(7);
    let counts = audio_input.counts_reader();
    drop(audio_input);
    // The worker publishes its counts before it ends.
    while events.blocking_recv().is_some() {}
    let counts = counts.snapshot()[&7];
    assert_eq!(counts.received, 1_000);
    assert_eq!((counts.lost, counts.late), (0, 0));
}

#[test]
fn allowed_speakers_keep_their_place_in_a_full_call() {
    let (audio_input, commands) = unread_audio_input(SessionClock::starting_at(Duration::ZERO));
    for person in 0..MAX_SPEAKERS as u64 {
        audio_input.set_allowed(person, true);
    }
    audio_input.set_allowed(7, true);
    audio_input.set_allowed(1_000, true);
    assert!(audio_input.is_allowed(7) && !audio_input.is_allowed(1_000));
    assert!(commands.try_recv().is_err(), "no speaker is discarded");
}
