//! WAV: RIFF and RIFX, RF64 and BW64 (EBU Tech 3306, ITU-R BS.2088), and Sony Wave64.
//!
//! Recorders that crash, programs that write to a pipe, and libraries that miscount leave sizes in
//! the header that are zero, all ones, or off by the size of the header. Only the start of the
//! samples and the end of the file are certain, so declared sizes are checked against those.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use symphonia::core::codecs::CodecParameters;
use symphonia::core::errors::{Error, Result};
use symphonia::core::formats::Track;
use symphonia::core::packet::Packet;
use symphonia::core::units::Duration;

use super::block_packetizer::BlockPacketizer;
use super::byte_order::{ByteOrder, array_at, read_array, read_up_to};
use super::source::{RecordingSlice, RecordingSource};
use super::wave_format::{MAX_FORMAT_BYTES, WaveFormat, WavePackets};
use super::{Demuxer, framed_stream};

/// Maximum number of chunks before the samples.
const MAX_CHUNKS: usize = 1_000;

/// Programs that don't know the size write this or a larger value.
const UNKNOWN_SIZE: u64 = 0x7FFF_0000;

/// The GUID for "riff" at the start of a Wave64 file.
const WAVE64_SIGNATURE: [u8; 16] = *b"riff\x2E\x91\xCF\x11\xA5\xD6\x28\xDB\x04\xC1\x00\x00";

/// Whether a file with this start is a WAV file of any kind.
pub(crate) fn is_wave(start: &[u8]) -> bool {
    WaveKind::detect(start).is_some()
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum WaveKind {
    /// RIFF or RIFX, with sizes of 32 bits.
    Riff(ByteOrder),
    /// With a `ds64` chunk for sizes beyond 32 bits.
    Rf64,
    Wave64,
}

impl WaveKind {
    fn detect(start: &[u8]) -> Option<Self> {
        let wave = array_at(start, 8) == Some(*b"WAVE");
        match start.get(..4)? {
            b"RIFF" if wave => Some(Self::Riff(ByteOrder::Little)),
            b"RIFX" if wave => Some(Self::Riff(ByteOrder::Big)),
            b"RF64" | b"BW64" if wave => Some(Self::Rf64),
            b"riff" if start.get(..12) == WAVE64_SIGNATURE.get(..12) => Some(Self::Wave64),
            _ => None,
        }
    }

    fn byte_order(self) -> ByteOrder {
        match self {
            Self::Riff(order) => order,
            Self::Rf64 | Self::Wave64 => ByteOrder::Little,
        }
    }
}

/// The header of a chunk.
struct WaveChunk {
    kind: [u8; 4],
    /// Offset of its content.
    start: u64,
    /// Declared size of its content in bytes.
    size: u64,
}

/// The header of a WAV file.
struct WaveHeader {
    format: WaveFormat,
    /// Offset of the samples.
    data_start: u64,
    /// Bytes of samples, if known.
    data_size: Option<u64>,
    /// Declared length of the file in bytes.
    declared_file_size: u64,
}

/// A WAV file.
pub(crate) struct WaveDemuxer {
    samples: RecordingSlice,
    blocks: BlockPacketizer,
    tracks: Vec<Track>,
    /// Bytes of samples still to be read, if known.
    bytes_left: Option<u64>,
    data_start: u64,
    declared_file_size: u64,
}

impl WaveDemuxer {
    /// Reads the header and seeks to the samples.
    pub(crate) fn open(source: RecordingSource) -> Result<Box<dyn Demuxer>> {
        let length = source.length();
        let mut reader = BufReader::new(source);
        let header = WaveHeader::read(&mut reader, length)?;
        let source = reader.into_inner();
        let end = header
            .data_size
            .map(|size| header.data_start.saturating_add(size));
        let samples = RecordingSlice::new(source, header.data_start, end)?;
        let (bytes, frames) = match header.format.packets {
            WavePackets::Blocks { bytes, frames } => (bytes, frames),
            WavePackets::Framed | WavePackets::Chunks => {
                return framed_stream::open_framed(samples, &header.format.parameters);
            }
        };
        let blocks =
            BlockPacketizer::new(bytes, frames).ok_or(Error::DecodeError("wav: empty blocks"))?;
        let mut track = Track::new(0);
        track.with_codec_params(CodecParameters::Audio(header.format.parameters));
        let there = length.map(|length| length.saturating_sub(header.data_start));
        let known = header
            .data_size
            .zip(there)
            .map(|(size, there)| size.min(there));
        if let Some(size) = known {
            let frames = size / u64::from(bytes) * u64::from(frames);
            track
                .with_num_frames(frames)
                .with_duration(Duration::new(frames));
        }
        Ok(Box::new(Self {
            samples,
            blocks,
            tracks: vec![track],
            bytes_left: header.data_size,
            data_start: header.data_start,
            declared_file_size: header.declared_file_size,
        }))
    }

    /// Whether the file is truncated, given that it has ended at `length` with `missing` bytes to
    /// go. A declared size that includes the header is merely wrong, and so is one in a file of its
    /// declared length.
    fn is_truncated(&self, missing: u64, length: u64) -> bool {
        missing > self.data_start && self.declared_file_size > length
    }
}

impl Demuxer for WaveDemuxer {
    fn name(&self) -> &'static str {
        "wave"
    }

    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        let packet = match self.blocks.next_packet(&mut self.samples) {
            // A partial block at the end contains no complete sample.
            Err(error) if super::is_unexpected_eof(&error) => None,
            packet => packet?,
        };
        let Some(left) = &mut self.bytes_left else {
            return Ok(packet);
        };
        match packet {
            Some(packet) => {
                *left = left.saturating_sub(packet.data.len() as u64);
                Ok(Some(packet))
            }
            None => {
                let left = *left;
                let length = self.data_start + self.samples.stream_position()?;
                match self.is_truncated(left, length) {
                    true => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                    false => Ok(None),
                }
            }
        }
    }
}

