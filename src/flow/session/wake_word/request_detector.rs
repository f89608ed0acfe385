//! Detects whether an utterance asks for an answer.

use super::MAX_FILLERS;
use super::phrases::{
    BACKCHANNELS, FILLERS, GREETINGS, QUESTION_OPENERS, REQUEST_ENDINGS, REQUEST_OPENERS,
    UNSPACED_OPENERS,
};
use super::text_units::{TextUnit, skip_phrase, split_units};

/// Units to search for an ending: at least the characters of the longest of [`REQUEST_ENDINGS`].
const LONGEST_ENDING: usize = 8;

/// Whether `text` reads as a question or a request. False if in doubt: an unwanted answer is worse
/// than a question that has to be repeated.
pub fn is_request(text: &str) -> bool {
    let text = text.trim_end_matches(|c: char| c.is_whitespace() || "\"'”’»」』)）".contains(c));
    if text.ends_with(['?', '？', '؟', '⁇', '⁈', '⁉']) {
        return text.contains(char::is_alphanumeric);
    }
    let units = split_units(text);
    let first = begins_with_request(&units);
    let last = units.iter().rposition(|unit| unit.begins_sentence);
    first
        || last.is_some_and(|last| begins_with_request(&units[last..]))
        || ends_with_request(&units)
}

fn begins_with_request(units: &[TextUnit]) -> bool {
    let mut at = 0;
    for _ in 0..MAX_FILLERS {
        if is_request_at(units, at) {
            return true;
        }
        match skip_phrase(units, at, GREETINGS).or_else(|| skip_phrase(units, at, FILLERS)) {
            Some(next) => at = next,
            None => return false,
        }
    }
    false
}

fn is_request_at(units: &[TextUnit], at: usize) -> bool {
    let pair = QUESTION_OPENERS.iter().any(|(words, next)| {
        skip_phrase(units, at, words).is_some_and(|end| skip_phrase(units, end, next).is_some())
    });
    pair || skip_phrase(units, at, REQUEST_OPENERS).is_some_and(|end| units.len() > end)
        || skip_phrase(units, at, UNSPACED_OPENERS).is_some()
}

fn ends_with_request(units: &[TextUnit]) -> bool {
    let last = units.iter().rposition(|unit| unit.begins_sentence);
    let sentence = last.map_or(units, |last| &units[last..]);
    if skip_phrase(sentence, 0, BACKCHANNELS) == Some(sentence.len()) {
        return false;
    }
    let first = sentence.len().saturating_sub(LONGEST_ENDING);
    (first..sentence.len())
        .any(|at| skip_phrase(sentence, at, REQUEST_ENDINGS) == Some(sentence.len()))
}
