//! Codecs: their ids and names, the config of AAC, and decoders for what symphonia lacks (AMR,
//! AMR-WB, GSM, AC-3 and E-AC-3) behind symphonia's decoder interface.

pub(crate) mod aac;
mod amr;
mod dolby;
mod gsm;
mod ids;
mod names;
mod registry;
mod speech_codec;

pub(crate) use amr::frame_bytes as amr_frame_bytes;
pub(crate) use dolby::parse_frame_header as ac3_frame;
pub(crate) use ids::{CODEC_ID_AMR_NB, CODEC_ID_AMR_WB, CODEC_ID_GSM, CODEC_ID_GSM_MS};
pub(crate) use names::{codec_from_wave_tag, codec_name, track_codec_name};
pub(crate) use registry::codec_registry;
