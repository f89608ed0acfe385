//! Whether anybody speaks in a recording, and what of the recognizer's words is shown.

use audio::{AudioError, AudioLimits, Pcm, Recording, analyze};

use crate::audio_formats::fixture;
use crate::support::{sample_path, sandbox_with_keys};
use crate::synthetic_sounds;

const SAMPLES_PER_SECOND: usize = 16_000;

/// How many milliseconds of speech there are in samples, as a file with 16 bits; 0 if it is refused.
async fn speech_ms(samples: &[f32]) -> u128 {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("it.wav");
    std::fs::write(&file, Pcm::from(samples.to_vec()).to_wav()).expect("written");
    match analyze(Recording::from_path(file), AudioLimits::default(), |_| {}).await {
        Ok(survey) => survey.speech_duration.as_millis(),
        Err(AudioError::NoSpeech) => 0,
        Err(error) => panic!("{error}"),
    }
}

pub(crate) async fn samples_of(file: std::path::PathBuf) -> Vec<f32> {
    let survey = analyze(Recording::from_path(file), AudioLimits::default(), |_| {}).await;
    let clip = survey.expect("a recording").clip;
    clip.pcm().expect("a short one").samples().to_vec()
}

const NAMES: [&str; 8] = [
    "capital",
    "meeting_a",
    "meeting_b",
    "meeting_c",
    "numbers",
    "question",
    "rust",
    "wake",
];

#[tokio::test]
async fn speech_is_detected_at_any_level() {
    for name in NAMES {
        let samples = samples_of(sample_path(&format!("{name}.ogg"))).await;
        let usual = speech_ms(&samples).await;
        let noise = synthetic_sounds::pink_noise(SAMPLES_PER_SECOND, 7);
        for level in [-3.0, -30.0, -50.0, -55.0, -60.0, -66.0] {
            let at_level = synthetic_sounds::at_level(&samples, level);
            let found = speech_ms(&at_level).await;
            assert!(
                found * 10 > usual * 9,
                "{name} at {level}: {found} of {usual} ms"
            );
            let noisy = synthetic_sounds::mix_noise(&at_level, &noise, 10.0);
            let found = speech_ms(&noisy).await;
            assert!(
                found * 10 > usual * 8,
                "{name} at {level} in noise: {found} of {usual} ms"
            );
        }
        // Whoever sits further away is heard after whoever is near.
        let near = synthetic_sounds::at_level(&samples, -20.0);
        let far = synthetic_sounds::at_level(&samples, -45.0);
        let both = speech_ms(&[near, far].concat()).await;
        assert!(
            both * 10 > usual * 15,
            "{name}, near and far: {both} of twice {usual} ms"
        );
    }
}

#[tokio::test]
async fn a_short_word_is_speech() {
    // The first 0.3 s of what is said: "Hey", "I a(gree)", "What", "Could".
    for name in ["wake", "meeting_b", "capital", "rust"] {
        let samples = samples_of(sample_path(&format!("{name}.ogg"))).await;
        let loud = |part: &[f32]| synthetic_sounds::rms_level(part) > 0.02;
        let first = samples.chunks(160).position(loud).expect("speech") * 160;
        let word = &samples[first..first + 5_600];
        for gain in [0.0, -20.0, -40.0] {
            let alone = [
                vec![0.0; 8_000],
                synthetic_sounds::amplify(word, gain),
                vec![0.0; 8_000],
            ]
            .concat();
            assert!(speech_ms(&alone).await >= 112, "{name}, {gain} dB");
        }
    }
}

#[tokio::test]
async fn noise_and_silence_are_not_speech_at_any_level() {
    let length = 4 * SAMPLES_PER_SECOND;
    let mut cases = vec![
        ("white".to_owned(), synthetic_sounds::white_noise(length, 1)),
        ("pink".to_owned(), synthetic_sounds::pink_noise(length, 2)),
        ("brown".to_owned(), synthetic_sounds::brown_noise(length, 3)),
        ("a fan".to_owned(), synthetic_sounds::fan_noise(length, 4)),
    ];
    for pitch in [50.0, 60.0, 100.0, 120.0] {
        for harmonics in [1, 3, 8, 20, 40] {
            let hum = synthetic_sounds::hum(length, pitch, harmonics);
            let noisy = synthetic_sounds::mix_noise(
                &hum,
                &synthetic_sounds::pink_noise(SAMPLES_PER_SECOND, 5),
                15.0,
            );
            cases.push((format!("hum {pitch} {harmonics}"), hum));
            cases.push((format!("hum and hiss {pitch} {harmonics}"), noisy));
        }
    }
    for (name, sound) in cases {
        for level in [-10.0, -40.0, -60.0, -80.0, -95.0] {
            let found = speech_ms(&synthetic_sounds::at_level(&sound, level)).await;
            assert_eq!(found, 0, "{name} at {level} dBFS");
        }
        let silence = vec![0.0; SAMPLES_PER_SECOND];
        let between = [
            silence.clone(),
            synthetic_sounds::at_level(&sound, -50.0),
            silence,
        ]
        .concat();
        assert_eq!(speech_ms(&between).await, 0, "{name} out of silence");
    }
    assert_eq!(speech_ms(&vec![0.0; length]).await, 0, "digital silence");
    let dither = synthetic_sounds::at_level(&synthetic_sounds::white_noise(length, 9), -97.0);
    assert_eq!(speech_ms(&dither).await, 0, "dither");
}

