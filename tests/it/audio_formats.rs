//! Every format there is a file of, against what ffmpeg decodes it to.
//!
//! The files and references are made by `tests/fixtures/make`.

use std::path::PathBuf;

use audio::{AudioError, AudioLimits, Decoder, Recording, analyze, samples_to_duration};

use crate::audio_irregular_files::checked_files;
use crate::ogg;

/// Of a file that does not match, a better match is looked for so many samples to either side,
/// to tell a wrong trimming from a wrong decoding.
const MAX_LAG_SAMPLES: i64 = 400;

/// How many samples longer or shorter a file may be than its reference: 26,666.3 samples are
/// 26,667 for us and 26,666 for ffmpeg.
const MAX_LENGTH_DIFFERENCE: u64 = 1;

/// A file, its reference, the least signal-to-noise ratio in dB.
pub(crate) struct FormatCase(pub(crate) &'static str, &'static str, f64);

pub(crate) const FORMAT_CASES: &[FormatCase] = &[
    FormatCase("opus-mono.ogg", "opus-mono.ogg", 37.0),
    FormatCase("opus-60ms.ogg", "opus-60ms.ogg", 35.0),
    FormatCase("opus-stereo.ogg", "opus-stereo.ogg", 27.0),
    FormatCase("opus-surround.ogg", "opus-surround.ogg", 40.0),
    FormatCase("opus.webm", "opus.webm", 36.0),
    FormatCase("opus.mkv", "opus.mkv", 36.0),
    FormatCase("opus.mp4", "opus.mp4", 36.0),
    FormatCase("vorbis-mono.ogg", "vorbis-mono.ogg", 38.0),
    FormatCase("vorbis-stereo.ogg", "vorbis-stereo.ogg", 38.0),
    FormatCase("vorbis.mkv", "vorbis.mkv", 38.0),
    FormatCase("mono.mp3", "mono.mp3", 38.0),
    FormatCase("stereo.mp3", "stereo.mp3", 38.0),
    FormatCase("mpeg2.mp3", "mpeg2.mp3", 38.0),
    FormatCase("mpeg25.mp3", "mpeg25.mp3", 38.0),
    FormatCase("bare.mp3", "bare.mp3", 38.0),
    FormatCase("aac.m4a", "aac.m4a", 38.0),
    FormatCase("aac-stereo.m4a", "aac-stereo.m4a", 38.0),
    FormatCase("aac-fragmented.mp4", "aac-fragmented.mp4", 38.0),
    FormatCase("aac.aac", "aac.aac", 38.0),
    FormatCase("video.mp4", "video.mp4", 38.0),
    FormatCase("alac.m4a", "second", 90.0),
    FormatCase("alac.caf", "second", 90.0),
    FormatCase("flac.oga", "second", 90.0),
    FormatCase("s16.flac", "second", 90.0),
    FormatCase("s16.wav", "second", 90.0),
    FormatCase("s24.wav", "second", 90.0),
    FormatCase("s32.wav", "second", 90.0),
    FormatCase("f32.wav", "second", 90.0),
    FormatCase("s16.aiff", "second", 90.0),
    FormatCase("s16.caf", "second", 90.0),
    FormatCase("u8.wav", "u8.wav", 90.0),
    FormatCase("mulaw.wav", "mulaw.wav", 90.0),
    FormatCase("alaw.wav", "alaw.wav", 90.0),
    FormatCase("adpcm-ima.wav", "adpcm-ima.wav", 90.0),
    FormatCase("adpcm-ms.wav", "adpcm-ms.wav", 90.0),
    FormatCase("rate-8000.flac", "rate-8000.flac", 38.0),
    FormatCase("rate-11025.flac", "rate-11025.flac", 38.0),
    FormatCase("rate-22050.flac", "rate-22050.flac", 38.0),
    FormatCase("rate-44100.flac", "rate-44100.flac", 38.0),
    FormatCase("rate-48000.flac", "rate-48000.flac", 38.0),
    FormatCase("rate-96000.flac", "rate-96000.flac", 38.0),
];

/// The path of a fixture.
pub(crate) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/audio")
        .join(name)
}

