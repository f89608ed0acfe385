//! Why a recording can't be used.

use std::time::Duration;

/// Why a recording can't be used. `Display` is for the log; what a user reads is in `words`.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// It has no bytes.
    #[error("the file is empty")]
    Empty,
    /// No container that we know starts like this.
    #[error("no known audio format")]
    NotAudio,
    /// A container that we know, without an audio track (a silent video).
    #[error("no audio track")]
    NoAudioTrack,
    /// An audio codec that we can't decode.
    #[error("codec {codec} is not supported")]
    UnsupportedCodec {
        /// Its name.
        codec: String,
    },
    /// A file that we know, but can't take apart.
    #[error("{kind} can't be taken apart")]
    UnsupportedFile {
        /// What it is, with its article.
        kind: &'static str,
    },
    /// The audio is encrypted (DRM).
    #[error("the audio is encrypted")]
    Encrypted,
    /// It is broken so early that nothing could be decoded.
    #[error("the file is damaged: {reason}")]
    Damaged {
        /// What the decoder says.
        reason: String,
    },
    /// More bytes than [`AudioLimits::bytes`](super::AudioLimits::bytes).
    #[error("more than {limit} bytes")]
    TooManyBytes {
        /// The limit in bytes.
        limit: u64,
    },
    /// It claims or decodes to more than [`AudioLimits::duration`](super::AudioLimits::duration).
    #[error("longer than {limit:?}")]
    TooLong {
        /// The limit.
        limit: Duration,
    },
    /// It decodes to less than [`MIN_DURATION`](super::MIN_DURATION).
    #[error("only {duration:?} long")]
    TooShort {
        /// How long it is.
        duration: Duration,
    },
    /// More tracks than [`AudioLimits::tracks`](super::AudioLimits::tracks).
    #[error("more than {limit} tracks")]
    TooManyTracks {
        /// The limit.
        limit: usize,
    },
    /// Nobody says anything in it.
    #[error("no speech")]
    NoSpeech,
    /// The path names a directory.
    #[error("a directory")]
    Directory,
    /// There is no such file.
    #[error("no such file")]
    NotFound,
    /// The file can't be opened or read.
    #[error("the file can't be read")]
    Unreadable(#[source] std::io::Error),
    /// Whoever wanted it no longer does.
    #[error("cancelled")]
    Cancelled,
}
