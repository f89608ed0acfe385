//! Recordings that can't be used, or want too much: each gets its own answer, and none does harm.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use audio::{AudioAnalysis, AudioError, AudioLimits, Decoder, Recording, analyze};
use tempfile::NamedTempFile;

use crate::audio_formats::fixture;

/// One of each container and codec.
const FORMATS: &[&str] = &[
    "opus-stereo.ogg",
    "opus-surround.ogg",
    "chained-vorbis.ogg",
    "opus.webm",
    "opus.mkv",
    "vorbis.mkv",
    "mono.mp3",
    "bare.mp3",
    "aac.m4a",
    "aac-fragmented.mp4",
    "aac.aac",
    "opus.mp4",
    "video.mp4",
    "alac.m4a",
    "alac.caf",
    "s16.wav",
    "adpcm-ms.wav",
    "s16.aiff",
    "s16.flac",
    "encrypted.mp4",
    "gsm.wav",
    "mp3.avi",
    "amr-nb.amr",
    "amr-nb.3gp",
    "ipcm.mp4",
    "joined.aac",
    "ac3.mkv",
    "eac3.mp4",
];

fn fixture_bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).expect("a fixture")
}

fn temp_file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("written");
    file
}

/// Mono samples as a WAV file, 16-bit at 16 kHz.
fn wav(samples: impl IntoIterator<Item = f32>) -> NamedTempFile {
    let pcm = audio::Pcm::from(samples.into_iter().collect::<Vec<f32>>());
    temp_file(&pcm.to_wav())
}

/// The head of a WAV file, mono, 16-bit at 16 kHz, that announces so many bytes of samples.
fn wav_header(bytes: u32) -> Vec<u8> {
    let mut head = fixture_bytes("s16.wav")[..44].to_vec();
    assert_eq!(&head[36..40], b"data");
    head[4..8].copy_from_slice(&(bytes + 36).to_le_bytes());
    head[40..44].copy_from_slice(&bytes.to_le_bytes());
    head
}

async fn survey_of(
    path: impl AsRef<Path>,
    limits: &AudioLimits,
) -> Result<AudioAnalysis, AudioError> {
    let recording = Recording::from_path(path.as_ref());
    analyze(recording, limits.clone(), |_| {}).await
}

/// What a file is refused for.
async fn rejection(path: impl AsRef<Path>) -> AudioError {
    let path = path.as_ref();
    match survey_of(path, &AudioLimits::default()).await {
        Err(error) => error,
        Ok(survey) => panic!("{}: {survey:?}", path.display()),
    }
}

/// All samples, up to a minute, and whether the file is cut off.
fn decode(path: &Path) -> Result<(Vec<f32>, bool), AudioError> {
    let limits = AudioLimits {
        max_duration: Duration::from_secs(60),
        ..AudioLimits::default()
    };
    let mut decoder = Decoder::open(&Recording::from_path(path), &limits)?;
    let mut samples = Vec::new();
    while let Some(block) = decoder.next_block()? {
        samples.extend_from_slice(block);
    }
    Ok((samples, decoder.is_truncated()))
}

/// Numbers that look like chance and are the same each time (Knuth's MMIX generator).
struct SeededRng(u64);

impl SeededRng {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn next_below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }

    /// Between -1 and 1.
    fn sample(&mut self) -> f32 {
        self.next() as f32 / (1_u64 << 30) as f32 - 1.0
    }
}

#[tokio::test]
async fn what_is_no_file_is_told_apart() {
    let directory = tempfile::tempdir().expect("a directory");
    let missing = directory.path().join("missing.ogg");
    assert!(matches!(rejection(&missing).await, AudioError::NotFound));
    assert!(matches!(
        rejection(directory.path()).await,
        AudioError::Directory
    ));
    assert!(matches!(rejection(temp_file(b"")).await, AudioError::Empty));
    #[cfg(unix)]
    assert!(matches!(rejection("/dev/zero").await, AudioError::NotAudio));
}

