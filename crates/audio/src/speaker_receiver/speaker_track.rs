//! Builds the recording of one speaker for a whole session.

use std::time::Duration;

use super::Utterance;
use crate::Pcm;
use crate::pcm::duration_to_samples;

/// A track as long as the session, with each utterance at its position and silence in between.
/// Samples beyond the end are left out.
pub fn speaker_track<'a>(
    utterances: impl IntoIterator<Item = &'a Utterance>,
    session: Duration,
) -> Pcm {
    let length = usize::try_from(duration_to_samples(session)).unwrap_or(0);
    let mut track = vec![0.0; length];
    for utterance in utterances {
        let start = usize::try_from(duration_to_samples(utterance.start)).unwrap_or(length);
        let slot = track.get_mut(start..).unwrap_or_default();
        for (slot, sample) in slot.iter_mut().zip(&utterance.samples) {
            *slot = *sample;
        }
    }
    Pcm::from(track)
}
