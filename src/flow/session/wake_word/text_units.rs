//! Splits a text into units to compare: words, or characters in scripts without spaces.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::speech::segments::is_unspaced_script;

/// A word, or one character of a script without spaces.
#[derive(Clone, Debug)]
pub(super) struct TextUnit {
    /// Normalized by [`normalize`].
    pub(super) normalized: String,
    /// Start in the text, in bytes.
    pub(super) start: usize,
    /// End in the text, in bytes.
    pub(super) end: usize,
    /// Whether only spaces or hyphens separate it from the previous unit.
    pub(super) joins_previous: bool,
    /// Whether it is the first unit, or follows the end of a sentence.
    pub(super) begins_sentence: bool,
    /// Whether it is a possessive: "Talkback's".
    pub(super) is_possessive: bool,
}

/// Lower case, without accents and apostrophes, and with compatibility forms such as full width
/// replaced.
pub(super) fn normalize(text: &str) -> String {
    text.nfkd()
        .filter(|c| !('\u{300}'..='\u{36F}').contains(c) && !is_apostrophe(*c))
        .flat_map(char::to_lowercase)
        .collect()
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’' | 'ʼ' | '＇')
}

pub(super) fn split_units(text: &str) -> Vec<TextUnit> {
    let mut units: Vec<TextUnit> = Vec::new();
    let mut current: Option<(usize, char)> = None;
    let mut push_unit = |start: usize, end: usize| {
        let word = &text[start..end];
        let gap = &text[units.last().map_or(0, |unit| unit.end)..start];
        let normalized = normalize(word);
        if normalized.is_empty() {
            return;
        }
        units.push(TextUnit {
            joins_previous: gap.chars().all(|c| c.is_whitespace() || "-‐‑".contains(c)),
            begins_sentence: units.is_empty() || gap.contains(|c| ".!?…。！？".contains(c)),
            is_possessive: word.ends_with("'s") || word.ends_with("’s"),
            normalized,
            start,
            end,
        });
    };
    for (at, c) in text.char_indices() {
        let is_word_char = c.is_alphanumeric() || is_combining_mark(c);
        // An apostrophe inside a word belongs to it.
        let is_inner_apostrophe = is_apostrophe(c)
            && current.is_some()
            && text[at + c.len_utf8()..].starts_with(char::is_alphanumeric);
        if let Some((start, last)) = current
            && (!(is_word_char || is_inner_apostrophe)
                || (!is_combining_mark(c) && (is_unspaced_script(last) || is_unspaced_script(c))))
        {
            push_unit(start, at);
            current = None;
        }
        if is_word_char || is_inner_apostrophe {
            current = Some((current.map_or(at, |(start, _)| start), c));
        }
    }
    if let Some((start, _)) = current {
        push_unit(start, text.len());
    }
    units
}

/// Whether this unit is one of `words`, separated by commas.
pub(super) fn is_one_of(unit: &TextUnit, words: &str) -> bool {
    skip_phrase(std::slice::from_ref(unit), 0, words).is_some()
}

/// The unit after the longest of `phrases`, separated by commas, that begins at `at`.
pub(super) fn skip_phrase(units: &[TextUnit], at: usize, phrases: &str) -> Option<usize> {
    phrases
        .split(',')
        .filter_map(|phrase| phrase_end(units, at, phrase))
        .max()
}

fn phrase_end(units: &[TextUnit], at: usize, phrase: &str) -> Option<usize> {
    let phrase = normalize(phrase);
    let mut rest = phrase.as_str();
    for (index, unit) in units.iter().enumerate().skip(at) {
        if index > at && !unit.joins_previous {
            return None;
        }
        rest = rest
            .trim_start_matches(|c: char| c.is_whitespace() || c == '-')
            .strip_prefix(unit.normalized.as_str())?;
        if rest.is_empty() {
            return Some(index + 1);
        }
    }
    None
}
