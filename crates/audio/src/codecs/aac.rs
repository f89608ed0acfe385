//! Parses AudioSpecificConfig of AAC streams (ISO/IEC 14496-3, 1.6) and reduces it to the core that
//! symphonia decodes.
//!
//! HE-AAC is AAC at half the rate, with side data to reconstruct the upper half of the spectrum
//! (SBR) and the second channel (PS). symphonia decodes the core of a stream that signals them at
//! the end of its config, but refuses one that signals them first. The core contains the speech.

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;

const AAC_LC: u32 = 2;
const SBR: u32 = 5;
const PARAMETRIC_STEREO: u32 = 29;
const ESCAPE_OBJECT_TYPE: u32 = 31;

/// Sync word before an extension signalled at the end.
const SYNC_EXTENSION_TYPE: u32 = 0x2B7;

/// Sample rates with an index, in Hz.
pub(crate) const SAMPLE_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// Index that announces an explicit rate.
const EXPLICIT_RATE: u32 = 15;

/// The configuration of an AAC stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct AudioSpecificConfig {
    /// Audio object type of the core.
    pub(crate) object_type: u32,
    /// Sample rate of the core in Hz.
    pub(crate) sample_rate: u32,
    /// Channel layout of the core; 0 means that the stream defines it.
    pub(crate) channel_configuration: u32,
    /// GASpecificConfig of the core: frameLengthFlag, dependsOnCoreCoder, extensionFlag.
    flags: u32,
    /// Whether the upper half of the spectrum is coded as SBR.
    pub(crate) has_sbr: bool,
}

/// Delay of SBR in samples of the core. Containers include it in the encoder delay they declare.
const SBR_DELAY: u64 = 481;

impl AudioSpecificConfig {
    /// Parses the config as stored in MP4 and Matroska files.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut bits = BitReader {
            bytes,
            bit_position: 0,
        };
        let mut kind = read_object_type(&mut bits)?;
        let rate = read_sample_rate(&mut bits)?;
        let channels = bits.read_bits(4)?;
        let mut has_sbr = matches!(kind, SBR | PARAMETRIC_STEREO);
        if has_sbr {
            let _full_rate = read_sample_rate(&mut bits)?;
            kind = read_object_type(&mut bits)?;
        }
        let flags = bits.read_bits(3).unwrap_or(0);
        if bits.read_bits(11) == Some(SYNC_EXTENSION_TYPE) {
            has_sbr |= read_object_type(&mut bits) == Some(SBR) && bits.read_bits(1) == Some(1);
        }
        (rate > 0).then_some(Self {
            object_type: kind,
            sample_rate: rate,
            channel_configuration: channels,
            flags,
            has_sbr,
        })
    }

    /// Number of channels of the core; 0 means that the stream defines it.
    pub(crate) fn channel_count(self) -> u32 {
        if self.channel_configuration == 7 {
            8
        } else {
            self.channel_configuration
        }
    }

    /// How many samples the core alone is early, because it lacks the SBR delay.
    pub(crate) fn core_lead_samples(self) -> u64 {
        match self.has_sbr {
            true => SBR_DELAY,
            false => 0,
        }
    }

    /// Serializes the config of the core alone, without extensions.
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
        for index in (0..held.div_ceil(8)).rev() {
            bytes.push((word >> (8 * index)) as u8);
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

/// Codec parameters reduced to the AAC core, with the parsed config if the codec is AAC.
pub(crate) fn core_parameters(
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
    fn the_core_config_is_found_below_extensions() {
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
