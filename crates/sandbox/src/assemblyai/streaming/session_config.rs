//! What a live session may be asked for.

use std::time::Duration;

use serde_json::Value;

use super::super::sync_config::LANGUAGES;
use super::CloseReason;

/// The Pro models, the default first.
const PRO_MODELS: &[&str] = &[
    "universal-3-6-pro",
    "universal-3-6",
    "universal-3-5-pro",
    "u3-rt-pro",
    "u3-pro",
];
const OTHER_MODELS: &[&str] = &[
    "universal-streaming-english",
    "universal-streaming-multilingual",
    "whisper-rt",
];

/// Names that are deprecated, and what to name instead.
const DEPRECATED_MODELS: &[(&str, &str)] = &[("u3-pro", "u3-rt-pro")];

/// The languages that the newest model has beside those of the one before it.
const NEWER_LANGUAGES: &[&str] = &[
    "af", "ca", "et", "fa", "gl", "ko", "mr", "nn", "ro", "ru", "xh", "yue", "zu",
];

/// Parameters that change nothing here.
const IGNORED_PARAMS: &[&str] = &[
    "mode",
    "language_code",
    "language_detection",
    "vad_threshold",
    "end_of_turn_confidence_threshold",
    "min_end_of_turn_silence_when_confident",
    "filter_profanity",
    "turn_left_pad_ms",
    "domain",
    "webhook_url",
    "webhook_auth_header_name",
    "webhook_auth_header_value",
    "llm_gateway",
    "speaker_labels_revision_interval_ms",
    "voice_focus",
    "voice_focus_threshold",
    "customer_support_audio_capture",
    "_customer_support_audio_capture",
    "redact_pii",
    "redact_pii_policies",
    "redact_pii_sub",
    "token",
];

const MAX_KEYTERMS: usize = 100;
const MAX_KEYTERM_CHARS: usize = 50;
const MAX_LANGUAGES: usize = 10;
const MAX_AGENT_CONTEXT: usize = 1_500;
const MAX_PROMPT: usize = 6_000;
const MAX_SPEAKERS: u64 = 10;

/// How samples are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Encoding {
    /// 16-bit, little-endian.
    PcmS16Le,
    /// G.711 µ-law.
    PcmMulaw,
}

impl Encoding {
    pub(super) fn bytes_per_sample(self) -> usize {
        match self {
            Self::PcmS16Le => 2,
            Self::PcmMulaw => 1,
        }
    }
}

/// A session's settings. Times in milliseconds of audio.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct StreamingConfig {
    pub(super) model: String,
    pub(super) sample_rate: u32,
    pub(super) encoding: Encoding,
    /// None: the model's own.
    min_turn_silence: Option<u64>,
    max_turn_silence: Option<u64>,
    pub(super) format_turns: bool,
    pub(super) inactivity_timeout: Option<Duration>,
    /// How long somebody speaks before the first words of it come, nearly.
    pub(super) interruption_delay: u64,
    continuous_partials: Option<bool>,
    pub(super) include_partial_turns: bool,
    pub(super) speaker_labels: bool,
    pub(super) session_heartbeat: bool,
    pub(super) acknowledge_silence: bool,
    pub(super) mode: Option<String>,
}

impl Default for StreamingConfig {
    fn default() -> Self {
        Self {
            model: PRO_MODELS[0].to_owned(),
            sample_rate: 16_000,
            encoding: Encoding::PcmS16Le,
            min_turn_silence: None,
            max_turn_silence: None,
            format_turns: false,
            inactivity_timeout: None,
            interruption_delay: 500,
            continuous_partials: None,
            include_partial_turns: true,
            speaker_labels: false,
            session_heartbeat: false,
            acknowledge_silence: false,
            mode: None,
        }
    }
}