#[tokio::test]
async fn what_is_no_audio_is_told_so() {
    let mut chance = SeededRng(1);
    let noise: Vec<u8> = (0..50_000).map(|_| chance.next() as u8).collect();
    for content in [
        b"x".to_vec(),
        b"What is the capital of France?\n".repeat(500),
        b"\x89PNG\r\n\x1a\n".repeat(500),
        vec![0; 30_000],
        vec![0xFF; 30_000],
        noise,
    ] {
        let error = rejection(temp_file(&content)).await;
        assert!(matches!(error, AudioError::NotAudio), "{error:?}");
    }
}

#[tokio::test]
async fn what_has_no_sound_we_can_decode_is_told_apart() {
    for name in ["no-sound.mp4", "no-sound.webm"] {
        let error = rejection(fixture(name)).await;
        assert!(
            matches!(error, AudioError::NoAudioTrack),
            "{name}: {error:?}"
        );
    }
    let error = rejection(fixture("speex.spx")).await;
    assert!(matches!(error, AudioError::UnsupportedCodec { codec } if codec == "Speex"));
    let error = rejection(fixture("encrypted.mp4")).await;
    assert!(matches!(error, AudioError::Encrypted), "{error:?}");
}

#[tokio::test]
async fn the_name_of_a_file_means_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, misnamed) in [
        ("opus-mono.ogg", "a.wav"),
        ("s16.wav", "b.mp3"),
        ("aac.m4a", "c"),
    ] {
        let path = directory.path().join(misnamed);
        std::fs::copy(fixture(name), &path).expect("copied");
        assert!(
            survey_of(&path, &AudioLimits::default()).await.is_ok(),
            "{misnamed}"
        );
    }
}

#[tokio::test]
async fn limits_are_enforced() {
    let video = fixture("video.mp4");
    let bytes = std::fs::metadata(&video).expect("a fixture").len();
    let limits = AudioLimits {
        bytes,
        max_tracks: 2,
        max_duration: Duration::from_millis(1_667),
        ..AudioLimits::default()
    };
    assert!(survey_of(&video, &limits).await.is_ok());

    let smaller = AudioLimits {
        bytes: bytes - 1,
        ..limits.clone()
    };
    let error = survey_of(&video, &smaller)
        .await
        .expect_err("too many bytes");
    assert!(matches!(error, AudioError::TooManyBytes { limit } if limit == bytes - 1));

    let fewer = AudioLimits {
        max_tracks: 1,
        ..limits
    };
    let error = survey_of(&video, &fewer)
        .await
        .expect_err("too many tracks");
    assert!(matches!(error, AudioError::TooManyTracks { limit: 1 }));

    let shorter = AudioLimits {
        max_duration: Duration::from_millis(1_666),
        ..AudioLimits::default()
    };
    for name in FORMATS.iter().filter(|name| **name != "encrypted.mp4") {
        let result = survey_of(fixture(name), &shorter).await;
        let long = !matches!(
            *name,
            "s16.wav" | "s16.aiff" | "s16.flac" | "alac.m4a" | "alac.caf" | "adpcm-ms.wav"
        );
        let refused = matches!(result, Err(AudioError::TooLong { .. }));
        assert_eq!(refused, long, "{name}: {result:?}");
    }
}

#[tokio::test]
async fn a_short_clip_keeps_its_samples_and_a_long_one_does_not() {
    for (kept, expected) in [(1_667, true), (1_666, false)] {
        let limits = AudioLimits {
            max_in_memory: Duration::from_millis(kept),
            ..AudioLimits::default()
        };
        let survey = survey_of(fixture("opus-mono.ogg"), &limits)
            .await
            .expect("speech");
        assert_eq!(survey.clip.pcm().is_some(), expected, "{kept} ms");
    }
}

