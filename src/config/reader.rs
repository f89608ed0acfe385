//! Parses settings one by one and collects the errors.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::RequiredFeatures;

/// The longest accepted model name.
const MAX_MODEL_NAME_CHARS: usize = 100;

/// A setting that can't be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SettingError {
    /// The environment variable.
    pub variable: &'static str,
    /// What is wrong and what to do. Never holds a secret.
    pub message: String,
}

impl std::fmt::Display for SettingError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.variable, self.message)
    }
}

/// The values of settings as text, by variable.
#[derive(Default)]
pub struct SettingValues(HashMap<&'static str, String>);

impl SettingValues {
    /// Sets a variable. An empty value counts as not set, as `KEY_FILE=` in a `.env` file means.
    pub fn set(&mut self, variable: &'static str, value: impl Into<String>) {
        let value = value.into();
        if !value.trim().is_empty() {
            self.0.insert(variable, value);
        }
    }

    /// Whether this variable is set.
    #[must_use]
    pub fn is_set(&self, variable: &str) -> bool {
        self.0.contains_key(variable)
    }
}

impl<const N: usize> From<[(&'static str, &str); N]> for SettingValues {
    fn from(pairs: [(&'static str, &str); N]) -> Self {
        let mut values = Self::default();
        for (variable, value) in pairs {
            values.set(variable, value);
        }
        values
    }
}

/// Parses values. An invalid one is recorded as a [`SettingError`] and its default is used, so that
/// the remaining settings are still checked.
pub(super) struct SettingsReader<'a> {
    values: &'a SettingValues,
    pub(super) required: RequiredFeatures,
    pub(super) errors: Vec<SettingError>,
}

impl<'a> SettingsReader<'a> {
    pub(super) fn new(values: &'a SettingValues, required: RequiredFeatures) -> Self {
        Self {
            values,
            required,
            errors: Vec::new(),
        }
    }

    pub(super) fn text(&self, variable: &'static str) -> Option<&'a str> {
        self.values.0.get(variable).map(|value| value.trim())
    }

    /// A model name. It must be safe to use in headers, URLs and messages.
    pub(super) fn model_name(&mut self, variable: &'static str) -> Option<String> {
        self.model_names(variable, 1)?.pop()
    }

    /// Model names separated by commas, at most `most`.
    pub(super) fn model_names(
        &mut self,
        variable: &'static str,
        most: usize,
    ) -> Option<Vec<String>> {
        let names = self.list(variable, most)?;
        let is_name = |name: &String| {
            name.len() <= MAX_MODEL_NAME_CHARS
                && name.chars().all(|c| c.is_ascii_graphic() && c != '"')
        };
        if let Some(invalid) = names.iter().find(|name| !is_name(name)) {
            self.push_error(
                variable,
                format!("“{}” is not the name of a model.", truncate_value(invalid)),
            );
            return None;
        }
        (!names.is_empty()).then_some(names)
    }

    pub(super) fn secret(&mut self, variable: &'static str) -> Option<SecretString> {
        let key = self.text(variable)?;
        // Characters that can't stand in a header would fail every request with a confusing error.
        if key.chars().any(|c| !c.is_ascii_graphic()) {
            self.push_error(
                variable,
                "The key contains characters that keys don't have. Copy it again, without quotes \
                 or spaces.",
            );
            return None;
        }
        let key = SecretString::from(key);
        crate::telemetry::register_key_for_redaction(&key);
        Some(key)
    }

    pub(super) fn push_error(&mut self, variable: &'static str, message: impl Into<String>) {
        let error = SettingError {
            variable,
            message: message.into(),
        };
        // Some settings are read more than once.
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    /// One of a few keywords.
    pub(super) fn choice<T: Copy>(
        &mut self,
        variable: &'static str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let text = self.text(variable)?;
        let chosen = choices
            .iter()
            .find(|(keyword, _)| keyword.eq_ignore_ascii_case(text));
        if chosen.is_none() {
            let keywords: Vec<&str> = choices.iter().map(|(keyword, _)| *keyword).collect();
            self.push_error(
                variable,
                format!(
                    "“{}” is not known. Use {}.",
                    truncate_value(text),
                    join_with_or(&keywords)
                ),
            );
        }
        chosen.map(|(_, value)| *value)
    }

    pub(super) fn boolean(&mut self, variable: &'static str) -> Option<bool> {
        self.choice(
            variable,
            &[
                ("true", true),
                ("false", false),
                ("yes", true),
                ("no", false),
                ("1", true),
                ("0", false),
            ],
        )
    }

    /// A whole number from `least` to `most`, both included.
    pub(super) fn integer(&mut self, variable: &'static str, least: u64, most: u64) -> Option<u64> {
        let text = self.text(variable)?;
        match text.parse::<u64>() {
            Ok(number) if (least..=most).contains(&number) => Some(number),
            _ => {
                self.push_error(
                    variable,
                    format!(
                        "“{}” is not a whole number from {least} to {most}.",
                        truncate_value(text)
                    ),
                );
                None
            }
        }
    }

    pub(super) fn seconds(
        &mut self,
        variable: &'static str,
        least: u64,
        most: u64,
    ) -> Option<Duration> {
        self.integer(variable, least, most).map(Duration::from_secs)
    }

    pub(super) fn decimal(&mut self, variable: &'static str, least: f32, most: f32) -> Option<f32> {
        let text = self.text(variable)?;
        match text.parse::<f32>() {
            Ok(number) if (least..=most).contains(&number) => Some(number),
            _ => {
                self.push_error(
                    variable,
                    format!(
                        "“{}” is not a number from {least} to {most}.",
                        truncate_value(text)
                    ),
                );
                None
            }
        }
    }

    /// An http or https base URL.
    pub(super) fn url(&mut self, variable: &'static str) -> Option<Url> {
        self.url_with_scheme(variable, &["http", "https"], "https://example.org/v1")
    }

    /// A WebSocket base URL. http and https URLs are converted.
    pub(super) fn websocket_url(&mut self, variable: &'static str) -> Option<Url> {
        let schemes = ["ws", "wss", "http", "https"];
        let url = self.url_with_scheme(variable, &schemes, "wss://example.org")?;
        let text = url.as_str();
        match text.strip_prefix("http") {
            Some(rest) => Url::parse(&format!("ws{rest}")).ok(),
            None => Some(url),
        }
    }

    fn url_with_scheme(
        &mut self,
        variable: &'static str,
        schemes: &[&str],
        example: &str,
    ) -> Option<Url> {
        let text = self.text(variable)?;
        let url = Url::parse(text)
            .ok()
            .filter(|url| schemes.contains(&url.scheme()) && url.has_host());
        match url {
            Some(url) if !url.username().is_empty() || url.password().is_some() => {
                self.push_error(
                    variable,
                    "The address contains a user name or password. Put the key into its own \
                     setting.",
                );
                None
            }
            Some(url) => Some(url),
            None => {
                self.push_error(
                    variable,
                    format!(
                        "“{}” is not a web address. It must look like {example}.",
                        truncate_value(text)
                    ),
                );
                None
            }
        }
    }

    /// An address and a port. `off` counts as not set.
    pub(super) fn socket_address(
        &mut self,
        variable: &'static str,
        example: &str,
    ) -> Option<SocketAddr> {
        let text = self.text(variable).filter(|text| *text != "off")?;
        let address = text.parse();
        if address.is_err() {
            self.push_error(
                variable,
                format!(
                    "“{}” is not an address and a port. It must look like {example}.",
                    truncate_value(text)
                ),
            );
        }
        address.ok()
    }

    /// Values separated by commas, at most `most`. Empty ones are dropped.
    pub(super) fn list(&mut self, variable: &'static str, most: usize) -> Option<Vec<String>> {
        let text = self.text(variable)?;
        let list: Vec<String> = text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect();
        if list.len() > most {
            self.push_error(
                variable,
                format!("It has {} entries; the limit is {most}.", list.len()),
            );
            return None;
        }
        Some(list)
    }
}

/// A value shortened to one short line, for an error message.
pub(super) fn truncate_value(text: &str) -> String {
    ::net::shorten(text, 60)
}

/// Joins keywords: “a, b or c”.
pub(super) fn join_with_or(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}
