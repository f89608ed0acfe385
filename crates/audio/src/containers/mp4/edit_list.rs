//! The edit list of a track: which parts of the media are presented, and when.
//!
//! Encoders put one or two packets of delay before the audio. Phones trim a recording only by an
//! edit. An audio track that starts later than the video begins with an empty edit.

use super::boxes::FieldReader;

/// Maximum number of entries read.
const MAX_ENTRIES: u32 = 1_000;

/// A presented part of a track, in ticks of its clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Edit {
    /// Start on the media timeline.
    media_time: i64,
    /// Duration; `None` means up to the last packet.
    length: Option<i64>,
    /// Start on the presentation timeline.
    presentation_time: i64,
}

/// The presented parts of a track, in order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct EditList {
    edits: Vec<Edit>,
}

impl EditList {
    /// Parses an `elst` box. Durations are in ticks of the movie's clock, media times in ticks of
    /// the track's.
    pub(super) fn parse(bytes: &[u8], movie_scale: u32, scale: u32) -> Self {
        Self::try_parse(bytes, movie_scale, scale).unwrap_or_default()
    }

    fn try_parse(bytes: &[u8], movie_scale: u32, scale: u32) -> Option<Self> {
        let mut fields = FieldReader(bytes);
        let (version, _) = fields.read_version_and_flags()?;
        let count = fields.read_u32()?.min(MAX_ENTRIES);
        let mut edits = Vec::new();
        let mut presentation_time: i64 = 0;
        for _ in 0..count {
            let is_wide = version == 1;
            let length = fields.read_u32_or_u64(is_wide)?;
            let start = match is_wide {
                true => fields.read_u64()?.cast_signed(),
                false => i64::from(fields.read_u32()?.cast_signed()),
            };
            fields.skip(4)?;
            let ticks = |length: u64| {
                let ticks = u128::from(length) * u128::from(scale);
                i64::try_from(ticks.div_ceil(u128::from(movie_scale))).ok()
            };
            if start < 0 {
                presentation_time = presentation_time.checked_add(ticks(length)?)?;
                continue;
            }
            // The movie's clock may be coarse, so include its last tick completely.
            let edit = Edit {
                media_time: start,
                length: match length {
                    0 => None,
                    length => Some(ticks(length.checked_add(1)?)?),
                },
                presentation_time,
            };
            edits.push(edit);
            presentation_time = presentation_time.checked_add(ticks(length)?)?;
        }
        Some(Self { edits })
    }

    /// Start of the first edit on the media timeline.
    pub(super) fn media_start(&self) -> i64 {
        self.edits.first().map_or(0, |edit| edit.media_time)
    }

    /// Start of the first edit on the presentation timeline.
    pub(super) fn presentation_start(&self) -> i64 {
        self.edits.first().map_or(0, |edit| edit.presentation_time)
    }

    /// End of the audio on the media timeline, if there is exactly one edit with a duration.
    pub(super) fn media_end(&self) -> Option<i64> {
        match self.edits.as_slice() {
            [edit] => edit.media_time.checked_add(edit.length?),
            _ => None,
        }
    }

    /// The same list with an open end, for a fragmented file whose header does not know the
    /// duration.
    pub(super) fn with_open_end(mut self) -> Self {
        if let Some(edit) = self.edits.last_mut() {
            edit.length = None;
        }
        self
    }

    /// The same list for a track of `length` ticks; ignores edits that remove all audio.
    pub(super) fn or_none_if_empty(self, length: u64) -> Self {
        let leaves = |edit: &Edit| {
            u64::try_from(edit.media_time).is_ok_and(|start| start < length)
                && edit.length != Some(0)
        };
        match self.edits.iter().any(leaves) {
            true => self,
            false => Self::default(),
        }
    }

    /// Whether there are no edits.
    pub(super) fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Whether the presented audio is contiguous.
    pub(super) fn is_single(&self) -> bool {
        self.edits.len() <= 1
    }

    /// Presentation time of the packet from `start` to `end` on the media timeline; `None` if it is
    /// not presented. Packets before the first edit are included, because decoders need them as
    /// pre-roll.
    pub(super) fn presentation_time(&self, start: i64, end: i64) -> Option<i64> {
        let Some(first) = self.edits.first() else {
            return Some(start);
        };
        let within = |edit: &&Edit| {
            let ends = edit
                .length
                .map_or(i64::MAX, |length| edit.media_time.saturating_add(length));
            start < ends && end > edit.media_time
        };
        let edit = match start < first.media_time {
            true => first,
            false => self.edits.iter().find(within)?,
        };
        Some(
            start
                .saturating_sub(edit.media_time)
                .saturating_add(edit.presentation_time),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An edit list with movie time in milliseconds and media time at 48 kHz.
    fn edits(entries: &[(u32, i32)]) -> EditList {
        let mut bytes = vec![0; 4];
        bytes.extend((entries.len() as u32).to_be_bytes());
        for (length, start) in entries {
            bytes.extend(length.to_be_bytes());
            bytes.extend(start.to_be_bytes());
            bytes.extend([0, 1, 0, 0]);
        }
        for cut in 0..bytes.len() {
            assert_eq!(
                EditList::parse(&bytes[..cut], 1_000, 48_000),
                EditList::default()
            );
        }
        EditList::parse(&bytes, 1_000, 48_000)
    }

    #[test]
    fn one_edit_cuts_at_both_ends() {
        let edits = edits(&[(2_000, 1_024)]);
        assert_eq!(
            (edits.media_start(), edits.presentation_start()),
            (1_024, 0)
        );
        assert_eq!(edits.media_end(), Some(1_024 + 96_048));
        assert_eq!(edits.presentation_time(0, 1_024), Some(-1_024));
        assert_eq!(edits.presentation_time(2_048, 3_072), Some(1_024));
        assert_eq!(edits.presentation_time(98_000, 99_000), None);
    }

    #[test]
    fn an_empty_edit_is_a_pause() {
        let edits = edits(&[(500, -1), (2_000, 0), (250, -1), (1_000, 96_000)]);
        assert_eq!(
            (
                edits.media_start(),
                edits.presentation_start(),
                edits.media_end()
            ),
            (0, 24_000, None)
        );
        assert_eq!(edits.presentation_time(0, 1_024), Some(24_000));
        assert_eq!(
            edits.presentation_time(97_000, 98_000),
            Some(97_000 - 96_000 + 24_000 + 96_000 + 12_000)
        );
    }

    #[test]
    fn removed_parts_are_not_presented() {
        let edits = edits(&[(1_000, 0), (1_000, 96_000)]);
        assert_eq!(edits.presentation_time(60_000, 61_000), None);
        assert_eq!(edits.presentation_time(100_000, 101_000), Some(52_000));
    }

    #[test]
    fn without_edits_everything_is_presented() {
        let none = EditList::default();
        assert_eq!(
            (
                none.media_start(),
                none.media_end(),
                none.presentation_time(5, 6)
            ),
            (0, None, Some(5))
        );
    }
}
