//! AMR files (RFC 4867, 5): a magic number, followed by frames.

use std::io::{self, BufReader};

use symphonia::core::audio::{Channels, Position};
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::errors::Result;
use symphonia::core::formats::Track;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use super::byte_order::read_up_to;
use super::source::RecordingSlice;
use super::{Demuxer, RecordingSource};
use crate::codecs::{CODEC_ID_AMR_NB, CODEC_ID_AMR_WB, amr_frame_bytes};

const NARROWBAND_MAGIC: &[u8] = b"#!AMR\n";
const WIDEBAND_MAGIC: &[u8] = b"#!AMR-WB\n";
const NARROWBAND_MULTICHANNEL_MAGIC: &[u8] = b"#!AMR_MC1.0\n";
const WIDEBAND_MULTICHANNEL_MAGIC: &[u8] = b"#!AMR-WB_MC1.0\n";

/// Common prefix of the magic numbers.
pub(crate) const AMR_MAGIC: &[u8] = b"#!AMR";

/// An AMR file.
pub(crate) struct AmrDemuxer {
    frames: BufReader<RecordingSlice>,
    is_wide: bool,
    /// Timestamp of the next frame and length of a frame, in samples.
    next_time: i64,
    frame_samples: u32,
    tracks: Vec<Track>,
}

impl AmrDemuxer {
    /// Skips the magic number; `start` contains the first bytes of the file.
    pub(crate) fn open(source: RecordingSource, start: &[u8]) -> Result<Box<dyn Demuxer>> {
        // In multichannel files the number of channels follows the magic number.
        let (magic_bytes, is_wide, channels) = if start.starts_with(WIDEBAND_MAGIC) {
            (WIDEBAND_MAGIC.len(), true, 1)
        } else if start.starts_with(NARROWBAND_MAGIC) {
            (NARROWBAND_MAGIC.len(), false, 1)
        } else if start.starts_with(NARROWBAND_MULTICHANNEL_MAGIC) {
            (NARROWBAND_MULTICHANNEL_MAGIC.len() + 4, false, 2)
        } else {
            (WIDEBAND_MULTICHANNEL_MAGIC.len() + 4, true, 2)
        };
        let mut parameters = AudioCodecParameters::new();
        parameters
            .for_codec(if is_wide {
                CODEC_ID_AMR_WB
            } else {
                CODEC_ID_AMR_NB
            })
            .with_sample_rate(if is_wide { 16_000 } else { 8_000 })
            .with_channels(match channels {
                1 => Channels::Positioned(Position::FRONT_LEFT),
                more => Channels::Discrete(more),
            });
        let mut track = Track::new(0);
        track.with_codec_params(CodecParameters::Audio(parameters));
        Ok(Box::new(Self {
            frames: BufReader::new(RecordingSlice::new(source, magic_bytes as u64, None)?),
            is_wide,
            next_time: 0,
            frame_samples: if is_wide { 320 } else { 160 },
            tracks: vec![track],
        }))
    }
}

impl Demuxer for AmrDemuxer {
    fn name(&self) -> &'static str {
        "amr"
    }

    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        let mut data = read_up_to(&mut self.frames, 1)?;
        let Some(head) = data.first() else {
            return Ok(None);
        };
        let rest = amr_frame_bytes(*head, self.is_wide) - 1;
        data.extend(read_up_to(&mut self.frames, rest as u64)?);
        if data.len() < 1 + rest {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let timestamp = Timestamp::new(self.next_time);
        self.next_time = self.next_time.saturating_add(i64::from(self.frame_samples));
        Ok(Some(Packet::new(
            0,
            timestamp,
            Duration::new(u64::from(self.frame_samples)),
            data,
        )))
    }
}
