//! What people call the codecs.

use symphonia::core::codecs::audio::AudioCodecId;
use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_AC3, CODEC_ID_DCA, CODEC_ID_EAC3, CODEC_ID_OPUS, CODEC_ID_SPEEX, CODEC_ID_WMA,
};

/// The short name of a codec, or its number if nobody has named it.
pub(super) fn codec(id: AudioCodecId) -> String {
    let known = symphonia::default::get_codecs().get_audio_decoder(id);
    let name = match (known, id) {
        (Some(known), _) => known.codec.info.short_name,
        (None, CODEC_ID_OPUS) => "opus",
        (None, CODEC_ID_AC3) => "AC-3",
        (None, CODEC_ID_EAC3) => "E-AC-3",
        (None, CODEC_ID_DCA) => "DTS",
        (None, CODEC_ID_SPEEX) => "Speex",
        (None, CODEC_ID_WMA) => "WMA",
        (None, _) => return id.to_string(),
    };
    name.to_owned()
}
