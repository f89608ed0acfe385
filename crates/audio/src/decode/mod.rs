//! Decoding a recording to mono samples at 16 kHz.
//!
//! [`decoder`] drives it: [`open_container`] chooses a demuxer of `containers`, [`track_selection`]
//! the audio track, and [`opus_stream`] or [`codec_stream`] decodes its packets.

mod codec_stream;
pub(crate) mod decoder;
mod downmix;
mod matroska_tail;
mod ogg_tail;
mod open_container;
pub(crate) mod opus_stream;
mod resampler;
pub(crate) mod track_selection;
mod unsupported_format;
