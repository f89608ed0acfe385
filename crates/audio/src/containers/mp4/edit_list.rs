//! The edit list of a track: which part of what was recorded is heard, and when.
//!
//! Encoders put a packet or two of nothing before the sound; phones cut a recording by nothing but
//! an edit; a sound track that begins later than the picture begins with an empty edit.

use super::boxes::FieldReader;

/// Entries of an edit list that are looked at.
const MAX_ENTRIES: u32 = 1_000;

/// A part of a track, in ticks of its clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Edit {
    /// Where it was recorded.
    media_time: i64,
    /// How long it is; none: up to the last packet.
    length: Option<i64>,
    /// When it is heard.
    presentation_time: i64,
}

/// What is heard of a track, and when.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct EditList {
    edits: Vec<Edit>,
}

impl EditList {
    /// Reads an `elst` box. The movie's clock counts the lengths, the track's own the starts.
    pub(super) fn parse(bytes: &[u8], movie_scale: u32, scale: u32) -> Self {
        Self::try_parse(bytes, movie_scale, scale).unwrap_or_default()
    }

    fn try_parse(bytes: &[u8], movie_scale: u32, scale: u32) -> Option<Self> {
        let mut numbers = FieldReader(bytes);
        let (version, _) = numbers.read_version_and_flags()?;
        let count = numbers.read_u32()?.min(MAX_ENTRIES);
        let mut parts = Vec::new();
        let mut now: i64 = 0;
        for _ in 0..count {
            let wide = version == 1;
            let length = numbers.read_u32_or_u64(wide)?;
            let start = match wide {
                true => numbers.read_u64()?.cast_signed(),
                false => i64::from(numbers.read_u32()?.cast_signed()),
            };
            numbers.skip(4)?;
            let ticks = |length: u64| {
                let ticks = u128::from(length) * u128::from(scale);
                i64::try_from(ticks.div_ceil(u128::from(movie_scale))).ok()
            };
            if start < 0 {
                now = now.checked_add(ticks(length)?)?;
                continue;
            }
            // The movie's clock may be coarse, so its last tick is given whole.
            let part = Edit {
                media_time: start,
                length: match length {
                    0 => None,
                    length => Some(ticks(length.checked_add(1)?)?),
                },
                presentation_time: now,
            };
            parts.push(part);
            now = now.checked_add(ticks(length)?)?;
        }
        Some(Self { edits: parts })
    }

    /// Where the sound begins among what was recorded.
    pub(super) fn media_start(&self) -> i64 {
        self.edits.first().map_or(0, |part| part.media_time)
    }

    /// When it is first heard.
    pub(super) fn presentation_start(&self) -> i64 {
        self.edits.first().map_or(0, |part| part.presentation_time)
    }

    /// Where the sound ends among what was recorded, if a single edit says so.
    pub(super) fn media_end(&self) -> Option<i64> {
        match self.edits.as_slice() {
            [part] => part.media_time.checked_add(part.length?),
            _ => None,
        }
    }

    /// The same for a track whose length the head does not know.
    pub(super) fn with_open_end(mut self) -> Self {
        if let Some(part) = self.edits.last_mut() {
            part.length = None;
        }
        self
    }

    /// The same for a track of so many ticks. Edits that leave nothing of it are none.
    pub(super) fn or_none_if_empty(self, length: u64) -> Self {
        let leaves = |part: &Edit| {
            u64::try_from(part.media_time).is_ok_and(|start| start < length)
                && part.length != Some(0)
        };
        match self.edits.iter().any(leaves) {
            true => self,
            false => Self::default(),
        }
    }

    /// Whether there is anything to follow.
    pub(super) fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Whether all that is heard lies in one piece.
    pub(super) fn is_single(&self) -> bool {
        self.edits.len() <= 1
    }

    /// When a packet is heard that was recorded from `start` up to `end`; none: never. What lies
    /// before the first part is given all the same, since a decoder wants it.
    pub(super) fn presentation_time(&self, start: i64, end: i64) -> Option<i64> {
        let Some(first) = self.edits.first() else {
            return Some(start);
        };
        let within = |part: &&Edit| {
            let ends = part
                .length
                .map_or(i64::MAX, |length| part.media_time.saturating_add(length));
            start < ends && end > part.media_time
        };
        let part = match start < first.media_time {
            true => first,
            false => self.edits.iter().find(within)?,
        };
        Some(
            start
                .saturating_sub(part.media_time)
                .saturating_add(part.presentation_time),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries of a movie whose clock counts milliseconds, and of a track that counts at 48 kHz.
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
    fn what_was_cut_out_is_not_heard() {
        let edits = edits(&[(1_000, 0), (1_000, 96_000)]);
        assert_eq!(edits.presentation_time(60_000, 61_000), None);
        assert_eq!(edits.presentation_time(100_000, 101_000), Some(52_000));
    }

    #[test]
    fn without_edits_all_is_heard() {
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
