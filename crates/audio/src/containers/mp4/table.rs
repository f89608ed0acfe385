//! Where the samples of a track lie, and when they begin: the sample table (ISO/IEC 14496-12, 8.5
//! to 8.7), and the runs of a fragment (8.8).

use super::boxes::{Numbers, children, find};
use super::entry::Packing;

/// Samples that one fragment may have: more than an hour of packets.
const MAX_SAMPLES_OF_A_FRAGMENT: usize = 1_000_000;

/// One sample, or one block of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Sample {
    /// Where it lies in the file.
    pub(super) offset: u64,
    pub(super) size: u32,
    /// When it begins, and how long it lasts, in ticks of the track's clock.
    pub(super) time: i64,
    pub(super) ticks: u32,
}

/// A table for all samples of a track, with a place in it.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// How many samples last so long.
    times: Vec<(u32, u32)>,
    /// From which chunk on a chunk has so many samples, chunks counted from 1.
    chunks: Vec<(u32, u32)>,
    sizes: Sizes,
    offsets: Vec<u64>,
    place: Place,
}

#[derive(Debug)]
enum Sizes {
    All(u32),
    Each(Vec<u32>),
}

impl Default for Sizes {
    fn default() -> Self {
        Self::Each(Vec::new())
    }
}

#[derive(Debug, Default)]
struct Place {
    chunk: usize,
    /// In which row of `chunks` it is.
    chunk_row: usize,
    in_chunk: u32,
    /// Bytes of the chunk that lie before it.
    bytes: u64,
    sample: usize,
    time_row: usize,
    in_time_row: u32,
    time: i64,
}

impl Table {
    /// Reads an `stbl` box. None if a part of it is missing.
    pub(super) fn read(bytes: &[u8], packing: Packing) -> Option<Self> {
        let times = rows(find(bytes, b"stts")?, |row| {
            Some((row.four()?, row.four()?))
        });
        let mut chunks = rows(find(bytes, b"stsc")?, |row| {
            let both = (row.four()?, row.four()?);
            row.skip(4)?;
            Some(both)
        });
        let offsets = match (find(bytes, b"stco"), find(bytes, b"co64")) {
            (Some(narrow), _) => rows(narrow, |row| row.four().map(u64::from)),
            (None, wide) => rows(wide?, |row| row.wide(true)),
        };
        let mut sizes = sizes(bytes)?;
        let mut times = times;
        if let Packing::Blocks { bytes, frames } = packing
            && let Sizes::All(size) = sizes
        {
            // QuickTime gives frames the size of 1, and counts those of a block.
            if frames > 1 && size < bytes {
                for (_, in_chunk) in &mut chunks {
                    *in_chunk /= frames;
                }
                for (count, ticks) in &mut times {
                    *count /= frames;
                    *ticks = ticks.saturating_mul(frames);
                }
            }
            sizes = Sizes::All(bytes);
        }
        Some(Self {
            times,
            chunks,
            sizes,
            offsets,
            place: Place::default(),
        })
    }

    /// The ticks of all samples.
    pub(super) fn length(&self) -> u64 {
        let ticks = self
            .times
            .iter()
            .map(|(count, ticks)| u64::from(*count) * u64::from(*ticks));
        ticks.fold(0, u64::saturating_add)
    }
}

impl Iterator for Table {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        let place = &mut self.place;
        loop {
            let offset = *self.offsets.get(place.chunk)?;
            let number = u32::try_from(place.chunk).ok()?.checked_add(1)?;
            while self
                .chunks
                .get(place.chunk_row + 1)
                .is_some_and(|(first, _)| *first <= number)
            {
                place.chunk_row += 1;
            }
            let (_, in_chunk) = *self.chunks.get(place.chunk_row)?;
            if place.in_chunk >= in_chunk {
                place.chunk += 1;
                place.in_chunk = 0;
                place.bytes = 0;
                continue;
            }
            let size = match &self.sizes {
                Sizes::All(size) => *size,
                Sizes::Each(sizes) => *sizes.get(place.sample)?,
            };
            while self
                .times
                .get(place.time_row)
                .is_some_and(|(count, _)| place.in_time_row >= *count)
            {
                place.time_row += 1;
                place.in_time_row = 0;
            }
            let (_, ticks) = *self.times.get(place.time_row)?;
            let sample = Sample {
                offset: offset.checked_add(place.bytes)?,
                size,
                time: place.time,
                ticks,
            };
            place.bytes = place.bytes.checked_add(u64::from(size))?;
            place.time = place.time.checked_add(i64::from(ticks))?;
            place.in_chunk += 1;
            place.in_time_row += 1;
            place.sample += 1;
            return Some(sample);
        }
    }
}

