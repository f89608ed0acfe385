//! The asking half: what is sent, and what is left out for servers that do not know it.

use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::StatusCode;

use super::wire::{Message, Request, StreamOptions};
use super::{Api, Settings, TokenField};
use crate::chat::{Conversation, Role, prompt};
use crate::net::NetError;

/// The optional parts of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Shape {
    token_field: TokenField,
    reasoning_effort: bool,
    temperature: bool,
    usage: bool,
}

impl Shape {
    /// What the settings ask for.
    pub(super) fn wanted(settings: &Settings) -> Self {
        Self {
            token_field: match settings.api {
                // The older API never had another name.
                Api::Completions => TokenField::MaxTokens,
                Api::Chat => settings.token_field,
            },
            reasoning_effort: settings.reasoning_effort.is_some() && settings.api == Api::Chat,
            temperature: settings.temperature.is_some(),
            usage: true,
        }
    }
}

/// What a server was found not to know, remembered as long as the client lives.
#[derive(Debug, Default)]
pub(super) struct Adaptations {
    other_token_field: AtomicBool,
    no_reasoning_effort: AtomicBool,
    no_temperature: AtomicBool,
    no_usage: AtomicBool,
}

impl Adaptations {
    /// `shape` without what the server does not know.
    pub(super) fn apply(&self, shape: Shape) -> Shape {
        let set = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        Shape {
            token_field: match (set(&self.other_token_field), shape.token_field) {
                (false, field) => field,
                (true, TokenField::MaxTokens) => TokenField::MaxCompletionTokens,
                (true, TokenField::MaxCompletionTokens) => TokenField::MaxTokens,
            },
            reasoning_effort: shape.reasoning_effort && !set(&self.no_reasoning_effort),
            temperature: shape.temperature && !set(&self.no_temperature),
            usage: shape.usage && !set(&self.no_usage),
        }
    }

    /// Learns from a refusal of a request of this `shape`. True if there is something to change
    /// about the request, which then is tried again. Each part is changed once at most.
    pub(super) fn learn(&self, shape: Shape, error: &NetError) -> bool {
        let refused = matches!(
            error.http_status(),
            Some(StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY)
        );
        let Some(words) = error.provider_words().filter(|_| refused) else {
            return false;
        };
        let first_time = |flag: &AtomicBool| !flag.swap(true, Ordering::Relaxed);
        if shape.usage && words.speaks_of(&["stream_options"]) {
            return first_time(&self.no_usage);
        }
        if shape.reasoning_effort && words.speaks_of(&["reasoning_effort"]) {
            return first_time(&self.no_reasoning_effort);
        }
        if shape.temperature && words.speaks_of(&["temperature"]) {
            return first_time(&self.no_temperature);
        }
        if words.speaks_of(&[name(shape.token_field)]) {
            return first_time(&self.other_token_field);
        }
        false
    }
}

fn name(field: TokenField) -> &'static str {
    match field {
        TokenField::MaxCompletionTokens => "max_completion_tokens",
        TokenField::MaxTokens => "max_tokens",
    }
}

/// The body of the request for an answer to `conversation`.
pub(super) fn body<'a>(
    settings: &'a Settings,
    shape: Shape,
    conversation: &Conversation,
) -> Request<'a> {
    let limit = |field| (shape.token_field == field).then_some(settings.max_answer_tokens);
    let (messages, text, stop) = match settings.api {
        Api::Chat => (Some(messages(conversation)), None, Vec::new()),
        Api::Completions => {
            let rendered = prompt::as_text(conversation);
            (None, Some(rendered.text), rendered.stop)
        }
    };
    Request {
        model: &settings.model,
        messages,
        prompt: text,
        stop,
        stream: true,
        stream_options: shape.usage.then_some(StreamOptions {
            include_usage: true,
        }),
        max_completion_tokens: limit(TokenField::MaxCompletionTokens),
        max_tokens: limit(TokenField::MaxTokens),
        reasoning_effort: settings
            .reasoning_effort
            .as_deref()
            .filter(|_| shape.reasoning_effort),
        temperature: settings.temperature.filter(|_| shape.temperature),
    }
}

fn messages(conversation: &Conversation) -> Vec<Message> {
    let system = Message {
        role: "system",
        content: conversation.system.clone(),
    };
    let turns = conversation.turns.iter().map(|turn| Message {
        role: match turn.role {
            Role::User => "user",
            Role::Assistant => "assistant",
        },
        content: prompt::attributed(turn),
    });
    let system = (!conversation.system.is_empty()).then_some(system);
    system.into_iter().chain(turns).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(words: &str) -> NetError {
        NetError::Status {
            status: StatusCode::BAD_REQUEST,
            code: None,
            message: words.into(),
            retry_after: None,
            should_retry: None,
            request_id: None,
        }
    }

    #[test]
    fn a_server_is_told_nothing_twice_that_it_does_not_know() {
        let mut settings = Settings::openai(None);
        settings.temperature = Some(0.5);
        let wanted = Shape::wanted(&settings);
        let adaptations = Adaptations::default();
        for words in [
            "Unrecognized request argument supplied: stream_options",
            "Unknown parameter: 'reasoning_effort'.",
            "Unsupported value: 'temperature' does not support 0.5 with this model.",
            "Unknown parameter: 'max_completion_tokens'.",
        ] {
            let shape = adaptations.apply(wanted);
            assert!(adaptations.learn(shape, &refusal(words)), "{words}");
        }
        let shape = adaptations.apply(wanted);
        assert_eq!(
            shape,
            Shape {
                token_field: TokenField::MaxTokens,
                reasoning_effort: false,
                temperature: false,
                usage: false,
            }
        );
        assert!(!adaptations.learn(shape, &refusal("max_tokens is too large")));
        assert!(!adaptations.learn(wanted, &refusal("the question is impolite")));
    }
}
