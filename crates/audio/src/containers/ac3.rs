//! AC-3 and E-AC-3 as a stream of frames: bare, or inside WAV and AVI.

use std::io::Read;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_AC3;
use symphonia::core::errors::{Error, Result};
use symphonia::core::formats::Track;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use super::super::decoders::ac3_frame;
use super::Demuxer;
use super::fields::up_to;

/// How a frame begins.
pub(crate) const AC3: &[u8] = b"\x0B\x77";

/// What tells a frame's size.
const HEAD: usize = 6;

/// Samples of a frame.
const FRAME: i64 = 1_536;

/// Bytes that are passed over in search of a frame.
const MOST_BETWEEN: usize = 1024 * 1024;

/// A stream of frames.
pub(crate) struct Ac3<R> {
    stream: R,
    held: Vec<u8>,
    at: i64,
    tracks: Vec<Track>,
}

impl<R: Read + Send + 'static> Ac3<R> {
    /// Finds the first frame.
    pub(crate) fn open(stream: R) -> Result<Box<dyn Demuxer>> {
        let mut ac3 = Self {
            stream,
            held: Vec::new(),
            at: 0,
            tracks: Vec::new(),
        };
        let (_, rate) = ac3.find()?.ok_or(Error::DecodeError("ac3: no frame"))?;
        let mut parameters = AudioCodecParameters::new();
        parameters.for_codec(CODEC_ID_AC3).with_sample_rate(rate);
        let mut track = Track::new(0);
        track.with_codec_params(CodecParameters::Audio(parameters));
        ac3.tracks.push(track);
        Ok(Box::new(ac3))
    }

    fn fill(&mut self, bytes: usize) -> Result<bool> {
        let missing = bytes.saturating_sub(self.held.len()) as u64;
        self.held.extend(up_to(&mut self.stream, missing)?);
        Ok(self.held.len() >= bytes)
    }

    /// Puts the next frame first, and gives its bytes and samples a second.
    fn find(&mut self) -> Result<Option<(usize, u32)>> {
        for _ in 0..MOST_BETWEEN {
            if !self.fill(HEAD)? {
                return Ok(None);
            }
            match ac3_frame(&self.held).filter(|(bytes, _)| *bytes >= HEAD) {
                Some(frame) => return Ok(Some(frame)),
                None => drop(self.held.remove(0)),
            }
        }
        Ok(None)
    }
}

impl<R: Read + Send + 'static> Demuxer for Ac3<R> {
    fn name(&self) -> &'static str {
        "ac3"
    }

    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        let Some((bytes, _)) = self.find()? else {
            return Ok(None);
        };
        // Like other bare streams it has no end: half a frame is none.
        if !self.fill(bytes)? {
            return Ok(None);
        }
        let rest = self.held.split_off(bytes);
        let data = std::mem::replace(&mut self.held, rest);
        let begins = Timestamp::new(self.at);
        self.at = self.at.saturating_add(FRAME);
        Ok(Some(Packet::new(
            0,
            begins,
            Duration::new(FRAME as u64),
            data,
        )))
    }
}
