//! No packets means silence, and what follows is at the right position, whatever the timestamps do.

use super::*;

const PAUSE_TIMESTAMPS: [PauseTimestamps; 2] = [PauseTimestamps::Continue, PauseTimestamps::Freeze];

#[test]
fn a_pause_is_no_loss_and_has_its_length() {
    for habit in PAUSE_TIMESTAMPS {
        for pause in [700, 1_500, 60_000, 4 * 60 * 60 * 1_000] {
            let mut sender = FakeClient::new(habit);
            let words = &sample("meeting_a")[..50];
            sender.speak(words);
            sender.send_silence();
            sender.pause(millis(pause));
            sender.speak(words);
            sender.send_silence();
            let heard = receive_all(receiver_without_vad(), &sender.sent);
            assert_eq!(heard.stats.lost, 0, "{habit:?}, {pause} ms");
            let starts = heard.speech_starts();
            assert_eq!(starts.len(), 2, "{habit:?}, {pause} ms");
            assert_eq!(starts[0], millis(1_000));
            // Speech is detected in frames of 16 ms.
            let off = starts[1].abs_diff(millis(1_000 + 1_100 + pause));
            assert!(off < millis(16), "{habit:?}, {pause} ms: {starts:?}");
            // The second utterance is preceded by silence, as the pre-roll.
            let utterances = heard.utterances();
            assert_eq!(utterances.len(), 2);
            assert!(utterances[1].start + millis(300) <= starts[1]);
            let before = utterances[1].start.saturating_sub(utterances[0].end());
            assert!(before > millis(90));
        }
    }
}

#[test]
fn somebody_who_just_vanishes_is_heard_to_the_end() {
    for habit in PAUSE_TIMESTAMPS {
        let mut sender = FakeClient::new(habit);
        let words = &sample("capital")[..60];
        sender.speak(words);
        let gone = sender.now;
        let heard = receive_all(receiver_without_vad(), &sender.sent);
        let (when, _) = heard
            .events
            .iter()
            .find(|(_, event)| matches!(event, SpeakerEvent::Utterance(_)))
            .expect("an utterance");
        let late = *when - gone;
        assert!(late >= millis(600) && late <= millis(620), "{late:?}");
        let samples = heard.samples_from(millis(1_000));
        assert!(samples[..words.len() * 320] == decode_with_libopus(words));
    }
}

#[test]
fn positions_do_not_overflow_in_long_sessions() {
    for habit in PAUSE_TIMESTAMPS {
        // Two hours of push-to-talk over a jittery network, with a clock that is 100 ppm fast: 0.7
        // s in total.
        let mut dice = TestRng(7);
        let mut sender = FakeClient::new(habit);
        let words = &sample("meeting_a")[..20];
        let mut starts = Vec::new();
        while sender.now < Duration::from_secs(2 * 60 * 60) {
            starts.push(sender.now);
            sender.speak(words);
            sender.send_silence();
            sender.pause(millis(1_000 + dice.next() % 9_000));
        }
        for packet in &mut sender.sent {
            packet.received = packet.received.mul_f64(0.999_9) + millis(dice.next() % 40);
        }
        let heard = receive_all(receiver_without_vad(), &sender.sent);
        assert_eq!(heard.stats.lost, 0);
        assert_eq!(heard.speech_starts().len(), starts.len());
        for (start, truth) in heard.speech_starts().iter().zip(&starts) {
            let truth = truth.mul_f64(0.999_9);
            assert!(
                *start + millis(2) >= truth && *start <= truth + millis(60),
                "{habit:?}: {start:?} for {truth:?}"
            );
        }
        let track = speaker_track(heard.utterances(), sender.now);
        assert_eq!(track.duration(), sender.now);
    }
}

#[test]
fn a_microphone_that_is_always_on_is_kept_in_step() {
    // Ten minutes without a single pause in the packets, with a clock that is off by 0.1 %.
    for speed in [1.001, 0.999] {
        let word = &sample("capital")[20..60];
        let quiet = encode(&vec![0.0; 960 * 400], 960, 32_000);
        let mut sender = FakeClient::new(PauseTimestamps::Continue);
        let mut starts = Vec::new();
        for _ in 0..67 {
            starts.push(sender.now);
            sender.speak(word);
            sender.speak(&quiet);
        }
        for packet in &mut sender.sent {
            packet.received = packet.received.mul_f64(speed);
        }
        let heard = receive_all(
            SpeakerReceiver::with_vad(SpeakerReceiverSettings::default(), LoudnessVad)
                .expect("an ear"),
            &sender.sent,
        );
        assert_eq!(heard.speech_starts().len(), starts.len());
        for (start, truth) in heard.speech_starts().iter().zip(&starts) {
            let truth = truth.mul_f64(speed);
            // 60 ms, plus the drift during the 5 s until it is noticed.
            let off = start.abs_diff(truth);
            assert!(off <= millis(110), "{speed}: {start:?} for {truth:?}");
        }
        assert_eq!(heard.stats.lost, 0);
    }
}

/// Rates loud frames as speech.
struct LoudnessVad;

impl Vad for LoudnessVad {
    fn speech_probability(&mut self, frame: &[f32; FRAME_SAMPLES]) -> f32 {
        f32::from(u8::from(frame.iter().any(|sample| sample.abs() > 0.004)))
    }
}

#[test]
fn a_speaker_who_comes_back_begins_anew() {
    let words = &sample("meeting_a")[..50];
    for (sequence, timestamp) in [(7, 7), (30_000, 1 << 31), (65_000, 5), (400, 90_000)] {
        let mut sender = FakeClient::new(PauseTimestamps::Continue);
        sender.sequence = 50;
        sender.timestamp = 1_000;
        sender.speak(words);
        sender.pause(millis(3_000));
        (sender.sequence, sender.timestamp) = (sequence, timestamp);
        sender.speak(words);
        let heard = receive_all(receiver_without_vad(), &sender.sent);
        assert_eq!(heard.stats.lost_duration, Duration::ZERO, "{sequence}");
        assert_eq!(heard.stats.damaged, 0, "{sequence}");
        assert_eq!(
            heard.speech_starts(),
            [millis(1_000), millis(5_000)],
            "{sequence}"
        );
        assert_eq!(heard.stats.decoded, millis(2_000), "{sequence}");
    }
}

#[test]
fn receiver_works_after_finish() {
    let mut sender = FakeClient::new(PauseTimestamps::Continue);
    sender.speak(&sample("meeting_a")[..50]);
    let mut ear = receiver_without_vad();
    let mut events = Vec::new();
    for packet in &sender.sent {
        ear.push_packet(packet.clone());
        ear.advance(packet.received, &mut events);
    }
    ear.finish(millis(2_000), &mut events);
    assert!(matches!(events.last(), Some(SpeakerEvent::Utterance(_))));
    assert!(ear.next_deadline().is_none());
    sender.sent.clear();
    sender.sequence = 9_000;
    sender.pause(millis(5_000));
    sender.speak(&sample("meeting_a")[..50]);
    let heard = receive_all(ear, &sender.sent);
    assert_eq!(heard.speech_starts(), [millis(7_000)]);
    assert_eq!(heard.stats.received, 100);
    assert_eq!(heard.stats.lost, 0);
}
