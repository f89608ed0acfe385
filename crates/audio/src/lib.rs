//! Recordings become mono 16 kHz samples. No clock and no network in here.

mod aac;
mod as_heard;
mod blocks;
mod clip;
mod codec;
mod containers;
mod decoder;
mod decoders;
mod downmix;
mod ear;
mod error;
mod foreign;
mod gain;
mod growth;
mod matroska;
mod names;
mod ogg;
mod open;
mod opus;
mod pcm;
mod recording;
mod resample;
mod segment;
mod sound_tracks;
mod speech_file;
mod speech_run;
mod speech_times;
mod spool;
mod survey;
mod track;
mod vad;

use std::time::Duration;

pub use blocks::ClipBlocks;
pub use clip::Clip;
pub use decoder::Decoder;
pub use ear::{Counts, Ear, EarEvent, EarSettings, Utterance, VoicePacket, speaker_track};
pub use error::AudioError;
pub use pcm::to_s16;
pub use pcm::{Pcm, SAMPLE_RATE, duration_to_samples, samples_to_duration};
pub use recording::Recording;
pub use segment::{AudioSegment, Judge, Pending, SegmentLimits, Segmenter};
pub use speech_file::FileReader;
pub use speech_times::SpeechTimes;
pub use spool::Spool;
pub use survey::{Listener, Survey, survey, survey_with};
pub use track::Info;
pub use vad::{FRAME_SAMPLES, VoiceActivity};

/// The shortest recording that can hold a word, and the least AssemblyAI Sync takes.
pub const SHORTEST: Duration = Duration::from_millis(80);

/// What a recording may ask of us. Everything from outside has a bound.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of the file. Default: 512 MiB.
    pub bytes: u64,
    /// Playing time, both claimed and decoded. Default: 4 hours.
    pub duration: Duration,
    /// Tracks in the container. Default: 32.
    pub tracks: usize,
    /// Clips up to this long keep their samples in memory, 64 kB a second.
    /// Default: 120 s, the most AssemblyAI Sync takes.
    pub kept: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 512 * 1024 * 1024,
            duration: Duration::from_secs(4 * 60 * 60),
            tracks: 32,
            kept: Duration::from_secs(120),
        }
    }
}

/// The Opus library, with its version where its build knows it.
pub fn opus_version() -> &'static str {
    match opus2::version() {
        "libopus unknown" => "libopus",
        known => known,
    }
}
