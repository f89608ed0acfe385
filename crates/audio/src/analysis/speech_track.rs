//! Selects the audio track with the speech. Screen recorders put the computer's sound, which is
//! often silent, into the first track and the voice into the second.

use std::time::Duration;

use super::result::AudioAnalysis;
use crate::{AudioError, AudioLimits, Decoder, Recording};

/// Maximum number of tracks that are analyzed.
const MAX_CANDIDATES: usize = 4;

/// If at least one part in this many of a track is speech, the other tracks are not analyzed.
const MIN_SPEECH_DIVISOR: u32 = 5;

/// How many times more speech another track must contain to be preferred.
const SWITCH_FACTOR: u32 = 3;

/// Analyzes the first track, and the others too if it contains little or no speech. `analyze` runs
/// on one track from its beginning. Its last call is always for the selected track, so that its
/// observer ends up with the right samples.
pub(crate) fn select_speech_track(
    recording: &Recording,
    limits: &AudioLimits,
    mut analyze: impl FnMut(&Recording) -> Result<AudioAnalysis, AudioError>,
) -> Result<AudioAnalysis, AudioError> {
    let mut best = analyze(recording);
    let is_enough = match &best {
        Ok(analysis) => analysis.speech_duration * MIN_SPEECH_DIVISOR >= analysis.clip.duration(),
        Err(AudioError::NoSpeech) => false,
        Err(_) => true,
    };
    if is_enough {
        return best;
    }
    let tracks = Decoder::open(recording, limits)?.audio_track_count();
    let mut is_last = true;
    let mut chosen = recording.clone();
    for track in 1..tracks.min(MAX_CANDIDATES) {
        let other = recording.with_audio_track(track);
        let result = match analyze(&other) {
            Err(AudioError::Cancelled) => return Err(AudioError::Cancelled),
            result => result,
        };
        is_last = speech_duration(&result) > speech_duration(&best) * SWITCH_FACTOR;
        if is_last {
            best = result;
            chosen = other;
        }
    }
    match is_last {
        true => best,
        false => analyze(&chosen),
    }
}

fn speech_duration(result: &Result<AudioAnalysis, AudioError>) -> Duration {
    result
        .as_ref()
        .map_or(Duration::ZERO, |analysis| analysis.speech_duration)
}
