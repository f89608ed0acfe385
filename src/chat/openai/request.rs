//! The asking half: what is sent.

use super::adapt::{Roles, Shape};
use super::wire::{Message, Request, StreamOptions};
use super::{Api, Settings, TokenField};
use crate::chat::{Conversation, Role, prompt};

/// The body of the request for an answer to `conversation`.
pub(super) fn body<'a>(
    settings: &'a Settings,
    shape: &'a Shape,
    conversation: &Conversation,
) -> Request<'a> {
    let limit = |field| (shape.token_field == Some(field)).then_some(shape.answer_tokens);
    let (messages, text, stop) = match settings.api {
        Api::Chat => (Some(messages(conversation, shape.roles)), None, Vec::new()),
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
        stream: shape.stream,
        stream_options: shape.usage.then_some(StreamOptions {
            include_usage: true,
        }),
        max_completion_tokens: limit(TokenField::MaxCompletionTokens),
        max_tokens: limit(TokenField::MaxTokens),
        reasoning_effort: shape.effort.as_deref(),
        temperature: settings.temperature.filter(|_| shape.temperature),
    }
}

fn messages(conversation: &Conversation, roles: Roles) -> Vec<Message> {
    let mut turns: Vec<Message> = Vec::new();
    for turn in &conversation.turns {
        let role = match turn.role {
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        let content = prompt::attributed(turn);
        match turns.last_mut() {
            // A person has to begin.
            None if roles != Roles::All && turn.role == Role::Assistant => {}
            Some(last) if roles != Roles::All && last.role == role => {
                last.content.push_str("\n\n");
                last.content.push_str(&content);
            }
            _ => turns.push(Message { role, content }),
        }
    }
    let system = conversation.system.trim();
    if system.is_empty() {
        return turns;
    }
    match turns.first_mut() {
        Some(first) if roles == Roles::NoSystem && first.role == "user" => {
            first.content = format!("{system}\n\n{}", first.content);
        }
        _ if roles == Roles::NoSystem => turns.insert(
            0,
            Message {
                role: "user",
                content: system.to_owned(),
            },
        ),
        _ => turns.insert(
            0,
            Message {
                role: "system",
                content: conversation.system.clone(),
            },
        ),
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Turn;

    fn asked(turns: &[(Role, &str)], roles: Roles) -> Vec<String> {
        let turns = turns.iter().map(|(role, text)| Turn {
            role: *role,
            speaker: None,
            text: (*text).to_owned(),
        });
        let conversation = Conversation {
            system: "Be brief.".to_owned(),
            turns: turns.collect(),
        };
        let messages = messages(&conversation, roles).into_iter();
        messages
            .map(|message| format!("{}: {}", message.role, message.content))
            .collect()
    }

    #[test]
    fn roles_are_what_a_template_knows() {
        use Role::{Assistant, User};
        let turns = [
            (Assistant, "Hello."),
            (User, "One."),
            (User, "Two."),
            (Assistant, "Three."),
            (Assistant, "Four."),
            (User, "Five."),
        ];
        let all = asked(&turns, Roles::All);
        assert_eq!(all.len(), 7);
        assert_eq!(
            asked(&turns, Roles::Alternating),
            [
                "system: Be brief.",
                "user: One.\n\nTwo.",
                "assistant: Three.\n\nFour.",
                "user: Five.",
            ]
        );
        assert_eq!(
            asked(&turns, Roles::NoSystem),
            [
                "user: Be brief.\n\nOne.\n\nTwo.",
                "assistant: Three.\n\nFour.",
                "user: Five.",
            ]
        );
        assert_eq!(asked(&[], Roles::NoSystem), ["user: Be brief."]);
    }
}
