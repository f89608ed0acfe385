//! What the model says.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};

use super::dialect::Dialect;

/// A model the server lists.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListedModel {
    /// The name that requests ask for.
    pub id: String,
    /// The day it is switched off (`YYYY-MM-DD`), where that has been announced.
    pub shutdown_date: Option<String>,
    /// What its template demands: that roles take turns, and that there is no system prompt.
    pub(super) requires_alternating_roles: bool,
    pub(super) rejects_system_prompt: bool,
    /// The tokens of a conversation that it can read, as llama.cpp says it.
    pub(super) context_tokens: Option<u64>,
}

impl ListedModel {
    /// A model without an end.
    pub fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            shutdown_date: None,
            requires_alternating_roles: false,
            rejects_system_prompt: false,
            context_tokens: None,
        }
    }

    /// Its template demands that people and the model take turns, as Mistral's does.
    #[must_use]
    pub fn with_alternating_roles(self) -> Self {
        Self {
            requires_alternating_roles: true,
            ..self
        }
    }

    /// Its template knows no system prompt, as Gemma's does.
    #[must_use]
    pub fn without_system_prompt(self) -> Self {
        Self {
            rejects_system_prompt: true,
            ..self
        }
    }

    /// It reads this many tokens of a conversation at most.
    #[must_use]
    pub fn with_context_tokens(self, tokens: u64) -> Self {
        Self {
            context_tokens: Some(tokens),
            ..self
        }
    }

    /// A model that is switched off on this day (`YYYY-MM-DD`).
    pub fn retiring_on(id: &str, shutdown_date: &str) -> Self {
        Self {
            shutdown_date: Some(shutdown_date.to_owned()),
            ..Self::new(id)
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "object": "model",
            "created": 1_767_225_600,
            "owned_by": "sandbox",
            "shutdown_date": self.shutdown_date,
        })
    }
}

impl From<&str> for ListedModel {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}

/// What is said next, how slowly, and by which models.
#[derive(Debug)]
pub(super) struct AnswerScript {
    pub(super) chunks: Vec<String>,
    pub(super) queued: VecDeque<Vec<String>>,
    pub(super) first_chunk_delay: Duration,
    pub(super) chunk_delay: Duration,
    pub(super) models: Vec<ListedModel>,
    pub(super) key: Option<String>,
    pub(super) flagged_texts: Vec<String>,
    pub(super) rejected_fields: Vec<(String, Dialect)>,
}

impl AnswerScript {
    pub(super) fn new(key: String) -> Self {
        Self {
            chunks: split_before_blanks("Paris is the capital of France."),
            queued: VecDeque::new(),
            first_chunk_delay: Duration::ZERO,
            chunk_delay: Duration::ZERO,
            models: vec![
                ListedModel::new("gpt-6-luna"),
                ListedModel::new("sandbox-1"),
            ],
            key: Some(key),
            flagged_texts: Vec::new(),
            rejected_fields: Vec::new(),
        }
    }

    pub(super) fn next_chunks(&mut self) -> Vec<String> {
        self.queued
            .pop_front()
            .unwrap_or_else(|| self.chunks.clone())
    }
}

/// Words with the blanks before them, as tokens often are.
pub(super) fn split_before_blanks(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    for character in text.chars() {
        let starts = character.is_whitespace()
            && pieces
                .last()
                .is_some_and(|piece| !piece.ends_with(char::is_whitespace));
        match pieces.last_mut() {
            Some(piece) if !starts => piece.push(character),
            _ => pieces.push(character.to_string()),
        }
    }
    pieces
}

/// About four characters each, as a rule of thumb.
pub(super) fn estimate_tokens(text: &str) -> u64 {
    (text.chars().count() as u64).div_ceil(4)
}

/// The pieces that fit into `limit` tokens, and whether that is all of them.
pub(super) fn truncate_to_tokens(pieces: Vec<String>, limit: Option<u64>) -> (Vec<String>, bool) {
    let Some(limit) = limit else {
        return (pieces, true);
    };
    let mut text = String::new();
    let mut kept = Vec::new();
    for piece in pieces {
        text.push_str(&piece);
        if estimate_tokens(&text) > limit {
            return (kept, false);
        }
        kept.push(piece);
    }
    (kept, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_split_before_blanks() {
        assert_eq!(split_before_blanks("Pa ris  is."), ["Pa", " ris", "  is."]);
        assert_eq!(split_before_blanks(""), Vec::<String>::new());
        assert_eq!(split_before_blanks("größer 日本"), ["größer", " 日本"]);
    }

    #[test]
    fn a_limit_keeps_whole_pieces() {
        let (kept, whole) =
            truncate_to_tokens(split_before_blanks("four more words here"), Some(3));
        assert_eq!((kept.concat().as_str(), whole), ("four more", false));
        let (kept, whole) = truncate_to_tokens(split_before_blanks("four"), Some(1));
        assert_eq!((kept.concat().as_str(), whole), ("four", true));
    }
}
