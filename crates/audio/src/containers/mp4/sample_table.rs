//! Offsets, sizes and times of the samples of a track: the sample table (ISO/IEC 14496-12, 8.5 to
//! 8.7), and the track runs of fragments (8.8).

use super::boxes::{FieldReader, children, find_box};
use super::sample_entry::SamplePacking;

/// Maximum number of samples per fragment: more than an hour of packets.
const MAX_FRAGMENT_SAMPLES: usize = 1_000_000;

/// One sample, or one block of uncompressed samples.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Mp4Sample {
    /// Offset in the file.
    pub(super) offset: u64,
    pub(super) size: u32,
    /// Start and duration, in ticks of the track's clock.
    pub(super) start_time: i64,
    pub(super) ticks: u32,
}

/// The sample table of a track. Iterates over its samples.
#[derive(Debug, Default)]
pub(super) struct SampleTable {
    /// Sample count and duration per sample.
    durations: Vec<(u32, u32)>,
    /// First chunk with this many samples, and the number of samples per chunk. Chunks are numbered
    /// from 1.
    chunks: Vec<(u32, u32)>,
    sizes: SampleSizes,
    offsets: Vec<u64>,
    cursor: TableCursor,
}

#[derive(Debug)]
enum SampleSizes {
    Uniform(u32),
    PerSample(Vec<u32>),
}

impl Default for SampleSizes {
    fn default() -> Self {
        Self::PerSample(Vec::new())
    }
}

#[derive(Debug, Default)]
struct TableCursor {
    chunk: usize,
    /// Current row of `chunks`.
    chunk_row: usize,
    in_chunk: u32,
    /// Bytes of the current chunk before the next sample.
    bytes: u64,
    sample: usize,
    time_row: usize,
    in_time_row: u32,
    time: i64,
}

impl SampleTable {
    /// Parses an `stbl` box; `None` if a required box is missing.
    pub(super) fn parse(bytes: &[u8], packing: SamplePacking) -> Option<Self> {
        let times = parse_rows(find_box(bytes, b"stts")?, |row| {
            Some((row.read_u32()?, row.read_u32()?))
        });
        let mut chunks = parse_rows(find_box(bytes, b"stsc")?, |row| {
            let both = (row.read_u32()?, row.read_u32()?);
            row.skip(4)?;
            Some(both)
        });
        let offsets = match (find_box(bytes, b"stco"), find_box(bytes, b"co64")) {
            (Some(narrow), _) => parse_rows(narrow, |row| row.read_u32().map(u64::from)),
            (None, wide) => parse_rows(wide?, |row| row.read_u32_or_u64(true)),
        };
        let mut sizes = parse_sizes(bytes)?;
        let mut times = times;
        if let SamplePacking::Blocks { bytes, frames } = packing
            && let SampleSizes::Uniform(size) = sizes
        {
            // QuickTime declares frames of size 1 and counts the frames of all blocks.
            if frames > 1 && size < bytes {
                for (_, in_chunk) in &mut chunks {
                    *in_chunk /= frames;
                }
                for (count, ticks) in &mut times {
                    *count /= frames;
                    *ticks = ticks.saturating_mul(frames);
                }
            }
            sizes = SampleSizes::Uniform(bytes);
        }
        Some(Self {
            durations: times,
            chunks,
            sizes,
            offsets,
            cursor: TableCursor::default(),
        })
    }

    /// Total duration in ticks.
    pub(super) fn total_ticks(&self) -> u64 {
        let ticks = self
            .durations
            .iter()
            .map(|(count, ticks)| u64::from(*count) * u64::from(*ticks));
        ticks.fold(0, u64::saturating_add)
    }
}

impl Iterator for SampleTable {
    type Item = Mp4Sample;

    fn next(&mut self) -> Option<Mp4Sample> {
        let cursor = &mut self.cursor;
        loop {
            let offset = *self.offsets.get(cursor.chunk)?;
            let number = u32::try_from(cursor.chunk).ok()?.checked_add(1)?;
            while self
                .chunks
                .get(cursor.chunk_row + 1)
                .is_some_and(|(first, _)| *first <= number)
            {
                cursor.chunk_row += 1;
            }
            let (_, in_chunk) = *self.chunks.get(cursor.chunk_row)?;
            if cursor.in_chunk >= in_chunk {
                cursor.chunk += 1;
                cursor.in_chunk = 0;
                cursor.bytes = 0;
                continue;
            }
            let size = match &self.sizes {
                SampleSizes::Uniform(size) => *size,
                SampleSizes::PerSample(sizes) => *sizes.get(cursor.sample)?,
            };
            while self
                .durations
                .get(cursor.time_row)
                .is_some_and(|(count, _)| cursor.in_time_row >= *count)
            {
                cursor.time_row += 1;
                cursor.in_time_row = 0;
            }
            let (_, ticks) = *self.durations.get(cursor.time_row)?;
            let sample = Mp4Sample {
                offset: offset.checked_add(cursor.bytes)?,
                size,
                start_time: cursor.time,
                ticks,
            };
            cursor.bytes = cursor.bytes.checked_add(u64::from(size))?;
            cursor.time = cursor.time.checked_add(i64::from(ticks))?;
            cursor.in_chunk += 1;
            cursor.in_time_row += 1;
            cursor.sample += 1;
            return Some(sample);
        }
    }
}

