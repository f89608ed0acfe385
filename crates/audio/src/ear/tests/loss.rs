//! What never came is missed, counted, and keeps its place.

use proptest::prelude::*;

use super::*;

/// Several people's sentences without a pause, for it is about packets here.
fn talk() -> Vec<VoicePacket> {
    let mut sender = Sender::new(Habit::GoOn);
    for name in ["meeting_a", "meeting_b", "meeting_c", "numbers"] {
        sender.speak(&sample(name));
    }
    sender.sent
}

/// Leaves out packets, but not the first and the last, of which nobody could know.
fn without(sent: &[VoicePacket], lost: impl Fn(usize) -> bool) -> Vec<VoicePacket> {
    let last = sent.len() - 1;
    let kept = sent.iter().enumerate();
    kept.filter(|(index, _)| *index == 0 || *index == last || !lost(*index))
        .map(|(_, packet)| packet.clone())
        .collect()
}

#[test]
fn a_lossy_and_uneven_network_keeps_the_time() {
    let talk = talk();
    for percent in [0, 2, 10, 30] {
        let mut dice = Dice(percent);
        let lost: Vec<bool> = talk.iter().map(|_| dice.roll() % 100 < percent).collect();
        let mut sent = without(&talk, |index| lost[index]);
        for packet in &mut sent {
            packet.received += Duration::from_micros(dice.roll() % 60_000);
        }
        let heard = listen_and_leave(all_ears(), &sent);
        let counts = heard.counts;
        let gone = (talk.len() - sent.len()) as u64;
        let truth = ms(gone * 20);
        let off = counts.lost_time.abs_diff(truth);
        assert!(off <= truth / 100, "{percent} %: {counts:?}, {gone} gone");
        assert!(counts.lost >= gone && counts.lost - gone == counts.late);
        let start = heard.starts()[0];
        assert!(start.abs_diff(ms(1_000)) <= ms(60), "{start:?}");
        let samples = heard.samples_from(start);
        assert_eq!(samples.len(), talk.len() * 320, "{percent} %");
        let told: Duration = heard.lost().iter().map(|(_, length)| *length).sum();
        assert_eq!(told, counts.lost_time);
        let in_utterances: Duration = heard.utterances().iter().map(|one| one.lost).sum();
        assert_eq!(in_utterances, counts.lost_time);
        println!("{percent} %: {counts:?}");
    }
}

#[test]
fn a_short_gap_is_filled_with_a_guess_and_a_long_one_with_silence() {
    let talk = talk();
    let heard = listen_and_leave(
        all_ears(),
        &without(&talk, |index| (100..120).contains(&index)),
    );
    assert_eq!(heard.lost(), [(ms(3_000), ms(400))]);
    assert_eq!((heard.counts.lost, heard.counts.concealed), (20, 5));
    let samples = heard.samples_from(ms(1_000));
    let gap = &samples[100 * 320..120 * 320];
    assert!(gap[..1_600].iter().any(|sample| sample.abs() > 0.001));
    assert!(gap[1_600..].iter().all(|sample| *sample == 0.0));
    assert!(samples[..100 * 320] == bare(&sample("meeting_a"))[..100 * 320]);
}

#[test]
fn what_is_lost_is_as_long_as_its_timestamps_say() {
    let mut dice = Dice(1);
    let noise: Vec<f32> = (0..2_880 * 40).map(|_| dice.noise() * 0.2).collect();
    let packets = encode(&noise, 2_880, 32_000).into_iter().enumerate();
    let packets = packets.map(|(index, opus)| VoicePacket {
        sequence: index as u16,
        timestamp: index as u32 * 2_880,
        opus,
        received: ms(940 + 60 * (index as u64 + 1)),
    });
    let mut sent: Vec<VoicePacket> = packets.collect();
    sent.remove(20);
    let heard = listen_and_leave(all_ears(), &sent);
    assert_eq!(heard.counts.lost, 1);
    assert_eq!(heard.counts.lost_time, ms(60));
    assert_eq!(heard.samples_from(ms(940)).len(), 40 * 960);
}

#[test]
fn damaged_packets_are_missed_like_lost_ones() {
    let mut talk = talk();
    // A packet of three frames of the same length, whose bytes can't be divided by three.
    let broken = Bytes::from_static(&[0xFB, 0x03, 1]);
    assert!(bare(&[Bytes::from_static(SILENCE)]).len() == 320);
    for (index, bad) in [
        (50, Bytes::new()),
        (80, broken),
        (81, vec![0; 20_000].into()),
    ] {
        talk[index].opus = bad;
    }
    let heard = listen_and_leave(all_ears(), &talk);
    assert_eq!(heard.counts.damaged, 3);
    assert_eq!(heard.counts.lost, 0);
    assert_eq!(heard.counts.lost_time, ms(60));
    assert_eq!(heard.lost(), [(ms(2_000), ms(20)), (ms(2_600), ms(40))]);
    assert_eq!(heard.samples_from(ms(1_000)).len(), talk.len() * 320);
}

#[test]
fn packets_lost_around_a_pause_are_counted_and_not_guessed_in_the_wrong_place() {
    for habit in [Habit::GoOn, Habit::StandStill] {
        let mut sender = Sender::new(habit);
        sender.speak(&sample("meeting_a")[..100]);
        sender.stop();
        sender.pause(ms(3_000));
        sender.speak(&sample("meeting_a")[..100]);
        // The last two of silence and the first two of the next sentence.
        sender.sent.drain(103..107);
        let heard = listen_and_leave(all_ears(), &sender.sent);
        assert_eq!(heard.counts.lost, 4, "{habit:?}");
        assert_eq!(heard.counts.lost_time, ms(80));
        // 1 s, 100 packets, 3 of silence, 3 s, what was lost, and the third packet.
        let start = heard.starts()[1];
        let truth = ms(1_000 + 2_000 + 3_000 + 100 + 40);
        assert!(start.abs_diff(truth) <= ms(80), "{habit:?}: {start:?}");
    }
}

#[test]
fn a_long_outage_keeps_its_length() {
    let talk = talk();
    let heard = listen_and_leave(
        all_ears(),
        &without(&talk, |index| (50..550).contains(&index)),
    );
    assert_eq!(
        (heard.counts.lost, heard.counts.lost_time),
        (500, ms(10_000))
    );
    assert_eq!(heard.lost(), [(ms(2_000), ms(10_000))]);
    let end = heard.utterances().last().expect("one").end();
    assert_eq!(
        end,
        ms(1_000 + 20 * talk.len() as u64),
        "{:?}",
        heard.events
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_loss_keeps_the_time(
        lost in prop::collection::vec(any::<bool>(), 200),
        jitter in prop::collection::vec(0_u64..=40, 200),
    ) {
        let mut talk = talk();
        talk.truncate(200);
        for (packet, delay) in talk.iter_mut().zip(jitter) {
            packet.received += ms(delay);
        }
        let sent = without(&talk, |index| lost[index]);
        let heard = listen_and_leave(all_ears(), &sent);
        let gone = (talk.len() - sent.len()) as u64;
        prop_assert_eq!(heard.counts.lost, gone);
        prop_assert_eq!(heard.counts.lost_time, ms(20 * gone));
        let utterances = heard.utterances();
        let length = utterances[utterances.len() - 1].end() - heard.starts()[0];
        prop_assert_eq!(length, ms(20 * 200));
        let told: Duration = heard.lost().iter().map(|(_, length)| *length).sum();
        prop_assert_eq!(told, ms(20 * gone));
    }
}
