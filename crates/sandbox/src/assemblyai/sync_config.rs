//! The `config` part of a Sync request.

use serde_json::{Map, Value};

use super::sync::{SyncRefusal, bad_request};

const MAX_PROMPT: usize = 6_000;
const MAX_KEYTERMS: usize = 100;
const MAX_KEYTERMS_CHARS: usize = 8_000;

/// The languages of the model, ISO 639-1.
pub(super) const LANGUAGES: &[&str] = &[
    "en", "es", "de", "fr", "it", "pt", "tr", "nl", "sv", "no", "da", "fi", "hi", "vi", "ar", "he",
    "ja", "ur", "zh",
];

/// What a request asks for, as far as the answer depends on it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SyncRequestConfig {
    pub(super) timestamps: bool,
    pub(super) sample_rate: Option<u32>,
    pub(super) channels: Option<u64>,
}

impl SyncRequestConfig {
    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, SyncRefusal> {
        let Ok(Value::Object(fields)) = serde_json::from_slice(bytes) else {
            return Err(bad_request("config is not a JSON object"));
        };
        let mut config = Self::default();
        for (name, value) in &fields {
            config.set_field(name, value)?;
        }
        Ok(config)
    }

    fn set_field(&mut self, name: &str, value: &Value) -> Result<(), SyncRefusal> {
        let wrong = || bad_request(format!("config.{name} has the wrong type"));
        match name {
            "prompt" => {
                let prompt = value.as_str().ok_or_else(wrong)?;
                check_length(name, prompt.chars().count(), MAX_PROMPT)?;
            }
            "keyterms_prompt" => {
                let terms = as_strings(value).ok_or_else(wrong)?;
                let length = terms.iter().map(|term| term.chars().count()).sum();
                check_length(name, length, MAX_KEYTERMS_CHARS)?;
                if terms.len() > MAX_KEYTERMS {
                    return Err(bad_request(format!(
                        "config.keyterms_prompt has {} terms, at most {MAX_KEYTERMS} are allowed",
                        terms.len()
                    )));
                }
            }
            // A longer context loses its oldest turns and is not refused.
            "conversation_context" if value.is_string() => {}
            "conversation_context" => {
                as_strings(value).ok_or_else(wrong)?;
            }
            "language_codes" => {
                let codes = as_strings(value).ok_or_else(wrong)?;
                if let Some(unknown) = codes.iter().find(|code| !LANGUAGES.contains(code)) {
                    return Err(bad_request(format!("unsupported language code: {unknown}")));
                }
            }
            "timestamps" => self.timestamps = value.as_bool().ok_or_else(wrong)?,
            "sample_rate" => {
                let rate = value.as_u64().and_then(|rate| u32::try_from(rate).ok());
                self.sample_rate = Some(rate.ok_or_else(wrong)?);
            }
            "channels" => self.channels = Some(value.as_u64().ok_or_else(wrong)?),
            _ => return Err(bad_request(format!("unknown config field: {name}"))),
        }
        Ok(())
    }
}

fn as_strings(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

fn check_length(name: &str, length: usize, limit: usize) -> Result<(), SyncRefusal> {
    if length <= limit {
        Ok(())
    } else {
        Err(bad_request(format!(
            "config.{name} has {length} characters, at most {limit} are allowed"
        )))
    }
}

/// A field that must not be there, of any JSON object.
pub(super) fn unknown_field<'a>(fields: &'a Map<String, Value>, known: &[&str]) -> Option<&'a str> {
    fields
        .keys()
        .map(String::as_str)
        .find(|name| !known.contains(name))
}
