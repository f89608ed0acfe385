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
