//! What a server was found not to know, and how it is asked from then on.

use std::sync::{Mutex, MutexGuard, PoisonError};

use reqwest::StatusCode;

use super::effort::{self, Refused};
use super::errors::Failed;
use super::{Api, Settings, TokenField};
use net::ForeignText;

/// The fewest tokens that an answer is bounded to.
const FEWEST_TOKENS: u32 = 16;

/// The parts of a request that servers differ in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Shape {
    pub(super) token_field: Option<TokenField>,
    pub(super) answer_tokens: u32,
    pub(super) effort: Option<String>,
    pub(super) temperature: bool,
    pub(super) stream: bool,
    pub(super) usage: bool,
    pub(super) roles: Roles,
}

/// Whose turns a chat template can tell apart.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Roles {
    /// As they are.
    #[default]
    All,
    /// A person and the model take turns: neighbours of one role are one.
    Alternating,
    /// There is no system besides: its prompt goes into the first question.
    NoSystem,
}

impl Shape {
    /// What the settings ask for.
    pub(super) fn wanted(settings: &Settings) -> Self {
        let is_chat = settings.api == Api::Chat;
        Self {
            // The older API never had another name.
            token_field: Some(match settings.api {
                Api::Completions => TokenField::MaxTokens,
                Api::Chat => settings.token_field,
            }),
            answer_tokens: settings.max_answer_tokens,
            effort: settings.reasoning_effort.clone().filter(|_| is_chat),
            temperature: settings.temperature.is_some(),
            stream: true,
            usage: true,
            roles: Roles::default(),
        }
    }
}

/// What was learned, as long as the client lives.
#[derive(Debug, Default)]
pub(super) struct Adaptations(Mutex<Learned>);

#[derive(Debug, Default)]
struct Learned {
    other_token_field: bool,
    no_token_field: bool,
    answer_tokens: Option<u32>,
    efforts: Refused,
    no_effort: bool,
    no_temperature: bool,
    no_stream: bool,
    no_usage: bool,
    roles: Roles,
    only_closes: bool,
    context_tokens: Option<u32>,
}

/// One thing to do otherwise.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lesson {
    NoUsage,
    NoStream,
    OtherEffort,
    NoEffort,
    NoTemperature,
    OtherTokenField,
    FewerTokens,
    Alternate,
    NoSystem,
    /// None of what is optional: the server does not say which part it does not know.
    Bare,
}

