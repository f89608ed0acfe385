//! A speaker's part of a session as one recording.

use std::time::Duration;

use super::Utterance;
use crate::Pcm;
use crate::pcm::duration_to_samples;

/// A track as long as the session, on which each utterance is in its place and the rest is
/// silence. What would lie behind the end is left out.
pub fn speaker_track<'a>(
    utterances: impl IntoIterator<Item = &'a Utterance>,
    session: Duration,
) -> Pcm {
    let length = usize::try_from(duration_to_samples(session)).unwrap_or(0);
    let mut track = vec![0.0; length];
    for utterance in utterances {
        let start = usize::try_from(duration_to_samples(utterance.start)).unwrap_or(length);
        let place = track.get_mut(start..).unwrap_or_default();
        for (place, sample) in place.iter_mut().zip(&utterance.samples) {
            *place = *sample;
        }
    }
    Pcm::from(track)
}
