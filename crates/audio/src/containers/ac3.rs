//! AC-3 and E-AC-3 elementary streams: as a bare file, or inside WAV and AVI.

use std::io::Read;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_AC3;
use symphonia::core::errors::{Error, Result};
use symphonia::core::formats::Track;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use super::Demuxer;
use super::byte_order::read_up_to;
use crate::codecs::ac3_frame;

/// The sync word at the start of every frame.
pub(crate) const SYNC_WORD: &[u8] = b"\x0B\x77";

/// Bytes of a frame that are needed to find its length.
const HEADER_BYTES: usize = 6;

/// Samples per frame.
const FRAME_SAMPLES: i64 = 1_536;

/// Maximum number of bytes skipped in search of a frame.
const MAX_SKIPPED_BYTES: usize = 1024 * 1024;

/// A stream of AC-3 frames.
pub(crate) struct Ac3Demuxer<R> {
    stream: R,
    buffered: Vec<u8>,
    next_time: i64,
    tracks: Vec<Track>,
}

impl<R: Read + Send + 'static> Ac3Demuxer<R> {
    /// Finds the first frame.
    pub(crate) fn open(stream: R) -> Result<Box<dyn Demuxer>> {
        let mut ac3 = Self {
            stream,
            buffered: Vec::new(),
            next_time: 0,
            tracks: Vec::new(),
        };
        let (_, rate) = ac3
            .next_frame()?
            .ok_or(Error::DecodeError("ac3: no frame"))?;
        let mut parameters = AudioCodecParameters::new();
        parameters.for_codec(CODEC_ID_AC3).with_sample_rate(rate);
        let mut track = Track::new(0);
        track.with_codec_params(CodecParameters::Audio(parameters));
        ac3.tracks.push(track);
        Ok(Box::new(ac3))
    }

    fn fill(&mut self, bytes: usize) -> Result<bool> {
        let missing = bytes.saturating_sub(self.buffered.len()) as u64;
        self.buffered.extend(read_up_to(&mut self.stream, missing)?);
        Ok(self.buffered.len() >= bytes)
    }

    /// Moves the next frame to the start of the buffer; returns its length in bytes and its sample
    /// rate in Hz.
    fn next_frame(&mut self) -> Result<Option<(usize, u32)>> {
        for _ in 0..MAX_SKIPPED_BYTES {
            if !self.fill(HEADER_BYTES)? {
                return Ok(None);
            }
            match ac3_frame(&self.buffered).filter(|(bytes, _)| *bytes >= HEADER_BYTES) {
                Some(frame) => return Ok(Some(frame)),
                None => drop(self.buffered.remove(0)),
            }
        }
        Ok(None)
    }
}

impl<R: Read + Send + 'static> Demuxer for Ac3Demuxer<R> {
    fn name(&self) -> &'static str {
        "ac3"
    }

    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        let Some((bytes, _)) = self.next_frame()? else {
            return Ok(None);
        };
        // Like other bare streams it has no end marker: ignore a partial frame at the end.
        if !self.fill(bytes)? {
            return Ok(None);
        }
        let rest = self.buffered.split_off(bytes);
        let data = std::mem::replace(&mut self.buffered, rest);
        let timestamp = Timestamp::new(self.next_time);
        self.next_time = self.next_time.saturating_add(FRAME_SAMPLES);
        Ok(Some(Packet::new(
            0,
            timestamp,
            Duration::new(FRAME_SAMPLES as u64),
            data,
        )))
    }
}
