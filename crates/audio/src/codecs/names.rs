//! Names of codecs, and the identifiers that containers use for them.

use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_AAC, CODEC_ID_AC3, CODEC_ID_AC4, CODEC_ID_ADPCM_G722, CODEC_ID_ADPCM_G726,
    CODEC_ID_ADPCM_IMA_WAV, CODEC_ID_ADPCM_MS, CODEC_ID_ATRAC3, CODEC_ID_ATRAC3PLUS, CODEC_ID_COOK,
    CODEC_ID_DCA, CODEC_ID_EAC3, CODEC_ID_FLAC, CODEC_ID_MONKEYS_AUDIO, CODEC_ID_MUSEPACK,
    CODEC_ID_OPUS, CODEC_ID_RA10, CODEC_ID_RA20, CODEC_ID_SIPR, CODEC_ID_SPEEX, CODEC_ID_TRUEHD,
    CODEC_ID_TTA, CODEC_ID_VORBIS, CODEC_ID_WAVPACK, CODEC_ID_WMA,
};
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};
use symphonia::core::common::FourCc;

use super::aac::AudioSpecificConfig;
use super::ids::{CODEC_ID_AMR_NB, CODEC_ID_AMR_WB, CODEC_ID_GSM, CODEC_ID_GSM_MS};
use super::registry::codec_registry;

/// Display names of codecs that symphonia has no decoder for.
const CODEC_NAMES: &[(AudioCodecId, &str)] = &[
    (CODEC_ID_OPUS, "opus"),
    (CODEC_ID_AC3, "AC-3"),
    (CODEC_ID_EAC3, "E-AC-3"),
    (CODEC_ID_AC4, "AC-4"),
    (CODEC_ID_DCA, "DTS"),
    (CODEC_ID_SPEEX, "Speex"),
    (CODEC_ID_WMA, "WMA"),
    (CODEC_ID_AMR_NB, "AMR"),
    (CODEC_ID_AMR_WB, "AMR-WB"),
    (CODEC_ID_GSM, "GSM"),
    (CODEC_ID_GSM_MS, "GSM"),
    (CODEC_ID_ADPCM_G722, "G.722"),
    (CODEC_ID_ADPCM_G726, "G.726"),
    (CODEC_ID_ATRAC3, "ATRAC3"),
    (CODEC_ID_ATRAC3PLUS, "ATRAC3plus"),
    (CODEC_ID_COOK, "RealAudio Cook"),
    (CODEC_ID_RA10, "RealAudio 14.4"),
    (CODEC_ID_RA20, "RealAudio 28.8"),
    (CODEC_ID_SIPR, "RealAudio SIPR"),
    (CODEC_ID_MUSEPACK, "Musepack"),
    (CODEC_ID_MONKEYS_AUDIO, "Monkey's Audio"),
    (CODEC_ID_TRUEHD, "TrueHD"),
    (CODEC_ID_TTA, "TTA"),
    (CODEC_ID_WAVPACK, "WavPack"),
];

/// Codecs that have only a format tag in WAV and AVI files (RFC 2361 and later registrations).
const WAVE_TAG_NAMES: &[(u16, &str)] = &[
    (0x000A, "WMA Voice"),
    (0x0010, "OKI ADPCM"),
    (0x0014, "G.723 ADPCM"),
    (0x0017, "Dialogic ADPCM"),
    (0x0020, "Yamaha ADPCM"),
    (0x0022, "TrueSpeech"),
    (0x0040, "G.721 ADPCM"),
    (0x0042, "G.723.1"),
    (0x0075, "MetaSound"),
    (0x0083, "G.729"),
    (0x0111, "G.723.1"),
    (0x0133, "G.729"),
    (0x0162, "WMA Pro"),
    (0x0163, "WMA Lossless"),
    (0x0200, "Creative ADPCM"),
    (0x0401, "Intel Music Coder"),
    (0x0402, "Indeo Audio"),
    (0x1500, "GSM 6.10"),
    (0x181C, "VoxWare"),
    (0xA100, "G.723.1"),
    (0xA105, "G.726"),
];

/// Codecs that have only a four-character code in MP4 and QuickTime files (the MPEG-4 registration
/// authority, and Apple's QTFF).
const FOURCC_NAMES: &[(&[u8; 4], &str)] = &[
    (b"Qclp", "QCELP"),
    (b"sqcp", "QCELP"),
    (b"sevc", "EVRC"),
    (b"ssmv", "SMV"),
    (b"QDM2", "QDesign Music 2"),
    (b"QDMC", "QDesign Music"),
    (b"MAC3", "MACE 3"),
    (b"MAC6", "MACE 6"),
    (b"dtsc", "DTS"),
    (b"dtsh", "DTS-HD"),
    (b"dtsl", "DTS-HD"),
    (b"dtse", "DTS Express"),
    (b"dtsx", "DTS:X"),
    (b"mlpa", "TrueHD"),
    (b"mha1", "MPEG-H Audio"),
    (b"mhm1", "MPEG-H Audio"),
    (b"wma ", "WMA"),
    (b"Spee", "Speex"),
    (b"spex", "Speex"),
];

