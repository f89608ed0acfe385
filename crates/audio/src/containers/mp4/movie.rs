//! The `moov` box of an MP4 or QuickTime file and its tracks (ISO/IEC 14496-12, 8.2 to 8.5).

use super::boxes::{FieldReader, children, find_box, find_box_at_path};
use super::edit_list::EditList;
use super::sample_entry::{SampleEntry, SamplePacking};
use super::sample_table::{FragmentDefaults, SampleTable};

/// The content of a `moov` box.
#[derive(Debug)]
pub(super) struct Movie {
    pub(super) tracks: Vec<Trak>,
    /// Whether fragments with further packets follow, so that the total duration is unknown.
    pub(super) is_fragmented: bool,
}

/// A track.
#[derive(Debug)]
pub(super) struct Trak {
    pub(super) id: u32,
    pub(super) time_scale: u32,
    pub(super) is_enabled: bool,
    /// The codec; `None` if this is not an audio track.
    pub(super) entry: Option<SampleEntry>,
    pub(super) edits: EditList,
    pub(super) table: SampleTable,
    pub(super) defaults: FragmentDefaults,
}

impl Movie {
    /// Parses a `moov` box.
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
        // Handler type "soun" marks an audio track. In some files another handler, for the data,
        // follows.
        let is_sound = find_box(media, b"hdlr").and_then(|bytes| bytes.get(8..12)) == Some(b"soun");
        let samples = find_box_at_path(media, &[b"minf", b"stbl"])?;
        let entry = find_box(samples, b"stsd")
            .filter(|_| is_sound)
            .and_then(|stsd| {
                // Use the first of several entries: the others apply to later parts of the
                // recording.
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

/// Skips version, flags, and creation and modification time, which are 32 or 64 bits wide. Returns
/// the flags.
fn skip_dates(fields: &mut FieldReader<'_>) -> Option<u32> {
    let (version, flags) = fields.read_version_and_flags()?;
    fields.skip(if version == 1 { 16 } else { 8 })?;
    Some(flags)
}

fn parse_time_scale(header: &[u8]) -> Option<u32> {
    let mut fields = FieldReader(header);
    skip_dates(&mut fields)?;
    fields.read_u32().filter(|scale| *scale > 0)
}

/// The id of a track, and whether it is enabled.
fn parse_track_header(header: &[u8]) -> Option<(u32, bool)> {
    let mut fields = FieldReader(header);
    let flags = skip_dates(&mut fields)?;
    Some((fields.read_u32()?, flags & 1 == 1))
}
