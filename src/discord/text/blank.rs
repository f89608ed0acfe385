//! Detects text of which Discord shows nothing.

/// Formatting characters; on their own they are not content.
const FORMATTING_MARKS: [char; 8] = ['*', '_', '~', '`', '|', '>', '#', '-'];

/// Up to this many marks may be meant literally: `**` is a power, `>>` a shift.
const MAX_LITERAL_MARKS: usize = 2;

/// Whether Discord shows nothing of `text`, or only formatting characters.
#[must_use]
pub fn is_blank(text: &str) -> bool {
    let trimmed = text.trim_matches(is_space_or_invisible);
    let seen: Vec<char> = trimmed
        .chars()
        .filter(|c| !is_space_or_invisible(*c))
        .collect();
    let only_marks = seen.iter().all(|c| FORMATTING_MARKS.contains(c));
    // With white space between or after them, the marks format that space.
    let begins = |mark| text.trim_start().starts_with(mark);
    let apart =
        trimmed.chars().any(is_space_or_invisible) || ["> ", "# ", "- "].into_iter().any(begins);
    only_marks && (seen.is_empty() || apart || seen.len() > MAX_LITERAL_MARKS)
}

/// White space and characters without width.
fn is_space_or_invisible(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{17b4}'
                | '\u{17b5}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_visible_content_is_blank() {
        for blank in [
            "",
            "  \n\t",
            "\u{200b}\u{feff}",
            "** **",
            "_ _",
            "```\n```",
            "``````",
            "> \n> ",
            "> ",
            "|| ||",
            "# #",
            "---",
            "\u{2800}\u{3164}",
        ] {
            assert!(is_blank(blank), "{blank:?}");
        }
        for seen in [
            "a",
            "**",
            ">>",
            "#",
            "```\n1\n```",
            "- a",
            "…",
            "0",
            "👍🏽",
            "终",
        ] {
            assert!(!is_blank(seen), "{seen:?}");
        }
    }
}