/// How servers say that they don't know a field, whatever its value.
const UNKNOWN_FIELD: [&str; 27] = [
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

const USAGE: [&str; 3] = ["stream_options", "stream options", "include_usage"];
const STREAM: [&str; 5] = [
    "streaming",
    "support stream",
    "stream is not",
    "'stream'",
    "\"stream\"",
];
const EFFORT: [&str; 8] = [
    "reasoning_effort",
    "reasoning effort",
    "reasoning.effort",
    "support thinking",
    "support reasoning",
    "thinking budget",
    "thinking_budget",
    "thinking level",
];
const TEMPERATURE: [&str; 1] = ["temperature"];
const TOO_LARGE: [&str; 6] = [
    "too large",
    "too high",
    "at most",
    "less than or equal",
    "exceeds",
    "must be <=",
];
const ALTERNATE: [&str; 5] = [
    "must alternate",
    "alternating",
    "alternate user",
    "expected last role",
    "consecutive",
];
const SYSTEM: [&str; 9] = [
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
    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `shape` without what the server does not know.
    pub(super) fn apply(&self, shape: Shape) -> Shape {
        let learned = self.learned();
        let stream = shape.stream && !learned.no_stream;
        let token_field = match (learned.other_token_field, shape.token_field) {
            (true, Some(TokenField::MaxTokens)) => Some(TokenField::MaxCompletionTokens),
            (true, Some(TokenField::MaxCompletionTokens)) => Some(TokenField::MaxTokens),
            (_, field) => field,
        };
        let wanted = shape.effort.filter(|_| !learned.no_effort);
        Shape {
            token_field: token_field.filter(|_| !learned.no_token_field),
            answer_tokens: shape
                .answer_tokens
                .min(learned.answer_tokens.unwrap_or(u32::MAX)),
            effort: wanted.and_then(|wanted| learned.efforts.instead_of(&wanted)),
            temperature: shape.temperature && !learned.no_temperature,
            stream,
            usage: shape.usage && stream && !learned.no_usage,
            roles: learned.roles,
        }
    }

    /// Learns from a refusal of a request of this `shape`. True if there is something to change
    /// about the request, which then is tried again.
    pub(super) fn learn(&self, shape: &Shape, failed: &Failed) -> bool {
        let Some(lesson) = lesson(shape, failed) else {
            return false;
        };
        let mut learned = self.learned();
        match lesson {
            Lesson::NoUsage => learned.no_usage = true,
            Lesson::NoStream => learned.no_stream = true,
            Lesson::NoEffort => learned.no_effort = true,
            Lesson::NoTemperature => learned.no_temperature = true,
            Lesson::OtherTokenField if learned.other_token_field => learned.no_token_field = true,
            Lesson::OtherTokenField => learned.other_token_field = true,
            Lesson::FewerTokens => learned.answer_tokens = Some(shape.answer_tokens / 2),
            Lesson::Alternate if shape.roles == Roles::All => learned.roles = Roles::Alternating,
            Lesson::Alternate | Lesson::NoSystem => learned.roles = Roles::NoSystem,
            Lesson::OtherEffort => {
                let words = failed.refusal().map(|(_, words)| words);
                let (Some(effort), Some(words)) = (&shape.effort, words) else {
                    return false;
                };
                return learned.efforts.learn(effort, words);
            }
            Lesson::Bare => {
                learned.no_usage = true;
                learned.no_effort = true;
                learned.no_temperature = true;
            }
        }
        true
    }

    /// Whether the model marks its thoughts with nothing but a closing tag.
    pub(super) fn only_closes(&self) -> bool {
        self.learned().only_closes
    }

    pub(super) fn note_that_it_only_closes(&self) {
        self.learned().only_closes = true;
    }

    /// The most tokens of a conversation, after the server has refused more.
    pub(super) fn context_tokens(&self) -> u32 {
        self.learned().context_tokens.unwrap_or(u32::MAX)
    }

    pub(super) fn note_context_tokens(&self, tokens: u32) {
        self.learned().context_tokens = Some(tokens);
    }
}

/// What a refusal teaches, if anything. It is about the field that it names first.
pub(super) fn lesson(shape: &Shape, failed: &Failed) -> Option<Lesson> {
    let (status, words) = failed.refusal()?;
    if !is_about_the_request(status) || failed.is_too_long() {
        return None;
    }
    if words.speaks_of(&SYSTEM) && shape.roles != Roles::NoSystem {
        return Some(Lesson::NoSystem);
    }
    if words.speaks_of(&ALTERNATE) && shape.roles != Roles::NoSystem {
        return Some(Lesson::Alternate);
    }
    let mut named = Vec::new();
    let mut look = |holds: bool, signs: &[&str], lesson: Lesson| {
        if holds && let Some(at) = words.first_of(signs) {
            named.push((at, lesson));
        }
    };
    let unknown = words.speaks_of(&UNKNOWN_FIELD);
    look(shape.usage, &USAGE, Lesson::NoUsage);
    look(shape.stream, &STREAM, Lesson::NoStream);
    look(
        shape.effort.is_some(),
        &EFFORT,
        effort_lesson(words, unknown),
    );
    look(shape.temperature, &TEMPERATURE, Lesson::NoTemperature);
    if let Some(field) = shape.token_field {
        if unknown || !words.speaks_of(&TOO_LARGE) {
            look(true, &[name(field)], Lesson::OtherTokenField);
        } else if shape.answer_tokens / 2 >= FEWEST_TOKENS {
            look(true, &[name(field), "max_tokens"], Lesson::FewerTokens);
        }
    }
    let first = named.into_iter().min_by_key(|(at, _)| *at);
    let is_bare = !shape.usage && shape.effort.is_none() && !shape.temperature;
    match first {
        Some((_, lesson)) => Some(lesson),
        None if unknown && !is_bare => Some(Lesson::Bare),
        None => None,
    }
}

fn effort_lesson(words: &ForeignText, unknown: bool) -> Lesson {
    // Who says which ones there are knows the field, whatever it is called.
    let names_others = words.speaks_of(&["unsupported value"]) || effort::are_listed(words);
    if unknown && !names_others {
        Lesson::NoEffort
    } else {
        Lesson::OtherEffort
    }
}

/// Statuses with which servers refuse what they were sent; some say so with a 500.
fn is_about_the_request(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 405 | 406 | 415 | 422 | 500 | 501)
}

fn name(field: TokenField) -> &'static str {
    match field {
        TokenField::MaxCompletionTokens => "max_completion_tokens",
        TokenField::MaxTokens => "max_tokens",
    }
}

#[cfg(test)]
#[path = "adapt_tests.rs"]
mod tests;
