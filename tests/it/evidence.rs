//! Whether anybody speaks in a recording, and what of the recognizer's words is shown.

use audio::{AudioError, Limits, Pcm, Recording, survey};

use crate::audio_formats::fixture;
use crate::sounds;
use crate::support::{sample, with_keys};

const SECOND: usize = 16_000;

/// How many milliseconds of speech there are in samples, as a file with 16 bits; 0 if it is refused.
async fn speech(samples: &[f32]) -> u128 {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("it.wav");
    std::fs::write(&file, Pcm::from(samples.to_vec()).to_wav()).expect("written");
    match survey(Recording::from_path(file), Limits::default(), |_| {}).await {
        Ok(survey) => survey.speech.as_millis(),
        Err(AudioError::NoSpeech) => 0,
        Err(error) => panic!("{error}"),
    }
}

pub(crate) async fn samples_of(file: std::path::PathBuf) -> Vec<f32> {
    let survey = survey(Recording::from_path(file), Limits::default(), |_| {}).await;
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
async fn speech_is_found_however_loud_it_is() {
    for name in NAMES {
        let samples = samples_of(sample(&format!("{name}.ogg"))).await;
        let usual = speech(&samples).await;
        let noise = sounds::pink(SECOND, 7);
        for level in [-3.0, -30.0, -50.0, -55.0, -60.0, -66.0] {
            let at_level = sounds::at_level(&samples, level);
            let found = speech(&at_level).await;
            assert!(
                found * 10 > usual * 9,
                "{name} at {level}: {found} of {usual} ms"
            );
            let noisy = sounds::with_noise(&at_level, &noise, 10.0);
            let found = speech(&noisy).await;
            assert!(
                found * 10 > usual * 8,
                "{name} at {level} in noise: {found} of {usual} ms"
            );
        }
        // Whoever sits further away is heard after whoever is near.
        let near = sounds::at_level(&samples, -20.0);
        let far = sounds::at_level(&samples, -45.0);
        let both = speech(&[near, far].concat()).await;
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
        let samples = samples_of(sample(&format!("{name}.ogg"))).await;
        let loud = |part: &[f32]| sounds::level(part) > 0.02;
        let first = samples.chunks(160).position(loud).expect("speech") * 160;
        let word = &samples[first..first + 5_600];
        for gain in [0.0, -20.0, -40.0] {
            let alone = [
                vec![0.0; 8_000],
                sounds::louder(word, gain),
                vec![0.0; 8_000],
            ]
            .concat();
            assert!(speech(&alone).await >= 112, "{name}, {gain} dB");
        }
    }
}

#[tokio::test]
async fn hiss_hum_and_silence_are_none_at_any_level() {
    let length = 4 * SECOND;
    let mut cases = vec![
        ("white".to_owned(), sounds::white(length, 1)),
        ("pink".to_owned(), sounds::pink(length, 2)),
        ("brown".to_owned(), sounds::brown(length, 3)),
        ("a fan".to_owned(), sounds::fan(length, 4)),
    ];
    for pitch in [50.0, 60.0, 100.0, 120.0] {
        for harmonics in [1, 3, 8, 20, 40] {
            let hum = sounds::hum(length, pitch, harmonics);
            let noisy = sounds::with_noise(&hum, &sounds::pink(SECOND, 5), 15.0);
            cases.push((format!("hum {pitch} {harmonics}"), hum));
            cases.push((format!("hum and hiss {pitch} {harmonics}"), noisy));
        }
    }
    for (name, sound) in cases {
        for level in [-10.0, -40.0, -60.0, -80.0, -95.0] {
            let found = speech(&sounds::at_level(&sound, level)).await;
            assert_eq!(found, 0, "{name} at {level} dBFS");
        }
        let silence = vec![0.0; SECOND];
        let between = [silence.clone(), sounds::at_level(&sound, -50.0), silence].concat();
        assert_eq!(speech(&between).await, 0, "{name} out of silence");
    }
    assert_eq!(speech(&vec![0.0; length]).await, 0, "digital silence");
    let dither = sounds::at_level(&sounds::white(length, 9), -97.0);
    assert_eq!(speech(&dither).await, 0, "dither");
}

#[tokio::test]
async fn sounds_are_no_speech() {
    let length = 6 * SECOND;
    let cases = [
        ("a siren", sounds::siren(length, 500.0, 1_200.0, 4.0)),
        (
            "a yelping siren",
            sounds::siren(length, 500.0, 1_500.0, 0.4),
        ),
        ("two tones", sounds::two_tones(length)),
        ("a dog", sounds::barks(length, 1)),
        ("chords", sounds::chords(length)),
        ("beeps", sounds::beeps(length)),
        ("clicks", sounds::clicks(length, 1)),
    ];
    for (name, sound) in cases {
        for level in [-20.0, -45.0] {
            let found = speech(&sounds::at_level(&sound, level)).await;
            assert_eq!(found, 0, "{name} at {level} dBFS");
        }
    }
}

#[tokio::test]
async fn one_side_that_is_inverted_does_not_silence_the_other() {
    let inverted = samples_of(fixture("inverted.ogg")).await;
    let plain = samples_of(sample("capital.ogg")).await;
    let loss = sounds::level(&inverted) / sounds::level(&plain);
    assert!(loss > 0.4, "{loss}");
    let (found, usual) = (speech(&inverted).await, speech(&plain).await);
    assert!(found * 10 > usual * 9, "{found} of {usual} ms");
}

#[tokio::test]
async fn words_that_no_speech_carries_are_not_shown() {
    let (sandbox, talkback) = with_keys().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("it.wav");
    let shown = async |sound: &[f32], words: &str| {
        sandbox.assemblyai().hears(words);
        std::fs::write(&file, Pcm::from(sound.to_vec()).to_wav()).expect("written");
        let screen = talkback.run(&["transcribe", &file.to_string_lossy()]).await;
        (screen.out.trim().to_owned(), screen.code)
    };
    let siren = sounds::at_level(&sounds::siren(4 * SECOND, 500.0, 1_200.0, 4.0), -20.0);
    let barks = sounds::at_level(&sounds::barks(4 * SECOND, 2), -20.0);
    for (sound, words) in [(&siren, "Thank you."), (&barks, "Uh, uh.")] {
        let (out, code) = shown(sound, words).await;
        assert_eq!((out.as_str(), code), ("", Some(4)), "{words}");
    }
    // What sounds like a voice to everybody is known by what is made of it.
    let melody = samples_of(sample("question.ogg")).await;
    for words in ["♪", "Thank you.", "[Music]", "Uh."] {
        let (out, code) = shown(&melody, words).await;
        assert_eq!((out.as_str(), code), ("", Some(4)), "{words}");
    }
    let speech = samples_of(sample("capital.ogg")).await;
    let words = "What is the capital of France?";
    assert_eq!(shown(&speech, words).await, (words.to_owned(), Some(0)));
    let hey = samples_of(sample("wake.ogg")).await;
    let loud = |part: &[f32]| sounds::level(part) > 0.02;
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
