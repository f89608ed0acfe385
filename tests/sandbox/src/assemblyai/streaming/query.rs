//! What a live session may be asked for.

use std::time::Duration;

use serde_json::Value;

use super::Close;

/// The Pro models, the default first.
const PRO: &[&str] = &[
    "universal-3-6-pro",
    "universal-3-6",
    "universal-3-5-pro",
    "u3-rt-pro",
    "u3-pro",
];
const OTHERS: &[&str] = &[
    "universal-streaming-english",
    "universal-streaming-multilingual",
    "whisper-rt",
];

/// Parameters that change nothing here.
const IGNORED: &[&str] = &[
    "mode",
    "prompt",
    "language_codes",
    "language_detection",
    "speaker_labels",
    "max_speakers",
    "vad_threshold",
    "end_of_turn_confidence_threshold",
    "filter_profanity",
    "token",
];

const MAX_KEYTERMS: usize = 100;
const MAX_KEYTERM: usize = 50;

/// How samples are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Encoding {
    /// 16-bit, little-endian.
    PcmS16Le,
    /// G.711 µ-law.
    PcmMulaw,
}

impl Encoding {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::PcmS16Le => 2,
            Self::PcmMulaw => 1,
        }
    }
}

/// A session's settings. Times in milliseconds of audio.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Settings {
    pub(super) model: String,
    pub(super) sample_rate: u32,
    pub(super) encoding: Encoding,
    pub(super) min_turn_silence: u64,
    pub(super) max_turn_silence: u64,
    pub(super) format_turns: bool,
    pub(super) inactivity_timeout: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: PRO[0].to_owned(),
            sample_rate: 16_000,
            encoding: Encoding::PcmS16Le,
            min_turn_silence: 400,
            max_turn_silence: 1_280,
            format_turns: false,
            inactivity_timeout: None,
        }
    }
}

impl Settings {
    pub(super) fn read(query: &str) -> Result<Self, Close> {
        let mut settings = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            settings.set(&name, &value)?;
        }
        Ok(settings)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Close> {
        let wrong = || Close::invalid(format!("Invalid value for {name}"));
        let number = || value.parse::<u64>().map_err(|_| wrong());
        match name {
            "speech_model" if PRO.contains(&value) || OTHERS.contains(&value) => {
                value.clone_into(&mut self.model);
            }
            "sample_rate" => {
                let rate = value.parse().ok();
                let rate = rate.filter(|rate| (8_000..=48_000).contains(rate));
                self.sample_rate = rate.ok_or_else(wrong)?;
            }
            "encoding" => {
                self.encoding = match value {
                    "pcm_s16le" => Encoding::PcmS16Le,
                    "pcm_mulaw" => Encoding::PcmMulaw,
                    _ => return Err(wrong()),
                }
            }
            "min_turn_silence" => self.min_turn_silence = number()?,
            "max_turn_silence" => self.max_turn_silence = number()?,
            "format_turns" => self.format_turns = value.parse().map_err(|_| wrong())?,
            "inactivity_timeout" => {
                let seconds = number()?;
                if !(5..=3_600).contains(&seconds) {
                    return Err(wrong());
                }
                self.inactivity_timeout = Some(Duration::from_secs(seconds));
            }
            "keyterms_prompt" => {
                let terms = serde_json::from_str(value).map_err(|_| wrong())?;
                check_keyterms(&terms)?;
            }
            _ if IGNORED.contains(&name) => {}
            _ => return Err(Close::invalid(format!("Invalid parameter: {name}={value}"))),
        }
        Ok(())
    }

    /// An `UpdateConfiguration` message.
    pub(super) fn update(&mut self, message: &Value) -> Result<(), Close> {
        let fields = message.as_object().into_iter().flatten();
        for (name, value) in fields.filter(|(name, _)| *name != "type") {
            let wrong = || Close::invalid(format!("Invalid Message: wrong value for {name}"));
            match name.as_str() {
                "min_turn_silence" => self.min_turn_silence = value.as_u64().ok_or_else(wrong)?,
                "max_turn_silence" => self.max_turn_silence = value.as_u64().ok_or_else(wrong)?,
                "format_turns" => self.format_turns = value.as_bool().ok_or_else(wrong)?,
                "keyterms_prompt" => check_keyterms(value)?,
                other if IGNORED.contains(&other) => {}
                _ => {
                    return Err(Close::invalid(format!(
                        "Invalid Message: unknown field {name}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Whether turns come formatted at once, without an unformatted version before.
    pub(super) fn always_formats(&self) -> bool {
        PRO.contains(&self.model.as_str())
    }
}

fn check_keyterms(terms: &Value) -> Result<(), Close> {
    let fits = |term: &Value| {
        term.as_str()
            .is_some_and(|term| term.chars().count() <= MAX_KEYTERM)
    };
    match terms.as_array() {
        Some(terms) if terms.len() <= MAX_KEYTERMS && terms.iter().all(fits) => Ok(()),
        _ => Err(Close::invalid("Invalid value for keyterms_prompt")),
    }
}
