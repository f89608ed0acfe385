//! Where there is speech: voice activity detection and what is built on it.
//!
//! [`vad::Vad`] rates frames of 16 ms, [`speech_run`] confirms runs of them, and [`segmenter`] cuts
//! long recordings. The endpointer of `speaker_receiver` is built on the first two as well.

pub(crate) mod automatic_gain;
pub(crate) mod earshot_vad;
pub(crate) mod segmenter;
pub(crate) mod speech_run;
pub(crate) mod vad;
