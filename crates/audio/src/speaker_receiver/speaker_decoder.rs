//! Decodes the Opus packets of a voice call, with libopus at 16 kHz mono.

use opus2::{Channels, Decoder};

use crate::AudioError;
use crate::decode::opus_stream::{MAX_PACKET_SAMPLES, damaged_opus};
use crate::pcm::SAMPLE_RATE;

/// Clients send five of these packets, with 20 ms of silence each, when the user stops speaking.
const SILENCE_PACKET: [u8; 3] = [0xF8, 0xFF, 0xFE];

/// Maximum concealed part of a gap, in samples: 100 ms. Concealment fades out over about that time;
/// the rest is silence.
const MAX_CONCEALED_SAMPLES: u64 = 1_600;

/// libopus conceals in steps of 2.5 ms, in samples.
const CONCEALMENT_STEP: u64 = 40;

/// Duration of a packet in samples; 0 if it is not valid Opus.
pub(super) fn packet_samples(packet: &[u8]) -> u64 {
    if packet.is_empty() {
        return 0;
    }
    opus2::packet::get_nb_samples(packet, SAMPLE_RATE).map_or(0, |samples| samples as u64)
}

/// Whether this is the packet that clients send as silence.
pub(super) fn is_silence_packet(packet: &[u8]) -> bool {
    packet == SILENCE_PACKET
}

/// The decoder of one speaker.
pub(super) struct SpeakerDecoder {
    decoder: Decoder,
    /// Buffer for the longest packet.
    samples: Box<[f32]>,
    /// Whether concealment has a decoded packet to continue from.
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

    /// The samples of a packet; `None` if it can't be decoded.
    pub(super) fn decode(&mut self, packet: &[u8]) -> Option<&[f32]> {
        if packet.is_empty() {
            return None;
        }
        let decoded = self.decoder.decode_float(packet, &mut self.samples, false);
        let samples = decoded.ok()?;
        self.has_decoded = true;
        self.samples.get(..samples)
    }

    /// Conceals the start of a gap of `lost` samples; the rest should stay silent.
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
