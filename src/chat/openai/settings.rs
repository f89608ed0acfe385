//! The settings of an OpenAI-compatible server, and the defaults that differ between servers.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use net::RetryPolicy;

/// OpenAI's host; regional hosts prefix it, for example `eu.api.openai.com`.
const OPENAI_HOST: &str = "api.openai.com";

/// Server, model, request parameters and time limits.
#[derive(Clone, Debug)]
pub struct OpenAiSettings {
    /// Base URL, to which `/chat/completions` and `/models` are appended.
    /// Default: `https://api.openai.com/v1`.
    pub base: Url,
    /// The API key; self-hosted servers often need none.
    pub key: Option<SecretString>,
    /// The model, as the server names it. Default: `gpt-6-luna`.
    pub model: String,
    /// Which of the two APIs to use. Default: chat.
    pub api: CompletionApi,
    /// How long the model may reason before it answers; if `None`, the field is not sent.
    /// Default: `none` for OpenAI, since reasoning costs latency; not sent to other servers.
    pub reasoning_effort: Option<String>,
    /// The field that limits the answer's tokens. Default: `max_completion_tokens` for OpenAI,
    /// `max_tokens` for others, which all of them accept.
    pub token_field: TokenField,
    /// The most tokens of an answer. Default: 800.
    pub max_answer_tokens: u32,
    /// The most tokens of the conversation to send, estimated. Default: 8000.
    pub context_tokens: u32,
    /// Sampling temperature; if `None`, the field is not sent and the server decides.
    pub temperature: Option<f32>,
    /// The longest wait for the first word. Default: as long as the whole answer, since many models
    /// reason without sending anything.
    pub first_token_timeout: Duration,
    /// The longest pause within an answer; reasoning and keep-alives end a pause. Default: 30 s.
    pub between_tokens_timeout: Duration,
    /// Time limit of the whole answer, including retries. Default: 120 s.
    pub total_timeout: Duration,
    /// How often a request that failed before its first word is retried.
    pub retry: RetryPolicy,
}

/// The two APIs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CompletionApi {
    /// `POST /chat/completions`: messages with roles.
    Chat,
    /// `POST /completions`: one text to be continued, the API of GPT-3.
    Completions,
}

/// The possible names of the field that limits the answer's tokens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TokenField {
    /// `max_completion_tokens`, which OpenAI requires.
    MaxCompletionTokens,
    /// `max_tokens`, which all other servers accept.
    MaxTokens,
}

impl OpenAiSettings {
    /// The defaults for OpenAI.
    pub fn openai(key: Option<SecretString>) -> Self {
        Self {
            base: Url::parse("https://api.openai.com/v1").expect("a literal URL"),
            key,
            model: "gpt-6-luna".to_owned(),
            api: CompletionApi::Chat,
            reasoning_effort: Some("none".to_owned()),
            token_field: TokenField::MaxCompletionTokens,
            max_answer_tokens: 800,
            context_tokens: 8_000,
            temperature: None,
            first_token_timeout: Duration::from_secs(120),
            between_tokens_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_secs(120),
            retry: RetryPolicy::default(),
        }
    }

    /// The defaults for the server at `base`, which may be OpenAI's own.
    pub fn compatible(base: Url, key: Option<SecretString>) -> Self {
        let defaults = Self::openai(key);
        if base.host_str().is_some_and(is_openai) {
            return Self { base, ..defaults };
        }
        Self {
            base,
            reasoning_effort: None,
            token_field: TokenField::MaxTokens,
            ..defaults
        }
    }

    /// Sets the model. OpenAI's reasoning models need its defaults wherever they are served.
    #[must_use]
    pub fn for_model(self, model: &str) -> Self {
        let defaults = Self::openai(None);
        let model = model.to_owned();
        if !is_openai_reasoning_model(&model) {
            return Self { model, ..self };
        }
        Self {
            model,
            reasoning_effort: defaults.reasoning_effort,
            token_field: defaults.token_field,
            ..self
        }
    }
}

/// Whether the host is OpenAI's, in any region.
pub fn is_openai(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    host.strip_suffix(OPENAI_HOST)
        .is_some_and(|region| region.is_empty() || region.ends_with('.'))
}

/// Whether this is one of OpenAI's reasoning models, which accept different parameters, wherever
/// they are served. Other models with GPT in their name (`gpt-oss`, `gpt-j`) are not.
fn is_openai_reasoning_model(model: &str) -> bool {
    let name = model.strip_prefix("openai/").unwrap_or(model);
    let number = |rest: &str| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().ok()
    };
    let gpt = name.strip_prefix("gpt-").and_then(number);
    let thinks = name.strip_prefix('o').and_then(number);
    gpt.is_some_and(|version| version >= 5) || thinks.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults_for(base: &str, model: &str) -> (TokenField, Option<String>) {
        let base = Url::parse(base).expect("a URL");
        let settings = OpenAiSettings::compatible(base, None).for_model(model);
        (settings.token_field, settings.reasoning_effort)
    }

    #[test]
    fn openai_defaults_follow_the_host_and_the_model() {
        let openai = (TokenField::MaxCompletionTokens, Some("none".to_owned()));
        let others = (TokenField::MaxTokens, None);
        for host in ["api", "eu.api", "us.api", "ae.api", "jp.api"] {
            let base = format!("https://{host}.openai.com/v1");
            assert_eq!(defaults_for(&base, "gpt-6-luna"), openai, "{host}");
            assert_eq!(defaults_for(&base, "ft:anything"), openai, "{host}");
        }
        for model in [
            "gpt-6-luna",
            "openai/gpt-6.2-sol",
            "gpt-5.4",
            "o3",
            "gpt-10",
        ] {
            assert_eq!(
                defaults_for("https://proxy.example/v1", model),
                openai,
                "{model}"
            );
        }
        for model in [
            "gpt-oss-20b",
            "gpt-4o",
            "gpt-j",
            "olmo-2",
            "llama3",
            "orca",
            "gpt4all",
        ] {
            assert_eq!(
                defaults_for("http://localhost:11434/v1", model),
                others,
                "{model}"
            );
        }
        for base in [
            "https://evilapi.openai.com.example/v1",
            "https://notapi.openai.com/v1",
        ] {
            assert_eq!(defaults_for(base, "llama3"), others, "{base}");
        }
    }
}
