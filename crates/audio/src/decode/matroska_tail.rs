//! Examines the end of a Matroska or WebM file: whether the file is complete, and how much of its
//! last block is padding. symphonia 0.6 reports neither.
//!
//! Element ids are those of RFC 9559.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use crate::Recording;

/// Bytes examined at the end of the file.
const TAIL_BYTES: u64 = 256 * 1024;

const SEGMENT: u32 = 0x1853_8067;
const CLUSTER: u32 = 0x1F43_B675;
const SIMPLE_BLOCK: u32 = 0xA3;
const BLOCK_GROUP: u32 = 0xA0;
const BLOCK: u32 = 0xA1;
const DISCARD_PADDING: u32 = 0x75A2;

/// Other elements that occur in a segment or cluster: EBML, SeekHead, Info, Tracks, Cues, Tags,
/// Chapters, Attachments, Void, CRC-32, Timestamp, SilentTracks, Position, PrevSize.
const OTHER_ELEMENT_IDS: &[u32] = &[
    0x1A45_DFA3,
    0x114D_9B74,
    0x1549_A966,
    0x1654_AE6B,
    0x1C53_BB6B,
    0x1254_C367,
    0x1043_A770,
    0x1941_A469,
    0xEC,
    0xBF,
    0xE7,
    0x5854,
    0xA7,
    0xAB,
];

/// The end of a complete file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct MatroskaTail {
    /// Padding in the track's last block, in nanoseconds.
    pub(crate) padding_nanos: u64,
}

/// Examines the end of a file; `track` is a track number. `None` if the file does not end on an
/// element boundary.
pub(crate) fn read_tail(recording: &Recording, track: u32) -> Option<MatroskaTail> {
    let mut file = recording.open().ok()?;
    let length = file.length().ok()?;
    let start = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes).ok()?;
    parse_tail(&bytes, u64::from(track))
}

/// Finds the chain of elements that ends exactly at the end of `bytes`. The start of the first
/// element is unknown, so every offset is tried, from the last to the first: an offset is part of
/// the chain if an element starts there whose successor is part of it.
fn parse_tail(bytes: &[u8], track: u64) -> Option<MatroskaTail> {
    let mut reaches_end = vec![false; bytes.len() + 1];
    reaches_end[bytes.len()] = true;
    let mut first = None;
    for at in (0..bytes.len()).rev() {
        if let Some(element) = EbmlElement::parse(bytes, at)
            && element.is_known()
            && reaches_end.get(element.next()) == Some(&true)
        {
            reaches_end[at] = true;
            first = Some(at);
        }
    }
    let mut at = first?;
    let mut padding = 0;
    while let Some(element) = EbmlElement::parse(bytes, at) {
        if let Some((number, discarded)) = element.block_padding(bytes)
            && number == track
        {
            padding = discarded;
        }
        at = element.next();
    }
    Some(MatroskaTail {
        padding_nanos: padding,
    })
}

struct EbmlElement {
    id: u32,
    /// Start of the content. `end` is unknown for elements that were written while recording.
    start: usize,
    end: Option<usize>,
}

impl EbmlElement {
    fn parse(bytes: &[u8], at: usize) -> Option<Self> {
        let rest = bytes.get(at..)?;
        let id_length = rest.first()?.leading_zeros() as usize + 1;
        let id = parse_uint(rest.get(..id_length).filter(|_| id_length <= 4)?);
        let (size, size_length) = parse_vint(rest.get(id_length..)?)?;
        let start = at + id_length + size_length;
        let unknown = (1 << (7 * size_length)) - 1;
        let end = match size {
            size if size == unknown => None,
            size => Some(start.checked_add(usize::try_from(size).ok()?)?),
        };
        Some(Self {
            id: u32::try_from(id).ok()?,
            start,
            end,
        })
    }

    fn is_known(&self) -> bool {
        match self.id {
            SEGMENT | CLUSTER => true,
            SIMPLE_BLOCK | BLOCK_GROUP => self.end.is_some(),
            id => self.end.is_some() && OTHER_ELEMENT_IDS.contains(&id),
        }
    }

