//! AVI, with the parts that OpenDML added for long files.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use symphonia::core::codecs::CodecParameters;
use symphonia::core::errors::{Error, Result};
use symphonia::core::formats::Track;
use symphonia::core::io::ReadOnlySource;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use super::blocks::Blocks;
use super::fields::{Order, array, part, up_to};
use super::waveformat::{Coding, MOST_OF_A_FORMAT, WaveFormat};
use super::{Demuxer, Extent, Source, framed};

/// Chunks of a file that are looked at.
const MAX_CHUNKS: usize = 10_000_000;

/// Streams of a file: their numbers have two digits.
const MAX_STREAMS: usize = 100;

/// The most that a packet may take.
const MOST_OF_A_PACKET: u64 = 16 * 1024 * 1024;

/// Whether a file that begins so is one of these.
pub(crate) fn is_avi(start: &[u8]) -> bool {
    start.starts_with(b"RIFF") && start.get(8..12) == Some(b"AVI ")
}

/// An AVI file.
pub(crate) struct Avi {
    source: Source,
    streams: Vec<Stream>,
    tracks: Vec<Track>,
    /// Where the first chunk lies that holds something to be heard or seen.
    first: u64,
    open: Option<Open>,
}

/// A stream of sound.
struct Stream {
    number: u8,
    format: WaveFormat,
    /// When it begins, in seconds.
    begins: f64,
    /// How long a chunk lasts, in seconds, where that is always the same.
    chunk: Option<f64>,
}

/// The stream that is heard.
struct Open {
    packets: Packets,
    track: u32,
    /// When it begins, in ticks of the track's clock.
    begins: i64,
}

enum Packets {
    Blocks(Blocks, Chunks),
    /// Each chunk is a packet of so many frames.
    Chunks(Chunks, i64),
    Framed(Box<dyn Demuxer>),
}

impl Avi {
    /// Reads the head.
    pub(crate) fn open(mut source: Source) -> Result<Box<dyn Demuxer>> {
        let mut head = Head::default();
        head.read(&mut BufReader::new(&mut source))?;
        let first = head.first.ok_or(Error::DecodeError("avi: nothing in it"))?;
        let tracks = head.streams.iter().map(|stream| {
            let mut track = Track::new(u32::from(stream.number));
            let parameters = stream.format.parameters.clone();
            track.with_codec_params(CodecParameters::Audio(parameters));
            track
        });
        Ok(Box::new(Self {
            source,
            tracks: tracks.collect(),
            streams: head.streams,
            first,
            open: None,
        }))
    }

    fn start(&self, stream: &Stream) -> Result<Open> {
        let mut chunks = Chunks {
            file: BufReader::new(self.source.again()),
            number: stream.number,
            at: self.first,
            left: 0,
            looked_at: 0,
        };
        let rate = stream.format.parameters.sample_rate.unwrap_or(1);
        let mut begins = stream.begins;
        if let Some(chunk) = stream.chunk {
            // Empty chunks stand for time without sound.
            begins += chunks.empty()? as f64 * chunk;
        }
        let packets = match stream.format.coding {
            Coding::Blocks { bytes, frames } => {
                let blocks = Blocks::new(bytes, frames);
                Packets::Blocks(
                    blocks.ok_or(Error::DecodeError("avi: empty blocks"))?,
                    chunks,
                )
            }
            Coding::Framed => {
                let stream_of_chunks = ReadOnlySource::new(chunks);
                Packets::Framed(framed::open(stream_of_chunks, &stream.format.parameters)?)
            }
            Coding::Chunks => Packets::Chunks(chunks, 0),
        };
        Ok(Open {
            packets,
            track: u32::from(stream.number),
            begins: (begins * f64::from(rate)) as i64,
        })
    }
}

impl Demuxer for Avi {
    fn name(&self) -> &'static str {
        "avi"
    }

    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn choose(&mut self, track: u32) {
        let wanted = |stream: &&Stream| u32::from(stream.number) == track;
        self.open = self
            .streams
            .iter()
            .find(wanted)
            .and_then(|stream| self.start(stream).ok());
    }

    fn extent(&self, _track: u32) -> Option<Extent> {
        Some(Extent {
            skip: 0,
            length: None,
        })
    }

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        let Some(open) = &mut self.open else {
            return Ok(None);
        };
        let packet = match &mut open.packets {
            Packets::Blocks(blocks, chunks) => match blocks.next_packet(chunks) {
                // Half a block at the end is nothing that could be heard.
                Err(error) if super::ended(&error) && !chunks.are_cut() => None,
                packet => packet?,
            },
            Packets::Framed(inner) => inner.next_packet()?,
            Packets::Chunks(chunks, at) => chunks.whole()?.map(|data| {
                // AAC, of which a packet has 1,024 frames.
                let packet = Packet::new(0, Timestamp::new(*at), Duration::new(1_024), data);
                *at += 1_024;
                packet
            }),
        };
        Ok(packet.map(|mut packet| {
            packet.track_id = open.track;
            packet.pts = Timestamp::new(packet.pts.get().saturating_add(open.begins));
            packet
        }))
    }
}

