//! Escapes user text and sanitizes model answers.

use super::code_spans::{self, OpenDelimiters};
use super::links::unmask_links;

/// Maximum characters of a display name.
const MAX_NAME_CHARS: usize = 32;

/// Invisible separator between characters that would have a meaning together.
const ZERO_WIDTH_SPACE: char = '\u{200b}';

/// Escapes `text` so that Discord shows every character literally. Keeps line breaks.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len() + 8);
    let mut at_start = true;
    let mut only_digits = false;
    for c in text.chars().filter(|c| !is_hidden(*c)) {
        match c {
            '\\' | '*' | '_' | '~' | '`' | '|' | '[' | ']' | '<' | '>' => plain.push('\\'),
            // Headings, small print and lists begin a line; an ordered list after its number.
            '#' | '-' | '+' if at_start => plain.push('\\'),
            '.' | ')' if only_digits => plain.push('\\'),
            _ => {}
        }
        plain.push(c);
        if c == '@' {
            plain.push(ZERO_WIDTH_SPACE);
        }
        only_digits = c.is_ascii_digit() && (at_start || only_digits);
        at_start = c == '\n' || (at_start && c.is_whitespace());
    }
    plain
}

/// What `name` said as a quote of at most `limit` characters, and whether it was truncated.
#[must_use]
pub fn quote(name: &str, words: &str, limit: usize) -> (String, bool) {
    let name: String = name
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(MAX_NAME_CHARS)
        .collect();
    let mut quote = format!("> **{}:** ", escape(name.trim()));
    let mut length = quote.chars().count();
    for (i, line) in words
        .lines()
        .filter(|line| !line.trim().is_empty())
        .enumerate()
    {
        let start = if i == 0 { "" } else { "\n> " };
        if length + start.chars().count() + 1 > limit {
            quote.push('…');
            return (quote, true);
        }
        quote.push_str(start);
        length += start.chars().count();
        for c in escape(line.trim()).chars() {
            // One character is reserved for the ellipsis, which must not follow a backslash.
            if length + 2 > limit {
                while quote.ends_with('\\') {
                    quote.pop();
                }
                quote.push('…');
                return (quote, true);
            }
            quote.push(c);
            length += 1;
        }
    }
    (quote, false)
}

/// Sanitizes a model's answer: lists, emphasis and code stay, mentions are defused, and links show
/// their target. Idempotent.
#[must_use]
pub fn sanitize_answer(text: &str) -> String {
    let visible: String = text.chars().filter(|c| !is_hidden(*c)).collect();
    let mut safe = String::with_capacity(visible.len());
    let mut open_delimiters = OpenDelimiters::default();
    let words = |safe: &mut String, open_delimiters: &mut OpenDelimiters, words: &str| {
        let words = defuse_mentions(&unmask_links(words));
        open_delimiters.track(&words);
        safe.push_str(&words);
    };
    let mut rest = visible.as_str();
    while let Some(candidate) =
        code_spans::next_candidate(rest, safe.is_empty() || safe.ends_with('\n'))
    {
        words(&mut safe, &mut open_delimiters, candidate.before);
        if open_delimiters.is_code(&candidate) {
            safe.push_str(candidate.code);
        } else {
            words(&mut safe, &mut open_delimiters, candidate.code);
        }
        rest = candidate.after;
    }
    words(&mut safe, &mut open_delimiters, rest);
    safe
}

/// Characters that are invisible or change how others are displayed. The joiners that emoji and
/// some scripts need stay.
fn is_hidden(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

fn defuse_mentions(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut before = ' ';
    for c in text.chars() {
        if before == '<' && matches!(c, '@' | '#') {
            safe.push(ZERO_WIDTH_SPACE);
        }
        safe.push(c);
        before = c;
    }
    safe.replace("@everyone", "@\u{200b}everyone")
        .replace("@here", "@\u{200b}here")
}

#[cfg(test)]
mod tests;
