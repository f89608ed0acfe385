//! What an AAC stream says of itself (AudioSpecificConfig, ISO/IEC 14496-3, 1.6), and the core of
//! it that symphonia decodes.
//!
//! HE-AAC is AAC of half the rate, with a recipe for the upper half of the spectrum (SBR) and for
//! the second channel (PS). symphonia decodes the core of a stream that mentions them at its end,
//! but refuses one that mentions them first. Speech is in the core.

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;

const AAC_LC: u32 = 2;
const SBR: u32 = 5;
const PARAMETRIC_STEREO: u32 = 29;
const ESCAPE_OBJECT_TYPE: u32 = 31;

/// The mark before what is told at the end.
const SYNC_EXTENSION_TYPE: u32 = 0x2B7;

/// The rates that have a number.
pub(super) const SAMPLE_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// Where a rate stands in full.
const EXPLICIT_RATE: u32 = 15;

/// What a stream says of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct AudioSpecificConfig {
    /// The kind of the core.
    pub(super) object_type: u32,
    /// The core's samples a second.
    pub(super) sample_rate: u32,
    /// The arrangement of its channels; 0: the stream says it itself.
    pub(super) channel_configuration: u32,
    /// Flags of the core: a short frame, a core below, an extension.
    flags: u32,
    /// Whether there is a recipe for the upper half of the spectrum.
    pub(super) has_sbr: bool,
}

/// By how many samples of the core the upper half of the spectrum is late, which whoever counts the
/// samples before the sound has counted too.
const SBR_DELAY: u64 = 481;

impl AudioSpecificConfig {
    /// Reads what an MP4 or Matroska file holds.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut bits = BitReader {
            bytes,
            bit_position: 0,
        };
        let mut kind = read_object_type(&mut bits)?;
        let rate = read_sample_rate(&mut bits)?;
        let channels = bits.read_bits(4)?;
        let mut has_sbr = matches!(kind, SBR | PARAMETRIC_STEREO);
        if has_sbr {
            let _full_rate = self::read_sample_rate(&mut bits)?;
            kind = self::read_object_type(&mut bits)?;
        }
        let flags = bits.read_bits(3).unwrap_or(0);
        if bits.read_bits(11) == Some(SYNC_EXTENSION_TYPE) {
            has_sbr |=
                self::read_object_type(&mut bits) == Some(SBR) && bits.read_bits(1) == Some(1);
        }
        (rate > 0).then_some(Self {
            object_type: kind,
            sample_rate: rate,
            channel_configuration: channels,
            flags,
            has_sbr,
        })
    }

    /// How many channels the core has; 0: the stream says it itself.
    pub(super) fn channel_count(self) -> u32 {
        if self.channel_configuration == 7 {
            8
        } else {
            self.channel_configuration
        }
    }

    /// By how many samples the core alone is early.
    pub(super) fn core_lead_samples(self) -> u64 {
        match self.has_sbr {
            true => SBR_DELAY,
            false => 0,
        }
    }

    /// The same, as a stream without anything above the core says it.
    fn to_bytes(self) -> Vec<u8> {
        let mut bits = vec![(self.object_type, 5)];
        match SAMPLE_RATES
            .iter()
            .position(|rate| *rate == self.sample_rate)
        {
            Some(index) => bits.push((index as u32, 4)),
            None => bits.extend([(EXPLICIT_RATE, 4), (self.sample_rate, 24)]),
        }
        bits.extend([(self.channel_configuration, 4), (self.flags, 3)]);
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

fn read_object_type(bits: &mut BitReader) -> Option<u32> {
    match bits.read_bits(5)? {
        ESCAPE_OBJECT_TYPE => Some(32 + bits.read_bits(6)?),
        kind => Some(kind),
    }
}

fn read_sample_rate(bits: &mut BitReader) -> Option<u32> {
    match bits.read_bits(4)? {
        EXPLICIT_RATE => bits.read_bits(24),
        index => SAMPLE_RATES.get(index as usize).copied(),
    }
}

struct BitReader<'a> {
    bytes: &'a [u8],
    bit_position: usize,
}

impl BitReader<'_> {
    fn read_bits(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.bit_position / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.bit_position % 8) & 1);
            self.bit_position += 1;
        }
        Some(value)
    }
}

/// The parameters of a stream as its core has them, and what an AAC stream says of itself.
pub(super) fn core_parameters(
    parameters: &AudioCodecParameters,
) -> (AudioCodecParameters, Option<AudioSpecificConfig>) {
    let mut core = parameters.clone();
    let config = parameters
        .extra_data
        .as_deref()
        .filter(|_| parameters.codec == CODEC_ID_AAC)
        .and_then(AudioSpecificConfig::parse);
    if let Some(config) = config.filter(|config| config.object_type == AAC_LC) {
        core.with_sample_rate(config.sample_rate)
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
            let config = AudioSpecificConfig::parse(bytes).expect("a config");
            assert_eq!(
                (
                    config.object_type,
                    config.sample_rate,
                    config.channel_configuration
                ),
                (kind, rate, channels)
            );
            assert_eq!(config.has_sbr, bytes.len() > 2);
            let core = AudioSpecificConfig::parse(&config.to_bytes()).expect("a core");
            let has_sbr = false;
            assert_eq!(
                core,
                AudioSpecificConfig { has_sbr, ..config },
                "{bytes:02x?}"
            );
        }
    }

    #[test]
    fn invalid_config_is_rejected() {
        for length in 0..2 {
            assert_eq!(AudioSpecificConfig::parse(&[0x11, 0x88][..length]), None);
        }
        assert_eq!(AudioSpecificConfig::parse(&[0x17, 0x00]), None);
        let odd_rate =
            AudioSpecificConfig::parse(&[0x17, 0x80, 0x1F, 0x40, 0x08]).expect("a rate in full");
        assert_eq!(
            AudioSpecificConfig::parse(&odd_rate.to_bytes()),
            Some(odd_rate)
        );
    }
}
