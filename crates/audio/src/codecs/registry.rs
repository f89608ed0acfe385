//! The decoders of symphonia together with the ones in this folder.

use std::sync::OnceLock;

use symphonia::core::codecs::registry::CodecRegistry;

use super::amr::AmrDecoder;
use super::dolby::DolbyDecoder;
use super::gsm::GsmDecoder;
use super::speech_codec::SpeechCodecDecoder;

/// The decoders of all codecs except Opus.
pub(crate) fn codec_registry() -> &'static CodecRegistry {
    static ALL: OnceLock<CodecRegistry> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut registry = CodecRegistry::new();
        symphonia::default::register_enabled_codecs(&mut registry);
        registry.register_audio_decoder::<SpeechCodecDecoder<AmrDecoder>>();
        registry.register_audio_decoder::<SpeechCodecDecoder<GsmDecoder>>();
        registry.register_audio_decoder::<DolbyDecoder>();
        registry
    })
}
