//! Splits long text into several messages.

use super::escape::sanitize_answer;
use super::links::unmask_links_in_place;

/// Characters that close a code block at the end of a part.
const CLOSING_FENCE_CHARS: usize = 4;

/// Maximum length of a language name that is repeated after the fence in the next part.
const MAX_LANGUAGE_CHARS: usize = 20;

/// The smallest limit that leaves room for text beside fences.
const MIN_LIMIT: usize = 64;

/// Ends the preview of an answer that is still growing.
const CONTINUATION_MARK: &str = " …";

/// Text split into parts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SplitMessage {
    /// Each part stands alone: no code block is left open, none is blank.
    pub parts: Vec<String>,
    /// Whether the text did not fit into the parts.
    pub is_truncated: bool,
}

/// Splits `text` into at most `max_parts` parts of at most `limit` characters, the first of at most
/// `first_limit`. Prefers to cut between paragraphs, then unindented lines, lines, sentences and
/// words. A code block that is cut is closed and reopened in the next part.
#[must_use]
pub fn split_message(
    text: &str,
    first_limit: usize,
    limit: usize,
    max_parts: usize,
) -> SplitMessage {
    let mut split = SplitMessage::default();
    let mut rest = text.trim_end().trim_start_matches('\n');
    let mut open: Option<String> = None;
    while !rest.trim().is_empty() {
        if split.parts.len() == max_parts {
            split.is_truncated = true;
            break;
        }
        let limit = if split.parts.is_empty() {
            first_limit
        } else {
            limit
        };
        let mut part = open
            .as_ref()
            .map_or_else(String::new, |fence| format!("{fence}\n"));
        let room = limit.max(MIN_LIMIT) - part.chars().count() - CLOSING_FENCE_CHARS;
        let end = find_cut(rest, room);
        let piece = &rest[..end];
        rest = trim_cut_whitespace(&rest[end..]);
        let blank = piece.replace('`', "").trim().is_empty();
        part.push_str(piece.trim_end());
        open = open_fence_after(open, piece);
        if open.is_some() {
            part.push_str("\n```");
        }
        // An empty code block is not worth a message.
        if !blank {
            // Code that was cut may no longer be code.
            if sanitize_answer(&part) != part {
                part = unmask_links_in_place(&part);
            }
            split.parts.push(part);
        }
    }
    split
}

/// The beginning of a growing answer, as one message of at most `limit` characters.
#[must_use]
pub fn streaming_preview(text: &str, limit: usize) -> String {
    let limit = limit.saturating_sub(CONTINUATION_MARK.chars().count());
    let first = split_message(text, limit, limit, 1)
        .parts
        .pop()
        .unwrap_or_default();
    format!("{first}{CONTINUATION_MARK}")
}

/// The byte index at which a part of at most `room` characters ends. Always makes progress.
fn find_cut(text: &str, room: usize) -> usize {
    let Some((end, _)) = text.char_indices().nth(room) else {
        return text.len();
    };
    let window = &text[..end];
    let half = text
        .char_indices()
        .nth(room / 2)
        .map_or(0, |(byte, _)| byte);
    let after = |byte: usize, mark: &str| byte + mark.len();
    let at = |mark: &'static str| {
        let found = window.rmatch_indices(mark).map(|(byte, _)| byte);
        found.take_while(move |byte| *byte > half)
    };
    let indented = |byte: &usize| text[byte + 1..].starts_with([' ', '\t']);
    let sentence = [". ", "! ", "? ", "。", "！", "？"]
        .into_iter()
        .filter_map(|mark| at(mark).next().map(|byte| after(byte, mark)))
        .max();
    at("\n\n")
        .next()
        .or_else(|| at("\n").find(|byte| !indented(byte)))
        .or_else(|| at("\n").next())
        .or(sentence)
        .or_else(|| at(" ").next())
        .unwrap_or_else(|| find_character_cut(text, end))
}

/// The last index up to `end` that splits neither a grapheme nor a fence.
fn find_character_cut(text: &str, end: usize) -> usize {
    /// Maximum length of a run that is kept together.
    const MAX_RUN: usize = 32;
    let torn = |byte: usize| {
        let before = text[..byte].chars().next_back();
        let next = text[byte..].chars().next();
        let joins = |c| matches!(c, '\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{300}'..='\u{36f}' | '\u{1f3fb}'..='\u{1f3ff}');
        next.is_some_and(joins)
            || before == Some('\u{200d}')
            || (before == Some('`') && next == Some('`'))
    };
    let places = text[..end].char_indices().rev().take(MAX_RUN);
    std::iter::once(end)
        .chain(places.map(|(byte, _)| byte))
        .find(|byte| *byte > 0 && !torn(*byte))
        .unwrap_or(end)
}

