//! Lost packets are counted, and their time is kept.

use proptest::prelude::*;

use super::*;

/// Sentences of several speakers without a pause.
fn continuous_speech() -> Vec<VoicePacket> {
    let mut sender = FakeClient::new(PauseTimestamps::Continue);
    for name in ["meeting_a", "meeting_b", "meeting_c", "numbers"] {
        sender.speak(&sample(name));
    }
    sender.sent
}

/// Drops packets, except the first and last, whose loss cannot be detected.
fn drop_packets(sent: &[VoicePacket], lost: impl Fn(usize) -> bool) -> Vec<VoicePacket> {
    let last = sent.len() - 1;
    let kept = sent.iter().enumerate();
    kept.filter(|(index, _)| *index == 0 || *index == last || !lost(*index))
        .map(|(_, packet)| packet.clone())
        .collect()
}

#[test]
fn loss_and_jitter_keep_the_duration() {
    let talk = continuous_speech();
    for percent in [0, 2, 10, 30] {
        let mut rng = TestRng(percent);
        let lost: Vec<bool> = talk.iter().map(|_| rng.next() % 100 < percent).collect();
        let mut sent = drop_packets(&talk, |index| lost[index]);
        for packet in &mut sent {
            packet.received += Duration::from_micros(rng.next() % 60_000);
        }
        let output = receive_then_finish(receiver_without_vad(), &sent);
        let stats = output.stats;
        let gone = (talk.len() - sent.len()) as u64;
        let truth = millis(gone * 20);
        let off = stats.lost_duration.abs_diff(truth);
        assert!(off <= truth / 100, "{percent} %: {stats:?}, {gone} gone");
        assert!(stats.lost >= gone && stats.lost - gone == stats.late);
        let start = output.speech_starts()[0];
        assert!(start.abs_diff(millis(1_000)) <= millis(60), "{start:?}");
        let samples = output.samples_from(start);
        assert_eq!(samples.len(), talk.len() * 320, "{percent} %");
        let reported: Duration = output.losses().iter().map(|(_, length)| *length).sum();
        assert_eq!(reported, stats.lost_duration);
        let in_utterances: Duration = output.utterances().iter().map(|one| one.lost).sum();
        assert_eq!(in_utterances, stats.lost_duration);
        println!("{percent} %: {stats:?}");
    }
}

#[test]
fn a_short_gap_is_concealed_and_a_long_one_is_silent() {
    let talk = continuous_speech();
    let output = receive_then_finish(
        receiver_without_vad(),
        &drop_packets(&talk, |index| (100..120).contains(&index)),
    );
    assert_eq!(output.losses(), [(millis(3_000), millis(400))]);
    assert_eq!((output.stats.lost, output.stats.concealed), (20, 5));
    let samples = output.samples_from(millis(1_000));
    let gap = &samples[100 * 320..120 * 320];
    assert!(gap[..1_600].iter().any(|sample| sample.abs() > 0.001));
    assert!(gap[1_600..].iter().all(|sample| *sample == 0.0));
    assert!(samples[..100 * 320] == decode_with_libopus(&sample("meeting_a"))[..100 * 320]);
}

#[test]
fn a_loss_is_as_long_as_the_timestamps_say() {
    let mut rng = TestRng(1);
    let noise: Vec<f32> = (0..2_880 * 40).map(|_| rng.signed_unit() * 0.2).collect();
    let packets = encode(&noise, 2_880, 32_000).into_iter().enumerate();
    let packets = packets.map(|(index, opus)| VoicePacket {
        sequence: index as u16,
        timestamp: index as u32 * 2_880,
        opus,
        received: millis(940 + 60 * (index as u64 + 1)),
    });
    let mut sent: Vec<VoicePacket> = packets.collect();
    sent.remove(20);
    let output = receive_then_finish(receiver_without_vad(), &sent);
    assert_eq!(output.stats.lost, 1);
    assert_eq!(output.stats.lost_duration, millis(60));
    assert_eq!(output.samples_from(millis(940)).len(), 40 * 960);
}

#[test]
fn damaged_packets_count_as_missing() {
    let mut talk = continuous_speech();
    // A packet of three equally long frames whose size is not divisible by three.
    let broken = Bytes::from_static(&[0xFB, 0x03, 1]);
    assert!(decode_with_libopus(&[Bytes::from_static(SILENCE_PACKET)]).len() == 320);
    for (index, bad) in [
        (50, Bytes::new()),
        (80, broken),
        (81, vec![0; 20_000].into()),
    ] {
        talk[index].opus = bad;
    }
    let output = receive_then_finish(receiver_without_vad(), &talk);
    assert_eq!(output.stats.damaged, 3);
    assert_eq!(output.stats.lost, 0);
    assert_eq!(output.stats.lost_duration, millis(60));
    assert_eq!(
        output.losses(),
        [(millis(2_000), millis(20)), (millis(2_600), millis(40))]
    );
    assert_eq!(output.samples_from(millis(1_000)).len(), talk.len() * 320);
}

#[test]
fn packets_lost_around_a_pause_are_counted_and_placed() {
    for timestamps in [PauseTimestamps::Continue, PauseTimestamps::Freeze] {
        let mut sender = FakeClient::new(timestamps);
        sender.speak(&sample("meeting_a")[..100]);
        sender.send_silence();
        sender.pause(millis(3_000));
        sender.speak(&sample("meeting_a")[..100]);
        // The last two of silence and the first two of the next sentence.
        sender.sent.drain(103..107);
        let output = receive_then_finish(receiver_without_vad(), &sender.sent);
        assert_eq!(output.stats.lost, 4, "{timestamps:?}");
        assert_eq!(output.stats.lost_duration, millis(80));
        // 1 s, 100 packets, 3 of silence, 3 s pause, the lost packets, and the third packet.
        let start = output.speech_starts()[1];
        let truth = millis(1_000 + 2_000 + 3_000 + 100 + 40);
        assert!(
            start.abs_diff(truth) <= millis(80),
            "{timestamps:?}: {start:?}"
        );
    }
}

#[test]
fn a_long_outage_keeps_its_length() {
    let talk = continuous_speech();
    let output = receive_then_finish(
        receiver_without_vad(),
        &drop_packets(&talk, |index| (50..550).contains(&index)),
    );
    assert_eq!(
        (output.stats.lost, output.stats.lost_duration),
        (500, millis(10_000))
    );
    assert_eq!(output.losses(), [(millis(2_000), millis(10_000))]);
    let end = output.utterances().last().expect("an utterance").end();
    assert_eq!(
        end,
        millis(1_000 + 20 * talk.len() as u64),
        "{:?}",
        output.events
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_loss_keeps_the_duration(
        lost in prop::collection::vec(any::<bool>(), 200),
        jitter in prop::collection::vec(0_u64..=40, 200),
    ) {
        let mut talk = continuous_speech();
        talk.truncate(200);
        for (packet, delay) in talk.iter_mut().zip(jitter) {
            packet.received += millis(delay);
        }
        let sent = drop_packets(&talk, |index| lost[index]);
        let output = receive_then_finish(receiver_without_vad(), &sent);
        let gone = (talk.len() - sent.len()) as u64;
        prop_assert_eq!(output.stats.lost, gone);
        prop_assert_eq!(output.stats.lost_duration, millis(20 * gone));
        let utterances = output.utterances();
        let length = utterances[utterances.len() - 1].end() - output.speech_starts()[0];
        prop_assert_eq!(length, millis(20 * 200));
        let reported: Duration = output.losses().iter().map(|(_, length)| *length).sum();
        prop_assert_eq!(reported, millis(20 * gone));
    }
}
