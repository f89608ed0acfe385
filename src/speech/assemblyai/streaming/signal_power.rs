//! Guesses whether an utterance continues after its last recognized word.
//!
//! Compares the loudness with that of the whole utterance. The guess decides only how long to wait
//! for more words, never what was said.

/// Samples per frame: 20 ms.
const FRAME_SAMPLES: usize = 320;
/// A frame counts as speech from this fraction of the loudest frame's power: −24 dB.
const SPEECH_POWER_RATIO: f32 = 1.0 / 256.0;
/// Audio this close after a word still belongs to it, since word times are imprecise: 200 ms.
const WORD_TAIL_SAMPLES: usize = 3_200;
/// The fewest speech frames that count as a word: 120 ms. The service ends a turn after 100 ms of
/// silence, so a short "yes" may well follow it.
const MIN_WORD_FRAMES: usize = 6;

/// The power of the loudest complete frame.
pub(super) fn peak_power(samples: &[i16]) -> f32 {
    samples
        .chunks_exact(FRAME_SAMPLES)
        .map(frame_power)
        .fold(0.0, f32::max)
}

/// Whether the audio after the last word contains another one. `peak` is the power of the
/// utterance's loudest frame.
pub(super) fn has_more_speech(rest: impl ExactSizeIterator<Item = i16>, peak: f32) -> bool {
    let rest: Vec<i16> = rest.skip(WORD_TAIL_SAMPLES).collect();
    let is_loud = |frame: &&[i16]| {
        let power = frame_power(frame);
        power > 0.0 && power >= peak * SPEECH_POWER_RATIO
    };
    rest.chunks_exact(FRAME_SAMPLES).filter(is_loud).count() >= MIN_WORD_FRAMES
}

fn frame_power(frame: &[i16]) -> f32 {
    let square = |sample: &i16| f32::from(*sample) * f32::from(*sample);
    frame.iter().map(square).sum::<f32>() / frame.len() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(milliseconds: usize, amplitude: i16) -> Vec<i16> {
        (0..milliseconds * 16)
            .map(|n| if n % 2 == 0 { amplitude } else { -amplitude })
            .collect()
    }

    #[test]
    fn only_speech_continues_an_utterance() {
        let peak = peak_power(&tone(100, 8_000));
        let continues = |samples: Vec<i16>| has_more_speech(samples.into_iter(), peak);
        assert!(!continues(Vec::new()));
        assert!(!continues(tone(3_000, 0)), "silence");
        assert!(!continues(tone(3_000, 400)), "noise");
        assert!(!continues(tone(300, 8_000)), "the end of the last word");
        assert!(continues(tone(600, 8_000)));
        let yes = [tone(150, 0), tone(250, 8_000), tone(300, 0)].concat();
        assert!(continues(yes), "a short word after a short pause");
        assert!(continues([tone(900, 0), tone(400, 4_000)].concat()));
    }
}
