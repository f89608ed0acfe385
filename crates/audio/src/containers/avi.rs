//! AVI, including the OpenDML extensions for long files.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use symphonia::core::codecs::CodecParameters;
use symphonia::core::errors::{Error, Result};
use symphonia::core::formats::Track;
use symphonia::core::io::ReadOnlySource;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use super::block_packetizer::BlockPacketizer;
use super::byte_order::{ByteOrder, array_at, read_array, read_up_to};
use super::wave_format::{MAX_FORMAT_BYTES, WaveFormat, WavePackets};
use super::{AudibleExtent, Demuxer, RecordingSource, framed_stream};

/// Maximum number of chunks read from a file.
const MAX_CHUNKS: usize = 10_000_000;

/// Maximum number of streams: stream numbers have two digits.
const MAX_STREAMS: usize = 100;

/// Maximum size of a packet.
const MAX_PACKET_BYTES: u64 = 16 * 1024 * 1024;

/// Whether a file with this start is an AVI file.
pub(crate) fn is_avi(start: &[u8]) -> bool {
    start.starts_with(b"RIFF") && start.get(8..12) == Some(b"AVI ")
}

/// An AVI file.
pub(crate) struct AviDemuxer {
    source: RecordingSource,
    streams: Vec<AviStream>,
    tracks: Vec<Track>,
    /// Offset of the first chunk with audio or video data.
    first_chunk: u64,
    selected: Option<SelectedStream>,
}

/// An audio stream.
struct AviStream {
    number: u8,
    format: WaveFormat,
    /// Start of the stream in seconds.
    start_seconds: f64,
    /// Duration of a chunk in seconds, if it is constant.
    chunk_seconds: Option<f64>,
}

/// The stream being read.
struct SelectedStream {
    packets: StreamPackets,
    track: u32,
    /// Start of the stream in ticks of the track's clock.
    start_ticks: i64,
}

enum StreamPackets {
    Blocks(BlockPacketizer, StreamChunks),
    /// Each chunk is one packet; the timestamp of the next one, in frames.
    Chunks(StreamChunks, i64),
    Framed(Box<dyn Demuxer>),
}

impl AviDemuxer {
    /// Reads the headers up to the first data chunk.
    pub(crate) fn open(mut source: RecordingSource) -> Result<Box<dyn Demuxer>> {
        let mut head = AviHeader::default();
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
            first_chunk: first,
            selected: None,
        }))
    }

    fn open_stream(&self, stream: &AviStream) -> Result<SelectedStream> {
        let mut chunks = StreamChunks {
            file: BufReader::new(self.source.reopen()),
            number: stream.number,
            at: self.first_chunk,
            left: 0,
            chunks_read: 0,
        };
        let rate = stream.format.parameters.sample_rate.unwrap_or(1);
        let mut start_seconds = stream.start_seconds;
        if let Some(chunk) = stream.chunk_seconds {
            // Leading empty chunks stand for time without audio.
            start_seconds += chunks.skip_empty()? as f64 * chunk;
        }
        let packets = match stream.format.packets {
            WavePackets::Blocks { bytes, frames } => {
                let blocks = BlockPacketizer::new(bytes, frames);
                StreamPackets::Blocks(
                    blocks.ok_or(Error::DecodeError("avi: empty blocks"))?,
                    chunks,
                )
            }
            WavePackets::Framed => {
                let stream_of_chunks = ReadOnlySource::new(chunks);
                StreamPackets::Framed(framed_stream::open_framed(
                    stream_of_chunks,
                    &stream.format.parameters,
                )?)
            }
            WavePackets::Chunks => StreamPackets::Chunks(chunks, 0),
        };
        Ok(SelectedStream {
            packets,
            track: u32::from(stream.number),
            start_ticks: (start_seconds * f64::from(rate)) as i64,
        })
    }
}

impl Demuxer for AviDemuxer {
    fn name(&self) -> &'static str {
        "avi"
    }

    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn select_track(&mut self, track: u32) {
        let wanted = |stream: &&AviStream| u32::from(stream.number) == track;
        self.selected = self
            .streams
            .iter()
            .find(wanted)
            .and_then(|stream| self.open_stream(stream).ok());
    }

    fn audible_extent(&self, _track: u32) -> Option<AudibleExtent> {
        Some(AudibleExtent {
            skip: 0,
            length: None,
        })
    }

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        let Some(selected) = &mut self.selected else {
            return Ok(None);
        };
        let packet = match &mut selected.packets {
            StreamPackets::Blocks(blocks, chunks) => match blocks.next_packet(chunks) {
                // A partial block at the end contains no complete sample.
                Err(error) if super::is_unexpected_eof(&error) && !chunks.is_truncated() => None,
                packet => packet?,
            },
            StreamPackets::Framed(inner) => inner.next_packet()?,
            StreamPackets::Chunks(chunks, at) => chunks.next_chunk()?.map(|data| {
                // An AAC packet has 1,024 frames.
                let packet = Packet::new(0, Timestamp::new(*at), Duration::new(1_024), data);
                *at += 1_024;
                packet
            }),
        };
        Ok(packet.map(|mut packet| {
            packet.track_id = selected.track;
            packet.pts = Timestamp::new(packet.pts.get().saturating_add(selected.start_ticks));
            packet
        }))
    }
}