/// What stands before a chunk: its name, and how long it is.
fn chunk(file: &mut impl Read) -> io::Result<Option<([u8; 4], u64)>> {
    let head = up_to(file, 8)?;
    Ok(part(&head, 0)
        .zip(part(&head, 4).map(u32::from_le_bytes))
        .map(|(name, size)| (name, u64::from(size))))
}

/// Where the chunk ends that begins at `at`, and has so many bytes.
fn end(at: u64, size: u64) -> u64 {
    at.saturating_add(8)
        .saturating_add(size)
        .saturating_add(size & 1)
}

#[derive(Default)]
struct Head {
    streams: Vec<Stream>,
    first: Option<u64>,
}

impl Head {
    fn read(&mut self, file: &mut (impl Read + Seek)) -> Result<()> {
        let mut at = 12;
        let mut number: u8 = 0;
        let mut header = Vec::new();
        for _ in 0..MAX_CHUNKS {
            file.seek(SeekFrom::Start(at))?;
            let Some((name, size)) = chunk(file)? else {
                return Ok(());
            };
            match &name {
                b"LIST" => {
                    let kind: [u8; 4] = array(file)?;
                    if &kind == b"movi" {
                        self.first = Some(at + 12);
                        return Ok(());
                    }
                    // What is in the other lists is looked at, as if they were not there.
                    if matches!(&kind, b"hdrl" | b"strl") {
                        at += 12;
                        continue;
                    }
                }
                b"strh" => {
                    header = up_to(file, size.min(64))?;
                    number = number.saturating_add(1);
                    if usize::from(number) > MAX_STREAMS {
                        return Err(Error::DecodeError("avi: too many streams"));
                    }
                }
                b"strf" if header.starts_with(b"auds") => {
                    let format = up_to(file, size.min(MOST_OF_A_FORMAT))?;
                    self.streams
                        .extend(Stream::read(number.saturating_sub(1), &header, &format));
                }
                _ => {}
            }
            at = end(at, size);
        }
        Ok(())
    }
}

impl Stream {
    fn read(number: u8, header: &[u8], format: &[u8]) -> Option<Self> {
        let four = |at| part(header, at).map(u32::from_le_bytes);
        let (scale, rate, start, size) = (four(20)?, four(24)?, four(28)?, four(44).unwrap_or(0));
        let tick = match rate {
            0 => 0.0,
            rate => f64::from(scale) / f64::from(rate),
        };
        Some(Self {
            number,
            format: WaveFormat::read(format, Order::Little)?,
            begins: f64::from(start) * tick,
            chunk: (size == 0).then_some(tick),
        })
    }
}

/// The bytes of one stream, out of the chunks of all.
struct Chunks {
    file: BufReader<Source>,
    number: u8,
    /// Where the next chunk begins, and what is left of this one.
    at: u64,
    left: u64,
    looked_at: usize,
}

impl Chunks {
    /// Goes to the next chunk of the stream, and gives its length; none: there is none.
    fn advance(&mut self) -> io::Result<Option<u64>> {
        let digits = [b'0' + self.number / 10, b'0' + self.number % 10];
        while self.looked_at < MAX_CHUNKS {
            self.looked_at += 1;
            let from = self.file.stream_position()?;
            match i64::try_from(self.at.abs_diff(from)) {
                Ok(by) if self.at >= from => self.file.seek_relative(by)?,
                _ => drop(self.file.seek(SeekFrom::Start(self.at))?),
            }
            let Some((name, size)) = chunk(&mut self.file)? else {
                return Ok(None);
            };
            // Lists of chunks, and the further parts of a long file.
            if matches!(&name, b"LIST" | b"RIFF") {
                let kind: [u8; 4] = array(&mut self.file)?;
                self.at = match &kind {
                    b"rec " | b"movi" | b"AVIX" => self.at.saturating_add(12),
                    _ => end(self.at, size),
                };
                continue;
            }
            self.at = end(self.at, size);
            if name.starts_with(&digits) && name.ends_with(b"wb") {
                self.left = size;
                return Ok(Some(size));
            }
        }
        Ok(None)
    }

    /// How many chunks are empty before the first that is not.
    fn empty(&mut self) -> io::Result<u64> {
        let mut empty = 0;
        while self.advance()? == Some(0) {
            empty += 1;
        }
        Ok(empty)
    }

    /// Whether the file ends in the middle of a chunk.
    fn are_cut(&self) -> bool {
        self.left > 0
    }

    /// The next chunk, as one.
    fn whole(&mut self) -> io::Result<Option<Vec<u8>>> {
        while self.left == 0 {
            if self.advance()?.is_none() {
                return Ok(None);
            }
        }
        let size = self.left.min(MOST_OF_A_PACKET);
        let data = up_to(self, size)?;
        match (data.len() as u64) < size {
            true => Err(io::ErrorKind::UnexpectedEof.into()),
            false => Ok(Some(data)),
        }
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 {
            if self.advance()?.is_none() {
                return Ok(0);
            }
        }
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| buffer.len().min(left));
        let read = self.file.read(&mut buffer[..most])?;
        self.left -= read as u64;
        Ok(read)
    }
}
