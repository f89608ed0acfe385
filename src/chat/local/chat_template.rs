//! Renders a conversation with the chat template that a model was trained on.

use llama_cpp_2::model::{LlamaChatMessage, LlamaChatTemplate, LlamaModel};

use crate::chat::prompt::with_speaker_name;
use crate::chat::{ChatRole, ChatTurn};

/// A model's chat template and control tokens.
pub(super) struct ChatTemplate {
    template: LlamaChatTemplate,
    /// Texts of the model's control tokens, which are broken up in turns.
    control_tokens: Vec<String>,
    /// Markup that ends a turn or begins the next one, in case the model writes it as text.
    pub(super) stop_strings: Vec<String>,
}

/// The template could not be applied.
#[derive(Debug, thiserror::Error)]
#[error("the chat template fails: {0}")]
pub(super) struct TemplateError(String);

impl ChatTemplate {
    /// Reads the template from the model file. Uses ChatML if the file has none, or one that
    /// llama.cpp doesn't know.
    pub(super) fn from_model(
        model: &LlamaModel,
        controls: Vec<String>,
    ) -> Result<Self, TemplateError> {
        let chat_ml =
            || LlamaChatTemplate::new("chatml").map_err(|error| TemplateError(error.to_string()));
        let mut template = match model.chat_template(None) {
            Ok(template) => template,
            Err(_) => chat_ml()?,
        };
        if apply_template(model, &template, &[("user", "u".into())], true).is_err() {
            tracing::warn!("the model's chat template is not known to llama.cpp; using ChatML");
            template = chat_ml()?;
        }
        let stops = find_stop_strings(model, &template)?;
        Ok(Self {
            template,
            control_tokens: controls,
            stop_strings: stops,
        })
    }

    /// The prompt for an answer to the last of `turns`.
    ///
    /// Turns can't inject markup: the texts of control tokens in them are broken up.
    pub(super) fn render_prompt(
        &self,
        model: &LlamaModel,
        system: &str,
        turns: &[ChatTurn],
    ) -> Result<String, TemplateError> {
        let mut messages = Vec::with_capacity(turns.len() + 1);
        let system = self.escape_control_tokens(system);
        if !system.is_empty() {
            messages.push(("system", system));
        }
        for turn in turns {
            let text = self.escape_control_tokens(&with_speaker_name(turn));
            messages.push(match turn.role {
                ChatRole::User => ("user", text),
                ChatRole::Assistant => ("assistant", text),
            });
        }
        apply_template(model, &self.template, &messages, true)
    }

    /// Trims the text, removes zero bytes, which llama.cpp rejects, and inserts a space into
    /// everything that the tokenizer would read as a control token.
    fn escape_control_tokens(&self, text: &str) -> String {
        let mut text = text.replace('\0', "");
        for control in &self.control_tokens {
            let mut chars = control.chars();
            if let Some(first) = chars.next()
                && text.contains(control.as_str())
            {
                text = text.replace(control.as_str(), &format!("{first} {}", chars.as_str()));
            }
        }
        text.trim().to_owned()
    }
}

/// The markup that the template puts between an answer and the next question.
fn find_stop_strings(
    model: &LlamaModel,
    template: &LlamaChatTemplate,
) -> Result<Vec<String>, TemplateError> {
    const QUESTION: &str = "talkbackquestion";
    const ANSWER: &str = "talkbackanswer";
    let text = apply_template(
        model,
        template,
        &[
            ("user", QUESTION.into()),
            ("assistant", ANSWER.into()),
            ("user", QUESTION.into()),
        ],
        false,
    )?;
    let between = text
        .split_once(ANSWER)
        .and_then(|(_, rest)| rest.split_once(QUESTION))
        .map_or("", |(between, _)| between);
    Ok(find_markers(between))
}

/// Markers in a template's text that are unlikely in an answer: `<|im_end|>`, `<end_of_turn>`,
/// `</s>`, `[INST]`.
fn find_markers(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(['<', '[']) {
        rest = &rest[start..];
        let close = if rest.starts_with('<') { '>' } else { ']' };
        let Some(end) = rest.find(close) else { break };
        let marker = &rest[..=end];
        if marker.len() >= 4 && !marker.contains(char::is_whitespace) {
            found.push(marker.to_owned());
        }
        rest = &rest[end + 1..];
    }
    found.sort();
    found.dedup();
    found
}

fn apply_template(
    model: &LlamaModel,
    template: &LlamaChatTemplate,
    messages: &[(&str, String)],
    answer_next: bool,
) -> Result<String, TemplateError> {
    let messages: Vec<LlamaChatMessage> = messages
        .iter()
        .map(|(role, text)| LlamaChatMessage::new((*role).to_owned(), text.clone()))
        .collect::<Result<_, _>>()
        .map_err(|error| TemplateError(error.to_string()))?;
    model
        .apply_chat_template(template, &messages, answer_next)
        .map_err(|error| TemplateError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_found_in_template_text() {
        for (text, expected) in [
            (
                "<|im_end|>\n<|im_start|>user\n",
                vec!["<|im_end|>", "<|im_start|>"],
            ),
            (
                "<end_of_turn>\n<start_of_turn>user\n",
                vec!["<end_of_turn>", "<start_of_turn>"],
            ),
            ("</s><s>[INST] ", vec!["</s>", "[INST]"]),
            ("\n\nUSER: ", vec![]),
            ("a < b", vec![]),
        ] {
            assert_eq!(find_markers(text), expected, "{text:?}");
        }
    }
}
