//! The edit list of an MP4 track: where the sound begins and ends among what was encoded.
//!
//! Encoders put a packet or two of nothing before the sound and fill up the last packet behind
//! it; phones cut a recording by nothing but an edit. symphonia 0.6 reads the list but does not
//! follow it. Boxes as in ISO/IEC 14496-12.

use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;

use super::Recording;

/// Boxes that are looked at, in one box or in the file.
const MAX_BOXES: usize = 10_000;

/// Entries of an edit list that are looked at.
const MAX_ENTRIES: u32 = 16;

/// The part of a track that is to be heard, in units of the track's own time scale.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Edit {
    /// What lies before the sound.
    pub(super) start: u64,
    /// Where the sound ends; none: with the last packet.
    pub(super) end: Option<u64>,
    /// Whether further packets are listed behind the movie's head, so that the head does not
    /// know the length.
    pub(super) fragmented: bool,
}

/// Reads the edit of the track with this id. None if there is none, or none that makes sense.
pub(super) fn read(recording: &Recording, track: u32) -> Option<Edit> {
    let mut file = BufReader::new(recording.open().ok()?);
    let length = file.get_ref().length().ok()?;
    let moov = find(&mut file, 0..length, *b"moov")?;
    let fragmented = find(&mut file, moov.clone(), *b"mvex").is_some();
    let movie_scale = time_scale(&mut file, moov.clone(), *b"mvhd")?;
    for trak in children(&mut file, moov)
        .into_iter()
        .filter(|child| child.kind == *b"trak")
    {
        let trak = trak.body;
        if track_id(&mut file, trak.clone()) == Some(track) {
            let media = find(&mut file, trak.clone(), *b"mdia")?;
            let media_scale = time_scale(&mut file, media, *b"mdhd")?;
            let edts = find(&mut file, trak, *b"edts")?;
            let list = find(&mut file, edts, *b"elst")?;
            let edit = edit(&mut file, list, movie_scale, media_scale)?;
            return Some(Edit { fragmented, ..edit });
        }
    }
    None
}

/// A box: its four letters, and where its content lies in the file.
struct Child {
    kind: [u8; 4],
    body: Range<u64>,
}

/// The boxes in `range`, as far as they are whole.
fn children(file: &mut (impl Read + Seek), range: Range<u64>) -> Vec<Child> {
    let mut children = Vec::new();
    let mut at = range.start;
    while at < range.end && children.len() < MAX_BOXES {
        let Ok(child) = read_box(file, at, range.end) else {
            break;
        };
        at = child.body.end;
        children.push(child);
    }
    children
}

fn find(file: &mut (impl Read + Seek), range: Range<u64>, kind: [u8; 4]) -> Option<Range<u64>> {
    let mut at = range.start;
    for _ in 0..MAX_BOXES {
        let child = read_box(file, at, range.end).ok()?;
        if child.kind == kind {
            return Some(child.body);
        }
        at = child.body.end;
    }
    None
}

fn read_box(file: &mut (impl Read + Seek), at: u64, end: u64) -> io::Result<Child> {
    file.seek(SeekFrom::Start(at))?;
    let size = u64::from(u32::from_be_bytes(bytes(file)?));
    let kind = bytes(file)?;
    let (header, size) = match size {
        0 => (8, end - at.min(end)),
        1 => (16, u64::from_be_bytes(bytes(file)?)),
        size => (8, size),
    };
    let body = at + header..at.saturating_add(size);
    if body.start > body.end || body.end > end {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Child { kind, body })
}

fn bytes<const N: usize>(file: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Moves behind the version, flags and two dates that several boxes begin with; the dates are
/// 32 or 64 bits wide.
fn skip_dates(file: &mut (impl Read + Seek), start: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(start))?;
    let [version, ..] = bytes::<4>(file)?;
    let dates = if version == 1 { 16 } else { 8 };
    file.seek(SeekFrom::Current(dates))?;
    Ok(())
}

fn time_scale(file: &mut (impl Read + Seek), parent: Range<u64>, header: [u8; 4]) -> Option<u64> {
    let header = find(file, parent, header)?;
    skip_dates(file, header.start).ok()?;
    let scale = u32::from_be_bytes(bytes(file).ok()?);
    (scale > 0).then_some(u64::from(scale))
}

