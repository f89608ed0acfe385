//! What an AAC stream says of itself (AudioSpecificConfig, ISO/IEC 14496-3, 1.6), and the core of
//! it that symphonia decodes.
//!
//! HE-AAC is AAC of half the rate, with a recipe for the upper half of the spectrum (SBR) and for
//! the second channel (PS). symphonia decodes the core of a stream that mentions them at its end,
//! but refuses one that mentions them first. Speech is in the core.

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;

const LOW_COMPLEXITY: u32 = 2;
const SBR: u32 = 5;
const PARAMETRIC_STEREO: u32 = 29;
const EXTENDED: u32 = 31;

/// The mark before what is told at the end.
const MENTIONED_AT_THE_END: u32 = 0x2B7;

/// The rates that have a number.
pub(super) const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// Where a rate stands in full.
const RATE_FOLLOWS: u32 = 15;

/// What a stream says of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Config {
    /// The kind of the core.
    pub(super) kind: u32,
    /// The core's samples a second.
    pub(super) rate: u32,
    /// The arrangement of its channels; 0: the stream says it itself.
    pub(super) channels: u32,
    /// Flags of the core: a short frame, a core below, an extension.
    flags: u32,
    /// Whether there is a recipe for the upper half of the spectrum.
    pub(super) has_sbr: bool,
}

/// By how many samples of the core the upper half of the spectrum is late, which whoever counts the
/// samples before the sound has counted too.
const SBR_DELAY: u64 = 481;

impl Config {
    /// Reads what an MP4 or Matroska file holds.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut bits = Bits { bytes, at: 0 };
        let mut kind = kind(&mut bits)?;
        let rate = rate(&mut bits)?;
        let channels = bits.take(4)?;
        let mut has_sbr = matches!(kind, SBR | PARAMETRIC_STEREO);
        if has_sbr {
            let _full_rate = self::rate(&mut bits)?;
            kind = self::kind(&mut bits)?;
        }
        let flags = bits.take(3).unwrap_or(0);
        if bits.take(11) == Some(MENTIONED_AT_THE_END) {
            has_sbr |= self::kind(&mut bits) == Some(SBR) && bits.take(1) == Some(1);
        }
        (rate > 0).then_some(Self {
            kind,
            rate,
            channels,
            flags,
            has_sbr,
        })
    }

    /// How many channels the core has; 0: the stream says it itself.
    pub(super) fn channel_count(self) -> u32 {
        if self.channels == 7 { 8 } else { self.channels }
    }

    /// By how many samples the core alone is early.
    pub(super) fn early(self) -> u64 {
        match self.has_sbr {
            true => SBR_DELAY,
            false => 0,
        }
    }

    /// The same, as a stream without anything above the core says it.
    fn to_bytes(self) -> Vec<u8> {
        let mut bits = vec![(self.kind, 5)];
        match RATES.iter().position(|rate| *rate == self.rate) {
            Some(index) => bits.push((index as u32, 4)),
            None => bits.extend([(RATE_FOLLOWS, 4), (self.rate, 24)]),
        }
        bits.extend([(self.channels, 4), (self.flags, 3)]);
        let mut bytes = Vec::new();
        let (mut word, mut held) = (0_u64, 0_u32);
        for (value, width) in bits {
            word = word << width | u64::from(value);
            held += width;
        }
        word <<= (8 - held % 8) % 8;
        for place in (0..held.div_ceil(8)).rev() {
            bytes.push((word >> (8 * place)) as u8);
        }
        bytes
    }
}

fn kind(bits: &mut Bits) -> Option<u32> {
    match bits.take(5)? {
        EXTENDED => Some(32 + bits.take(6)?),
        kind => Some(kind),
    }
}

fn rate(bits: &mut Bits) -> Option<u32> {
    match bits.take(4)? {
        RATE_FOLLOWS => bits.take(24),
        index => RATES.get(index as usize).copied(),
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }
}

/// The parameters of a stream as its core has them, and what an AAC stream says of itself.
pub(super) fn core(parameters: &AudioCodecParameters) -> (AudioCodecParameters, Option<Config>) {
    let mut core = parameters.clone();
    let config = parameters
        .extra_data
        .as_deref()
        .filter(|_| parameters.codec == CODEC_ID_AAC)
        .and_then(Config::read);
    if let Some(config) = config.filter(|config| config.kind == LOW_COMPLEXITY) {
        core.with_sample_rate(config.rate)
            .with_extra_data(config.to_bytes().into());
    }
    (core, config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_is_found_below_what_is_above_it() {
        for (bytes, kind, rate, channels) in [
            // AAC-LC, 48 kHz, mono.
            (&[0x11, 0x88][..], 2, 48_000, 1),
            // HE-AAC, 22.05 kHz to 44.1 kHz, stereo.
            (&[0x2B, 0x92, 0x08, 0x00], 2, 22_050, 2),
            // HE-AAC v2, 24 kHz to 48 kHz, mono to stereo.
            (&[0xEB, 0x09, 0x88, 0x00], 2, 24_000, 1),
            // AAC-LC that mentions SBR at its end.
            (&[0x13, 0x90, 0x56, 0xE5, 0xA0], 2, 22_050, 2),
        ] {
            let config = Config::read(bytes).expect("a config");
            assert_eq!(
                (config.kind, config.rate, config.channels),
                (kind, rate, channels)
            );
            assert_eq!(config.has_sbr, bytes.len() > 2);
            let core = Config::read(&config.to_bytes()).expect("a core");
            let has_sbr = false;
            assert_eq!(core, Config { has_sbr, ..config }, "{bytes:02x?}");
        }
    }

    #[test]
    fn what_is_cut_off_or_odd_is_no_config() {
        for length in 0..2 {
            assert_eq!(Config::read(&[0x11, 0x88][..length]), None);
        }
        assert_eq!(Config::read(&[0x17, 0x00]), None);
        let odd_rate = Config::read(&[0x17, 0x80, 0x1F, 0x40, 0x08]).expect("a rate in full");
        assert_eq!(Config::read(&odd_rate.to_bytes()), Some(odd_rate));
    }
}
