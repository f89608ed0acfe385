//! AAC as a stream of frames (ADTS, ISO/IEC 14496-3, 1.A.3.2).
//!
//! symphonia 0.6 believes the first frame for all: of joined files, whose channels or rate change
//! in the middle, it loses the rest.

use std::io::{BufReader, Seek, SeekFrom};

use symphonia::core::audio::{Channels, Position};
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;
use symphonia::core::errors::{Error, Result};
use symphonia::core::formats::Track;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use super::super::aac::RATES;
use super::fields::up_to;
use super::{Demuxer, Source};

const HEAD: usize = 7;

/// Frames of sound in a frame of the stream.
const FRAMES: u64 = 1_024;

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Head {
    stream: Stream,
    /// Bytes of the frame, with its head, and of the head alone.
    bytes: usize,
    head: usize,
}

/// What stays the same through a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stream {
    rate: u32,
    channels: u8,
}

impl Head {
    fn read(bytes: &[u8]) -> Option<Self> {
        let [0xFF, second, third, fourth, fifth, sixth, ..] = *bytes else {
            return None;
        };
        // Twelve bits of mark, then the layer, which is 0.
        (second & 0xF6 == 0xF0).then_some(())?;
        let length =
            usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth >> 5);
        let head = if second & 1 == 0 { HEAD + 2 } else { HEAD };
        let stream = Stream {
            rate: *RATES.get(usize::from(third >> 2 & 0xF))?,
            channels: (third & 1) << 2 | fourth >> 6,
        };
        (length > head).then_some(Self {
            stream,
            bytes: length,
            head,
        })
    }
}

/// A stream of AAC frames.
pub(crate) struct Adts {
    file: BufReader<Source>,
    at: u64,
    stream: Option<Stream>,
    tracks: Vec<Track>,
    given: i64,
}

impl Adts {
    /// Finds the first frame.
    pub(crate) fn open(source: Source) -> Result<Box<dyn Demuxer>> {
        let mut adts = Self {
            file: BufReader::new(source),
            at: 0,
            stream: None,
            tracks: Vec::new(),
            given: 0,
        };
        let first = up_to(&mut adts.file, 10)?;
        if let [b'I', b'D', b'3', _, _, _, size @ ..] = first.as_slice() {
            let size = size
                .iter()
                .fold(0, |size, byte| size << 7 | u64::from(byte & 0x7F));
            adts.at = 10 + size;
        }
        match adts.next_head()? {
            Some((head, _)) => adts.begin(head.stream),
            None => return Err(Error::DecodeError("adts: no frame")),
        }
        Ok(Box::new(adts))
    }

    fn begin(&mut self, stream: Stream) {
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
        self.stream = Some(stream);
    }

    /// The head of the next frame, and all of it. What is no frame is passed over: a frame that is
    /// not like the ones before counts only if another one follows, or the end.
    fn next_head(&mut self) -> Result<Option<(Head, Vec<u8>)>> {
        loop {
            let from = self.file.stream_position()?;
            match i64::try_from(self.at.abs_diff(from)) {
                Ok(by) if self.at >= from => self.file.seek_relative(by)?,
                Ok(by) => self.file.seek_relative(-by)?,
                Err(_) => drop(self.file.seek(SeekFrom::Start(self.at))?),
            }
            let mut bytes = up_to(&mut self.file, HEAD as u64)?;
            if bytes.len() < HEAD {
                return Ok(None);
            }
            let Some(head) = Head::read(&bytes) else {
                self.at += 1;
                continue;
            };
            bytes.extend(up_to(&mut self.file, (head.bytes - HEAD) as u64)?);
            if bytes.len() < head.bytes {
                return Ok(None);
            }
            if self.stream != Some(head.stream) {
                let next = up_to(&mut self.file, HEAD as u64)?;
                let follows = Head::read(&next).is_some_and(|next| next.stream == head.stream);
                if !follows && next.len() >= HEAD {
                    self.at += 1;
                    continue;
                }
            }
            return Ok(Some((head, bytes)));
        }
    }
}

impl Demuxer for Adts {
    fn name(&self) -> &'static str {
        "aac"
    }

    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        let Some((head, mut bytes)) = self.next_head()? else {
            return Ok(None);
        };
        if self.stream != Some(head.stream) {
            self.begin(head.stream);
            return Err(Error::ResetRequired);
        }
        self.at += head.bytes as u64;
        let begins = Timestamp::new(self.given);
        self.given = self.given.saturating_add(FRAMES as i64);
        let data = bytes.split_off(head.head.min(bytes.len()));
        Ok(Some(Packet::new(0, begins, Duration::new(FRAMES), data)))
    }
}
