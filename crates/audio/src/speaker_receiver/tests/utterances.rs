//! Utterances of real speech with the real detector.

use super::*;

/// An open microphone: noise of the room.
fn room_noise(milliseconds: u64) -> Vec<Bytes> {
    let mut rng = TestRng(milliseconds);
    let samples = usize::try_from(milliseconds * 48).expect("small");
    let noise: Vec<f32> = (0..samples).map(|_| rng.signed_unit() * 0.000_5).collect();
    encode(&noise, 960, 32_000)
}

/// A sample without the silence around its speech.
fn trimmed_sample(name: &str) -> Vec<Bytes> {
    let packets = sample(name);
    let samples = decode_with_libopus(&packets);
    let loud = |part: &[f32]| part.iter().any(|sample| sample.abs() > 0.02);
    let parts: Vec<bool> = samples.chunks(320).map(loud).collect();
    let first = parts.iter().position(|loud| *loud).expect("speech");
    let last = parts.iter().rposition(|loud| *loud).expect("speech");
    packets[first..=last].to_vec()
}

/// How long after `spoken` the first utterance was emitted.
fn latency(output: &ReceivedEvents, spoken: Duration) -> Duration {
    let (when, _) = output
        .events
        .iter()
        .find(|(_, event)| matches!(event, SpeakerEvent::Utterance(_)))
        .expect("an utterance");
    when.saturating_sub(spoken)
}

#[test]
fn each_sample_is_one_utterance() {
    for name in [
        "capital",
        "rust",
        "wake",
        "meeting_a",
        "meeting_b",
        "meeting_c",
        "numbers",
        "question",
    ] {
        for open_mic in [false, true] {
            let mut sender = FakeClient::new(PauseTimestamps::Continue);
            if open_mic {
                sender.speak(&room_noise(1_000));
            }
            let words = trimmed_sample(name);
            let begin = sender.now;
            sender.speak(&words);
            let end = sender.now;
            if open_mic {
                sender.speak(&room_noise(2_000));
            } else {
                sender.send_silence();
            }
            let output = receive_all(default_receiver(), &sender.sent);
            let utterances = output.utterances();
            let context: Vec<String> = utterances.iter().map(|one| format!("{one:?}")).collect();
            // One of the samples contains two sentences.
            let expected = 1 + usize::from(name == "question" && utterances.len() == 2);
            assert_eq!(
                utterances.len(),
                expected,
                "{name}, {open_mic}: {context:?}"
            );
            assert!(utterances[0].start <= begin, "{name}, {open_mic}");
            let last = utterances[expected - 1];
            assert!(last.end() >= end - millis(50), "{name}, {open_mic}");
            let off = last.speech_end().abs_diff(end);
            assert!(off <= millis(150), "{name}, {open_mic}: {off:?}");
            assert!(
                !last.is_cut && last.speech > millis(500),
                "{name}, {open_mic}"
            );
            println!(
                "{name}, {open_mic}: {:?} after the end",
                latency(&output, end).as_millis()
            );
        }
    }
}

#[test]
fn an_utterance_is_emitted_after_the_end_silence() {
    for open_mic in [false, true] {
        let mut sender = FakeClient::new(PauseTimestamps::Continue);
        sender.speak(&trimmed_sample("capital"));
        let end = sender.now;
        if open_mic {
            sender.speak(&room_noise(2_000));
        } else {
            sender.send_silence();
        }
        let output = receive_all(default_receiver(), &sender.sent);
        let late = latency(&output, end);
        assert!(late <= millis(640), "{open_mic}: {late:?}");
        assert!(late >= millis(450), "{open_mic}: {late:?}");
    }
}

#[test]
fn a_short_pause_continues_an_utterance_and_a_long_one_ends_it() {
    for (pause, expected) in [(400, 1), (800, 2)] {
        for timestamps in [PauseTimestamps::Continue, PauseTimestamps::Freeze] {
            let mut sender = FakeClient::new(timestamps);
            sender.speak(&trimmed_sample("capital"));
            sender.send_silence();
            sender.pause(millis(pause - 100));
            sender.speak(&trimmed_sample("meeting_c"));
            sender.send_silence();
            let output = receive_all(default_receiver(), &sender.sent);
            assert_eq!(
                output.utterances().len(),
                expected,
                "{pause}, {timestamps:?}"
            );
        }
        let mut sender = FakeClient::new(PauseTimestamps::Continue);
        sender.speak(&room_noise(1_000));
        sender.speak(&trimmed_sample("capital"));
        sender.speak(&room_noise(pause));
        sender.speak(&trimmed_sample("meeting_c"));
        sender.speak(&room_noise(1_000));
        let output = receive_all(default_receiver(), &sender.sent);
        assert_eq!(output.utterances().len(), expected, "{pause}, open_mic");
    }
}

#[test]
fn endless_speech_is_split_in_a_pause() {
    let mut sender = FakeClient::new(PauseTimestamps::Continue);
    for _ in 0..6 {
        for name in ["meeting_a", "meeting_b", "numbers"] {
            sender.speak(&trimmed_sample(name));
        }
    }
    let words: Vec<Bytes> = sender.sent.iter().map(|sent| sent.opus.clone()).collect();
    sender.send_silence();
    let output = receive_all(default_receiver(), &sender.sent);
    let utterances = output.utterances();
    assert!(utterances.len() >= 3);
    assert_eq!(output.speech_starts().len(), 1);
    let (last, cut) = utterances.split_last().expect("several");
    assert!(!last.is_cut);
    let samples = decode_with_libopus(&words);
    let loudness = |samples: &[f32]| samples.iter().map(|sample| sample * sample).sum::<f32>();
    let usual = loudness(&samples) / samples.len() as f32;
    for (one, next) in cut.iter().zip(&utterances[1..]) {
        assert!(one.is_cut && one.samples.len() <= 30 * 16_000);
        assert!(one.samples.len() >= 15 * 16_000);
        assert_eq!(one.end(), next.start, "nothing is twice or missing");
        let end = &one.samples[one.samples.len() - 800..];
        assert!(loudness(end) / 800.0 < usual / 20.0, "cut in a word");
    }
    let all = output.samples_from(millis(1_000));
    let length = all.len().min(samples.len());
    assert!(all[..length] == samples[..length]);
}