    /// Offset of the next element; for a segment or cluster that of its first child.
    fn next(&self) -> usize {
        match (self.id, self.end) {
            (SEGMENT | CLUSTER, _) | (_, None) => self.start,
            (_, Some(end)) => end,
        }
    }

    fn content(&self) -> Range<usize> {
        self.start..self.end.unwrap_or(self.start)
    }

    /// The track number of a block and the padding at its end, in nanoseconds.
    fn block_padding(&self, bytes: &[u8]) -> Option<(u64, u64)> {
        if self.id == SIMPLE_BLOCK {
            let (track, _) = parse_vint(bytes.get(self.content())?)?;
            return Some((track, 0));
        }
        if self.id != BLOCK_GROUP {
            return None;
        }
        let group = bytes.get(self.content())?;
        let (mut track, mut padding) = (None, 0);
        let mut at = 0;
        while let Some(child) = Self::parse(group, at) {
            let content = group.get(child.content())?;
            match child.id {
                BLOCK => track = parse_vint(content).map(|(track, _)| track),
                // Negative padding is at the start of the block.
                DISCARD_PADDING if content.len() <= 8 && content.first()? & 0x80 == 0 => {
                    padding = parse_uint(content);
                }
                _ => {}
            }
            at = child.end?;
        }
        track.map(|track| (track, padding))
    }
}

fn parse_uint(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A variable-length integer, whose leading zeros encode its length (RFC 8794, 4), and that length.
fn parse_vint(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let length = first.leading_zeros() as usize + 1;
    let all = parse_uint(bytes.get(..length).filter(|_| length <= 8)?);
    Some((all & ((1 << (7 * length)) - 1), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(id: &[u8], content: &[u8]) -> Vec<u8> {
        let size = 0x4000 | u16::try_from(content.len()).expect("short");
        [id, &size.to_be_bytes(), content].concat()
    }

    /// A block of `track` with `padding` as its DiscardPadding.
    fn group(track: u8, padding: &[u8]) -> Vec<u8> {
        let block = element(&[0xA1], &[0x80 | track, 0, 0, 0, 1, 2, 3]);
        element(&[0xA0], &[block, element(&[0x75, 0xA2], padding)].concat())
    }

    const SIMPLE: &[u8] = &[0xA3, 0x87, 0x81, 0, 0, 0x80, 7, 7, 7];
    const UNKNOWN_CLUSTER: &[u8] = &[0x1F, 0x43, 0xB6, 0x75, 0xFF];

    fn padding(parts: &[&[u8]]) -> Option<u64> {
        parse_tail(&parts.concat(), 1).map(|tail| tail.padding_nanos)
    }

    #[test]
    fn the_padding_of_the_last_block_counts() {
        let last = group(1, &[0x0D, 0x40]);
        let cues = element(&[0x1C, 0x53, 0xBB, 0x6B], &[5; 40]);
        let start = element(&[0x1F, 0x43, 0xB6, 0x75], &[]);
        assert_eq!(padding(&[&start, SIMPLE, &last, &cues]), Some(0x0D40));
        assert_eq!(padding(&[UNKNOWN_CLUSTER, SIMPLE, &last]), Some(0x0D40));
        // Not in the last block, of another track, or at the start of the block.
        assert_eq!(padding(&[&start, &last, SIMPLE]), Some(0));
        assert_eq!(padding(&[SIMPLE, &group(2, &[9])]), Some(0));
        assert_eq!(padding(&[SIMPLE, &group(1, &[0xFF, 0])]), Some(0));
    }

    #[test]
    fn bytes_before_the_first_element_are_ignored() {
        let half = &SIMPLE[3..];
        let last = group(1, &[9]);
        assert_eq!(padding(&[half, SIMPLE, UNKNOWN_CLUSTER, &last]), Some(9));
    }

    #[test]
    fn a_truncated_file_has_no_tail() {
        let file = [UNKNOWN_CLUSTER, SIMPLE, &group(1, &[9])].concat();
        for cut in UNKNOWN_CLUSTER.len() + SIMPLE.len() + 1..file.len() {
            assert_eq!(parse_tail(&file[..cut], 1), None, "{cut}");
        }
        assert_eq!(parse_tail(&[], 1), None);
    }
}
