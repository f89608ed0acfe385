//! Learns which parts of a request a server rejects, and adapts later requests.

use std::sync::{Mutex, MutexGuard, PoisonError};

use reqwest::StatusCode;

use super::reasoning_effort::{self, RefusedEfforts};
use super::request_error::RequestError;
use super::settings::{CompletionApi, OpenAiSettings, TokenField};
use net::RedactedText;

/// The smallest answer limit to try, in tokens.
const MIN_ANSWER_TOKENS: u32 = 16;

/// The parts of a request in which servers differ.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct RequestShape {
    pub(super) token_field: Option<TokenField>,
    pub(super) answer_tokens: u32,
    pub(super) reasoning_effort: Option<String>,
    pub(super) send_temperature: bool,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    pub(super) roles: RoleSupport,
}

/// Which sequences of roles the server's chat template accepts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum RoleSupport {
    /// Any.
    #[default]
    All,
    /// User and assistant must alternate: adjacent turns of one role are merged.
    Alternating,
    /// No system role either: the system prompt is put into the first user turn.
    NoSystem,
}

impl RequestShape {
    /// The shape that the settings ask for.
    pub(super) fn from_settings(settings: &OpenAiSettings) -> Self {
        let is_chat = settings.api == CompletionApi::Chat;
        Self {
            // The older API has only one name for it.
            token_field: Some(match settings.api {
                CompletionApi::Completions => TokenField::MaxTokens,
                CompletionApi::Chat => settings.token_field,
            }),
            answer_tokens: settings.max_answer_tokens,
            reasoning_effort: settings.reasoning_effort.clone().filter(|_| is_chat),
            send_temperature: settings.temperature.is_some(),
            stream: true,
            include_usage: true,
            roles: RoleSupport::default(),
        }
    }
}

/// What was learned about a server; lives as long as the client.
#[derive(Debug, Default)]
pub(super) struct Adaptations(Mutex<LearnedLimits>);

#[derive(Debug, Default)]
struct LearnedLimits {
    other_token_field: bool,
    no_token_field: bool,
    answer_tokens: Option<u32>,
    refused_efforts: RefusedEfforts,
    no_effort: bool,
    no_temperature: bool,
    no_stream: bool,
    no_usage: bool,
    roles: RoleSupport,
    only_closing_tags: bool,
    context_tokens: Option<u32>,
}

/// A change to later requests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Adaptation {
    DropUsage,
    DropStream,
    ChangeEffort,
    DropEffort,
    DropTemperature,
    SwapTokenField,
    ReduceAnswerTokens,
    AlternateRoles,
    MergeSystemPrompt,
    /// Drop everything optional: the server doesn't say which part it rejects.
    DropAllOptional,
}

/// How servers say that they don't know a field, whatever its value.
const UNKNOWN_FIELD_PHRASES: [&str; 27] = [
    "unknown parameter",
    "unknown field",
    "unknown name",
    "unknown argument",
    "unrecognized",
    "unsupported parameter",
    "extra inputs",
    "extra fields",
    "extra_forbidden",
    "value_error.extra",
    "not permitted",
    "cannot find field",
    "unexpected keyword",
    "unexpected field",
    "should not exist",
    "additional propert",
    "no such parameter",
    "does not support thinking",
    "does not support reasoning",
    "is not supported with this model",
    "invalid option",
    "invalid argument",
    "invalid parameter",
    "effort is not supported",
    "effort' is not supported",
    "effort is not allowed",
    "effort' is not allowed",
];

const USAGE_PHRASES: [&str; 3] = ["stream_options", "stream options", "include_usage"];
const STREAM_PHRASES: [&str; 5] = [
    "streaming",
    "support stream",
    "stream is not",
    "'stream'",
    "\"stream\"",
];
const EFFORT_PHRASES: [&str; 8] = [
    "reasoning_effort",
    "reasoning effort",
    "reasoning.effort",
    "support thinking",
    "support reasoning",
    "thinking budget",
    "thinking_budget",
    "thinking level",
];
const TEMPERATURE_PHRASES: [&str; 1] = ["temperature"];
const TOO_LARGE_PHRASES: [&str; 6] = [
    "too large",
    "too high",
    "at most",
    "less than or equal",
    "exceeds",
    "must be <=",
];
const ALTERNATE_ROLES_PHRASES: [&str; 5] = [
    "must alternate",
    "alternating",
    "alternate user",
    "expected last role",
    "consecutive",
];
const NO_SYSTEM_ROLE_PHRASES: [&str; 9] = [
    "system role not supported",
    "system role is not supported",
    "system message is not supported",
    "system messages are not supported",
    "does not support system",
    "does not support 'system'",
    "developer instruction",
    "only user and assistant",
    "unexpected role",
];

impl Adaptations {
    fn lock_learned(&self) -> MutexGuard<'_, LearnedLimits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes from `shape` what the server rejects.
    pub(super) fn apply(&self, shape: RequestShape) -> RequestShape {
        let learned = self.lock_learned();
        let stream = shape.stream && !learned.no_stream;
        let token_field = match (learned.other_token_field, shape.token_field) {
            (true, Some(TokenField::MaxTokens)) => Some(TokenField::MaxCompletionTokens),
            (true, Some(TokenField::MaxCompletionTokens)) => Some(TokenField::MaxTokens),
            (_, field) => field,
        };
        let wanted = shape.reasoning_effort.filter(|_| !learned.no_effort);
        RequestShape {
            token_field: token_field.filter(|_| !learned.no_token_field),
            answer_tokens: shape
                .answer_tokens
                .min(learned.answer_tokens.unwrap_or(u32::MAX)),
            reasoning_effort: wanted
                .and_then(|wanted| learned.refused_efforts.substitute_for(&wanted)),
            send_temperature: shape.send_temperature && !learned.no_temperature,
            stream,
            include_usage: shape.include_usage && stream && !learned.no_usage,
            roles: learned.roles,
        }
    }