impl StreamingConfig {
    pub(super) fn from_query(query: &str) -> Result<Self, CloseReason> {
        let mut settings = Self::default();
        let mut languages = None;
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if name == "language_codes" {
                languages = serde_json::from_str(&value).ok().or(Some(Value::Null));
            }
            settings.set_param(&name, &value)?;
        }
        // Which languages there are depends on the model, wherever it stands.
        match languages {
            Some(languages) => settings.check_languages(&languages).map(|()| settings),
            None => Ok(settings),
        }
    }

    fn set_param(&mut self, name: &str, value: &str) -> Result<(), CloseReason> {
        let wrong = || CloseReason::invalid(format!("Invalid value for {name}"));
        let number = || value.parse::<u64>().map_err(|_| wrong());
        let switch = || parse_bool(value).ok_or_else(wrong);
        match name {
            "speech_model" if PRO_MODELS.contains(&value) || OTHER_MODELS.contains(&value) => {
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
            "min_turn_silence" => self.min_turn_silence = Some(number()?),
            "max_turn_silence" => self.max_turn_silence = Some(number()?),
            "interruption_delay" => self.interruption_delay = number()?,
            "format_turns" => self.format_turns = switch()?,
            "continuous_partials" => self.continuous_partials = Some(switch()?),
            "include_partial_turns" => self.include_partial_turns = switch()?,
            "speaker_labels" => self.speaker_labels = switch()?,
            "session_heartbeat" => self.session_heartbeat = switch()?,
            "acknowledge_silence" => self.acknowledge_silence = switch()?,
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
            "max_speakers" if !(1..=MAX_SPEAKERS).contains(&number()?) => return Err(wrong()),
            "agent_context" | "prompt" => check_text(name, value)?,
            "mode" => self.mode = Some(value.to_owned()),
            "language_codes" | "max_speakers" => {}
            _ if IGNORED_PARAMS.contains(&name) => {}
            _ => {
                return Err(CloseReason::invalid(format!(
                    "Invalid parameter: {name}={value}"
                )));
            }
        }
        Ok(())
    }

    /// An `UpdateConfiguration` message.
    pub(super) fn update(&mut self, message: &Value) -> Result<(), CloseReason> {
        let fields = message.as_object().into_iter().flatten();
        for (name, value) in fields.filter(|(name, _)| *name != "type") {
            let wrong = || CloseReason::invalid(format!("Invalid Message: wrong value for {name}"));
            let number = || value.as_u64().ok_or_else(wrong);
            let switch = || value.as_bool().ok_or_else(wrong);
            match name.as_str() {
                "min_turn_silence" => self.min_turn_silence = Some(number()?),
                "max_turn_silence" => self.max_turn_silence = Some(number()?),
                "interruption_delay" => self.interruption_delay = number()?,
                "format_turns" => self.format_turns = switch()?,
                "session_heartbeat" => self.session_heartbeat = switch()?,
                "acknowledge_silence" => self.acknowledge_silence = switch()?,
                "keyterms_prompt" => check_keyterms(value)?,
                "language_codes" => self.check_languages(value)?,
                "agent_context" | "prompt" => {
                    check_text(name, value.as_str().ok_or_else(wrong)?)?;
                }
                other if IGNORED_PARAMS.contains(&other) => {}
                _ => {
                    return Err(CloseReason::invalid(format!(
                        "Invalid Message: unknown field {name}"
                    )));
                }
            }
        }
        Ok(())
    }

    fn check_languages(&self, codes: &Value) -> Result<(), CloseReason> {
        let newest = self.model.starts_with("universal-3-6");
        let known = |code: &Value| {
            code.as_str().is_some_and(|code| {
                LANGUAGES.contains(&code) || newest && NEWER_LANGUAGES.contains(&code)
            })
        };
        match codes.as_array() {
            Some(codes) if codes.len() <= MAX_LANGUAGES && codes.iter().all(known) => Ok(()),
            _ => Err(CloseReason::invalid("Invalid value for language_codes")),
        }
    }

    /// Whether turns come formatted at once, without an unformatted version before, and words not
    /// one by one.
    pub(super) fn is_pro(&self) -> bool {
        PRO_MODELS.contains(&self.model.as_str())
    }

    /// The silence that ends a turn which seems to be complete.
    pub(super) fn min_turn_silence(&self) -> u64 {
        let usual = if self.is_pro() { 100 } else { 400 };
        self.min_turn_silence.unwrap_or(usual)
    }

    /// The silence that ends any turn.
    pub(super) fn max_turn_silence(&self) -> u64 {
        let usual = if self.is_pro() { 1_000 } else { 1_280 };
        self.max_turn_silence.unwrap_or(usual)
    }

    /// Whether words come every few seconds while somebody speaks without a pause.
    pub(super) fn continuous_partials(&self) -> bool {
        self.continuous_partials.unwrap_or(!self.speaker_labels)
    }

    /// What a client is warned of that asks for this.
    pub(super) fn warning(&self) -> Option<String> {
        let (old, new) = DEPRECATED_MODELS
            .iter()
            .find(|(old, _)| *old == self.model)?;
        Some(format!(
            "The model {old} is deprecated. Use speech_model={new}."
        ))
    }
}

/// `True` is how the official Python client writes it.
fn parse_bool(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

fn check_text(name: &str, text: &str) -> Result<(), CloseReason> {
    let most = match name {
        "agent_context" => MAX_AGENT_CONTEXT,
        _ => MAX_PROMPT,
    };
    if text.chars().count() <= most {
        return Ok(());
    }
    let why = format!("Invalid value for {name}: at most {most} characters");
    Err(CloseReason::invalid(why))
}

fn check_keyterms(terms: &Value) -> Result<(), CloseReason> {
    let fits = |term: &Value| {
        term.as_str()
            .is_some_and(|term| term.chars().count() <= MAX_KEYTERM_CHARS)
    };
    match terms.as_array() {
        Some(terms) if terms.len() <= MAX_KEYTERMS && terms.iter().all(fits) => Ok(()),
        _ => Err(CloseReason::invalid("Invalid value for keyterms_prompt")),
    }
}
