//! Whatever is sent, little is kept, and time doesn't run away.

use super::*;

/// Packets that are Opus, of all lengths, and such that are not.
fn ammunition() -> Vec<Bytes> {
    let mut dice = Dice(11);
    let mut signal = Vec::new();
    signal.resize_with(5_760 * 4, || dice.noise());
    let mut all = encode(&signal, 5_760, 64_000);
    all.extend(encode(&signal, 120, 256_000).into_iter().take(9));
    all.extend(sample("capital").into_iter().take(50));
    all.push(Bytes::from_static(SILENCE));
    all.push(Bytes::new());
    all.push(Bytes::from_static(&[0xFF; 1]));
    for length in [1, 2, 50, 1_200, 60_000] {
        all.push((0..length).map(|_| dice.roll() as u8).collect());
    }
    all
}

/// Nobody holds more than the longest utterance twice (vectors grow by doubling), and packets.
const MOST: usize = 2 * 30 * 16_000 * 4 + 1_000_000;

#[test]
fn little_is_kept_of_anything() {
    let ammunition = ammunition();
    for seed in 0..12 {
        let mut dice = Dice(seed);
        let mut ear = real_ear();
        let (mut now, mut sequence, mut timestamp) = (Duration::ZERO, 0_u16, 0_u32);
        let mut given = Duration::ZERO;
        for _ in 0..1_500 {
            match dice.roll() % 24 {
                0 => sequence = dice.roll() as u16,
                1 => timestamp = dice.roll() as u32,
                2 => now += ms(dice.roll() % 100_000),
                3 => sequence = sequence.wrapping_add((dice.roll() % 4_000) as u16),
                4 => sequence = sequence.wrapping_sub((dice.roll() % 40) as u16),
                5 => timestamp = timestamp.wrapping_add((dice.roll() % 96_000) as u32),
                _ => {}
            }
            let opus = &ammunition[dice.roll() as usize % ammunition.len()];
            ear.hear(VoicePacket {
                sequence,
                timestamp,
                opus: opus.clone(),
                received: now,
            });
            sequence = sequence.wrapping_add(1);
            timestamp = timestamp.wrapping_add(TICKS);
            now += Duration::from_micros(dice.roll() % 30_000);
            let mut events = Vec::new();
            if seed % 2 == 0 || dice.roll().is_multiple_of(50) {
                ear.advance(now, &mut events);
            }
            given += check(&events, now);
            assert!(ear.held() <= MOST, "{} bytes", ear.held());
        }
        let mut events = Vec::new();
        ear.finish(now, &mut events);
        given += check(&events, now);
        let counts = ear.counts();
        assert!(given <= now + ms(5_000), "{given:?} in {now:?}");
        assert!(counts.lost_time <= now + ms(2_000), "{counts:?} in {now:?}");
        assert_eq!(counts.received, 1_500);
    }
}

/// Everything is bounded and in the past. Gives the length of the utterances.
fn check(events: &[EarEvent], now: Duration) -> Duration {
    let mut length = Duration::ZERO;
    for event in events {
        if let EarEvent::Utterance(utterance) = event {
            assert!(utterance.samples.len() <= 30 * 16_000);
            assert!(
                utterance.end() <= now + ms(3_000),
                "{utterance:?} at {now:?}"
            );
            length += utterance.end() - utterance.start;
        }
    }
    length
}

#[test]
fn a_flood_is_not_listened_to() {
    // 120 ms of sound in each millisecond.
    let sound = &ammunition()[0];
    let mut sender = Sender::new(Habit::GoOn);
    sender.speak(&vec![sound.clone(); 5_000]);
    for (index, packet) in sender.sent.iter_mut().enumerate() {
        packet.timestamp = index as u32 * 5_760;
        packet.received = ms(1_000 + index as u64);
    }
    let heard = listen(all_ears(), &sender.sent);
    // The 6 s that have passed, and the 2.5 s that may be owed to packets that waited.
    assert!(heard.counts.heard <= ms(8_500), "{:?}", heard.counts);
    let end = heard.utterances().last().expect("one").end();
    assert!(end <= ms(1_000 + 5_000 + 3_000), "{end:?}");
}

#[test]
fn one_packet_of_another_stream_disturbs_nobody() {
    let mut sender = Sender::new(Habit::GoOn);
    let words = sample("meeting_a");
    sender.speak(&words);
    let mut stray = sender.sent[100].clone();
    stray.sequence = stray.sequence.wrapping_add(20_000);
    stray.timestamp = 5;
    sender.sent.insert(101, stray);
    let heard = listen_and_leave(all_ears(), &sender.sent);
    assert_eq!((heard.counts.lost, heard.counts.damaged), (0, 1));
    assert!(heard.samples_from(ms(1_000)) == bare(&words));
}

#[test]
fn mad_timestamps_make_no_gigantic_gaps() {
    let mut sender = Sender::new(Habit::GoOn);
    sender.speak(&sample("meeting_a")[..200]);
    let mut dice = Dice(5);
    for packet in &mut sender.sent {
        packet.timestamp = dice.roll() as u32;
    }
    let heard = listen(all_ears(), &sender.sent);
    assert_eq!(heard.counts.heard, ms(4_000));
    let end = heard.utterances().last().expect("one").end();
    assert!(end <= ms(1_000 + 4_000 + 600), "{end:?}");
}

#[test]
fn no_speech_is_printed() {
    let mut sender = Sender::new(Habit::GoOn);
    sender.speak(&sample("capital")[..50]);
    let heard = listen(all_ears(), &sender.sent);
    let printed = format!("{:?} {:?} {:?}", heard.events, sender.sent[0], all_ears());
    assert!(
        printed.contains("Utterance(696ms + 25856 samples"),
        "{printed}"
    );
    assert!(printed.len() < 500, "{printed}");
}
