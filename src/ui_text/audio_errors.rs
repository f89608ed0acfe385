//! Why a recording can't be used, for operators and users of the command line.

use super::{format_bytes, format_duration, io_error_cause, lowercase_first};
use audio::AudioError;

/// Why a recording can't be used. `name` starts the sentence: a file name or “The recording”.
pub fn audio_error(name: &str, error: &AudioError) -> String {
    match error {
        AudioError::Empty => format!("{name} is empty. Record it again."),
        AudioError::NotAudio => format!(
            "{name} is not a recording in a format I know. Use Ogg, WebM, MP3, M4A, MP4, WAV, \
             FLAC, AIFF or CAF."
        ),
        AudioError::NoAudioTrack => {
            format!("{name} has no sound in it. Choose a file with an audio track.")
        }
        AudioError::UnsupportedCodec { codec } => format!(
            "{name} uses the audio codec {codec}, which I can't decode. Convert it to Ogg, MP3 or \
             WAV first."
        ),
        AudioError::UnsupportedFile { kind } => {
            format!("{name} is {kind}, which I can't open. Convert it to Ogg, MP3 or WAV first.")
        }
        AudioError::Encrypted => format!(
            "{name} is copy-protected, so I can't listen to it. Use a copy without protection."
        ),
        AudioError::Damaged { .. } => {
            format!("{name} is damaged and nothing in it can be decoded. Copy or record it again.")
        }
        AudioError::TooManyBytes { limit } => format!(
            "{name} is larger than {}, the limit. Send a shorter recording, or raise \
             MAX_AUDIO_BYTES.",
            format_bytes(*limit)
        ),
        AudioError::TooLong { limit } => format!(
            "{name} is longer than {}, the limit. Shorten it, or raise MAX_AUDIO_SECONDS.",
            format_duration(*limit)
        ),
        AudioError::TooShort { duration } => format!(
            "{name} is only {} ms long. Hold the button while you speak.",
            duration.as_millis()
        ),
        AudioError::TooManyTracks { limit } => format!(
            "{name} has more than {limit} tracks. Save the one with the speech as a separate file."
        ),
        AudioError::NoSpeech => {
            format!("I couldn't hear any speech in {}.", lowercase_first(name))
        }
        AudioError::Directory => {
            format!("{name} is a folder. Name the recordings in it instead.")
        }
        AudioError::NotFound => format!("{name} does not exist. Check the path."),
        AudioError::Unreadable(error) => {
            format!(
                "{name} can't be read ({}). Check its permissions.",
                io_error_cause(error)
            )
        }
        AudioError::Cancelled => format!("{name} was cancelled."),
    }
}
