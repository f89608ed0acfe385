//! Opus packets of a call become samples, by libopus at 16 kHz mono.

use opus2::{Channels, Decoder};

use crate::AudioError;
use crate::opus_stream::{MAX_PACKET_SAMPLES, damaged_opus};
use crate::pcm::SAMPLE_RATE;

/// What clients send when somebody stops speaking: 20 ms of silence, five times.
const SILENCE_PACKET: [u8; 3] = [0xF8, 0xFF, 0xFE];

/// So much of a hole is filled with guesses, in samples: 100 ms. Guesses fade out over about
/// that; what follows is silence.
const MAX_CONCEALED_SAMPLES: u64 = 1_600;

/// libopus conceals in steps of 2.5 ms.
const CONCEALMENT_STEP: u64 = 40;

/// How many samples a packet holds; 0 if it is no Opus.
pub(super) fn packet_samples(packet: &[u8]) -> u64 {
    if packet.is_empty() {
        return 0;
    }
    opus2::packet::get_nb_samples(packet, SAMPLE_RATE).map_or(0, |samples| samples as u64)
}

/// Whether the sender says with it that there is nothing to hear.
pub(super) fn is_silence_packet(packet: &[u8]) -> bool {
    packet == SILENCE_PACKET
}

/// The decoder of one speaker.
pub(super) struct SpeakerDecoder {
    decoder: Decoder,
    /// Room for the longest packet.
    samples: Box<[f32]>,
    /// Whether there is something to go on from.
    has_decoded: bool,
}

impl SpeakerDecoder {
    pub(super) fn new() -> Result<Self, AudioError> {
        let decoder =
            Decoder::new(SAMPLE_RATE, Channels::Mono).map_err(|error| damaged_opus(&error))?;
        Ok(Self {
            decoder,
            samples: vec![0.0; MAX_PACKET_SAMPLES].into(),
            has_decoded: false,
        })
    }

    /// The samples of a packet, or none if it can't be decoded.
    pub(super) fn decode(&mut self, packet: &[u8]) -> Option<&[f32]> {
        if packet.is_empty() {
            return None;
        }
        let decoded = self.decoder.decode_float(packet, &mut self.samples, false);
        let samples = decoded.ok()?;
        self.has_decoded = true;
        self.samples.get(..samples)
    }

    /// A guess at the first of `lost` samples; the rest is better left silent.
    pub(super) fn conceal(&mut self, lost: u64) -> &[f32] {
        let length = lost.min(MAX_CONCEALED_SAMPLES) / CONCEALMENT_STEP * CONCEALMENT_STEP;
        if length == 0 || !self.has_decoded {
            return &[];
        }
        let Some(room) = self.samples.get_mut(..length as usize) else {
            return &[];
        };
        let guessed = self.decoder.decode_float(&[], room, false).unwrap_or(0);
        self.samples.get(..guessed).unwrap_or(&[])
    }
}
