//! Files as people have them: from phones, from recorders that crashed, from programs that count
//! wrongly. Each against what ffmpeg makes of it.

use std::io::Write as _;
use std::time::{Duration, Instant};

use audio::{AudioError, AudioLimits, Decoder, Recording, analyze};
use proptest::prelude::*;
use tempfile::NamedTempFile;

use crate::audio_formats::{best_lag, decode, fixture, reference, samples_of, snr};

/// A file, the least signal-to-noise ratio against its reference in dB, and how many samples
/// longer or shorter it may be.
pub(crate) struct IrregularFile(pub(crate) &'static str, f64, u64);

pub(crate) const IRREGULAR_FILES: &[IrregularFile] = &[
    IrregularFile("data-zero.wav", 90.0, 1),
    IrregularFile("avaudiofile-crash.wav", 90.0, 1),
    IrregularFile("flutter-44.wav", 90.0, 1),
    IrregularFile("rf64.wav", 90.0, 1),
    IrregularFile("streamed.wav", 90.0, 1),
    // ffmpeg plays the padding of what has no end mark: a packet of 20 ms at most.
    IrregularFile("no-eos.ogg", 40.0, 320),
    // The upper half of the spectrum is missing.
    IrregularFile("he1-explicit.m4a", 30.0, 400),
    IrregularFile("amr-nb.amr", 30.0, 1),
    // ffmpeg plays the last packet whole, though the file says how long it is.
    IrregularFile("amr-nb.3gp", 30.0, 320),
    IrregularFile("wide.amr", 30.0, 1),
    IrregularFile("ipcm.mp4", 90.0, 1),
    IrregularFile("gsm.wav", 40.0, 1),
    // The last 100 Hz below half the rate are filtered otherwise.
    IrregularFile("mp3.wav", 24.0, 1),
    IrregularFile("mp3.avi", 24.0, 1),
    IrregularFile("mp3.mp4", 24.0, 320),
    IrregularFile("mulaw.mov", 90.0, 1),
    IrregularFile("ima4.mov", 25.0, 1),
    IrregularFile("ac3.mkv", 30.0, 1),
    IrregularFile("eac3.mp4", 40.0, 1),
    IrregularFile("ac3.ac3", 30.0, 1),
];

#[test]
fn odd_files_are_heard_as_ffmpeg_hears_them_and_without_a_false_notice() {
    let mut faults = Vec::new();
    for IrregularFile(name, least, most_longer) in IRREGULAR_FILES {
        let (got, decoder) = match decode(fixture(name)) {
            Ok(heard) => heard,
            Err(error) => {
                faults.push(format!("{name}: {error}"));
                continue;
            }
        };
        let expected = reference(name);
        let quality = snr(&got, &expected, 0);
        let longer = got.len() as i64 - expected.len() as i64;
        if quality < *least || longer.unsigned_abs() > *most_longer || decoder.is_truncated() {
            faults.push(format!(
                "{name}: {quality:.1} dB, best {} samples late, {longer} samples longer, \
                 truncated: {}",
                best_lag(&got, &expected),
                decoder.is_truncated()
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Two files behind one another, the second with two channels. ffmpeg leaves out up to two frames
/// where they meet.
#[test]
fn mp3_that_goes_on_with_other_channels_is_heard_to_its_end() {
    let (got, decoder) = decode(fixture("joined-channels.mp3")).expect("a recording");
    let expected = reference("joined-channels.mp3");
    let longer = got.len() - expected.len();
    assert!(longer <= 1_000, "{longer}");
    assert!(snr(&got[..24_000], &expected[..24_000], 0) > 40.0);
    let rest = 40_000;
    assert!(snr(&got[rest + longer..], &expected[rest..], 0) > 40.0);
    assert!(!decoder.is_truncated());
}

/// As long as both its parts, which have another rate and other channels.
#[test]
fn aac_that_goes_on_otherwise_is_heard_to_its_end() {
    let (got, decoder) = decode(fixture("joined.aac")).expect("a recording");
    let file = std::fs::read(fixture("joined.aac")).expect("a fixture");
    // The second part begins where a frame of another rate does: 48 kHz has number 3.
    let is_head = |it: &[u8]| it[0] == 0xFF && it[1] & 0xF6 == 0xF0 && it[2] >> 2 & 0xF == 3;
    let middle = file.windows(3).position(is_head).expect("a second part");
    let part = |bytes: &[u8]| decode(file_of(bytes).path()).expect("a part").0;
    let (first, second) = (part(&file[..middle]), part(&file[middle..]));
    assert!(first.len() > 26_000 && second.len() > 26_000);
    assert!(got == [first, second].concat());
    assert!(!decoder.is_truncated());
}

#[test]
fn flac_in_ogg_that_is_joined_is_heard_to_its_end() {
    let part = std::fs::read(fixture("flac.oga")).expect("a fixture");
    let joined = file_of(&[part.clone(), part].concat());
    let (got, decoder) = decode(joined.path()).expect("a recording");
    let once = samples_of("flac.oga");
    assert!(got == [once.clone(), once].concat(), "{}", got.len());
    assert!(!decoder.is_truncated());
}

pub(crate) fn file_of(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("written");
    file
}

/// When something is first to be heard, in seconds.
fn first_sound(samples: &[f32]) -> f64 {
    let first = samples.iter().position(|sample| sample.abs() > 1e-3);
    first.expect("some sound") as f64 / 16_000.0
}

#[test]
fn what_begins_late_is_heard_when_it_is_shown() {
    let (late, decoder) = decode(fixture("late.mp4")).expect("a recording");
    let pause = (4.978 * 16_000.0) as usize;
    let expected = reference("late.mp4");
    assert!(late[..pause].iter().all(|sample| sample.abs() < 1e-3));
    assert!(
        snr(&late, &expected, pause as i64) > 25.0,
        "{}",
        snr(&late, &expected, pause as i64)
    );
    assert!(!decoder.is_truncated());
    let (late, _) = decode(fixture("late.webm")).expect("a recording");
    let begins = first_sound(&late);
    assert!((2.95..3.05).contains(&begins), "{begins}");
}

#[tokio::test]
async fn of_two_sound_tracks_that_with_the_speech_is_heard() {
    for (name, seconds) in [("two-tracks.mp4", 1.776), ("two-tracks.mkv", 1.667)] {
        let recording = Recording::from_path(fixture(name));
        let survey = analyze(recording, AudioLimits::default(), |_| {}).await;
        let survey = survey.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(
            survey.speech_duration > Duration::from_millis(500),
            "{name}: {:?}",
            survey.speech_duration
        );
        let length = survey.clip.duration().as_secs_f64();
        assert!((length - seconds).abs() < 0.1, "{name}: {length}");
        // Whoever opens the clip's file again hears the same track.
        let kept = AudioLimits {
            max_in_memory: Duration::ZERO,
            ..AudioLimits::default()
        };
        let again = analyze(Recording::from_path(fixture(name)), kept.clone(), |_| {})
            .await
            .expect("speech");
        let mut blocks = audio::ClipReader::open(&again.clip, &kept).expect("open");
        let mut samples = Vec::new();
        while let Some(block) = blocks.next_block().expect("a block") {
            samples.extend_from_slice(block);
        }
        let heard = survey.clip.pcm().expect("a short one").samples();
        assert_eq!(samples.len(), heard.len(), "{name}");
        // It is kept with 16 bits a sample.
        let differs = |(one, other): (&f32, &f32)| (one - other).abs() > 1e-4;
        assert!(!samples.iter().zip(heard).any(differs), "{name}");
    }
}

#[test]
fn what_is_not_decoded_is_named() {
    for (name, codec) in [("speex.spx", "Speex"), ("wma.mkv", "WMA")] {
        match decode(fixture(name)) {
            Err(AudioError::UnsupportedCodec { codec: named }) => assert_eq!(named, codec),
            other => panic!("{name}: {:?}", other.map(|(samples, _)| samples.len())),
        }
    }
    let tagged = |tag: u16| {
        let mut wav = std::fs::read(fixture("s16.wav")).expect("a fixture");
        wav[20..22].copy_from_slice(&tag.to_le_bytes());
        decode(file_of(&wav).path()).map(drop)
    };
    for (tag, codec) in [(0x0022, "TrueSpeech"), (0x0161, "WMA"), (0x028F, "G.722")] {
        let error = tagged(tag).expect_err("not decoded");
        assert!(
            matches!(&error, AudioError::UnsupportedCodec { codec: named } if named == codec),
            "{error}"
        );
    }
    let mut renamed = std::fs::read(fixture("amr-nb.3gp")).expect("a fixture");
    let at = renamed
        .windows(4)
        .position(|it| it == b"samr")
        .expect("an entry");
    renamed[at..at + 4].copy_from_slice(b"sqcp");
    let error = decode(file_of(&renamed).path())
        .map(drop)
        .expect_err("not decoded");
    assert!(
        matches!(&error, AudioError::UnsupportedCodec { codec } if codec == "QCELP"),
        "{error}"
    );
    let error = decode(fixture("wma.wma"))
        .map(drop)
        .expect_err("not opened");
    assert!(
        matches!(&error, AudioError::UnsupportedFile { kind } if kind.contains("WMA")),
        "{error}"
    );
}

/// No block is longer than the longest packet or piece of silence, in samples.
const MAX_BLOCK: usize = 16_000 * 70;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Every container that is taken apart here, with bytes changed and cut: it ends, soon, and
    /// nothing falls over.
    #[test]
    fn changed_bytes_do_no_harm(
        which in 0..DEMUX_ONLY.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), any::<u8>()), 1..12),
        keep in 0.3..=1.0_f64,
    ) {
        let mut bytes = std::fs::read(fixture(DEMUX_ONLY[which])).expect("a fixture");
        let length = bytes.len();
        for (at, in_head, byte) in changes {
            // Heads are where the numbers are; those of MP4 files may lie at the end.
            let at = if in_head { at.index(length.min(400)) } else { length - 1 - at.index(length.min(2_000)) };
            bytes[at] = byte;
        }
        bytes.truncate((length as f64 * keep) as usize);
        let file = file_of(&bytes);
        let limits = AudioLimits { max_duration: Duration::from_secs(60), ..AudioLimits::default() };
        let begun = Instant::now();
        if let Ok(mut decoder) = Decoder::open(&Recording::from_path(file.path()), &limits) {
            while let Ok(Some(block)) = decoder.next_block() {
                prop_assert!(!block.is_empty() && block.len() <= MAX_BLOCK);
                prop_assert!(block.iter().all(|sample| sample.is_finite()));
            }
        }
        prop_assert!(begun.elapsed() < Duration::from_secs(30));
    }
}

/// A file of each container and codec that is not symphonia's.
const DEMUX_ONLY: &[&str] = &[
    "data-zero.wav",
    "rf64.wav",
    "gsm.wav",
    "mp3.wav",
    "mp3.avi",
    "amr-nb.amr",
    "wide.amr",
    "amr-nb.3gp",
    "ipcm.mp4",
    "ima4.mov",
    "late.mp4",
    "aac-fragmented.mp4",
    "two-tracks.mp4",
    "he1-explicit.m4a",
    "joined.aac",
    "no-eos.ogg",
    "ac3.mkv",
    "eac3.mp4",
    "ac3.ac3",
];

/// All fixtures that this file looks at.
pub(crate) fn checked_files() -> impl Iterator<Item = &'static str> {
    let others = [
        "late.webm",
        "two-tracks.mkv",
        "speex.spx",
        "wma.mkv",
        "wma.wma",
        "pcm24.mov",
    ];
    IRREGULAR_FILES
        .iter()
        .map(|odd| odd.0)
        .chain(DEMUX_ONLY.iter().copied())
        .chain(others)
}

#[test]
fn uncompressed_sound_of_a_film_is_what_went_in() {
    assert!(samples_of("pcm24.mov") == samples_of("s16.wav"));
}
