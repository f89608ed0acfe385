//! Turns recordings and voice packets into mono samples at 16 kHz ([`Pcm`]) and cuts them into pieces
//! that a recognizer accepts. There is no clock and no network in this crate.
//!
//! | folder | purpose | types it passes on |
//! | --- | --- | --- |
//! | `recording/` | files as they arrive, complete or still being written | [`Spool`] to [`Recording`], read through [`FileReader`] |
//! | `containers/` | demuxers: a file is split into tracks and packets | `Demuxer`, symphonia's `Packet` |
//! | `codecs/` | codec names, and decoders that symphonia lacks | symphonia's decoder registry |
//! | `decode/` | opening, track selection, downmix, resampling | [`Recording`] to [`Decoder`], which yields blocks of samples |
//! | `speech/` | voice activity detection and segmentation | frames to probabilities ([`Vad`]), samples to [`AudioSegment`] |
//! | `analysis/` | one pass over a recording before it is transcribed | [`Recording`] to [`AudioAnalysis`] with its [`Clip`] |
//! | `speaker_receiver/` | one speaker of a voice call: jitter buffer, loss concealment, endpointing | [`VoicePacket`] to [`SpeakerEvent`] with its [`Utterance`] |
//!
//! The files in the root define what the folders share: [`Pcm`], [`Clip`] and its [`ClipReader`],
//! [`AudioLimits`] and [`AudioError`].

mod analysis;
mod clip;
mod clip_reader;
mod codecs;
mod containers;
mod decode;
mod error;
mod limits;
mod pcm;
mod recording;
mod speaker_receiver;
mod speech;

pub use analysis::speech_times::SpeechTimes;
pub use analysis::{AnalysisObserver, AudioAnalysis, analyze, analyze_with};
pub use clip::Clip;
pub use clip_reader::ClipReader;
pub use decode::decoder::Decoder;
pub use decode::track_selection::AudioInfo;
pub use error::AudioError;
pub use limits::{AudioLimits, MIN_DURATION};
pub use pcm::{Pcm, SAMPLE_RATE, duration_to_samples, samples_to_duration, to_s16};
pub use recording::Recording;
pub use recording::spool::Spool;
pub use recording::unnamed_file::FileReader;
pub use speaker_receiver::{
    SpeakerEvent, SpeakerReceiver, SpeakerReceiverSettings, SpeakerStats, Utterance, VoicePacket,
    speaker_track,
};
pub use speech::earshot_vad::EarshotVad;
pub use speech::segmenter::{AudioSegment, PendingSegment, SegmentLimits, Segmenter};
pub use speech::vad::{FRAME_SAMPLES, Vad};

/// Name of the Opus library, with its version if the build reports one.
pub fn libopus_version() -> &'static str {
    match opus2::version() {
        "libopus unknown" => "libopus",
        known => known,
    }
}
