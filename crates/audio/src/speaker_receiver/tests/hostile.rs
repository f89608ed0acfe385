//! Whatever is sent, memory stays bounded and time does not run away.

use super::*;

/// Valid Opus packets of all lengths, and invalid ones.
fn hostile_packets() -> Vec<Bytes> {
    let mut dice = TestRng(11);
    let mut signal = Vec::new();
    signal.resize_with(5_760 * 4, || dice.signed_unit());
    let mut all = encode(&signal, 5_760, 64_000);
    all.extend(encode(&signal, 120, 256_000).into_iter().take(9));
    all.extend(sample("capital").into_iter().take(50));
    all.push(Bytes::from_static(SILENCE_PACKET));
    all.push(Bytes::new());
    all.push(Bytes::from_static(&[0xFF; 1]));
    for length in [1, 2, 50, 1_200, 60_000] {
        all.push((0..length).map(|_| dice.next() as u8).collect());
    }
    all
}

/// Twice the longest utterance, because vectors grow by doubling, plus packets.
const MAX_MEMORY_BYTES: usize = 2 * 30 * 16_000 * 4 + 1_000_000;

#[test]
fn memory_is_bounded() {
    let ammunition = hostile_packets();
    for seed in 0..12 {
        let mut dice = TestRng(seed);
        let mut ear = default_receiver();
        let (mut now, mut sequence, mut timestamp) = (Duration::ZERO, 0_u16, 0_u32);
        let mut given = Duration::ZERO;
        for _ in 0..1_500 {
            match dice.next() % 24 {
                0 => sequence = dice.next() as u16,
                1 => timestamp = dice.next() as u32,
                2 => now += millis(dice.next() % 100_000),
                3 => sequence = sequence.wrapping_add((dice.next() % 4_000) as u16),
                4 => sequence = sequence.wrapping_sub((dice.next() % 40) as u16),
                5 => timestamp = timestamp.wrapping_add((dice.next() % 96_000) as u32),
                _ => {}
            }
            let opus = &ammunition[dice.next() as usize % ammunition.len()];
            ear.push_packet(VoicePacket {
                sequence,
                timestamp,
                opus: opus.clone(),
                received: now,
            });
            sequence = sequence.wrapping_add(1);
            timestamp = timestamp.wrapping_add(PACKET_TICKS);
            now += Duration::from_micros(dice.next() % 30_000);
            let mut events = Vec::new();
            if seed % 2 == 0 || dice.next().is_multiple_of(50) {
                ear.advance(now, &mut events);
            }
            given += check_events(&events, now);
            assert!(
                ear.memory_bytes() <= MAX_MEMORY_BYTES,
                "{} bytes",
                ear.memory_bytes()
            );
        }
        let mut events = Vec::new();
        ear.finish(now, &mut events);
        given += check_events(&events, now);
        let counts = ear.stats();
        assert!(given <= now + millis(5_000), "{given:?} in {now:?}");
        assert!(
            counts.lost_duration <= now + millis(2_000),
            "{counts:?} in {now:?}"
        );
        assert_eq!(counts.received, 1_500);
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
fn a_flood_is_not_listened_to() {
    // 120 ms of audio per millisecond.
    let sound = &hostile_packets()[0];
    let mut sender = FakeClient::new(PauseTimestamps::Continue);
    sender.speak(&vec![sound.clone(); 5_000]);
    for (index, packet) in sender.sent.iter_mut().enumerate() {
        packet.timestamp = index as u32 * 5_760;
        packet.received = millis(1_000 + index as u64);
    }
    let heard = receive_all(receiver_without_vad(), &sender.sent);
    // The 6 s that have passed, and 2.5 s that may be due to packets buffered elsewhere.
    assert!(heard.stats.decoded <= millis(8_500), "{:?}", heard.stats);
    let end = heard.utterances().last().expect("one").end();
    assert!(end <= millis(1_000 + 5_000 + 3_000), "{end:?}");
}

#[test]
fn one_packet_of_another_stream_disturbs_nobody() {
    let mut sender = FakeClient::new(PauseTimestamps::Continue);
    let words = sample("meeting_a");
    sender.speak(&words);
    let mut stray = sender.sent[100].clone();
    stray.sequence = stray.sequence.wrapping_add(20_000);
    stray.timestamp = 5;
    sender.sent.insert(101, stray);
    let heard = receive_then_finish(receiver_without_vad(), &sender.sent);
    assert_eq!((heard.stats.lost, heard.stats.damaged), (0, 1));
    assert!(heard.samples_from(millis(1_000)) == decode_with_libopus(&words));
}

#[test]
fn wild_timestamps_make_no_gigantic_gaps() {
    let mut sender = FakeClient::new(PauseTimestamps::Continue);
    sender.speak(&sample("meeting_a")[..200]);
    let mut dice = TestRng(5);
    for packet in &mut sender.sent {
        packet.timestamp = dice.next() as u32;
    }
    let heard = receive_all(receiver_without_vad(), &sender.sent);
    assert_eq!(heard.stats.decoded, millis(4_000));
    let end = heard.utterances().last().expect("one").end();
    assert!(end <= millis(1_000 + 4_000 + 600), "{end:?}");
}

#[test]
fn no_speech_is_printed() {
    let mut sender = FakeClient::new(PauseTimestamps::Continue);
    sender.speak(&sample("capital")[..50]);
    let heard = receive_all(receiver_without_vad(), &sender.sent);
    let printed = format!(
        "{:?} {:?} {:?}",
        heard.events,
        sender.sent[0],
        receiver_without_vad()
    );
    assert!(
        printed.contains("Utterance(696ms + 25856 samples"),
        "{printed}"
    );
    assert!(printed.len() < 500, "{printed}");
}