impl WaveHeader {
    fn read(reader: &mut (impl Read + Seek), length: Option<u64>) -> Result<Self> {
        let start = read_up_to(reader, 12)?;
        let kind = WaveKind::detect(&start).ok_or(Error::Unsupported("wav: no wav file"))?;
        let order = kind.byte_order();
        let mut file = array_at(&start, 4).map_or(0, |size| u64::from(order.read_u32(size)) + 8);
        let mut at = 12;
        if kind == WaveKind::Wave64 {
            reader.seek(SeekFrom::Start(16))?;
            file = u64::from_le_bytes(read_array(reader)?);
            at = 40;
        }
        let mut format = None;
        let mut large_size = None;
        for _ in 0..MAX_CHUNKS {
            let chunk = WaveChunk::read(reader, at, kind)?;
            match &chunk.kind {
                b"fmt " => {
                    let bytes = read_up_to(reader, chunk.size.min(MAX_FORMAT_BYTES))?;
                    format = WaveFormat::parse(&bytes, order);
                }
                b"ds64" => {
                    let bytes = read_up_to(reader, chunk.size.min(16))?;
                    let eight = |at| array_at(&bytes, at).map(u64::from_le_bytes);
                    file = eight(0).unwrap_or(u64::MAX).saturating_add(8);
                    large_size = eight(8);
                }
                b"data" => {
                    let size = match (kind, chunk.size) {
                        (WaveKind::Rf64, size) if size == u64::from(u32::MAX) => {
                            large_size.unwrap_or(0)
                        }
                        (_, size) => size,
                    };
                    return Ok(Self {
                        format: format.ok_or(Error::DecodeError("wav: no format"))?,
                        data_start: chunk.start,
                        data_size: chunk.resolve_data_size(size, reader, kind, length)?,
                        declared_file_size: file,
                    });
                }
                _ => {}
            }
            at = chunk.next_chunk(reader, kind)?;
        }
        Err(Error::DecodeError("wav: too many chunks"))
    }
}

impl WaveChunk {
    fn read(reader: &mut (impl Read + Seek), at: u64, kind: WaveKind) -> Result<Self> {
        reader.seek(SeekFrom::Start(at))?;
        let name: [u8; 4] = read_array(reader)?;
        if kind == WaveKind::Wave64 {
            let _rest_of_guid: [u8; 12] = read_array(reader)?;
            let size = u64::from_le_bytes(read_array(reader)?);
            return Ok(Self {
                kind: name,
                start: at.saturating_add(24),
                size: size.saturating_sub(24),
            });
        }
        Ok(Self {
            kind: name,
            start: at.saturating_add(8),
            size: u64::from(kind.byte_order().read_u32(read_array(reader)?)),
        })
    }

    /// Offset of the next chunk. Chunks should start at even offsets, but not every program pads
    /// them.
    fn next_chunk(&self, reader: &mut (impl Read + Seek), kind: WaveKind) -> Result<u64> {
        let end = self.start.saturating_add(self.size);
        if kind == WaveKind::Wave64 {
            return Ok(end.saturating_add(7) & !7);
        }
        if end.is_multiple_of(2) {
            return Ok(end);
        }
        reader.seek(SeekFrom::Start(end))?;
        let five = read_up_to(reader, 5)?;
        let is_name = |name: Option<&[u8]>| {
            name.is_some_and(|name| name.iter().all(|byte| (b' '..=b'~').contains(byte)))
        };
        let padded = is_name(five.get(1..5));
        Ok(match !padded && is_name(five.get(..4)) {
            true => end,
            false => end + 1,
        })
    }

    /// Bytes of samples, if the declared size is plausible; `None` means that everything to the end
    /// of the file is samples.
    fn resolve_data_size(
        &self,
        size: u64,
        reader: &mut (impl Read + Seek),
        kind: WaveKind,
        length: Option<u64>,
    ) -> Result<Option<u64>> {
        if size > 0 {
            let there = length.map(|length| length.saturating_sub(self.start));
            let beyond = there.is_none_or(|there| size > there);
            return Ok(Some(size).filter(|size| *size < UNKNOWN_SIZE || !beyond));
        }
        // If another chunk follows there are no samples; otherwise the size was meant to be filled
        // in at the end.
        let follows = match Self::read(reader, self.start, kind) {
            Ok(next) => matches!(
                &next.kind,
                b"LIST"
                    | b"list"
                    | b"fact"
                    | b"bext"
                    | b"id3 "
                    | b"ID3 "
                    | b"cue "
                    | b"smpl"
                    | b"iXML"
            ),
            Err(error) if super::is_unexpected_eof(&error) => false,
            Err(error) => return Err(error),
        };
        Ok(follows.then_some(0))
    }
}