/// All samples of a file, with the decoder that gave them.
pub(crate) fn decode(path: impl Into<PathBuf>) -> Result<(Vec<f32>, Decoder), AudioError> {
    let recording = Recording::from_path(path);
    let mut decoder = Decoder::open(&recording, &AudioLimits::default())?;
    let mut samples = Vec::new();
    while let Some(block) = decoder.next_block()? {
        samples.extend_from_slice(block);
    }
    Ok((samples, decoder))
}

/// All samples of a fixture, with the decoder that gave them.
fn decoded(name: &str) -> (Vec<f32>, Decoder) {
    decode(fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub(crate) fn samples_of(name: &str) -> Vec<f32> {
    decoded(name).0
}

pub(crate) fn reference(name: &str) -> Vec<f32> {
    samples_of(&format!("reference/{name}.flac"))
}

/// The ratio of `expected` to what `got` differs by, in dB, when `got` is `lag` samples late.
pub(crate) fn snr(got: &[f32], expected: &[f32], lag: i64) -> f64 {
    let (mut signal, mut noise) = (1e-20, 1e-20);
    for (n, expected) in expected.iter().enumerate() {
        let at = n as i64 + lag;
        let Some(got) = usize::try_from(at).ok().and_then(|at| got.get(at)) else {
            continue;
        };
        signal += f64::from(*expected).powi(2);
        noise += f64::from(got - expected).powi(2);
    }
    10.0 * (signal / noise).log10()
}

/// By how many samples `got` is late, as far as one can hear.
pub(crate) fn best_lag(got: &[f32], expected: &[f32]) -> i64 {
    (-MAX_LAG_SAMPLES..=MAX_LAG_SAMPLES)
        .max_by(|a, b| snr(got, expected, *a).total_cmp(&snr(got, expected, *b)))
        .expect("lags")
}

#[test]
fn every_format_sounds_as_ffmpeg_decodes_it() {
    let mut faults = Vec::new();
    for FormatCase(name, reference_name, least) in FORMAT_CASES {
        let (got, decoder) = decoded(name);
        let expected = reference(reference_name);
        let quality = snr(&got, &expected, 0);
        let longer = got.len() as i64 - expected.len() as i64;
        let fine = quality >= *least
            && longer.unsigned_abs() <= MAX_LENGTH_DIFFERENCE
            && !decoder.is_truncated();
        if !fine {
            let lag = best_lag(&got, &expected);
            faults.push(format!(
                "{name}: {quality:.1} dB, best {lag} samples late, {longer} samples longer, \
                 truncated: {}",
                decoder.is_truncated()
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn there_is_no_fixture_that_nobody_looks_at() {
    let elsewhere = [
        "chained-opus.ogg",
        "chained-vorbis.ogg",
        "encrypted.mp4",
        "inverted.ogg",
        "joined-channels.mp3",
        "no-sound.mp4",
        "no-sound.webm",
        "quiet35.ogg",
        "reference",
    ];
    for entry in std::fs::read_dir(fixture("")).expect("the fixtures") {
        let name = entry.expect("an entry").file_name();
        let name = name.to_str().expect("a plain name");
        let known = elsewhere.contains(&name)
            || FORMAT_CASES.iter().any(|case| case.0 == name)
            || checked_files().any(|it| it == name);
        assert!(known, "{name}");
    }
}

#[test]
fn the_samples_of_lossless_files_are_those_that_went_in() {
    let mut wav = hound::WavReader::open(fixture("s16.wav")).expect("a WAV file");
    let expected: Vec<f32> = wav
        .samples::<i16>()
        .map(|sample| f32::from(sample.expect("a sample")) / 32_768.0)
        .collect();
    for name in [
        "s16.wav", "s24.wav", "s32.wav", "f32.wav", "s16.flac", "s16.aiff", "s16.caf", "alac.m4a",
        "alac.caf", "flac.oga",
    ] {
        assert!(samples_of(name) == expected, "{name}");
    }
}

/// The packets straight through libopus at 16 kHz, trimmed as RFC 7845 says.
fn decode_with_libopus(name: &str) -> Vec<f32> {
    let file = std::fs::read(fixture(name)).expect("a fixture");
    let (packets, position) = ogg::packets(&file);
    let pre_skip = u16::from_le_bytes([packets[0][10], packets[0][11]]);
    let mut decoder = opus2::Decoder::new(16_000, opus2::Channels::Mono).expect("a decoder");
    let mut samples = Vec::new();
    let mut block = [0.0; 16_000 * 120 / 1_000];
    for packet in &packets[2..] {
        let decoded = decoder
            .decode_float(packet, &mut block, false)
            .expect("a packet");
        samples.extend_from_slice(&block[..decoded]);
    }
    let kept = (position - u64::from(pre_skip)).div_ceil(3) as usize;
    samples.drain(..usize::from(pre_skip).div_ceil(3));
    samples.truncate(kept);
    samples
}

#[test]
fn opus_is_what_libopus_makes_of_it_bit_by_bit() {
    for name in ["opus-mono.ogg", "opus-60ms.ogg", "opus-stereo.ogg"] {
        let expected = decode_with_libopus(name);
        let got = samples_of(name);
        assert_eq!(got.len(), expected.len(), "{name}");
        assert!(got == expected, "{name}");
    }
}

#[test]
fn what_went_into_the_encoder_comes_out_whatever_the_container() {
    // 79,999 samples at 48 kHz.
    let expected = samples_of("opus.webm");
    assert_eq!(expected.len(), 26_667);
    for name in ["opus.mkv", "opus.mp4"] {
        assert!(samples_of(name) == expected, "{name}");
    }
    for name in [
        "opus-mono.ogg",
        "opus-60ms.ogg",
        "vorbis-mono.ogg",
        "mono.mp3",
        "aac.m4a",
        "video.mp4",
    ] {
        assert_eq!(samples_of(name).len(), 26_667, "{name}");
    }
}

#[test]
fn chained_streams_follow_one_another_to_the_sample() {
    for codec in ["opus", "vorbis"] {
        let first = samples_of(&format!("{codec}-mono.ogg"));
        let second = samples_of(&format!("{codec}-stereo.ogg"));
        let (both, decoder) = decoded(&format!("chained-{codec}.ogg"));
        assert_eq!(both.len(), first.len() + second.len(), "{codec}");
        assert!(both == [first, second].concat(), "{codec}");
        assert!(!decoder.is_truncated(), "{codec}");
    }
}

#[test]
fn container_and_codec_are_detected() {
    for (name, container, codec, rate, channels) in [
        ("opus-stereo.ogg", "ogg", "opus", 48_000, 2),
        ("opus-surround.ogg", "ogg", "opus", 48_000, 6),
        ("opus.webm", "matroska", "opus", 48_000, 1),
        ("vorbis-stereo.ogg", "ogg", "vorbis", 44_100, 2),
        ("mpeg2.mp3", "mp3", "mp3", 22_050, 1),
        ("video.mp4", "isomp4", "aac", 48_000, 1),
        ("alac.caf", "caf", "alac", 16_000, 1),
        ("s16.aiff", "aiff", "pcm_s16be", 16_000, 1),
        ("u8.wav", "wave", "pcm_u8", 16_000, 1),
        ("rate-96000.flac", "flac", "flac", 96_000, 1),
    ] {
        let (_, decoder) = decoded(name);
        let info = decoder.info();
        assert_eq!(
            (
                info.container,
                info.codec.as_str(),
                info.sample_rate,
                info.channels
            ),
            (container, codec, Some(rate), Some(channels)),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_survey_keeps_the_samples_and_tells_the_length() {
    for name in [
        "opus-mono.ogg",
        "aac.m4a",
        "vorbis.mkv",
        "mono.mp3",
        "s16.wav",
    ] {
        let recording = Recording::from_path(fixture(name));
        let expected = samples_of(name);
        let survey = analyze(recording, AudioLimits::default(), |_| {})
            .await
            .unwrap_or_else(|error: AudioError| panic!("{name}: {error}"));
        let pcm = survey.clip.pcm().expect("a short clip keeps its samples");
        assert!(pcm.samples() == expected, "{name}");
        assert_eq!(
            survey.clip.duration(),
            samples_to_duration(expected.len() as u64)
        );
        assert!(
            survey.speech_duration * 3 > survey.clip.duration(),
            "{name}: {:?}",
            survey.speech_duration
        );
        assert!(!survey.is_truncated, "{name}");
    }
}
