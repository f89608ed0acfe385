//! Whether something that was said asks for an answer.

use super::MAX_FILLERS;
use super::phrases::{ASKING, ENDINGS, FILLERS, GREETINGS, LISTENING, OPENERS, UNSPACED_OPENERS};
use super::units::{Unit, skip, units};

/// At least as many characters as the longest of [`ENDINGS`] has.
const LONGEST_ENDING: usize = 8;

/// Whether `text` reads as a question or a request. Says no in doubt: an answer that nobody
/// wanted disturbs more than one that has to be asked for once more.
pub fn is_request(text: &str) -> bool {
    let text = text.trim_end_matches(|c: char| c.is_whitespace() || "\"'”’»」』)）".contains(c));
    if text.ends_with(['?', '？', '؟', '⁇', '⁈', '⁉']) {
        return text.contains(char::is_alphanumeric);
    }
    let units = units(text);
    let first = begins_asking(&units);
    let last = units.iter().rposition(|unit| unit.begins_sentence);
    first || last.is_some_and(|last| begins_asking(&units[last..])) || ends_asking(&units)
}

fn begins_asking(units: &[Unit]) -> bool {
    let mut at = 0;
    for _ in 0..MAX_FILLERS {
        if asks_at(units, at) {
            return true;
        }
        match skip(units, at, GREETINGS).or_else(|| skip(units, at, FILLERS)) {
            Some(next) => at = next,
            None => return false,
        }
    }
    false
}

fn asks_at(units: &[Unit], at: usize) -> bool {
    let pair = ASKING.iter().any(|(words, next)| {
        skip(units, at, words).is_some_and(|behind| skip(units, behind, next).is_some())
    });
    pair || skip(units, at, OPENERS).is_some_and(|behind| units.len() > behind)
        || skip(units, at, UNSPACED_OPENERS).is_some()
}

fn ends_asking(units: &[Unit]) -> bool {
    let last = units.iter().rposition(|unit| unit.begins_sentence);
    let sentence = last.map_or(units, |last| &units[last..]);
    if skip(sentence, 0, LISTENING) == Some(sentence.len()) {
        return false;
    }
    let first = sentence.len().saturating_sub(LONGEST_ENDING);
    (first..sentence.len()).any(|at| skip(sentence, at, ENDINGS) == Some(sentence.len()))
}
