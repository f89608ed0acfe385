//! The edit list of a track: which part of what was recorded is heard, and when.
//!
//! Encoders put a packet or two of nothing before the sound; phones cut a recording by nothing but
//! an edit; a sound track that begins later than the picture begins with an empty edit.

use super::boxes::Numbers;

/// Entries of an edit list that are looked at.
const MAX_ENTRIES: u32 = 1_000;

/// A part of a track, in ticks of its clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Part {
    /// Where it was recorded.
    start: i64,
    /// How long it is; none: up to the last packet.
    length: Option<i64>,
    /// When it is heard.
    heard: i64,
}

/// What is heard of a track, and when.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Edits {
    parts: Vec<Part>,
}

impl Edits {
    /// Reads an `elst` box. The movie's clock counts the lengths, the track's own the starts.
    pub(super) fn read(bytes: &[u8], movie_scale: u32, scale: u32) -> Self {
        Self::try_read(bytes, movie_scale, scale).unwrap_or_default()
    }

    fn try_read(bytes: &[u8], movie_scale: u32, scale: u32) -> Option<Self> {
        let mut numbers = Numbers(bytes);
        let (version, _) = numbers.version()?;
        let count = numbers.four()?.min(MAX_ENTRIES);
        let mut parts = Vec::new();
        let mut now: i64 = 0;
        for _ in 0..count {
            let wide = version == 1;
            let length = numbers.wide(wide)?;
            let start = match wide {
                true => numbers.eight()?.cast_signed(),
                false => i64::from(numbers.four()?.cast_signed()),
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
            let part = Part {
                start,
                length: match length {
                    0 => None,
                    length => Some(ticks(length.checked_add(1)?)?),
                },
                heard: now,
            };
            parts.push(part);
            now = now.checked_add(ticks(length)?)?;
        }
        Some(Self { parts })
    }

    /// Where the sound begins among what was recorded.
    pub(super) fn start(&self) -> i64 {
        self.parts.first().map_or(0, |part| part.start)
    }

    /// When it is first heard.
    pub(super) fn lead(&self) -> i64 {
        self.parts.first().map_or(0, |part| part.heard)
    }

    /// Where the sound ends among what was recorded, if a single edit says so.
    pub(super) fn end(&self) -> Option<i64> {
        match self.parts.as_slice() {
            [part] => part.start.checked_add(part.length?),
            _ => None,
        }
    }

    /// The same for a track whose length the head does not know.
    pub(super) fn open_ended(mut self) -> Self {
        if let Some(part) = self.parts.last_mut() {
            part.length = None;
        }
        self
    }

    /// The same for a track of so many ticks. Edits that leave nothing of it are none.
    pub(super) fn sensible(self, length: u64) -> Self {
        let leaves = |part: &Part| {
            u64::try_from(part.start).is_ok_and(|start| start < length) && part.length != Some(0)
        };
        match self.parts.iter().any(leaves) {
            true => self,
            false => Self::default(),
        }
    }

    /// Whether there is anything to follow.
    pub(super) fn are_none(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether all that is heard lies in one piece.
    pub(super) fn has_one(&self) -> bool {
        self.parts.len() <= 1
    }

    /// When a packet is heard that was recorded from `start` up to `end`; none: never. What lies
    /// before the first part is given all the same, since a decoder wants it.
    pub(super) fn heard(&self, start: i64, end: i64) -> Option<i64> {
        let Some(first) = self.parts.first() else {
            return Some(start);
        };
        let within = |part: &&Part| {
            let ends = part
                .length
                .map_or(i64::MAX, |length| part.start.saturating_add(length));
            start < ends && end > part.start
        };
        let part = match start < first.start {
            true => first,
            false => self.parts.iter().find(within)?,
        };
        Some(start.saturating_sub(part.start).saturating_add(part.heard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries of a movie whose clock counts milliseconds, and of a track that counts at 48 kHz.
    fn edits(entries: &[(u32, i32)]) -> Edits {
        let mut bytes = vec![0; 4];
        bytes.extend((entries.len() as u32).to_be_bytes());
        for (length, start) in entries {
            bytes.extend(length.to_be_bytes());
            bytes.extend(start.to_be_bytes());
            bytes.extend([0, 1, 0, 0]);
        }
        for cut in 0..bytes.len() {
            assert_eq!(Edits::read(&bytes[..cut], 1_000, 48_000), Edits::default());
        }
        Edits::read(&bytes, 1_000, 48_000)
    }

    #[test]
    fn one_edit_cuts_at_both_ends() {
        let edits = edits(&[(2_000, 1_024)]);
        assert_eq!((edits.start(), edits.lead()), (1_024, 0));
        assert_eq!(edits.end(), Some(1_024 + 96_048));
        assert_eq!(edits.heard(0, 1_024), Some(-1_024));
        assert_eq!(edits.heard(2_048, 3_072), Some(1_024));
        assert_eq!(edits.heard(98_000, 99_000), None);
    }

    #[test]
    fn an_empty_edit_is_a_pause() {
        let edits = edits(&[(500, -1), (2_000, 0), (250, -1), (1_000, 96_000)]);
        assert_eq!(
            (edits.start(), edits.lead(), edits.end()),
            (0, 24_000, None)
        );
        assert_eq!(edits.heard(0, 1_024), Some(24_000));
        assert_eq!(
            edits.heard(97_000, 98_000),
            Some(97_000 - 96_000 + 24_000 + 96_000 + 12_000)
        );
    }

    #[test]
    fn what_was_cut_out_is_not_heard() {
        let edits = edits(&[(1_000, 0), (1_000, 96_000)]);
        assert_eq!(edits.heard(60_000, 61_000), None);
        assert_eq!(edits.heard(100_000, 101_000), Some(52_000));
    }

    #[test]
    fn without_edits_all_is_heard() {
        let none = Edits::default();
        assert_eq!(
            (none.start(), none.end(), none.heard(5, 6)),
            (0, None, Some(5))
        );
    }
}
