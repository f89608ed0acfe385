//! A conversation becomes the text that a model was trained to continue.

use llama_cpp_2::model::{LlamaChatMessage, LlamaChatTemplate, LlamaModel};

use crate::chat::prompt::attributed;
use crate::chat::{Role, Turn};

/// How a model marks who speaks.
pub(super) struct Template {
    template: LlamaChatTemplate,
    /// Texts of the model's control tokens, which nobody may say.
    controls: Vec<String>,
    /// What ends a turn, or begins the next one, should a model write it out.
    pub(super) stops: Vec<String>,
}

/// The template could not be applied.
#[derive(Debug, thiserror::Error)]
#[error("the chat template fails: {0}")]
pub(super) struct TemplateError(String);

impl Template {
    /// Takes the template from the model file. ChatML if it has none, or one that llama.cpp does
    /// not know.
    pub(super) fn of(model: &LlamaModel, controls: Vec<String>) -> Result<Self, TemplateError> {
        let chat_ml =
            || LlamaChatTemplate::new("chatml").map_err(|error| TemplateError(error.to_string()));
        let mut template = match model.chat_template(None) {
            Ok(template) => template,
            Err(_) => chat_ml()?,
        };
        if render(model, &template, &[("user", "u".into())], true).is_err() {
            tracing::warn!("the model's chat template is not known to llama.cpp; using ChatML");
            template = chat_ml()?;
        }
        let stops = stops(model, &template)?;
        Ok(Self {
            template,
            controls,
            stops,
        })
    }

    /// The prompt for an answer to the last of `turns`.
    ///
    /// What people said cannot act as markup: the texts of control tokens are broken up in it.
    pub(super) fn prompt(
        &self,
        model: &LlamaModel,
        system: &str,
        turns: &[Turn],
    ) -> Result<String, TemplateError> {
        let mut messages = Vec::with_capacity(turns.len() + 1);
        let system = self.defuse(system);
        if !system.is_empty() {
            messages.push(("system", system));
        }
        for turn in turns {
            let text = self.defuse(&attributed(turn));
            messages.push(match turn.role {
                Role::User => ("user", text),
                Role::Assistant => ("assistant", text),
            });
        }
        render(model, &self.template, &messages, true)
    }

    /// The text without the zero bytes that llama.cpp can't take, trimmed, and with a space
    /// inside everything that the tokenizer would take for a control token.
    fn defuse(&self, text: &str) -> String {
        let mut text = text.replace('\0', "");
        for control in &self.controls {
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

/// What the template puts after an answer, and before the next question.
fn stops(model: &LlamaModel, template: &LlamaChatTemplate) -> Result<Vec<String>, TemplateError> {
    const QUESTION: &str = "talkbackquestion";
    const ANSWER: &str = "talkbackanswer";
    let text = render(
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
    Ok(markers(between))
}

/// The pieces of markup in a template's text that are unlikely in an answer: `<|im_end|>`,
/// `<end_of_turn>`, `</s>`, `[INST]`.
fn markers(text: &str) -> Vec<String> {
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

fn render(
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
    fn markers_are_found_in_what_templates_write() {
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
            assert_eq!(markers(text), expected, "{text:?}");
        }
    }
}
