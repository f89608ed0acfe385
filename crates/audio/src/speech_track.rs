//! Of several sound tracks the one with the speech: screen recorders put what the computer plays
//! into the first, which is often silent, and the voice into the second.

use std::time::Duration;

use super::{AudioAnalysis, AudioError, AudioLimits, Decoder, Recording};

/// The most sound tracks that are listened to.
const MAX_CANDIDATES: usize = 4;

/// A track with at least one part in so many of speech is the right one; the others are not
/// listened to.
const MIN_SPEECH_DIVISOR: u32 = 5;

/// How many times more speech another track must have to be taken instead.
const SWITCH_FACTOR: u32 = 3;

/// Hears the first track, and if it holds little or no speech the others too. `hear` listens to
/// the recording it is given from its beginning; what it heard last is what counts.
pub(super) fn select_speech_track(
    recording: &Recording,
    limits: &AudioLimits,
    mut hear: impl FnMut(&Recording) -> Result<AudioAnalysis, AudioError>,
) -> Result<AudioAnalysis, AudioError> {
    let mut best = hear(recording);
    let is_enough = match &best {
        Ok(survey) => survey.speech_duration * MIN_SPEECH_DIVISOR >= survey.clip.duration(),
        Err(AudioError::NoSpeech) => false,
        Err(_) => true,
    };
    if is_enough {
        return best;
    }
    let tracks = Decoder::open(recording, limits)?.sound_track_count();
    let mut is_last = true;
    let mut chosen = recording.clone();
    for track in 1..tracks.min(MAX_CANDIDATES) {
        let other = recording.with_sound_track(track);
        let heard = match hear(&other) {
            Err(AudioError::Cancelled) => return Err(AudioError::Cancelled),
            heard => heard,
        };
        is_last = speech_duration(&heard) > speech_duration(&best) * SWITCH_FACTOR;
        if is_last {
            best = heard;
            chosen = other;
        }
    }
    match is_last {
        true => best,
        false => hear(&chosen),
    }
}

fn speech_duration(heard: &Result<AudioAnalysis, AudioError>) -> Duration {
    heard
        .as_ref()
        .map_or(Duration::ZERO, |survey| survey.speech_duration)
}