#[tokio::test]
async fn what_is_too_short_for_a_word_is_refused() {
    let speech = decode(&fixture("opus-mono.ogg")).expect("speech").0;
    let error = rejection(wav(speech[8_000..9_279].iter().copied())).await;
    assert!(
        matches!(error, AudioError::TooShort { duration } if duration < Duration::from_millis(80)),
        "{error:?}"
    );
    let error = rejection(wav(std::iter::repeat_n(0.0, 1_280))).await;
    assert!(matches!(error, AudioError::NoSpeech), "{error:?}");
}

#[tokio::test]
async fn a_recording_of_nobody_costs_nothing() {
    let seconds = 5 * 16_000;
    let mut chance = SeededRng(2);
    let hum = (0..seconds).map(|n| {
        let turn = n as f32 * std::f32::consts::TAU / 16_000.0;
        0.2 * (50.0 * turn).sin() + 0.1 * (150.0 * turn).sin()
    });
    let mut noise = |level: f32| wav((0..seconds).map(|_| level * chance.sample()));
    let clicks = (0..seconds).map(|n| if n % 8_000 == 0 { 0.9 } else { 0.0 });
    for (what, file) in [
        ("silence", wav(std::iter::repeat_n(0.0, seconds))),
        ("hum", wav(hum)),
        ("soft noise", noise(0.003)),
        ("noise", noise(0.05)),
        ("loud noise", noise(0.3)),
        ("clicks", wav(clicks)),
    ] {
        let result = survey_of(file, &AudioLimits::default()).await;
        assert!(
            matches!(result, Err(AudioError::NoSpeech)),
            "{what}: {result:?}"
        );
    }
}

#[tokio::test]
async fn quiet_speech_is_not_silence() {
    let speech = decode(&fixture("opus-mono.ogg")).expect("speech").0;
    for level in [1.0, 0.1, 0.02] {
        let file = wav(speech.iter().map(|sample| sample * level));
        let result = survey_of(file, &AudioLimits::default()).await;
        assert!(result.is_ok(), "{level}: {result:?}");
    }
}

#[test]
fn a_file_that_is_cut_off_gives_what_it_has() {
    for name in FORMATS {
        let whole = fixture_bytes(name);
        let expected = decode(&fixture(name)).map_or(0, |(samples, _)| samples.len());
        for part in 1..16 {
            let cut = whole.len() * part / 16 + part % 3;
            let file = temp_file(&whole[..cut]);
            match decode(file.path()) {
                // Padding that was cut off is not known to be padding: a packet more at most.
                Ok((samples, _)) => assert!(
                    !samples.is_empty() && samples.len() <= expected + 2 * 1_920,
                    "{name} at {cut}: {} samples of {expected}",
                    samples.len()
                ),
                Err(
                    AudioError::Damaged { .. }
                    | AudioError::NotAudio
                    | AudioError::NoAudioTrack
                    | AudioError::UnsupportedCodec { .. }
                    | AudioError::Encrypted
                    // A head without any sound behind it is a proper file with nothing in it.
                    | AudioError::TooShort { .. },
                ) => {}
                Err(error) => panic!("{name} at {cut}: {error:?}"),
            }
        }
    }
}

#[test]
fn what_comes_before_the_cut_is_as_in_the_whole_file() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/numbers.ogg");
    let others = [
        "opus.webm",
        "opus.mkv",
        "s16.wav",
        "s16.flac",
        "bare.mp3",
        "aac.aac",
    ];
    for path in others.map(fixture).into_iter().chain([sample]) {
        let bytes = std::fs::read(&path).expect("a file");
        let (whole, truncated) = decode(&path).expect("a whole file");
        assert!(!truncated, "{}", path.display());
        let part = temp_file(&bytes[..bytes.len() * 3 / 4]);
        let (part, _) =
            decode(part.path()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        // Where a frame is cut off, the last samples know nothing of what follows.
        let same = part.len().saturating_sub(1_200);
        assert!(
            same > whole.len() / 2,
            "{}: {same} of {}",
            path.display(),
            whole.len()
        );
        assert!(part[..same] == whole[..same], "{}", path.display());
    }
}

