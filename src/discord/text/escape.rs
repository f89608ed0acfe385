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
mod tests {
    use proptest::prelude::*;

    use super::super::markdown_oracle::{contains_ping, masked_links};
    use super::super::{split_message, streaming_preview};
    use super::*;

    #[test]
    fn escaped_characters_are_literal() {
        for (said, shown) in [
            ("plain words, 3.5 of them", "plain words, 3.5 of them"),
            (
                "**bold** _it_ ~~no~~",
                "\\*\\*bold\\*\\* \\_it\\_ \\~\\~no\\~\\~",
            ),
            ("# loud\n- list\n 1. one", "\\# loud\n\\- list\n 1\\. one"),
            ("a - b # c", "a - b # c"),
            ("@everyone <@1>", "@\u{200b}everyone \\<@\u{200b}1\\>"),
            ("||spoiler|| `code`", "\\|\\|spoiler\\|\\| \\`code\\`"),
            ("[here](http://x)", "\\[here\\](http://x)"),
            ("\u{202e}desrever\u{7}", "desrever"),
        ] {
            assert_eq!(escape(said), shown);
        }
    }

    #[test]
    fn a_quote_contains_all_lines_up_to_its_limit() {
        let (whole, cut) = quote("Ana", "Hello.\n\n> not mine\nBye.", 100);
        assert_eq!(whole, "> **Ana:** Hello.\n> \\> not mine\n> Bye.");
        assert!(!cut);
        let (short, cut) = quote("A\n**b**", "one two three", 30);
        assert!(cut);
        assert_eq!(short, "> **A \\*\\*b\\*\\*:** one two th…");
    }

    #[test]
    fn answers_keep_their_formatting_and_mention_nobody() {
        for (said, shown) in [
            ("**Yes**\n- a\n  - b", "**Yes**\n- a\n  - b"),
            (
                "hi @everyone, <@7> and <#8>",
                "hi @\u{200b}everyone, <\u{200b}@7> and <\u{200b}#8>",
            ),
            (
                "see [docs](https://x.org/a)!",
                "see docs (https://x.org/a)!",
            ),
            ("a[i](j) = [0]", "a[i](j) = [0]"),
            (
                "```py\nx = a[0](https) @here\n```",
                "```py\nx = a[0](https) @here\n```",
            ),
            // Real code stays unchanged.
            (
                "Write:\n```md\n[bank](https://x.org)\n```\nor `[b](https://x.org)`.",
                "Write:\n```md\n[bank](https://x.org)\n```\nor `[b](https://x.org)`.",
            ),
            // What only looks like code does not.
            ("\\```[b](https://x.org)```", "\\```b (https://x.org)```"),
            (
                "> ```\n[b](https://x.org)\n```",
                "> ```\nb (https://x.org)\n```",
            ),
            (
                "**a `b** [b](https://x.org)`",
                "**a `b** b (https://x.org)`",
            ),
            ("[a `b](https://x.org) c`", "[a `b] (https://x.org) c`"),
            ("[`b`](https://x.org)", "[`b`] (https://x.org)"),
            ("a ``` [b](https://x.org)", "a ``` b (https://x.org)"),
        ] {
            assert_eq!(sanitize_answer(said), shown);
        }
    }

    /// Fragments of links, code and emphasis.
    fn markdown_fragments() -> impl Strategy<Value = String> {
        let pieces = prop::sample::select(vec![
            "[",
            "]",
            "(",
            ")",
            "](",
            "[a](https://x.org)",
            "](https://y.org)",
            "<",
            ">",
            "https://x.org",
            "HTTPS://x.org",
            "discord://a",
            "mailto:a@b.c",
            "a.example/b",
            "`",
            "``",
            "```",
            "```\n",
            "\n```\n",
            "\n",
            "\n\n",
            " ",
            "\\",
            "*",
            "**",
            "_",
            "__",
            "~~",
            "||",
            "# ",
            "> ",
            ">>> ",
            "-# ",
            "- ",
            "1. ",
            "word",
            "\u{200b}",
            "\u{feff}",
            "\u{202e}",
            "\"title\"",
            "'",
            "@everyone",
            "@here",
            "<@1>",
            "<@&1>",
            "<#1>",
            "é",
            "👍",
        ]);
        prop::collection::vec(pieces, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn sanitized_text_hides_no_link_and_pings_nobody(text in markdown_fragments(), limit in 64_usize..160) {
            let shown = sanitize_answer(&text);
            prop_assert_eq!(masked_links(&shown), vec![], "{:?}", shown);
            prop_assert!(!contains_ping(&shown), "{:?}", shown);
            prop_assert_eq!(&sanitize_answer(&shown), &shown);
            // The same holds where an answer is split, and while it grows.
            for part in split_message(&shown, limit, limit, 100).parts {
                prop_assert!(part.chars().count() <= limit);
                prop_assert_eq!(masked_links(&part), vec![], "{:?}", part);
            }
            let cut: String = text.chars().take(text.chars().count() / 2).collect();
            let growing = streaming_preview(&sanitize_answer(&cut), limit);
            prop_assert_eq!(masked_links(&growing), vec![], "{:?}", growing);
            // The same holds for a quote.
            let (quote, _) = quote("[a](https://x.org)", &text, 300);
            prop_assert_eq!(masked_links(&quote), vec![], "{:?}", quote);
        }

        #[test]
        fn text_without_links_and_mentions_is_unchanged(text in "[^\\]@<\\p{C}]{0,200}") {
            prop_assert_eq!(sanitize_answer(&text), text);
        }

        #[test]
        fn every_line_of_a_quote_is_quoted(name in ".{0,40}", words in "(.|\n){0,300}", limit in 150_usize..400) {
            let (quote, _) = quote(&name, &words, limit);
            prop_assert!(quote.chars().count() <= limit);
            prop_assert!(quote.split('\n').all(|line| line.starts_with("> ")));
            prop_assert!(!quote.contains("@everyone") && !quote.contains("```"));
        }
    }
}