/// Reads a chunk header: FourCC and size in bytes.
fn read_chunk_header(file: &mut impl Read) -> io::Result<Option<([u8; 4], u64)>> {
    let head = read_up_to(file, 8)?;
    Ok(array_at(&head, 0)
        .zip(array_at(&head, 4).map(u32::from_le_bytes))
        .map(|(name, size)| (name, u64::from(size))))
}

/// End of the chunk that starts at `at` with `size` bytes of content, including its padding byte.
fn chunk_end(at: u64, size: u64) -> u64 {
    at.saturating_add(8)
        .saturating_add(size)
        .saturating_add(size & 1)
}

#[derive(Default)]
struct AviHeader {
    streams: Vec<AviStream>,
    first: Option<u64>,
}

impl AviHeader {
    fn read(&mut self, file: &mut (impl Read + Seek)) -> Result<()> {
        let mut at = 12;
        let mut number: u8 = 0;
        let mut header = Vec::new();
        for _ in 0..MAX_CHUNKS {
            file.seek(SeekFrom::Start(at))?;
            let Some((name, size)) = read_chunk_header(file)? else {
                return Ok(());
            };
            match &name {
                b"LIST" => {
                    let kind: [u8; 4] = read_array(file)?;
                    if &kind == b"movi" {
                        self.first = Some(at + 12);
                        return Ok(());
                    }
                    // Read the content of these lists as if it were at the top level.
                    if matches!(&kind, b"hdrl" | b"strl") {
                        at += 12;
                        continue;
                    }
                }
                b"strh" => {
                    header = read_up_to(file, size.min(64))?;
                    number = number.saturating_add(1);
                    if usize::from(number) > MAX_STREAMS {
                        return Err(Error::DecodeError("avi: too many streams"));
                    }
                }
                b"strf" if header.starts_with(b"auds") => {
                    let format = read_up_to(file, size.min(MAX_FORMAT_BYTES))?;
                    self.streams.extend(AviStream::read(
                        number.saturating_sub(1),
                        &header,
                        &format,
                    ));
                }
                _ => {}
            }
            at = chunk_end(at, size);
        }
        Ok(())
    }
}

impl AviStream {
    fn read(number: u8, header: &[u8], format: &[u8]) -> Option<Self> {
        let four = |at| array_at(header, at).map(u32::from_le_bytes);
        let (scale, rate, start, size) = (four(20)?, four(24)?, four(28)?, four(44).unwrap_or(0));
        let tick = match rate {
            0 => 0.0,
            rate => f64::from(scale) / f64::from(rate),
        };
        Some(Self {
            number,
            format: WaveFormat::parse(format, ByteOrder::Little)?,
            start_seconds: f64::from(start) * tick,
            chunk_seconds: (size == 0).then_some(tick),
        })
    }
}

/// The bytes of one stream, collected from interleaved chunks.
struct StreamChunks {
    file: BufReader<RecordingSource>,
    number: u8,
    /// Offset of the next chunk, and bytes left in the current one.
    at: u64,
    left: u64,
    chunks_read: usize,
}

impl StreamChunks {
    /// Advances to the next chunk of the stream and returns its length; `None` at the end.
    fn next_chunk_length(&mut self) -> io::Result<Option<u64>> {
        let digits = [b'0' + self.number / 10, b'0' + self.number % 10];
        while self.chunks_read < MAX_CHUNKS {
            self.chunks_read += 1;
            let from = self.file.stream_position()?;
            match i64::try_from(self.at.abs_diff(from)) {
                Ok(by) if self.at >= from => self.file.seek_relative(by)?,
                _ => drop(self.file.seek(SeekFrom::Start(self.at))?),
            }
            let Some((name, size)) = read_chunk_header(&mut self.file)? else {
                return Ok(None);
            };
            // Lists of chunks, and the additional RIFF parts of a long file.
            if matches!(&name, b"LIST" | b"RIFF") {
                let kind: [u8; 4] = read_array(&mut self.file)?;
                self.at = match &kind {
                    b"rec " | b"movi" | b"AVIX" => self.at.saturating_add(12),
                    _ => chunk_end(self.at, size),
                };
                continue;
            }
            self.at = chunk_end(self.at, size);
            if name.starts_with(&digits) && name.ends_with(b"wb") {
                self.left = size;
                return Ok(Some(size));
            }
        }
        Ok(None)
    }

    /// Skips empty chunks and returns their number.
    fn skip_empty(&mut self) -> io::Result<u64> {
        let mut empty = 0;
        while self.next_chunk_length()? == Some(0) {
            empty += 1;
        }
        Ok(empty)
    }

    /// Whether the file ended in the middle of a chunk.
    fn is_truncated(&self) -> bool {
        self.left > 0
    }

    /// The next chunk as one packet; `None` at the end.
    fn next_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        while self.left == 0 {
            if self.next_chunk_length()?.is_none() {
                return Ok(None);
            }
        }
        let size = self.left.min(MAX_PACKET_BYTES);
        let data = read_up_to(self, size)?;
        match (data.len() as u64) < size {
            true => Err(io::ErrorKind::UnexpectedEof.into()),
            false => Ok(Some(data)),
        }
    }
}

impl Read for StreamChunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 {
            if self.next_chunk_length()?.is_none() {
                return Ok(0);
            }
        }
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| buffer.len().min(left));
        let read = self.file.read(&mut buffer[..most])?;
        self.left -= read as u64;
        Ok(read)
    }
}