#[test]
fn coughs_clicks_typing_and_noise_are_dismissed() {
    let mut rng = TestRng(3);
    let mut noise = |milliseconds: usize, level: f32, falls: bool| -> Vec<f32> {
        let samples = milliseconds * 48;
        (0..samples)
            .map(|index| {
                let left = 1.0 - index as f32 / samples as f32;
                rng.signed_unit() * level * if falls { left * left } else { 1.0 }
            })
            .collect()
    };
    let silence = |milliseconds: usize| vec![0.0; milliseconds * 48];
    let typing =
        (0..20).flat_map(|key| [noise(15, 0.4, true), silence(110 + key * 17 % 90)].concat());
    let typing: Vec<f32> = typing.collect();
    let cases = [
        ("a cough", noise(110, 0.5, true)),
        ("a click", noise(4, 0.9, true)),
        ("typing", typing),
        ("a fan", noise(8_000, 0.05, false)),
        ("a vacuum cleaner", noise(8_000, 0.3, false)),
        (
            "mains hum",
            (0..48_000 * 5)
                .map(|at| (at as f32 * 100.0 * std::f32::consts::TAU / 48_000.0).sin() * 0.2)
                .collect(),
        ),
    ];
    for (name, sound) in cases {
        let signal = [silence(1_000), sound, silence(1_500)].concat();
        let mut sender = FakeClient::new(PauseTimestamps::Continue);
        sender.speak(&encode(&signal, 960, 64_000));
        let output = receive_all(default_receiver(), &sender.sent);
        assert_eq!(output.utterances().len(), 0, "{name}: {:?}", output.events);
        let dismissed = output.events.iter();
        let dismissed =
            dismissed.filter(|(_, event)| matches!(event, SpeakerEvent::Dismissed { .. }));
        assert_eq!(output.speech_starts().len(), dismissed.count(), "{name}");
    }
}

#[test]
fn streamed_samples_cover_the_utterance_and_a_little_more() {
    let mut sender = FakeClient::new(PauseTimestamps::Continue);
    sender.speak(&room_noise(1_000));
    sender.speak(&trimmed_sample("capital"));
    sender.speak(&room_noise(900));
    sender.speak(&trimmed_sample("wake"));
    sender.speak(&room_noise(1_000));
    let settings = SpeakerReceiverSettings {
        stream_audio: true,
        ..SpeakerReceiverSettings::default()
    };
    let output = receive_all(
        SpeakerReceiver::new(settings).expect("a receiver"),
        &sender.sent,
    );
    let (mut live, mut next, mut spoken) = (Vec::new(), None, 0);
    for (now, event) in &output.events {
        match event {
            SpeakerEvent::Audio { at, samples } => {
                let begin = live.is_empty();
                assert!(
                    begin || next == Some(*at),
                    "a hole or an overlap: {next:?}, {at:?}"
                );
                live.extend_from_slice(samples);
                let end = *at + samples_to_duration(samples.len() as u64);
                assert!(
                    begin || now.saturating_sub(end) <= millis(40),
                    "emitted too late"
                );
                next = Some(end);
            }
            SpeakerEvent::Utterance(utterance) => {
                // Its pre-roll may have been the end of the previous utterance.
                let begin = next.expect("samples") - samples_to_duration(live.len() as u64);
                let early = begin.saturating_sub(utterance.start);
                let rest = &utterance.samples[duration_to_samples(early) as usize..];
                assert!(early <= millis(300) && live[..rest.len()] == *rest);
                live.clear();
                spoken += 1;
            }
            _ => {}
        }
    }
    assert_eq!(spoken, 2);
}

/// Audio uploaded during an utterance must equal the utterance, even if it is split.
#[test]
fn aligned_streamed_samples_equal_the_utterance() {
    let mut sender = FakeClient::new(PauseTimestamps::Continue);
    sender.speak(&room_noise(1_000));
    sender.speak(&trimmed_sample("capital"));
    sender.speak(&room_noise(900));
    for _ in 0..6 {
        sender.speak(&trimmed_sample("wake"));
        sender.speak(&room_noise(100));
    }
    sender.speak(&room_noise(200));
    let settings = SpeakerReceiverSettings {
        stream_audio: true,
        align_to_utterances: true,
        max_utterance: millis(4_000),
        ..SpeakerReceiverSettings::default()
    };
    let output = receive_all(
        SpeakerReceiver::new(settings).expect("a receiver"),
        &sender.sent,
    );
    let (mut live, mut start, mut cut, mut pieces) = (Vec::new(), None, 0, 0);
    for (_, event) in &output.events {
        match event {
            SpeakerEvent::Audio { at, samples } => {
                start.get_or_insert(*at);
                pieces += 1;
                live.extend_from_slice(samples);
            }
            SpeakerEvent::Utterance(utterance) => {
                assert_eq!(start.take(), Some(utterance.start));
                assert!(live == utterance.samples, "{} {utterance:?}", live.len());
                live.clear();
                cut += usize::from(utterance.is_cut);
            }
            _ => {}
        }
    }
    assert!(cut > 0, "one of them was too long");
    assert!(pieces > 50, "streamed during speech");
    assert!(live.is_empty());
}
