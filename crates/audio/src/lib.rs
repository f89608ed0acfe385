//! Recordings become mono 16 kHz samples. No clock and no network in here.

mod aac;
mod analysis;
mod automatic_gain;
mod clip;
mod clip_reader;
mod codec_names;
mod codec_stream;
mod containers;
mod decoder;
mod decoders;
mod downmix;
mod error;
mod growth;
mod matroska_tail;
mod ogg_tail;
mod open_container;
mod opus_stream;
mod pcm;
mod recording;
mod resampler;
mod segmenter;
mod speaker_receiver;
mod speech_run;
mod speech_times;
mod speech_track;
mod spool;
mod track_selection;
mod unnamed_file;
mod unsupported_format;
mod vad;
mod wav_copy;

use std::time::Duration;

pub use analysis::{AnalysisObserver, AudioAnalysis, analyze, analyze_with};
pub use clip::Clip;
pub use clip_reader::ClipReader;
pub use decoder::Decoder;
pub use error::AudioError;
pub use pcm::to_s16;
pub use pcm::{Pcm, SAMPLE_RATE, duration_to_samples, samples_to_duration};
pub use recording::Recording;
pub use segmenter::{AudioSegment, PendingSegment, SegmentLimits, Segmenter, Vad};
pub use speaker_receiver::{
    SpeakerEvent, SpeakerReceiver, SpeakerReceiverSettings, SpeakerStats, Utterance, VoicePacket,
    speaker_track,
};
pub use speech_times::SpeechTimes;
pub use spool::Spool;
pub use track_selection::AudioInfo;
pub use unnamed_file::FileReader;
pub use vad::{EarshotVad, FRAME_SAMPLES};

/// The shortest recording that can hold a word; also the minimum that AssemblyAI Sync accepts.
pub const MIN_DURATION: Duration = Duration::from_millis(80);

/// Upper bounds on what one recording may cost to decode. All input is untrusted.
#[derive(Clone, Debug)]
pub struct AudioLimits {
    /// Size of the file in bytes. Default: 512 MiB.
    pub bytes: u64,
    /// Playing time, checked against both the declared and the decoded duration. Default: 4 hours.
    pub max_duration: Duration,
    /// Number of tracks in the container. Default: 32.
    pub max_tracks: usize,
    /// Clips up to this long keep their samples in memory, at 64 kB per second of audio. Default:
    /// 120 s, the maximum that AssemblyAI Sync accepts.
    pub max_in_memory: Duration,
}

impl Default for AudioLimits {
    fn default() -> Self {
        Self {
            bytes: 512 * 1024 * 1024,
            max_duration: Duration::from_secs(4 * 60 * 60),
            max_tracks: 32,
            max_in_memory: Duration::from_secs(120),
        }
    }
}

/// Name of the Opus library, with its version if the build reports one.
pub fn libopus_version() -> &'static str {
    match opus2::version() {
        "libopus unknown" => "libopus",
        known => known,
    }
}
