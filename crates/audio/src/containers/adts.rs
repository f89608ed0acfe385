//! AAC in ADTS frames (ISO/IEC 14496-3, 1.A.3.2).
//!
//! symphonia 0.6 applies the header of the first frame to all of them. Of concatenated files whose
//! channels or rate change in the middle it loses the rest.

use std::io::{BufReader, Seek, SeekFrom};

use symphonia::core::audio::{Channels, Position};
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;
use symphonia::core::errors::{Error, Result};
use symphonia::core::formats::Track;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use super::byte_order::read_up_to;
use super::{Demuxer, RecordingSource};
use crate::codecs::aac::SAMPLE_RATES;

const HEADER_BYTES: usize = 7;

/// Samples per ADTS frame and channel.
const FRAME_SAMPLES: u64 = 1_024;

/// The header of an ADTS frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct AdtsHeader {
    parameters: AdtsParameters,
    /// Length of the frame including its header, and of the header alone, in bytes.
    frame_bytes: usize,
    header_bytes: usize,
}

/// The parameters that stay the same throughout a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct AdtsParameters {
    rate: u32,
    channels: u8,
}

impl AdtsHeader {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let [0xFF, second, third, fourth, fifth, sixth, ..] = *bytes else {
            return None;
        };
        // A sync word of twelve bits, then the layer, which is always 0.
        (second & 0xF6 == 0xF0).then_some(())?;
        let length =
            usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth >> 5);
        let head = if second & 1 == 0 {
            HEADER_BYTES + 2
        } else {
            HEADER_BYTES
        };
        let stream = AdtsParameters {
            rate: *SAMPLE_RATES.get(usize::from(third >> 2 & 0xF))?,
            channels: (third & 1) << 2 | fourth >> 6,
        };
        (length > head).then_some(Self {
            parameters: stream,
            frame_bytes: length,
            header_bytes: head,
        })
    }
}

/// A stream of ADTS frames.
pub(crate) struct AdtsDemuxer {
    file: BufReader<RecordingSource>,
    at: u64,
    parameters: Option<AdtsParameters>,
    tracks: Vec<Track>,
    next_time: i64,
}

impl AdtsDemuxer {
    /// Skips an ID3 tag and finds the first frame.
    pub(crate) fn open(source: RecordingSource) -> Result<Box<dyn Demuxer>> {
        let mut adts = Self {
            file: BufReader::new(source),
            at: 0,
            parameters: None,
            tracks: Vec::new(),
            next_time: 0,
        };
        let first = read_up_to(&mut adts.file, 10)?;
        if let [b'I', b'D', b'3', _, _, _, size @ ..] = first.as_slice() {
            let size = size
                .iter()
                .fold(0, |size, byte| size << 7 | u64::from(byte & 0x7F));
            adts.at = 10 + size;
        }
        match adts.next_frame()? {
            Some((head, _)) => adts.start_stream(head.parameters),
            None => return Err(Error::DecodeError("adts: no frame")),
        }
        Ok(Box::new(adts))
    }

    fn start_stream(&mut self, stream: AdtsParameters) {
        let mut parameters = AudioCodecParameters::new();
        parameters
            .for_codec(CODEC_ID_AAC)
            .with_sample_rate(stream.rate);
        match stream.channels {
            0 => {}
            1 => drop(parameters.with_channels(Channels::Positioned(Position::FRONT_LEFT))),
            2 => drop(parameters.with_channels(Channels::Positioned(
                Position::FRONT_LEFT | Position::FRONT_RIGHT,
            ))),
            7 => drop(parameters.with_channels(Channels::Discrete(8))),
            more => drop(parameters.with_channels(Channels::Discrete(u16::from(more)))),
        }
        let mut track = Track::new(0);
        track.with_codec_params(CodecParameters::Audio(parameters));
        self.tracks = vec![track];
        self.parameters = Some(stream);
    }

    /// The next frame with its header. Skips everything else: a frame whose parameters differ from
    /// those before counts only if a frame with the same parameters or the end of the file follows.
    fn next_frame(&mut self) -> Result<Option<(AdtsHeader, Vec<u8>)>> {
        loop {
            let from = self.file.stream_position()?;
            match i64::try_from(self.at.abs_diff(from)) {
                Ok(by) if self.at >= from => self.file.seek_relative(by)?,
                Ok(by) => self.file.seek_relative(-by)?,
                Err(_) => drop(self.file.seek(SeekFrom::Start(self.at))?),
            }
            let mut bytes = read_up_to(&mut self.file, HEADER_BYTES as u64)?;
            if bytes.len() < HEADER_BYTES {
                return Ok(None);
            }
            let Some(head) = AdtsHeader::parse(&bytes) else {
                self.at += 1;
                continue;
            };
            bytes.extend(read_up_to(
                &mut self.file,
                (head.frame_bytes - HEADER_BYTES) as u64,
            )?);
            if bytes.len() < head.frame_bytes {
                return Ok(None);
            }
            if self.parameters != Some(head.parameters) {
                let next = read_up_to(&mut self.file, HEADER_BYTES as u64)?;
                let follows =
                    AdtsHeader::parse(&next).is_some_and(|next| next.parameters == head.parameters);
                if !follows && next.len() >= HEADER_BYTES {
                    self.at += 1;
                    continue;
                }
            }
            return Ok(Some((head, bytes)));
        }
    }
}

impl Demuxer for AdtsDemuxer {
    fn name(&self) -> &'static str {
        "aac"
    }

    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        let Some((head, mut bytes)) = self.next_frame()? else {
            return Ok(None);
        };
        if self.parameters != Some(head.parameters) {
            self.start_stream(head.parameters);
            return Err(Error::ResetRequired);
        }
        self.at += head.frame_bytes as u64;
        let timestamp = Timestamp::new(self.next_time);
        self.next_time = self.next_time.saturating_add(FRAME_SAMPLES as i64);
        let data = bytes.split_off(head.header_bytes.min(bytes.len()));
        Ok(Some(Packet::new(
            0,
            timestamp,
            Duration::new(FRAME_SAMPLES),
            data,
        )))
    }
}
