//! Builds requests.

use super::request_adaptation::{RequestShape, RoleSupport};
use super::settings::{CompletionApi, OpenAiSettings, TokenField};
use super::wire::{CompletionRequestBody, RequestMessage, StreamOptions};
use crate::chat::{ChatRole, Conversation, prompt};

/// The request body for an answer to `conversation`.
pub(super) fn build_request<'a>(
    settings: &'a OpenAiSettings,
    shape: &'a RequestShape,
    conversation: &Conversation,
) -> CompletionRequestBody<'a> {
    let limit = |field| (shape.token_field == Some(field)).then_some(shape.answer_tokens);
    let (messages, text, stop) = match settings.api {
        CompletionApi::Chat => (
            Some(build_messages(conversation, shape.roles)),
            None,
            Vec::new(),
        ),
        CompletionApi::Completions => {
            let rendered = prompt::to_completion_prompt(conversation);
            (None, Some(rendered.text), rendered.stop)
        }
    };
    CompletionRequestBody {
        model: &settings.model,
        messages,
        prompt: text,
        stop,
        stream: shape.stream,
        stream_options: shape.include_usage.then_some(StreamOptions {
            include_usage: true,
        }),
        max_completion_tokens: limit(TokenField::MaxCompletionTokens),
        max_tokens: limit(TokenField::MaxTokens),
        reasoning_effort: shape.reasoning_effort.as_deref(),
        temperature: settings.temperature.filter(|_| shape.send_temperature),
    }
}

fn build_messages(conversation: &Conversation, roles: RoleSupport) -> Vec<RequestMessage> {
    let mut turns: Vec<RequestMessage> = Vec::new();
    for turn in &conversation.turns {
        let role = match turn.role {
            ChatRole::User => "user",
            ChatRole::Assistant => "assistant",
        };
        let content = prompt::with_speaker_name(turn);
        match turns.last_mut() {
            // The first turn must be a user's.
            None if roles != RoleSupport::All && turn.role == ChatRole::Assistant => {}
            Some(last) if roles != RoleSupport::All && last.role == role => {
                last.content.push_str("\n\n");
                last.content.push_str(&content);
            }
            _ => turns.push(RequestMessage { role, content }),
        }
    }
    let system = conversation.system.trim();
    if system.is_empty() {
        return turns;
    }
    match turns.first_mut() {
        Some(first) if roles == RoleSupport::NoSystem && first.role == "user" => {
            first.content = format!("{system}\n\n{}", first.content);
        }
        _ if roles == RoleSupport::NoSystem => turns.insert(
            0,
            RequestMessage {
                role: "user",
                content: system.to_owned(),
            },
        ),
        _ => turns.insert(
            0,
            RequestMessage {
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
    use crate::chat::ChatTurn;

    fn rendered_messages(turns: &[(ChatRole, &str)], roles: RoleSupport) -> Vec<String> {
        let turns = turns.iter().map(|(role, text)| ChatTurn {
            role: *role,
            speaker_name: None,
            text: (*text).to_owned(),
        });
        let conversation = Conversation {
            system: "Be brief.".to_owned(),
            turns: turns.collect(),
        };
        let messages = build_messages(&conversation, roles).into_iter();
        messages
            .map(|message| format!("{}: {}", message.role, message.content))
            .collect()
    }

    #[test]
    fn roles_match_the_template() {
        use ChatRole::{Assistant, User};
        let turns = [
            (Assistant, "Hello."),
            (User, "One."),
            (User, "Two."),
            (Assistant, "Three."),
            (Assistant, "Four."),
            (User, "Five."),
        ];
        let all = rendered_messages(&turns, RoleSupport::All);
        assert_eq!(all.len(), 7);
        assert_eq!(
            rendered_messages(&turns, RoleSupport::Alternating),
            [
                "system: Be brief.",
                "user: One.\n\nTwo.",
                "assistant: Three.\n\nFour.",
                "user: Five.",
            ]
        );
        assert_eq!(
            rendered_messages(&turns, RoleSupport::NoSystem),
            [
                "user: Be brief.\n\nOne.\n\nTwo.",
                "assistant: Three.\n\nFour.",
                "user: Five.",
            ]
        );
        assert_eq!(
            rendered_messages(&[], RoleSupport::NoSystem),
            ["user: Be brief."]
        );
    }
}