/// The rows of a table that starts with the number of rows; stops early if it is truncated.
fn parse_rows<T>(bytes: &[u8], row: impl Fn(&mut FieldReader<'_>) -> Option<T>) -> Vec<T> {
    let mut fields = FieldReader(bytes);
    let count = fields
        .read_version_and_flags()
        .and_then(|_| fields.read_u32())
        .unwrap_or(0);
    (0..count).map_while(|_| row(&mut fields)).collect()
}

fn parse_sizes(bytes: &[u8]) -> Option<SampleSizes> {
    if let Some(stsz) = find_box(bytes, b"stsz") {
        let mut fields = FieldReader(stsz);
        fields.read_version_and_flags()?;
        return Some(match fields.read_u32()? {
            0 => {
                let count = fields.read_u32()?;
                SampleSizes::PerSample((0..count).map_while(|_| fields.read_u32()).collect())
            }
            size => SampleSizes::Uniform(size),
        });
    }
    let mut fields = FieldReader(find_box(bytes, b"stz2")?);
    fields.read_version_and_flags()?;
    let bits = fields.read_u32()? & 0xFF;
    let count = fields.read_u32()?;
    let mut each = Vec::new();
    while (each.len() as u64) < u64::from(count) {
        match bits {
            4 => {
                let Some(both) = fields.read_u8().map(u32::from) else {
                    break;
                };
                each.extend([both >> 4, both & 0xF]);
            }
            8 => each.push(u32::from(match fields.read_u8() {
                Some(size) => size,
                None => break,
            })),
            16 => each.push(u32::from(match fields.read_u16() {
                Some(size) => size,
                None => break,
            })),
            _ => return None,
        }
    }
    Some(SampleSizes::PerSample(each))
}

/// Default duration and size of samples in fragments.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FragmentDefaults {
    pub(super) ticks: u32,
    pub(super) size: u32,
}

impl FragmentDefaults {
    /// The defaults of `track`, from an `mvex` box.
    pub(super) fn read(mvex: &[u8], track: u32) -> Self {
        let mut found = children(mvex).filter(|(kind, _)| kind == b"trex");
        let read = |bytes| {
            let mut fields = FieldReader(bytes);
            fields.read_version_and_flags()?;
            (fields.read_u32()? == track).then_some(())?;
            fields.skip(4)?;
            Some(Self {
                ticks: fields.read_u32()?,
                size: fields.read_u32()?,
            })
        };
        found.find_map(|(_, bytes)| read(bytes)).unwrap_or_default()
    }
}

/// The samples of a fragment that belong to one track.
#[derive(Debug)]
pub(super) struct TrackFragment {
    pub(super) track: u32,
    /// Start of the fragment in ticks, if declared.
    pub(super) start_time: Option<i64>,
    pub(super) samples: Vec<Mp4Sample>,
}

/// Parses a `traf` box of the fragment at offset `moof`. Sample times count from 0.
pub(super) fn parse_track_fragment(
    traf: &[u8],
    moof: u64,
    defaults: impl Fn(u32) -> FragmentDefaults,
) -> Option<TrackFragment> {
    let mut head = FieldReader(find_box(traf, b"tfhd")?);
    let (_, flags) = head.read_version_and_flags()?;
    let track = head.read_u32()?;
    let mut defaults = defaults(track);
    let mut base = moof;
    if flags & 0x01 != 0 {
        base = head.read_u64()?;
    }
    if flags & 0x02 != 0 {
        head.skip(4)?;
    }
    if flags & 0x08 != 0 {
        defaults.ticks = head.read_u32()?;
    }
    if flags & 0x10 != 0 {
        defaults.size = head.read_u32()?;
    }
    let start_time = find_box(traf, b"tfdt").and_then(|bytes| {
        let mut fields = FieldReader(bytes);
        let (version, _) = fields.read_version_and_flags()?;
        i64::try_from(fields.read_u32_or_u64(version == 1)?).ok()
    });
    let mut samples = Vec::new();
    let (mut offset, mut time) = (base, 0);
    for (_, bytes) in children(traf).filter(|(kind, _)| kind == b"trun") {
        let mut fields = FieldReader(bytes);
        let (_, flags) = fields.read_version_and_flags()?;
        let count = fields.read_u32()?;
        if flags & 0x01 != 0 {
            let from = fields.read_u32()?.cast_signed();
            offset = base.checked_add_signed(i64::from(from))?;
        }
        if flags & 0x04 != 0 {
            fields.skip(4)?;
        }
        for _ in 0..count {
            if samples.len() >= MAX_FRAGMENT_SAMPLES {
                return None;
            }
            let mut sample = Mp4Sample {
                offset,
                size: defaults.size,
                start_time: time,
                ticks: defaults.ticks,
            };
            if flags & 0x100 != 0 {
                sample.ticks = fields.read_u32()?;
            }
            if flags & 0x200 != 0 {
                sample.size = fields.read_u32()?;
            }
            fields.skip(if flags & 0x400 != 0 { 4 } else { 0 })?;
            fields.skip(if flags & 0x800 != 0 { 4 } else { 0 })?;
            offset = offset.checked_add(u64::from(sample.size))?;
            time = time.checked_add(i64::from(sample.ticks))?;
            samples.push(sample);
        }
    }
    Some(TrackFragment {
        track,
        start_time,
        samples,
    })
}