#[test]
fn a_cut_off_file_is_told_so() {
    // MPEG audio has no length, and of MP4 the head tells where each packet is.
    for name in [
        "opus.webm",
        "opus.mkv",
        "vorbis.mkv",
        "s16.wav",
        "s16.flac",
        "opus-mono.ogg",
    ] {
        let bytes = fixture_bytes(name);
        let cut = temp_file(&bytes[..bytes.len() * 15 / 16]);
        match decode(cut.path()) {
            Ok((_, truncated)) => assert!(truncated, "{name}"),
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn damaged_files_do_no_harm() {
    let mut chance = SeededRng(3);
    for name in FORMATS {
        let whole = fixture_bytes(name);
        for round in 0..6 {
            let mut bytes = whole.clone();
            // Heads are where the numbers are.
            let reach = if round % 2 == 0 {
                bytes.len()
            } else {
                bytes.len().min(1_000)
            };
            for _ in 0..=round {
                let at = chance.next_below(reach);
                bytes[at] = chance.next() as u8;
            }
            let file = temp_file(&bytes);
            if let Ok((samples, _)) = decode(file.path()) {
                assert!(samples.iter().all(|sample| sample.is_finite()), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn a_small_file_that_claims_hours_is_as_long_as_its_samples() {
    let bytes = [
        &wav_header(0xFFFF_FF00)[..],
        &fixture_bytes("s16.wav")[44..],
    ]
    .concat();
    let survey = survey_of(temp_file(&bytes), &AudioLimits::default())
        .await
        .expect("speech");
    assert_eq!(
        survey.clip.pcm().map(|pcm| pcm.samples().len()),
        Some(16_001)
    );
}

/// `opus.mkv`, and behind it a packet that is to be played at `seconds`.
fn ogg_with_gap(seconds: u32) -> NamedTempFile {
    let mut bytes = fixture_bytes("opus.mkv");
    bytes.extend([0x1F, 0x43, 0xB6, 0x75, 0xFF]);
    bytes.extend([0xE7, 0x84]);
    bytes.extend((seconds * 1_000).to_be_bytes());
    bytes.extend([0xA3, 0x85, 0x81, 0, 0, 0x80, 0xF8]);
    temp_file(&bytes)
}

#[tokio::test]
async fn a_hole_is_silence_and_counts_as_time() {
    let survey = survey_of(ogg_with_gap(60), &AudioLimits::default())
        .await
        .expect("speech");
    let seconds = survey.clip.duration().as_secs_f64();
    assert!((59.9..60.1).contains(&seconds), "{seconds}");

    let limits = AudioLimits {
        max_duration: Duration::from_secs(600),
        ..AudioLimits::default()
    };
    let error = survey_of(ogg_with_gap(4_000_000), &limits)
        .await
        .expect_err("too long");
    assert!(matches!(error, AudioError::TooLong { .. }), "{error:?}");
}

#[tokio::test]
async fn the_work_ends_when_nobody_waits_for_it() {
    // Two hours of silence, as a hole in the file.
    let seconds = 2 * 60 * 60;
    let file = temp_file(&wav_header(seconds * 32_000));
    file.as_file()
        .set_len(44 + u64::from(seconds) * 32_000)
        .expect("room");

    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let recording = Recording::from_path(file.path());
    let work = analyze(recording, AudioLimits::default(), move |duration| {
        let _ = told.send(duration);
    });
    let mut work = Box::pin(work);
    tokio::select! {
        result = &mut work => panic!("{result:?}"),
        first = heard.recv() => assert!(first.is_some()),
    }
    drop(work);
    let mut last = Duration::ZERO;
    while let Some(duration) = heard.recv().await {
        last = duration;
    }
    assert!(
        last < Duration::from_secs(u64::from(seconds) / 2),
        "{last:?}"
    );
}
