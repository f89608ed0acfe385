//! What the head of an MP4 or QuickTime file tells: its tracks (ISO/IEC 14496-12, 8.2 to 8.5).

use super::boxes::{Numbers, children, find, find_in};
use super::edits::Edits;
use super::entry::{Entry, Packing};
use super::table::{Defaults, Table};

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
    pub(super) scale: u32,
    pub(super) is_enabled: bool,
    /// What it is coded with, if it is one of sound.
    pub(super) entry: Option<Entry>,
    pub(super) edits: Edits,
    pub(super) table: Table,
    pub(super) defaults: Defaults,
}

impl Movie {
    /// Reads a `moov` box.
    pub(super) fn read(moov: &[u8]) -> Option<Self> {
        let movie_scale = scale(find(moov, b"mvhd")?)?;
        let mvex = find(moov, b"mvex");
        let tracks = children(moov)
            .filter(|(kind, _)| kind == b"trak")
            .filter_map(|(_, trak)| Trak::read(trak, movie_scale, mvex))
            .collect();
        Some(Self {
            tracks,
            is_fragmented: mvex.is_some(),
        })
    }
}

impl Trak {
    fn read(trak: &[u8], movie_scale: u32, mvex: Option<&[u8]>) -> Option<Self> {
        let (id, is_enabled) = head(find(trak, b"tkhd")?)?;
        let media = find(trak, b"mdia")?;
        let scale = scale(find(media, b"mdhd")?)?;
        // The kind of a track: "soun". Behind it some files have another one, for the data.
        let is_sound = find(media, b"hdlr").and_then(|bytes| bytes.get(8..12)) == Some(b"soun");
        let samples = find_in(media, &[b"minf", b"stbl"])?;
        let entry = find(samples, b"stsd")
            .filter(|_| is_sound)
            .and_then(|stsd| {
                // Of several the first: the others are of other parts of the recording.
                let (kind, bytes) = children(stsd.get(8..)?).next()?;
                Entry::read(kind, bytes, scale)
            });
        let packing = entry
            .as_ref()
            .map_or(Packing::Packets, |entry| entry.packing);
        let table = Table::read(samples, packing).unwrap_or_default();
        let edits = find_in(trak, &[b"edts", b"elst"]);
        let edits = edits.map_or_else(Edits::default, |list| Edits::read(list, movie_scale, scale));
        let edits = match mvex {
            Some(_) => edits.open_ended(),
            None => edits.sensible(table.length()),
        };
        Some(Self {
            id,
            scale,
            is_enabled,
            entry,
            edits,
            table,
            defaults: mvex.map_or_else(Defaults::default, |mvex| Defaults::read(mvex, id)),
        })
    }
}

/// Skips the version, flags and two dates that several boxes begin with; the dates are 32 or 64
/// bits wide. Gives the flags.
fn dates(numbers: &mut Numbers<'_>) -> Option<u32> {
    let (version, flags) = numbers.version()?;
    numbers.skip(if version == 1 { 16 } else { 8 })?;
    Some(flags)
}

fn scale(header: &[u8]) -> Option<u32> {
    let mut numbers = Numbers(header);
    dates(&mut numbers)?;
    numbers.four().filter(|scale| *scale > 0)
}

/// A track's id, and whether it is to be played.
fn head(header: &[u8]) -> Option<(u32, bool)> {
    let mut numbers = Numbers(header);
    let flags = dates(&mut numbers)?;
    Some((numbers.four()?, flags & 1 == 1))
}
