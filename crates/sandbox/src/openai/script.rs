//! What the model says.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};

use super::dialect::Dialect;

/// A model the server lists.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Model {
    /// The name that requests ask for.
    pub id: String,
    /// The day it is switched off (`YYYY-MM-DD`), where that has been announced.
    pub shutdown_date: Option<String>,
    /// What its template demands: that roles take turns, and that there is no system prompt.
    pub(super) alternates: bool,
    pub(super) knows_no_system: bool,
    /// The tokens of a conversation that it can read, as llama.cpp says it.
    pub(super) reads: Option<u64>,
}

impl Model {
    /// A model without an end.
    pub fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            shutdown_date: None,
            alternates: false,
            knows_no_system: false,
            reads: None,
        }
    }

    /// Its template demands that people and the model take turns, as Mistral's does.
    #[must_use]
    pub fn alternating(self) -> Self {
        Self {
            alternates: true,
            ..self
        }
    }

    /// Its template knows no system prompt, as Gemma's does.
    #[must_use]
    pub fn without_system(self) -> Self {
        Self {
            knows_no_system: true,
            ..self
        }
    }

    /// It reads this many tokens of a conversation at most.
    #[must_use]
    pub fn reading(self, tokens: u64) -> Self {
        Self {
            reads: Some(tokens),
            ..self
        }
    }

    /// A model that is switched off on this day (`YYYY-MM-DD`).
    pub fn until(id: &str, shutdown_date: &str) -> Self {
        Self {
            shutdown_date: Some(shutdown_date.to_owned()),
            ..Self::new(id)
        }
    }

    pub(super) fn wire(&self) -> Value {
        json!({
            "id": self.id,
            "object": "model",
            "created": 1_767_225_600,
            "owned_by": "sandbox",
            "shutdown_date": self.shutdown_date,
        })
    }
}

impl From<&str> for Model {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}

/// What is said next, how slowly, and by which models.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) pieces: Vec<String>,
    pub(super) in_turn: VecDeque<Vec<String>>,
    pub(super) takes: Duration,
    pub(super) between_pieces: Duration,
    pub(super) models: Vec<Model>,
    pub(super) key: Option<String>,
    pub(super) flagged: Vec<String>,
    pub(super) unknown: Vec<(String, Dialect)>,
}

impl Script {
    pub(super) fn new(key: String) -> Self {
        Self {
            pieces: split("Paris is the capital of France."),
            in_turn: VecDeque::new(),
            takes: Duration::ZERO,
            between_pieces: Duration::ZERO,
            models: vec![Model::new("gpt-6-luna"), Model::new("sandbox-1")],
            key: Some(key),
            flagged: Vec::new(),
            unknown: Vec::new(),
        }
    }

    pub(super) fn next(&mut self) -> Vec<String> {
        self.in_turn
            .pop_front()
            .unwrap_or_else(|| self.pieces.clone())
    }
}

/// Words with the blanks before them, as tokens often are.
pub(super) fn split(text: &str) -> Vec<String> {
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
pub(super) fn tokens(text: &str) -> u64 {
    (text.chars().count() as u64).div_ceil(4)
}

/// The pieces that fit into `limit` tokens, and whether that is all of them.
pub(super) fn within(pieces: Vec<String>, limit: Option<u64>) -> (Vec<String>, bool) {
    let Some(limit) = limit else {
        return (pieces, true);
    };
    let mut text = String::new();
    let mut kept = Vec::new();
    for piece in pieces {
        text.push_str(&piece);
        if tokens(&text) > limit {
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
        assert_eq!(split("Pa ris  is."), ["Pa", " ris", "  is."]);
        assert_eq!(split(""), Vec::<String>::new());
        assert_eq!(split("größer 日本"), ["größer", " 日本"]);
    }

    #[test]
    fn a_limit_keeps_whole_pieces() {
        let (kept, whole) = within(split("four more words here"), Some(3));
        assert_eq!((kept.concat().as_str(), whole), ("four more", false));
        let (kept, whole) = within(split("four"), Some(1));
        assert_eq!((kept.concat().as_str(), whole), ("four", true));
    }
}
