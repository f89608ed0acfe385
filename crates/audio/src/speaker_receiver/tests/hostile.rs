//! Whatever is sent, memory stays bounded and time does not run away.

use super::*;

/// Valid Opus packets of all lengths, and invalid ones.
fn hostile_packets() -> Vec<Bytes> {
    let mut rng = TestRng(11);
    let mut signal = Vec::new();
    signal.resize_with(5_760 * 4, || rng.signed_unit());
    let mut all = encode(&signal, 5_760, 64_000);
    all.extend(encode(&signal, 120, 256_000).into_iter().take(9));
    all.extend(sample("capital").into_iter().take(50));
    all.push(Bytes::from_static(SILENCE_PACKET));
    all.push(Bytes::new());
    all.push(Bytes::from_static(&[0xFF; 1]));
    for length in [1, 2, 50, 1_200, 60_000] {
        all.push((0..length).map(|_| rng.next() as u8).collect());
    }
    all
}

/// Twice the longest utterance, because vectors grow by doubling, plus packets.
const MAX_MEMORY_BYTES: usize = 2 * 30 * 16_000 * 4 + 1_000_000;

#[test]
fn memory_is_bounded() {
    let packets = hostile_packets();
    for seed in 0..12 {
        let mut rng = TestRng(seed);
        let mut receiver = default_receiver();
        let (mut now, mut sequence, mut timestamp) = (Duration::ZERO, 0_u16, 0_u32);
        let mut given = Duration::ZERO;
        for _ in 0..1_500 {
            match rng.next() % 24 {
                0 => sequence = rng.next() as u16,
                1 => timestamp = rng.next() as u32,
                2 => now += millis(rng.next() % 100_000),
                3 => sequence = sequence.wrapping_add((rng.next() % 4_000) as u16),
                4 => sequence = sequence.wrapping_sub((rng.next() % 40) as u16),
                5 => timestamp = timestamp.wrapping_add((rng.next() % 96_000) as u32),
                _ => {}
            }
            let opus = &packets[rng.next() as usize % packets.len()];
            receiver.push_packet(VoicePacket {
                sequence,
                timestamp,
                opus: opus.clone(),
                received: now,
            });
            sequence = sequence.wrapping_add(1);
            timestamp = timestamp.wrapping_add(PACKET_TICKS);
            now += Duration::from_micros(rng.next() % 30_000);
            let mut events = Vec::new();
            if seed % 2 == 0 || rng.next().is_multiple_of(50) {
                receiver.advance(now, &mut events);
            }
            given += check_events(&events, now);
            assert!(
                receiver.memory_bytes() <= MAX_MEMORY_BYTES,
                "{} bytes",
                receiver.memory_bytes()
            );
        }
        let mut events = Vec::new();
        receiver.finish(now, &mut events);
        given += check_events(&events, now);
        let stats = receiver.stats();
        assert!(given <= now + millis(5_000), "{given:?} in {now:?}");
        assert!(
            stats.lost_duration <= now + millis(2_000),
            "{stats:?} in {now:?}"
        );
        assert_eq!(stats.received, 1_500);
    }
}

/// Checks that utterances are bounded and not in the future; returns their total duration.
fn check_events(events: &[SpeakerEvent], now: Duration) -> Duration {
    let mut length = Duration::ZERO;
    for event in events {
        if let SpeakerEvent::Utterance(utterance) = event {
            assert!(utterance.samples.len() <= 30 * 16_000);
            assert!(
                utterance.end() <= now + millis(3_000),
                "{utterance:?} at {now:?}"
            );
            length += utterance.end() - utterance.start;
        }
    }
    length
}

#[test]
fn a_flood_is_rejected() {
    // 120 ms of audio per millisecond.
    let sound = &hostile_packets()[0];
    let mut sender = FakeClient::new(PauseTimestamps::Continue);
    sender.speak(&vec![sound.clone(); 5_000]);
    for (index, packet) in sender.sent.iter_mut().enumerate() {
        packet.timestamp = index as u32 * 5_760;
        packet.received = millis(1_000 + index as u64);
    }
    let output = receive_all(receiver_without_vad(), &sender.sent);
    // The 6 s that have passed, and 2.5 s that may be due to packets buffered elsewhere.
    assert!(output.stats.decoded <= millis(8_500), "{:?}", output.stats);
    let end = output.utterances().last().expect("an utterance").end();
    assert!(end <= millis(1_000 + 5_000 + 3_000), "{end:?}");
}

#[test]
fn a_stray_packet_of_another_stream_is_ignored() {
    let mut sender = FakeClient::new(PauseTimestamps::Continue);
    let words = sample("meeting_a");
    sender.speak(&words);
    let mut stray = sender.sent[100].clone();
    stray.sequence = stray.sequence.wrapping_add(20_000);
    stray.timestamp = 5;
    sender.sent.insert(101, stray);
    let output = receive_then_finish(receiver_without_vad(), &sender.sent);
    assert_eq!((output.stats.lost, output.stats.damaged), (0, 1));
    assert!(output.samples_from(millis(1_000)) == decode_with_libopus(&words));
}

#[test]
fn wild_timestamps_make_no_gigantic_gaps() {
    let mut sender = FakeClient::new(PauseTimestamps::Continue);
    sender.speak(&sample("meeting_a")[..200]);
    let mut rng = TestRng(5);
    for packet in &mut sender.sent {
        packet.timestamp = rng.next() as u32;
    }
    let output = receive_all(receiver_without_vad(), &sender.sent);
    assert_eq!(output.stats.decoded, millis(4_000));
    let end = output.utterances().last().expect("an utterance").end();
    assert!(end <= millis(1_000 + 4_000 + 600), "{end:?}");
}

#[test]
fn no_speech_is_printed() {
    let mut sender = FakeClient::new(PauseTimestamps::Continue);
    sender.speak(&sample("capital")[..50]);
    let output = receive_all(receiver_without_vad(), &sender.sent);
    let printed = format!(
        "{:?} {:?} {:?}",
        output.events,
        sender.sent[0],
        receiver_without_vad()
    );
    assert!(
        printed.contains("Utterance(696ms + 25856 samples"),
        "{printed}"
    );
    assert!(printed.len() < 500, "{printed}");
}
