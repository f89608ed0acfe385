//! AssemblyAI's speech models: defaults, prices and languages. A name that is not listed here is
//! sent all the same, since models change more often than this program is released.

/// The models for recordings, in order of preference. The second covers the languages that the
/// first lacks: the service falls back only to models that are named.
pub const DEFAULT_PRERECORDED_MODELS: &[&str] = &["assemblyai-stt-3-7", "universal-2"];
/// The model for Sync, which both official SDKs use.
pub const DEFAULT_SYNC_MODEL: &str = "universal-3-5-pro";
/// The model for streaming.
pub const DEFAULT_STREAMING_MODEL: &str = "universal-3-6-pro";

/// Price of an hour of audio with Sync, in millionths of a US dollar.
pub const SYNC_MICRODOLLARS_PER_HOUR: u64 = 300_000;
/// Price of an hour of an open live session, in millionths of a US dollar.
pub const STREAMING_MICRODOLLARS_PER_HOUR: u64 = 450_000;

/// Price of an hour of uploaded audio, in millionths of a US dollar, if it is published.
#[must_use]
pub fn microdollars_per_hour(model: &str) -> Option<u64> {
    match model {
        "universal-3-5-pro" => Some(210_000),
        "universal-2" => Some(150_000),
        _ => None,
    }
}

/// The 19 languages of Universal-3.5 Pro.
const LANGUAGES_3_5_PRO: &[&str] = &[
    "en", "es", "de", "fr", "it", "pt", "tr", "nl", "sv", "no", "da", "fi", "hi", "vi", "ar", "he",
    "ja", "ur", "zh",
];
/// The 32 languages of Universal-3.6 Pro.
const LANGUAGES_3_6_PRO: &[&str] = &[
    "af", "ar", "ca", "da", "de", "en", "es", "et", "fa", "fi", "fr", "gl", "he", "hi", "it", "ja",
    "ko", "mr", "nl", "nn", "no", "pt", "ro", "ru", "sv", "tr", "ur", "vi", "xh", "yue", "zh",
    "zu",
];
/// Universal-2: `TranscriptLanguageCode` of the OpenAPI file, without the regional kinds of
/// English.
const LANGUAGES_UNIVERSAL_2: &[&str] = &[
    "en", "es", "fr", "de", "it", "pt", "nl", "af", "sq", "am", "ar", "hy", "as", "az", "ba", "eu",
    "be", "bn", "bs", "br", "bg", "my", "ca", "zh", "hr", "cs", "da", "et", "fo", "fi", "gl", "ka",
    "el", "gu", "ht", "ha", "haw", "he", "hi", "hu", "is", "id", "ja", "jw", "kn", "kk", "km",
    "ko", "lo", "la", "lv", "ln", "lt", "lb", "mk", "mg", "ms", "ml", "mt", "mi", "mr", "mn", "ne",
    "no", "nn", "oc", "pa", "ps", "fa", "pl", "ro", "ru", "sa", "sr", "sn", "sd", "si", "sk", "sl",
    "so", "su", "sw", "sv", "tl", "tg", "ta", "tt", "te", "th", "bo", "tr", "tk", "uk", "ur", "uz",
    "vi", "cy", "yi", "yo",
];

/// The languages of one model, as `language_code` and `language_codes` name them. Empty if unknown:
/// then any language is requested and the service decides.
pub(super) fn model_languages(model: &str) -> &'static [&'static str] {
    match model {
        "universal-3-5-pro" | "u3-rt-pro" | "u3-pro" => LANGUAGES_3_5_PRO,
        "universal-3-6-pro" => LANGUAGES_3_6_PRO,
        "universal-2" => LANGUAGES_UNIVERSAL_2,
        "universal-streaming-english" => &["en"],
        _ => &[],
    }
}

/// The languages that the models support together. Empty if one of them is unknown, unless
/// Universal-2, which covers nearly all, is among them.
pub(super) fn combined_languages(models: &[String]) -> &'static [&'static str] {
    if models.iter().any(|model| model == "universal-2") {
        return LANGUAGES_UNIVERSAL_2;
    }
    match models {
        [only] => model_languages(only),
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_model_has_its_languages() {
        assert_eq!(model_languages(DEFAULT_SYNC_MODEL).len(), 19);
        assert_eq!(model_languages(DEFAULT_STREAMING_MODEL).len(), 32);
        assert!(model_languages("universal-9").is_empty());
        let all = |models: &[&str]| {
            let models: Vec<String> = models.iter().map(|&model| model.to_owned()).collect();
            combined_languages(&models)
        };
        assert!(all(DEFAULT_PRERECORDED_MODELS).contains(&"pl"));
        assert!(all(&["universal-3-5-pro"]).contains(&"ur"));
        assert!(all(&["assemblyai-stt-3-7"]).is_empty());
        // Universal-2 has every language of the other models, except Cantonese and two from
        // southern Africa.
        let more: Vec<&&str> = LANGUAGES_3_6_PRO
            .iter()
            .filter(|code| !LANGUAGES_UNIVERSAL_2.contains(code))
            .collect();
        assert_eq!(more, [&"xh", &"yue", &"zu"]);
    }
}