    /// Learns from the rejection of a request with this `shape`. Returns true if there is something
    /// to change, in which case the request should be sent again.
    pub(super) fn learn_from(&self, shape: &RequestShape, error: &RequestError) -> bool {
        let Some(adaptation) = adaptation_for(shape, error) else {
            return false;
        };
        let mut learned = self.lock_learned();
        match adaptation {
            Adaptation::DropUsage => learned.no_usage = true,
            Adaptation::DropStream => learned.no_stream = true,
            Adaptation::DropEffort => learned.no_effort = true,
            Adaptation::DropTemperature => learned.no_temperature = true,
            Adaptation::SwapTokenField if learned.other_token_field => {
                learned.no_token_field = true;
            }
            Adaptation::SwapTokenField => learned.other_token_field = true,
            Adaptation::ReduceAnswerTokens => learned.answer_tokens = Some(shape.answer_tokens / 2),
            Adaptation::AlternateRoles if shape.roles == RoleSupport::All => {
                learned.roles = RoleSupport::Alternating;
            }
            Adaptation::AlternateRoles | Adaptation::MergeSystemPrompt => {
                learned.roles = RoleSupport::NoSystem;
            }
            Adaptation::ChangeEffort => {
                let message = error.server_message().map(|(_, message)| message);
                let (Some(effort), Some(message)) = (&shape.reasoning_effort, message) else {
                    return false;
                };
                return learned.refused_efforts.learn_refusal(effort, message);
            }
            Adaptation::DropAllOptional => {
                learned.no_usage = true;
                learned.no_effort = true;
                learned.no_temperature = true;
            }
        }
        true
    }

    /// Whether the model marks its reasoning with only a closing tag.
    pub(super) fn has_only_closing_tags(&self) -> bool {
        self.lock_learned().only_closing_tags
    }

    pub(super) fn note_only_closing_tags(&self) {
        self.lock_learned().only_closing_tags = true;
    }

    /// The most tokens of a conversation that the server is known to accept.
    pub(super) fn context_tokens(&self) -> u32 {
        self.lock_learned().context_tokens.unwrap_or(u32::MAX)
    }

    pub(super) fn note_context_tokens(&self, tokens: u32) {
        self.lock_learned().context_tokens = Some(tokens);
    }
}

/// The adaptation that a rejection suggests, if any: the one for the field that it names first.
pub(super) fn adaptation_for(shape: &RequestShape, error: &RequestError) -> Option<Adaptation> {
    let (status, message) = error.server_message()?;
    if !is_request_rejection(status) || error.is_too_long() {
        return None;
    }
    if message.contains_any(&NO_SYSTEM_ROLE_PHRASES) && shape.roles != RoleSupport::NoSystem {
        return Some(Adaptation::MergeSystemPrompt);
    }
    if message.contains_any(&ALTERNATE_ROLES_PHRASES) && shape.roles != RoleSupport::NoSystem {
        return Some(Adaptation::AlternateRoles);
    }
    let mut candidates = Vec::new();
    let mut check = |applies: bool, phrases: &[&str], adaptation: Adaptation| {
        if applies && let Some(at) = message.find_first(phrases) {
            candidates.push((at, adaptation));
        }
    };
    let is_unknown_field = message.contains_any(&UNKNOWN_FIELD_PHRASES);
    check(shape.include_usage, &USAGE_PHRASES, Adaptation::DropUsage);
    check(shape.stream, &STREAM_PHRASES, Adaptation::DropStream);
    check(
        shape.reasoning_effort.is_some(),
        &EFFORT_PHRASES,
        effort_adaptation(message, is_unknown_field),
    );
    check(
        shape.send_temperature,
        &TEMPERATURE_PHRASES,
        Adaptation::DropTemperature,
    );
    if let Some(field) = shape.token_field {
        if is_unknown_field || !message.contains_any(&TOO_LARGE_PHRASES) {
            check(true, &[token_field_name(field)], Adaptation::SwapTokenField);
        } else if shape.answer_tokens / 2 >= MIN_ANSWER_TOKENS {
            check(
                true,
                &[token_field_name(field), "max_tokens"],
                Adaptation::ReduceAnswerTokens,
            );
        }
    }
    let first = candidates.into_iter().min_by_key(|(at, _)| *at);
    let has_no_optional_field =
        !shape.include_usage && shape.reasoning_effort.is_none() && !shape.send_temperature;
    match first {
        Some((_, adaptation)) => Some(adaptation),
        None if is_unknown_field && !has_no_optional_field => Some(Adaptation::DropAllOptional),
        None => None,
    }
}

fn effort_adaptation(message: &RedactedText, is_unknown_field: bool) -> Adaptation {
    // A message that lists the supported values knows the field, whatever it is called.
    let names_others =
        message.contains_any(&["unsupported value"]) || reasoning_effort::lists_efforts(message);
    if is_unknown_field && !names_others {
        Adaptation::DropEffort
    } else {
        Adaptation::ChangeEffort
    }
}

/// Statuses with which servers reject a request; some use 500.
fn is_request_rejection(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 405 | 406 | 415 | 422 | 500 | 501)
}

fn token_field_name(field: TokenField) -> &'static str {
    match field {
        TokenField::MaxCompletionTokens => "max_completion_tokens",
        TokenField::MaxTokens => "max_tokens",
    }
}

#[cfg(test)]
mod tests;