/// The rows of a table that begins with their number; no more than there are.
fn rows<T>(bytes: &[u8], row: impl Fn(&mut Numbers<'_>) -> Option<T>) -> Vec<T> {
    let mut numbers = Numbers(bytes);
    let count = numbers.version().and_then(|_| numbers.four()).unwrap_or(0);
    (0..count).map_while(|_| row(&mut numbers)).collect()
}

fn sizes(bytes: &[u8]) -> Option<Sizes> {
    if let Some(stsz) = find(bytes, b"stsz") {
        let mut numbers = Numbers(stsz);
        numbers.version()?;
        return Some(match numbers.four()? {
            0 => {
                let count = numbers.four()?;
                Sizes::Each((0..count).map_while(|_| numbers.four()).collect())
            }
            size => Sizes::All(size),
        });
    }
    let mut numbers = Numbers(find(bytes, b"stz2")?);
    numbers.version()?;
    let bits = numbers.four()? & 0xFF;
    let count = numbers.four()?;
    let mut each = Vec::new();
    while (each.len() as u64) < u64::from(count) {
        match bits {
            4 => {
                let Some(both) = numbers.byte().map(u32::from) else {
                    break;
                };
                each.extend([both >> 4, both & 0xF]);
            }
            8 => each.push(u32::from(match numbers.byte() {
                Some(size) => size,
                None => break,
            })),
            16 => each.push(u32::from(match numbers.two() {
                Some(size) => size,
                None => break,
            })),
            _ => return None,
        }
    }
    Some(Sizes::Each(each))
}

/// What samples of a fragment are unless they say otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Defaults {
    pub(super) ticks: u32,
    pub(super) size: u32,
}

impl Defaults {
    /// Those of a track, in an `mvex` box.
    pub(super) fn read(mvex: &[u8], track: u32) -> Self {
        let mut found = children(mvex).filter(|(kind, _)| kind == b"trex");
        let read = |bytes| {
            let mut numbers = Numbers(bytes);
            numbers.version()?;
            (numbers.four()? == track).then_some(())?;
            numbers.skip(4)?;
            Some(Self {
                ticks: numbers.four()?,
                size: numbers.four()?,
            })
        };
        found.find_map(|(_, bytes)| read(bytes)).unwrap_or_default()
    }
}

/// What a fragment tells of a track.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) track: u32,
    /// When it begins, if it says so.
    pub(super) begins: Option<i64>,
    pub(super) samples: Vec<Sample>,
}

/// Reads a `traf` box, of a fragment that begins at `moof`. Times count from 0.
pub(super) fn run(traf: &[u8], moof: u64, defaults: impl Fn(u32) -> Defaults) -> Option<Run> {
    let mut head = Numbers(find(traf, b"tfhd")?);
    let (_, flags) = head.version()?;
    let track = head.four()?;
    let mut defaults = defaults(track);
    let mut base = moof;
    if flags & 0x01 != 0 {
        base = head.eight()?;
    }
    if flags & 0x02 != 0 {
        head.skip(4)?;
    }
    if flags & 0x08 != 0 {
        defaults.ticks = head.four()?;
    }
    if flags & 0x10 != 0 {
        defaults.size = head.four()?;
    }
    let begins = find(traf, b"tfdt").and_then(|bytes| {
        let mut numbers = Numbers(bytes);
        let (version, _) = numbers.version()?;
        i64::try_from(numbers.wide(version == 1)?).ok()
    });
    let mut samples = Vec::new();
    let (mut offset, mut time) = (base, 0);
    for (_, bytes) in children(traf).filter(|(kind, _)| kind == b"trun") {
        let mut numbers = Numbers(bytes);
        let (_, flags) = numbers.version()?;
        let count = numbers.four()?;
        if flags & 0x01 != 0 {
            let from = numbers.four()?.cast_signed();
            offset = base.checked_add_signed(i64::from(from))?;
        }
        if flags & 0x04 != 0 {
            numbers.skip(4)?;
        }
        for _ in 0..count {
            if samples.len() >= MAX_SAMPLES_OF_A_FRAGMENT {
                return None;
            }
            let mut sample = Sample {
                offset,
                size: defaults.size,
                time,
                ticks: defaults.ticks,
            };
            if flags & 0x100 != 0 {
                sample.ticks = numbers.four()?;
            }
            if flags & 0x200 != 0 {
                sample.size = numbers.four()?;
            }
            numbers.skip(if flags & 0x400 != 0 { 4 } else { 0 })?;
            numbers.skip(if flags & 0x800 != 0 { 4 } else { 0 })?;
            offset = offset.checked_add(u64::from(sample.size))?;
            time = time.checked_add(i64::from(sample.ticks))?;
            samples.push(sample);
        }
    }
    Some(Run {
        track,
        begins,
        samples,
    })
}
