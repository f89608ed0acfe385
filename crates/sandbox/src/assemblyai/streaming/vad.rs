//! Whether there is sound in a chunk.

use super::session_config::Encoding;

/// About −42 dB below full scale.
const SPEECH_THRESHOLD: u16 = 256;

/// Whether any sample is louder than silence.
pub(super) fn is_voiced(chunk: &[u8], encoding: Encoding) -> bool {
    match encoding {
        Encoding::PcmS16Le => chunk.chunks_exact(2).any(|sample| {
            i16::from_le_bytes([sample[0], sample[1]]).unsigned_abs() > SPEECH_THRESHOLD
        }),
        // µ-law is stored inverted; the exponent says enough.
        Encoding::PcmMulaw => chunk.iter().any(|byte| !byte & 0x70 > 0x10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_not_voiced() {
        assert!(!is_voiced(&[0; 100], Encoding::PcmS16Le));
        assert!(!is_voiced(&100_i16.to_le_bytes(), Encoding::PcmS16Le));
        assert!(is_voiced(&(-3_000_i16).to_le_bytes(), Encoding::PcmS16Le));
        assert!(!is_voiced(&[0xFF, 0x7F], Encoding::PcmMulaw));
        assert!(is_voiced(&[0xFF, 0x20], Encoding::PcmMulaw));
    }
}
