//! Codec ids that symphonia does not define.

use symphonia::core::codecs::CodecInfo;
use symphonia::core::codecs::audio::AudioCodecId;
use symphonia::core::codecs::registry::SupportedAudioCodec;
use symphonia::core::common::FourCc;

/// AMR narrowband, used by mobile phones.
pub(crate) const CODEC_ID_AMR_NB: AudioCodecId = AudioCodecId::new(FourCc::new(*b"samr"));
/// AMR wideband, used by mobile phones.
pub(crate) const CODEC_ID_AMR_WB: AudioCodecId = AudioCodecId::new(FourCc::new(*b"sawb"));
/// GSM full rate in frames of 33 bytes.
pub(crate) const CODEC_ID_GSM: AudioCodecId = AudioCodecId::new(FourCc::new(*b"agsm"));
/// GSM full rate in Microsoft's packing: two frames in 65 bytes.
pub(crate) const CODEC_ID_GSM_MS: AudioCodecId = AudioCodecId::new(FourCc::new(*b"0031"));

/// A codec entry for symphonia's registry.
pub(super) const fn supported_codec(
    id: AudioCodecId,
    short_name: &'static str,
    long_name: &'static str,
) -> SupportedAudioCodec {
    let info = CodecInfo {
        short_name,
        long_name,
        profiles: &[],
    };
    SupportedAudioCodec { id, info }
}
