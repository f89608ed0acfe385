//! No packets means silence, and what follows is at the right position, whatever the timestamps do.

use super::*;

const PAUSE_TIMESTAMPS: [PauseTimestamps; 2] = [PauseTimestamps::Continue, PauseTimestamps::Freeze];

#[test]
fn a_pause_is_not_a_loss_and_keeps_its_length() {
    for timestamps in PAUSE_TIMESTAMPS {
        for pause in [700, 1_500, 60_000, 4 * 60 * 60 * 1_000] {
            let mut sender = FakeClient::new(timestamps);
            let words = &sample("meeting_a")[..50];
            sender.speak(words);
            sender.send_silence();
            sender.pause(millis(pause));
            sender.speak(words);
            sender.send_silence();
            let output = receive_all(receiver_without_vad(), &sender.sent);
            assert_eq!(output.stats.lost, 0, "{timestamps:?}, {pause} ms");
            let starts = output.speech_starts();
            assert_eq!(starts.len(), 2, "{timestamps:?}, {pause} ms");
            assert_eq!(starts[0], millis(1_000));
            // Speech is detected in frames of 16 ms.
            let off = starts[1].abs_diff(millis(1_000 + 1_100 + pause));
            assert!(off < millis(16), "{timestamps:?}, {pause} ms: {starts:?}");
            // The second utterance is preceded by silence, as the pre-roll.
            let utterances = output.utterances();
            assert_eq!(utterances.len(), 2);
            assert!(utterances[1].start + millis(300) <= starts[1]);
            let before = utterances[1].start.saturating_sub(utterances[0].end());
            assert!(before > millis(90));
        }
    }
}

#[test]
fn an_utterance_ends_when_packets_stop_without_silence() {
    for timestamps in PAUSE_TIMESTAMPS {
        let mut sender = FakeClient::new(timestamps);
        let words = &sample("capital")[..60];
        sender.speak(words);
        let gone = sender.now;
        let output = receive_all(receiver_without_vad(), &sender.sent);
        let (when, _) = output
            .events
            .iter()
            .find(|(_, event)| matches!(event, SpeakerEvent::Utterance(_)))
            .expect("an utterance");
        let late = *when - gone;
        assert!(late >= millis(600) && late <= millis(620), "{late:?}");
        let samples = output.samples_from(millis(1_000));
        assert!(samples[..words.len() * 320] == decode_with_libopus(words));
    }
}

#[test]
fn positions_do_not_overflow_in_long_sessions() {
    for timestamps in PAUSE_TIMESTAMPS {
        // Two hours of push-to-talk over a jittery network, with a clock that is 100 ppm fast: 0.7
        // s in total.
        let mut rng = TestRng(7);
        let mut sender = FakeClient::new(timestamps);
        let words = &sample("meeting_a")[..20];
        let mut starts = Vec::new();
        while sender.now < Duration::from_secs(2 * 60 * 60) {
            starts.push(sender.now);
            sender.speak(words);
            sender.send_silence();
            sender.pause(millis(1_000 + rng.next() % 9_000));
        }
        for packet in &mut sender.sent {
            packet.received = packet.received.mul_f64(0.999_9) + millis(rng.next() % 40);
        }
        let output = receive_all(receiver_without_vad(), &sender.sent);
        assert_eq!(output.stats.lost, 0);
        assert_eq!(output.speech_starts().len(), starts.len());
        for (start, truth) in output.speech_starts().iter().zip(&starts) {
            let truth = truth.mul_f64(0.999_9);
            assert!(
                *start + millis(2) >= truth && *start <= truth + millis(60),
                "{timestamps:?}: {start:?} for {truth:?}"
            );
        }
        let track = speaker_track(output.utterances(), sender.now);
        assert_eq!(track.duration(), sender.now);
    }
}

#[test]
fn drift_of_an_open_microphone_is_corrected() {
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
        let output = receive_all(
            SpeakerReceiver::with_vad(SpeakerReceiverSettings::default(), LoudnessVad)
                .expect("a receiver"),
            &sender.sent,
        );
        assert_eq!(output.speech_starts().len(), starts.len());
        for (start, truth) in output.speech_starts().iter().zip(&starts) {
            let truth = truth.mul_f64(speed);
            // 60 ms, plus the drift during the 5 s until it is noticed.
            let off = start.abs_diff(truth);
            assert!(off <= millis(110), "{speed}: {start:?} for {truth:?}");
        }
        assert_eq!(output.stats.lost, 0);
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
fn a_returning_speaker_starts_a_new_stream() {
    let words = &sample("meeting_a")[..50];
    for (sequence, timestamp) in [(7, 7), (30_000, 1 << 31), (65_000, 5), (400, 90_000)] {
        let mut sender = FakeClient::new(PauseTimestamps::Continue);
        sender.sequence = 50;
        sender.timestamp = 1_000;
        sender.speak(words);
        sender.pause(millis(3_000));
        (sender.sequence, sender.timestamp) = (sequence, timestamp);
        sender.speak(words);
        let output = receive_all(receiver_without_vad(), &sender.sent);
        assert_eq!(output.stats.lost_duration, Duration::ZERO, "{sequence}");
        assert_eq!(output.stats.damaged, 0, "{sequence}");
        assert_eq!(
            output.speech_starts(),
            [millis(1_000), millis(5_000)],
            "{sequence}"
        );
        assert_eq!(output.stats.decoded, millis(2_000), "{sequence}");
    }
}

#[test]
fn receiver_works_after_finish() {
    let mut sender = FakeClient::new(PauseTimestamps::Continue);
    sender.speak(&sample("meeting_a")[..50]);
    let mut receiver = receiver_without_vad();
    let mut events = Vec::new();
    for packet in &sender.sent {
        receiver.push_packet(packet.clone());
        receiver.advance(packet.received, &mut events);
    }
    receiver.finish(millis(2_000), &mut events);
    assert!(matches!(events.last(), Some(SpeakerEvent::Utterance(_))));
    assert!(receiver.next_deadline().is_none());
    sender.sent.clear();
    sender.sequence = 9_000;
    sender.pause(millis(5_000));
    sender.speak(&sample("meeting_a")[..50]);
    let output = receive_all(receiver, &sender.sent);
    assert_eq!(output.speech_starts(), [millis(7_000)]);
    assert_eq!(output.stats.received, 100);
    assert_eq!(output.stats.lost, 0);
}
