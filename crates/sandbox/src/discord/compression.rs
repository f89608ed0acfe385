//! Transport compression: one stream over all of a connection's frames, flushed after each.
//! <https://discord.com/developers/docs/events/gateway#transport-compression>

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress};
use tokio_tungstenite::tungstenite::Message as Frame;

/// The most that a block of Zstandard may hold: <https://www.rfc-editor.org/rfc/rfc8878>.
const MAX_BLOCK: usize = 128 * 1024;

/// Beginning of a Zstandard frame: the magic number, a header without any option, and a window of
/// 256 KiB.
const ZSTD_FRAME: [u8; 6] = [0x28, 0xB5, 0x2F, 0xFD, 0x00, 8 << 3];

/// Room that the compressor is given at least, beyond what went in.
const MIN_OUTPUT_SPACE: usize = 1_024;

/// How the frames of one connection go out.
pub(super) enum TransportCompression {
    Plain,
    Zlib(Box<Compress>),
    /// The blocks are stored as they are, which any decoder takes.
    Zstd {
        begun: bool,
    },
}

impl TransportCompression {
    /// As `compress=` in the address asks; anything that is not known is not packed.
    pub(super) fn from_query(compress: Option<&str>) -> Self {
        match compress {
            Some("zlib-stream") => Self::Zlib(Box::new(Compress::new(Compression::fast(), true))),
            Some("zstd-stream") => Self::Zstd { begun: false },
            _ => Self::Plain,
        }
    }

    pub(super) fn encode(&mut self, text: String) -> Frame {
        match self {
            Self::Plain => Frame::text(text),
            Self::Zlib(stream) => Frame::binary(deflate_and_flush(stream, text.as_bytes())),
            Self::Zstd { begun } => {
                let head = if std::mem::replace(begun, true) {
                    &[][..]
                } else {
                    &ZSTD_FRAME[..]
                };
                Frame::binary(zstd_raw_blocks(head, text.as_bytes()))
            }
        }
    }
}

/// Everything that came in, and the mark of a flush behind it.
fn deflate_and_flush(stream: &mut Compress, bytes: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(bytes.len() + MIN_OUTPUT_SPACE);
    let mut rest = bytes;
    loop {
        let before = stream.total_in();
        let flush = FlushCompress::Sync;
        stream
            .compress_vec(rest, &mut out, flush)
            .expect("memory has room");
        rest = &rest[(stream.total_in() - before) as usize..];
        // With room left over, all that was to come is there.
        if rest.is_empty() && out.len() < out.capacity() {
            return out.into();
        }
        out.reserve(MIN_OUTPUT_SPACE);
    }
}

fn zstd_raw_blocks(head: &[u8], bytes: &[u8]) -> Bytes {
    let mut out = head.to_vec();
    for block in bytes.chunks(MAX_BLOCK) {
        // Not the last block, of the kind that is stored.
        out.extend_from_slice(&((block.len() as u32) << 3).to_le_bytes()[..3]);
        out.extend_from_slice(block);
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Decompress, FlushDecompress};

    #[test]
    fn frames_of_all_sizes_come_out_of_the_stream_one_by_one() {
        let mut packing = TransportCompression::from_query(Some("zlib-stream"));
        let mut stream = Decompress::new(true);
        for size in [0, 1, 100, 1_023, 1_024, 70_000, 1_000_000] {
            let text: String = (0..size)
                .map(|at| char::from(b'a' + (at * at % 23) as u8))
                .collect();
            let packed = packing.encode(text.clone()).into_data();
            assert!(packed.ends_with(&[0, 0, 255, 255]), "flushed at {size}");
            let mut out = Vec::with_capacity(size + 100);
            stream
                .decompress_vec(&packed, &mut out, FlushDecompress::Sync)
                .expect("a stream");
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn only_the_first_frame_begins_a_zstandard_stream() {
        let mut packing = TransportCompression::from_query(Some("zstd-stream"));
        let first = packing.encode("{}".to_owned()).into_data();
        assert_eq!(first[..6], ZSTD_FRAME);
        assert_eq!(first[6..], [2 << 3, 0, 0, b'{', b'}']);
        let second = packing.encode("{}".to_owned()).into_data();
        assert_eq!(second[..], first[6..]);
        let large = packing.encode("a".repeat(MAX_BLOCK + 1)).into_data();
        assert_eq!(large.len(), MAX_BLOCK + 1 + 2 * 3);
    }
}