fn track_id(file: &mut (impl Read + Seek), trak: Range<u64>) -> Option<u32> {
    let header = find(file, trak, *b"tkhd")?;
    skip_dates(file, header.start).ok()?;
    Some(u32::from_be_bytes(bytes(file).ok()?))
}

fn edit(
    file: &mut (impl Read + Seek),
    list: Range<u64>,
    movie_scale: u64,
    media_scale: u64,
) -> Option<Edit> {
    file.seek(SeekFrom::Start(list.start)).ok()?;
    let [version, ..] = bytes::<4>(file).ok()?;
    let count = u32::from_be_bytes(bytes(file).ok()?);
    for entry in 0..count.min(MAX_ENTRIES) {
        let (duration, start) = if version == 1 {
            let duration = u64::from_be_bytes(bytes(file).ok()?);
            (duration, i64::from_be_bytes(bytes(file).ok()?))
        } else {
            let duration = u32::from_be_bytes(bytes(file).ok()?);
            let start = i32::from_be_bytes(bytes(file).ok()?);
            (u64::from(duration), i64::from(start))
        };
        let _rate: [u8; 4] = bytes(file).ok()?;
        // A negative start stands for a pause before the sound, which needs no listening to.
        if let Ok(start) = u64::try_from(start) {
            // With several edits everything from the first on is heard, in the order recorded.
            let only = entry + 1 == count;
            // The movie's clock may be coarse, so its last tick is given whole.
            let length = (u128::from(duration) + 1) * u128::from(media_scale);
            let length = u64::try_from(length.div_ceil(u128::from(movie_scale))).ok()?;
            return Some(Edit {
                start,
                end: (only && duration > 0).then(|| start.saturating_add(length)),
                fragmented: false,
            });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let size = u32::try_from(content.len() + 8).expect("short");
        [&size.to_be_bytes(), &kind[..], content].concat()
    }

    /// A header whose first field behind the dates is `field`.
    fn header(kind: &[u8; 4], field: u32) -> Vec<u8> {
        boxed(
            kind,
            &[&[0; 12][..], &field.to_be_bytes(), &[0; 8]].concat(),
        )
    }

    fn movie(entries: &[(u32, i32)]) -> Vec<u8> {
        let mut list = vec![0, 0, 0, 0];
        list.extend((entries.len() as u32).to_be_bytes());
        for (duration, start) in entries {
            list.extend(duration.to_be_bytes());
            list.extend(start.to_be_bytes());
            list.extend([0, 1, 0, 0]);
        }
        let edts = boxed(b"edts", &boxed(b"elst", &list));
        let mdia = boxed(b"mdia", &header(b"mdhd", 48_000));
        let other = boxed(b"trak", &header(b"tkhd", 1));
        let trak = boxed(b"trak", &[header(b"tkhd", 2), edts, mdia].concat());
        let moov = boxed(b"moov", &[header(b"mvhd", 1_000), other, trak].concat());
        [boxed(b"ftyp", b"isom"), boxed(b"mdat", &[7; 99]), moov].concat()
    }

    fn edit_of(file: &[u8], track: u32) -> Option<Edit> {
        let mut temporary = tempfile::NamedTempFile::new().expect("a file");
        temporary.write_all(file).expect("written");
        read(&Recording::from_path(temporary.path()), track)
    }

    #[test]
    fn the_list_of_the_right_track_is_read() {
        let file = movie(&[(2_000, 1_024)]);
        let expected = Edit {
            start: 1_024,
            end: Some(1_024 + 96_048),
            fragmented: false,
        };
        assert_eq!(edit_of(&file, 2), Some(expected));
        assert_eq!(edit_of(&file, 1), None);
        assert_eq!(edit_of(&file, 3), None);
    }

    #[test]
    fn a_pause_is_passed_over_and_several_edits_have_no_end() {
        let paused = edit_of(&movie(&[(500, -1), (2_000, 0)]), 2).expect("an edit");
        assert_eq!((paused.start, paused.end), (0, Some(96_048)));
        let several = edit_of(&movie(&[(500, 99), (2_000, 0)]), 2).expect("an edit");
        assert_eq!((several.start, several.end), (99, None));
    }

    #[test]
    fn a_cut_file_gives_nothing_and_does_no_harm() {
        let file = movie(&[(2_000, 1_024)]);
        for length in 0..file.len() {
            assert_eq!(edit_of(&file[..length], 2), None);
        }
    }
}
