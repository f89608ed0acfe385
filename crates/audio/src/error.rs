//! The error type of decoding and analysis.

use std::time::Duration;

/// Why a recording can't be used. `Display` is for the log; the program maps each variant to a
/// message for users.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// The file has zero bytes.
    #[error("the file is empty")]
    Empty,
    /// The content matches no known container format.
    #[error("no known audio format")]
    NotAudio,
    /// A known container without an audio track, such as a silent video.
    #[error("no audio track")]
    NoAudioTrack,
    /// There is no decoder for the audio codec.
    #[error("codec {codec} is not supported")]
    UnsupportedCodec {
        /// Name of the codec.
        codec: String,
    },
    /// A file type that is recognized but has no demuxer here.
    #[error("{kind} can't be taken apart")]
    UnsupportedFile {
        /// The kind of file, with its article ("a MIDI file").
        kind: &'static str,
    },
    /// The audio is encrypted (DRM).
    #[error("the audio is encrypted")]
    Encrypted,
    /// The file is damaged before the first decodable sample.
    #[error("the file is damaged: {reason}")]
    Damaged {
        /// The demuxer's or decoder's message.
        reason: String,
    },
    /// The file exceeds [`AudioLimits::bytes`](super::AudioLimits::bytes).
    #[error("more than {limit} bytes")]
    TooManyBytes {
        /// The limit in bytes.
        limit: u64,
    },
    /// The declared or decoded duration exceeds
    /// [`AudioLimits::max_duration`](super::AudioLimits::max_duration).
    #[error("longer than {limit:?}")]
    TooLong {
        /// The limit that was exceeded.
        limit: Duration,
    },
    /// The decoded audio is shorter than [`MIN_DURATION`](super::MIN_DURATION).
    #[error("only {duration:?} long")]
    TooShort {
        /// The decoded duration.
        duration: Duration,
    },
    /// The container has more tracks than
    /// [`AudioLimits::max_tracks`](super::AudioLimits::max_tracks), or the file more chained
    /// streams than the decoder accepts.
    #[error("more than {limit} tracks")]
    TooManyTracks {
        /// The limit that was exceeded.
        limit: usize,
    },
    /// The voice activity detector found no speech.
    #[error("no speech")]
    NoSpeech,
    /// The path names a directory.
    #[error("a directory")]
    Directory,
    /// No file exists at the path.
    #[error("no such file")]
    NotFound,
    /// The file can't be opened or read.
    #[error("the file can't be read")]
    Unreadable(#[source] std::io::Error),
    /// The caller dropped the analysis before it finished.
    #[error("cancelled")]
    Cancelled,
}