/// The codec of a WAV or AVI format tag.
pub(crate) fn codec_from_wave_tag(tag: u16) -> AudioCodecId {
    match tag {
        0x0002 => CODEC_ID_ADPCM_MS,
        0x0011 => CODEC_ID_ADPCM_IMA_WAV,
        0x0057 => CODEC_ID_AMR_NB,
        0x0058 => CODEC_ID_AMR_WB,
        0x0045 | 0x0064 => CODEC_ID_ADPCM_G726,
        0x0065 | 0x028F => CODEC_ID_ADPCM_G722,
        0x0130 => CODEC_ID_SIPR,
        0x0160 | 0x0161 => CODEC_ID_WMA,
        0x0270 => CODEC_ID_ATRAC3,
        0x2000 | 0x0092 => CODEC_ID_AC3,
        0x2001 => CODEC_ID_DCA,
        0x2002 => CODEC_ID_RA10,
        0x2003 => CODEC_ID_RA20,
        0x2004 => CODEC_ID_COOK,
        0x5756 => CODEC_ID_WAVPACK,
        0x566F | 0x674F..=0x6771 => CODEC_ID_VORBIS,
        0x704F => CODEC_ID_OPUS,
        0x77A1 => CODEC_ID_TTA,
        0xA109 => CODEC_ID_SPEEX,
        0xF1AC => CODEC_ID_FLAC,
        tag => {
            let mut digits = [0; 4];
            for (place, digit) in digits.iter_mut().enumerate() {
                let value = tag >> (12 - 4 * place) & 0xF;
                *digit = b"0123456789ABCDEF"[usize::from(value)];
            }
            AudioCodecId::new(FourCc::new(digits))
        }
    }
}

/// Display name of a codec, or else its identifier in the container.
pub(crate) fn codec_name(id: AudioCodecId) -> String {
    if let Some((_, name)) = CODEC_NAMES.iter().find(|(named, _)| *named == id) {
        return (*name).to_owned();
    }
    let by_tag = |(tag, _): &&(u16, &str)| codec_from_wave_tag(*tag) == id;
    if let Some((_, name)) = WAVE_TAG_NAMES.iter().find(by_tag) {
        return (*name).to_owned();
    }
    let by_letters =
        |(letters, _): &&(&[u8; 4], &str)| AudioCodecId::new(FourCc::new(**letters)) == id;
    if let Some((_, name)) = FOURCC_NAMES.iter().find(by_letters) {
        return (*name).to_owned();
    }
    match codec_registry().get_audio_decoder(id) {
        Some(known) => known.codec.info.short_name.to_owned(),
        None => fourcc(id).unwrap_or_else(|| id.to_string()),
    }
}

/// Display name of a track's codec; for AAC with the profile, if that can't be decoded.
pub(crate) fn track_codec_name(parameters: &AudioCodecParameters) -> String {
    let extra = parameters.extra_data.as_deref();
    let config = extra
        .filter(|_| parameters.codec == CODEC_ID_AAC)
        .and_then(AudioSpecificConfig::parse);
    let name = config.and_then(|config| match config.object_type {
        1 => Some("AAC Main"),
        3 => Some("AAC SSR"),
        4 => Some("AAC LTP"),
        23 => Some("AAC-LD"),
        36 => Some("MPEG-4 ALS"),
        37 | 38 => Some("MPEG-4 SLS"),
        39 => Some("AAC-ELD"),
        42 => Some("xHE-AAC"),
        _ => None,
    });
    name.map_or_else(|| codec_name(parameters.codec), str::to_owned)
}

/// The four characters of a codec id, if it was made from them.
fn fourcc(id: AudioCodecId) -> Option<String> {
    let number = u32::from_str_radix(id.to_string().strip_prefix("0x")?, 16).ok()?;
    let letters = (number & 0x7FFF_FFFF).to_be_bytes();
    (number >> 31 == 1 && letters.iter().all(u8::is_ascii_graphic))
        .then(|| letters.map(char::from).iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unnamed_codecs_use_their_container_id() {
        for (id, name) in [
            (codec_from_wave_tag(0x0022), "TrueSpeech"),
            (codec_from_wave_tag(0x0161), "WMA"),
            (codec_from_wave_tag(0xBEEF), "BEEF"),
            (AudioCodecId::new(FourCc::new(*b"Qclp")), "QCELP"),
            (AudioCodecId::new(FourCc::new(*b"abcd")), "abcd"),
            (CODEC_ID_OPUS, "opus"),
            (CODEC_ID_FLAC, "flac"),
        ] {
            assert_eq!(codec_name(id), name);
        }
    }
}
