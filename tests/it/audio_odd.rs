//! Files as people have them: from phones, from recorders that crashed, from programs that count
//! wrongly. Each against what ffmpeg makes of it.

use crate::audio_formats::{best_lag, decode, fixture, reference, snr};

/// A file, the least signal-to-noise ratio against its reference in dB, and how many samples
/// longer or shorter it may be.
pub(crate) struct Odd(pub(crate) &'static str, f64, u64);

pub(crate) const ODD: &[Odd] = &[
    Odd("data-zero.wav", 90.0, 1),
    Odd("avaudiofile-crash.wav", 90.0, 1),
    Odd("flutter-44.wav", 90.0, 1),
    Odd("rf64.wav", 90.0, 1),
    Odd("streamed.wav", 90.0, 1),
    // ffmpeg plays the padding of what has no end mark: a packet of 20 ms at most.
    Odd("no-eos.ogg", 40.0, 320),
    // The upper half of the spectrum is missing.
    Odd("he1-explicit.m4a", 30.0, 400),
];

#[test]
fn odd_files_are_heard_as_ffmpeg_hears_them_and_without_a_false_notice() {
    let mut faults = Vec::new();
    for Odd(name, least, most_longer) in ODD {
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
        if quality < *least || longer.unsigned_abs() > *most_longer || decoder.truncated() {
            faults.push(format!(
                "{name}: {quality:.1} dB, best {} samples late, {longer} samples longer, \
                 truncated: {}",
                best_lag(&got, &expected),
                decoder.truncated()
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
    assert!(!decoder.truncated());
}