/// The text after a cut, without the white space that the cut replaces. Keeps indentation.
fn trim_cut_whitespace(rest: &str) -> &str {
    if rest.starts_with('\n') {
        rest.trim_start_matches('\n')
    } else {
        rest.strip_prefix(' ').unwrap_or(rest)
    }
}

/// The fence that is open after `piece`, with its language.
fn open_fence_after(mut open: Option<String>, piece: &str) -> Option<String> {
    let mut rest = piece;
    while let Some(found) = rest.find("```") {
        rest = &rest[found + 3..];
        open = match open {
            Some(_) => None,
            None => Some(format!("```{}", fence_language(rest))),
        };
    }
    open
}

fn fence_language(after_fence: &str) -> &str {
    let line = after_fence
        .split('\n')
        .next()
        .unwrap_or_default()
        .trim_end();
    let is_name = line.len() <= MAX_LANGUAGE_CHARS
        && line
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-_.#".contains(c));
    if is_name { line } else { "" }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(text: &str, limit: usize) -> Vec<String> {
        split_message(text, limit, limit, 100).parts
    }

    #[test]
    fn short_text_is_one_part() {
        assert_eq!(parts("one\n\ntwo\n", 100), ["one\n\ntwo"]);
        assert_eq!(parts(" \n ", 100), Vec::<String>::new());
    }

    #[test]
    fn cuts_prefer_larger_breaks() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        for between in ["\n\n", "\n", " "] {
            assert_eq!(
                parts(&format!("{a}{between}{b}"), 64),
                [a.clone(), b.clone()]
            );
        }
        let sentences = format!("{a}. {b}");
        assert_eq!(parts(&sentences, 64), [format!("{a}."), b.clone()]);
        let list = format!("- {a}\n- x\n  - y\n  - {b}");
        assert_eq!(
            parts(&list, 64),
            [format!("- {a}"), format!("- x\n  - y\n  - {b}")]
        );
    }

    #[test]
    fn a_cut_code_block_is_closed_and_reopened() {
        let lines: Vec<String> = (0..12).map(|i| format!("line number {i}")).collect();
        let text = format!("See:\n```rust\n{}\n```\nDone.", lines.join("\n"));
        insta::assert_snapshot!(parts(&text, 90).join("\n--- next message ---\n"));
    }

    #[test]
    fn the_number_of_parts_is_limited() {
        let split = split_message(&"word ".repeat(200), 64, 64, 3);
        assert_eq!(split.parts.len(), 3);
        assert!(split.is_truncated);
    }

    #[test]
    fn emoji_sequences_are_not_split() {
        let family = "👨\u{200d}👩\u{200d}👧";
        for part in parts(&family.repeat(40), 64) {
            assert_eq!(part.chars().count() % 5, 0);
        }
    }

    #[test]
    fn previews_end_with_a_mark() {
        assert_eq!(streaming_preview("Once upon", 100), "Once upon …");
        assert_eq!(streaming_preview("```c\nint x", 100), "```c\nint x\n``` …");
        assert_eq!(streaming_preview("", 100), " …");
    }

    proptest! {
        #[test]
        fn no_text_is_lost_and_no_limit_exceeded(
            words in prop::collection::vec(
                prop::sample::select(vec!["a", "bcd ", "\n", "\n\n", "```\n", "x. ", "é", "  - ", "👍🏽", "終。"]),
                0..300,
            ),
            first in 64_usize..100,
            limit in 64_usize..200,
        ) {
            let text = words.concat();
            let split = split_message(&text, first, limit, 1_000);
            prop_assert!(!split.is_truncated);
            for (i, part) in split.parts.iter().enumerate() {
                let most = if i == 0 { first } else { limit };
                prop_assert!(part.chars().count() <= most);
                prop_assert!(!part.trim().is_empty());
                prop_assert_eq!(part.matches("```").count() % 2, 0, "{}", part);
            }
            let bare = |text: &str| text.replace(|c: char| c.is_whitespace() || c == '`', "");
            prop_assert_eq!(bare(&split.parts.concat()), bare(&text));
            let limit = limit.max(MIN_LIMIT + CONTINUATION_MARK.len());
            prop_assert!(streaming_preview(&text, limit).chars().count() <= limit);
        }
    }
}