#[tokio::test]
async fn synthetic_sounds_are_not_speech() {
    let length = 6 * SAMPLES_PER_SECOND;
    let cases = [
        (
            "a siren",
            synthetic_sounds::siren(length, 500.0, 1_200.0, 4.0),
        ),
        (
            "a yelping siren",
            synthetic_sounds::siren(length, 500.0, 1_500.0, 0.4),
        ),
        ("two tones", synthetic_sounds::two_tones(length)),
        ("a dog", synthetic_sounds::dog_barks(length, 1)),
        ("chords", synthetic_sounds::chords(length)),
        ("beeps", synthetic_sounds::beeps(length)),
        ("clicks", synthetic_sounds::clicks(length, 1)),
    ];
    for (name, sound) in cases {
        for level in [-20.0, -45.0] {
            let found = speech_ms(&synthetic_sounds::at_level(&sound, level)).await;
            assert_eq!(found, 0, "{name} at {level} dBFS");
        }
    }
}

#[tokio::test]
async fn one_side_that_is_inverted_does_not_silence_the_other() {
    let inverted = samples_of(fixture("inverted.ogg")).await;
    let plain = samples_of(sample_path("capital.ogg")).await;
    let loss = synthetic_sounds::rms_level(&inverted) / synthetic_sounds::rms_level(&plain);
    assert!(loss > 0.4, "{loss}");
    let (found, usual) = (speech_ms(&inverted).await, speech_ms(&plain).await);
    assert!(found * 10 > usual * 9, "{found} of {usual} ms");
}

#[tokio::test]
async fn words_that_no_speech_carries_are_not_shown() {
    let (sandbox, talkback) = sandbox_with_keys().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("it.wav");
    let shown = async |sound: &[f32], words: &str| {
        sandbox.assemblyai().set_transcript(words);
        std::fs::write(&file, Pcm::from(sound.to_vec()).to_wav()).expect("written");
        let screen = talkback.run(&["transcribe", &file.to_string_lossy()]).await;
        (screen.stdout.trim().to_owned(), screen.exit_code)
    };
    let siren = synthetic_sounds::at_level(
        &synthetic_sounds::siren(4 * SAMPLES_PER_SECOND, 500.0, 1_200.0, 4.0),
        -20.0,
    );
    let barks = synthetic_sounds::at_level(
        &synthetic_sounds::dog_barks(4 * SAMPLES_PER_SECOND, 2),
        -20.0,
    );
    for (sound, words) in [(&siren, "Thank you."), (&barks, "Uh, uh.")] {
        let (out, code) = shown(sound, words).await;
        assert_eq!((out.as_str(), code), ("", Some(4)), "{words}");
    }
    // What sounds like a voice to everybody is known by what is made of it.
    let melody = samples_of(sample_path("question.ogg")).await;
    for words in ["♪", "Thank you.", "[Music]", "Uh."] {
        let (out, code) = shown(&melody, words).await;
        assert_eq!((out.as_str(), code), ("", Some(4)), "{words}");
    }
    let speech = samples_of(sample_path("capital.ogg")).await;
    let words = "What is the capital of France?";
    assert_eq!(shown(&speech, words).await, (words.to_owned(), Some(0)));
    let hey = samples_of(sample_path("wake.ogg")).await;
    let loud = |part: &[f32]| synthetic_sounds::rms_level(part) > 0.02;
    let first = hey.chunks(160).position(loud).expect("speech") * 160;
    let word = [
        &vec![0.0; 6_000],
        &hey[first..first + 5_600],
        &vec![0.0; 6_000],
    ]
    .concat();
    for words in ["Yes.", "No.", "Hey."] {
        assert_eq!(shown(&word, words).await, (words.to_owned(), Some(0)));
    }
}
