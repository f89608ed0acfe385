//! What the head of an MP4 or QuickTime file tells: its tracks (ISO/IEC 14496-12, 8.2 to 8.5).

use super::boxes::{FieldReader, children, find_box, find_box_at_path};
use super::edit_list::EditList;
use super::sample_entry::{SampleEntry, SamplePacking};
use super::sample_table::{FragmentDefaults, SampleTable};

/// What the head of a file tells.
#[derive(Debug)]
pub(super) struct Movie {
    pub(super) tracks: Vec<Trak>,
    /// Whether further packets are listed behind the head, so that it does not know the length.
    pub(super) is_fragmented: bool,
}

/// A track.
#[derive(Debug)]
pub(super) struct Trak {
    pub(super) id: u32,
    pub(super) time_scale: u32,
    pub(super) is_enabled: bool,
    /// What it is coded with, if it is one of sound.
    pub(super) entry: Option<SampleEntry>,
    pub(super) edits: EditList,
    pub(super) table: SampleTable,
    pub(super) defaults: FragmentDefaults,
}

impl Movie {
    /// Reads a `moov` box.
    pub(super) fn parse(moov: &[u8]) -> Option<Self> {
        let movie_scale = parse_time_scale(find_box(moov, b"mvhd")?)?;
        let mvex = find_box(moov, b"mvex");
        let tracks = children(moov)
            .filter(|(kind, _)| kind == b"trak")
            .filter_map(|(_, trak)| Trak::parse(trak, movie_scale, mvex))
            .collect();
        Some(Self {
            tracks,
            is_fragmented: mvex.is_some(),
        })
    }
}

impl Trak {
    fn parse(trak: &[u8], movie_scale: u32, mvex: Option<&[u8]>) -> Option<Self> {
        let (id, is_enabled) = parse_track_header(find_box(trak, b"tkhd")?)?;
        let media = find_box(trak, b"mdia")?;
        let scale = parse_time_scale(find_box(media, b"mdhd")?)?;
        // The kind of a track: "soun". Behind it some files have another one, for the data.
        let is_sound = find_box(media, b"hdlr").and_then(|bytes| bytes.get(8..12)) == Some(b"soun");
        let samples = find_box_at_path(media, &[b"minf", b"stbl"])?;
        let entry = find_box(samples, b"stsd")
            .filter(|_| is_sound)
            .and_then(|stsd| {
                // Of several the first: the others are of other parts of the recording.
                let (kind, bytes) = children(stsd.get(8..)?).next()?;
                SampleEntry::parse(kind, bytes, scale)
            });
        let packing = entry
            .as_ref()
            .map_or(SamplePacking::Packets, |entry| entry.packing);
        let table = SampleTable::parse(samples, packing).unwrap_or_default();
        let edits = find_box_at_path(trak, &[b"edts", b"elst"]);
        let edits = edits.map_or_else(EditList::default, |list| {
            EditList::parse(list, movie_scale, scale)
        });
        let edits = match mvex {
            Some(_) => edits.with_open_end(),
            None => edits.or_none_if_empty(table.total_ticks()),
        };
        Some(Self {
            id,
            time_scale: scale,
            is_enabled,
            entry,
            edits,
            table,
            defaults: mvex.map_or_else(FragmentDefaults::default, |mvex| {
                FragmentDefaults::read(mvex, id)
            }),
        })
    }
}

/// Skips the version, flags and two dates that several boxes begin with; the dates are 32 or 64
/// bits wide. Gives the flags.
fn skip_dates(numbers: &mut FieldReader<'_>) -> Option<u32> {
    let (version, flags) = numbers.read_version_and_flags()?;
    numbers.skip(if version == 1 { 16 } else { 8 })?;
    Some(flags)
}

fn parse_time_scale(header: &[u8]) -> Option<u32> {
    let mut numbers = FieldReader(header);
    skip_dates(&mut numbers)?;
    numbers.read_u32().filter(|scale| *scale > 0)
}

/// A track's id, and whether it is to be played.
fn parse_track_header(header: &[u8]) -> Option<(u32, bool)> {
    let mut numbers = FieldReader(header);
    let flags = skip_dates(&mut numbers)?;
    Some((numbers.read_u32()?, flags & 1 == 1))
}
