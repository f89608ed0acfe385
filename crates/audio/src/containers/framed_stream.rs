//! Elementary streams inside another container: MPEG audio, ADTS and AC-3, whose frames carry their
//! own headers.

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_AAC, CODEC_ID_AC3, CODEC_ID_MP3};
use symphonia::core::errors::{Error, Result};
use symphonia::core::formats::Track;
use symphonia::core::io::MediaSource;
use symphonia::core::packet::Packet;

use super::{Ac3Demuxer, Demuxer, probe};

/// Opens the demuxer for an elementary stream whose codec the outer container declares.
pub(super) fn open_framed(
    stream: impl MediaSource + 'static,
    parameters: &AudioCodecParameters,
) -> Result<Box<dyn Demuxer>> {
    if parameters.codec == CODEC_ID_AC3 {
        return match Ac3Demuxer::open(stream) {
            Err(Error::DecodeError(_)) => Ok(Box::new(UnsupportedStream::new(parameters))),
            opened => opened,
        };
    }
    if !matches!(parameters.codec, CODEC_ID_MP3 | CODEC_ID_AAC) {
        return Ok(Box::new(UnsupportedStream::new(parameters)));
    }
    match probe(Box::new(stream)) {
        Ok(format) => Ok(Box::new(format)),
        Err(error @ Error::IoError(_)) => Err(error),
        // The container declares the wrong codec.
        Err(_) => Ok(Box::new(UnsupportedStream::new(parameters))),
    }
}

/// A stream without a demuxer. Reports its codec, and fails when read.
struct UnsupportedStream(Vec<Track>);

impl UnsupportedStream {
    fn new(parameters: &AudioCodecParameters) -> Self {
        let mut track = Track::new(0);
        track.with_codec_params(CodecParameters::Audio(parameters.clone()));
        Self(vec![track])
    }
}

impl Demuxer for UnsupportedStream {
    fn name(&self) -> &'static str {
        "wave"
    }

    fn tracks(&self) -> &[Track] {
        &self.0
    }

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        Err(Error::DecodeError("framed: no frame of that kind"))
    }
}
