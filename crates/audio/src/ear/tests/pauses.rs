//! Packets that stop are silence, and what follows is in its place, whatever timestamps do.

use super::*;

const HABITS: [Habit; 2] = [Habit::GoOn, Habit::StandStill];

#[test]
fn a_pause_is_no_loss_and_has_its_length() {
    for habit in HABITS {
        for pause in [700, 1_500, 60_000, 4 * 60 * 60 * 1_000] {
            let mut sender = Sender::new(habit);
            let words = &sample("meeting_a")[..50];
            sender.speak(words);
            sender.stop();
            sender.pause(ms(pause));
            sender.speak(words);
            sender.stop();
            let heard = listen(all_ears(), &sender.sent);
            assert_eq!(heard.counts.lost, 0, "{habit:?}, {pause} ms");
            let starts = heard.starts();
            assert_eq!(starts.len(), 2, "{habit:?}, {pause} ms");
            assert_eq!(starts[0], ms(1_000));
            // Judged in frames of 16 ms.
            let off = starts[1].abs_diff(ms(1_000 + 1_100 + pause));
            assert!(off < ms(16), "{habit:?}, {pause} ms: {starts:?}");
            // The second one has silence before it, as much as is kept of any sound.
            let utterances = heard.utterances();
            assert_eq!(utterances.len(), 2);
            assert!(utterances[1].start + ms(300) <= starts[1]);
            let before = utterances[1].start.saturating_sub(utterances[0].end());
            assert!(before > ms(90));
        }
    }
}

#[test]
fn somebody_who_just_vanishes_is_heard_to_the_end() {
    for habit in HABITS {
        let mut sender = Sender::new(habit);
        let words = &sample("capital")[..60];
        sender.speak(words);
        let gone = sender.now;
        let heard = listen(all_ears(), &sender.sent);
        let (when, _) = heard
            .events
            .iter()
            .find(|(_, event)| matches!(event, EarEvent::Utterance(_)))
            .expect("an utterance");
        let late = *when - gone;
        assert!(late >= ms(600) && late <= ms(620), "{late:?}");
        let samples = heard.samples_from(ms(1_000));
        assert!(samples[..words.len() * 320] == bare(words));
    }
}

#[test]
fn no_session_is_too_long_for_the_places() {
    for habit in HABITS {
        // Two hours of push-to-talk through an uneven network, with a clock that is 100 ppm
        // fast: 0.7 s in all.
        let mut dice = Dice(7);
        let mut sender = Sender::new(habit);
        let words = &sample("meeting_a")[..20];
        let mut starts = Vec::new();
        while sender.now < Duration::from_secs(2 * 60 * 60) {
            starts.push(sender.now);
            sender.speak(words);
            sender.stop();
            sender.pause(ms(1_000 + dice.roll() % 9_000));
        }
        for packet in &mut sender.sent {
            packet.received = packet.received.mul_f64(0.999_9) + ms(dice.roll() % 40);
        }
        let heard = listen(all_ears(), &sender.sent);
        assert_eq!(heard.counts.lost, 0);
        assert_eq!(heard.starts().len(), starts.len());
        for (start, truth) in heard.starts().iter().zip(&starts) {
            let truth = truth.mul_f64(0.999_9);
            assert!(
                *start + ms(2) >= truth && *start <= truth + ms(60),
                "{habit:?}: {start:?} for {truth:?}"
            );
        }
        let track = speaker_track(heard.utterances(), sender.now);
        assert_eq!(track.duration(), sender.now);
    }
}

#[test]
fn a_microphone_that_is_always_on_is_kept_in_step() {
    // Ten minutes without a single pause in the packets, the sender's clock off by 0.1 %.
    for speed in [1.001, 0.999] {
        let word = &sample("capital")[20..60];
        let quiet = encode(&vec![0.0; 960 * 400], 960, 32_000);
        let mut sender = Sender::new(Habit::GoOn);
        let mut starts = Vec::new();
        for _ in 0..67 {
            starts.push(sender.now);
            sender.speak(word);
            sender.speak(&quiet);
        }
        for packet in &mut sender.sent {
            packet.received = packet.received.mul_f64(speed);
        }
        let heard = listen(
            Ear::with_judge(EarSettings::default(), Loud).expect("an ear"),
            &sender.sent,
        );
        assert_eq!(heard.starts().len(), starts.len());
        for (start, truth) in heard.starts().iter().zip(&starts) {
            let truth = truth.mul_f64(speed);
            // 60 ms, and what the clock does in the 5 s until that is seen.
            let off = start.abs_diff(truth);
            assert!(off <= ms(110), "{speed}: {start:?} for {truth:?}");
        }
        assert_eq!(heard.counts.lost, 0);
    }
}

/// Takes loud for speech.
struct Loud;

impl Judge for Loud {
    fn judge(&mut self, frame: &[f32; FRAME_SAMPLES]) -> f32 {
        f32::from(u8::from(frame.iter().any(|sample| sample.abs() > 0.004)))
    }
}

#[test]
fn a_speaker_who_comes_back_begins_anew() {
    let words = &sample("meeting_a")[..50];
    for (sequence, timestamp) in [(7, 7), (30_000, 1 << 31), (65_000, 5), (400, 90_000)] {
        let mut sender = Sender::new(Habit::GoOn);
        sender.sequence = 50;
        sender.timestamp = 1_000;
        sender.speak(words);
        sender.pause(ms(3_000));
        (sender.sequence, sender.timestamp) = (sequence, timestamp);
        sender.speak(words);
        let heard = listen(all_ears(), &sender.sent);
        assert_eq!(heard.counts.lost_time, Duration::ZERO, "{sequence}");
        assert_eq!(heard.counts.damaged, 0, "{sequence}");
        assert_eq!(heard.starts(), [ms(1_000), ms(5_000)], "{sequence}");
        assert_eq!(heard.counts.heard, ms(2_000), "{sequence}");
    }
}

#[test]
fn an_ear_goes_on_after_its_end() {
    let mut sender = Sender::new(Habit::GoOn);
    sender.speak(&sample("meeting_a")[..50]);
    let mut ear = all_ears();
    let mut events = Vec::new();
    for packet in &sender.sent {
        ear.hear(packet.clone());
        ear.advance(packet.received, &mut events);
    }
    ear.finish(ms(2_000), &mut events);
    assert!(matches!(events.last(), Some(EarEvent::Utterance(_))));
    assert!(ear.due().is_none());
    sender.sent.clear();
    sender.sequence = 9_000;
    sender.pause(ms(5_000));
    sender.speak(&sample("meeting_a")[..50]);
    let heard = listen(ear, &sender.sent);
    assert_eq!(heard.starts(), [ms(7_000)]);
    assert_eq!(heard.counts.received, 100);
    assert_eq!(heard.counts.lost, 0);
}
