//! WAV files of every kind, and with every header that programs have been seen to write.

use tempfile::NamedTempFile;

use crate::audio_formats::{decode, fixture, samples_of};
use crate::audio_irregular_files::file_of;

/// The head of a WAV file, of any kind and with any sizes, and the samples of `s16.wav`.
fn build_wav(build: impl Fn(&[u8], &[u8]) -> Vec<u8>) -> NamedTempFile {
    let wav = std::fs::read(fixture("s16.wav")).expect("a fixture");
    assert_eq!(&wav[36..40], b"data");
    file_of(&build(&wav[20..36], &wav[44..]))
}

fn chunk(name: &[u8], content: &[u8]) -> Vec<u8> {
    [name, &(content.len() as u32).to_le_bytes(), content].concat()
}

fn riff(name: &[u8], size: u32, chunks: &[Vec<u8>]) -> Vec<u8> {
    [name, &size.to_le_bytes(), b"WAVE", &chunks.concat()].concat()
}

#[test]
fn no_header_of_a_wav_file_keeps_its_samples_from_being_heard() {
    let expected = samples_of("s16.wav");
    let sized = |size: u32, samples: &[u8]| [b"data", &size.to_le_bytes()[..], samples].concat();
    let guid = |name: &[u8; 4], rest: &[u8; 12], content: &[u8]| {
        let size = content.len() as u64 + 24;
        let padding = vec![0; (8 - content.len() % 8) % 8];
        [&name[..], rest, &size.to_le_bytes(), content, &padding].concat()
    };
    const REST: &[u8; 12] = b"\xF3\xAC\xD3\x11\x8C\xD1\x00\xC0\x4F\x8E\xDB\x8A";
    let files = [
        (
            "no sizes",
            build_wav(|fmt, samples| riff(b"RIFF", 0, &[chunk(b"fmt ", fmt), sized(0, samples)])),
        ),
        (
            "all ones",
            build_wav(|fmt, samples| {
                riff(
                    b"RIFF",
                    u32::MAX,
                    &[chunk(b"fmt ", fmt), sized(u32::MAX, samples)],
                )
            }),
        ),
        (
            "SoX to a pipe",
            build_wav(|fmt, samples| {
                riff(
                    b"RIFF",
                    0x7FFF_FFFF,
                    &[chunk(b"fmt ", fmt), sized(0x7FFF_FFDB, samples)],
                )
            }),
        ),
        (
            "the file's size",
            build_wav(|fmt, samples| {
                let all = samples.len() as u32 + 44;
                riff(
                    b"RIFF",
                    all - 8,
                    &[chunk(b"fmt ", fmt), sized(all, samples)],
                )
            }),
        ),
        (
            "more than there is",
            build_wav(|fmt, samples| {
                let all = samples.len() as u32 + 44;
                riff(
                    b"RIFF",
                    all - 8,
                    &[chunk(b"fmt ", fmt), sized(all + 50_000, samples)],
                )
            }),
        ),
        (
            "no bits",
            build_wav(|fmt, samples| {
                riff(
                    b"RIFF",
                    1,
                    &[chunk(b"fmt ", &fmt[..14]), chunk(b"data", samples)],
                )
            }),
        ),
        (
            "odd, with a byte behind it",
            build_wav(|fmt, samples| {
                let odd = [chunk(b"JUNK", b"odd"), vec![0]].concat();
                riff(
                    b"RIFF",
                    1,
                    &[odd, chunk(b"fmt ", fmt), chunk(b"data", samples)],
                )
            }),
        ),
        (
            "odd, without",
            build_wav(|fmt, samples| {
                riff(
                    b"RIFF",
                    1,
                    &[
                        chunk(b"JUNK", b"odd"),
                        chunk(b"fmt ", fmt),
                        chunk(b"data", samples),
                    ],
                )
            }),
        ),
        (
            "extensible",
            build_wav(|fmt, samples| {
                let guid = b"\x01\0\0\0\0\0\x10\0\x80\0\0\xAA\0\x38\x9B\x71";
                let long = [&[0xFE, 0xFF], &fmt[2..], &[22, 0, 16, 0, 4, 0, 0, 0], guid].concat();
                riff(
                    b"RIFF",
                    1,
                    &[chunk(b"fmt ", &long), chunk(b"data", samples)],
                )
            }),
        ),
        (
            "BW64",
            build_wav(|fmt, samples| {
                let sizes = [
                    &0_u64.to_le_bytes()[..],
                    &(samples.len() as u64).to_le_bytes(),
                    &[0; 12],
                ]
                .concat();
                riff(
                    b"BW64",
                    u32::MAX,
                    &[
                        chunk(b"ds64", &sizes),
                        chunk(b"fmt ", fmt),
                        sized(u32::MAX, samples),
                    ],
                )
            }),
        ),
        (
            "RIFX",
            build_wav(|fmt, samples| {
                let swap = |bytes: &[u8], width: usize| -> Vec<u8> {
                    bytes
                        .chunks(width)
                        .flat_map(|it| it.iter().rev().copied())
                        .collect()
                };
                let fmt = [
                    swap(&fmt[..4], 2),
                    swap(&fmt[4..12], 4),
                    swap(&fmt[12..], 2),
                ]
                .concat();
                let all = [
                    b"fmt ",
                    &16_u32.to_be_bytes()[..],
                    &fmt,
                    b"data",
                    &(samples.len() as u32).to_be_bytes(),
                    &swap(samples, 2),
                ]
                .concat();
                [
                    b"RIFX",
                    &(all.len() as u32 + 4).to_be_bytes()[..],
                    b"WAVE",
                    &all,
                ]
                .concat()
            }),
        ),
        (
            "Wave64",
            build_wav(|fmt, samples| {
                let body = [guid(b"fmt ", REST, fmt), guid(b"data", REST, samples)].concat();
                let wave = [&b"wave"[..], REST].concat();
                [
                    &b"riff\x2E\x91\xCF\x11\xA5\xD6\x28\xDB\x04\xC1\x00\x00"[..],
                    &(body.len() as u64 + 40).to_le_bytes(),
                    &wave,
                    &body,
                ]
                .concat()
            }),
        ),
    ];
    for (what, file) in files {
        let (got, decoder) = decode(file.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(got == expected, "{what}: {} samples", got.len());
        assert!(!decoder.is_truncated(), "{what}");
    }
}

/// What is cut off is told so, also where the header alone shows it.
#[test]
fn a_wav_file_that_was_cut_off_is_told_so() {
    let whole = std::fs::read(fixture("rf64.wav")).expect("a fixture");
    let cut = file_of(&whole[..whole.len() * 3 / 4]);
    assert!(decode(cut.path()).expect("a recording").1.is_truncated());
    for name in ["amr-nb.amr", "amr-nb.3gp", "no-eos.ogg"] {
        let whole = std::fs::read(fixture(name)).expect("a fixture");
        let cut = file_of(&whole[..whole.len() * 3 / 4 + 7]);
        if let Ok((_, decoder)) = decode(cut.path()) {
            assert!(decoder.is_truncated(), "{name}");
        }
    }
}
