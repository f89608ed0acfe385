//! Merges the texts of two segments that overlap because speech was cut between them.

/// The most words that the two texts can share.
const MAX_SHARED_WORDS: usize = 12;

/// Words at the cut that may be truncated, and so differ.
const MAX_TORN_WORDS: usize = 2;

/// Appends `next`, whose start overlaps the end of `text`, so that no word is repeated or lost.
pub(super) fn merge_overlap(text: &str, next: &str) -> String {
    let before: Vec<&str> = text.split_whitespace().collect();
    let after: Vec<&str> = next.split_whitespace().collect();
    let plain = |words: &[&str]| {
        words
            .iter()
            .map(|word| normalize_word(word))
            .collect::<Vec<_>>()
    };
    let (before_plain, after_plain) = (plain(&before), plain(&after));
    let mut best: Option<(usize, usize, usize)> = None;
    for torn_before in 0..=MAX_TORN_WORDS.min(before.len()) {
        for torn_after in 0..=MAX_TORN_WORDS.min(after.len()) {
            let end = before.len() - torn_before;
            let longest = MAX_SHARED_WORDS.min(end).min(after.len() - torn_after);
            for shared in (1..=longest).rev() {
                let tail = &before_plain[end - shared..end];
                let head = &after_plain[torn_after..torn_after + shared];
                if tail == head && best.is_none_or(|(most, _, _)| shared > most) {
                    best = Some((shared, end, torn_after + shared));
                }
            }
        }
    }
    let (kept, from) = match best {
        Some((_, end, from)) => (end, from),
        None => (before.len(), 0),
    };
    let words: Vec<&str> = before[..kept]
        .iter()
        .chain(&after[from..])
        .copied()
        .collect();
    words.join(" ")
}

/// The word in lower case without punctuation.
fn normalize_word(word: &str) -> String {
    word.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_words_are_kept_once() {
        for (text, next, whole) in [
            ("one two three", "two three four", "one two three four"),
            ("One, two, three.", "Three four.", "One, two, three. four."),
            // The last word of the first and the first word of the second are truncated.
            (
                "we ship on Thurs",
                "ip on Thursday because",
                "we ship on Thursday because",
            ),
            ("nothing shared", "at all", "nothing shared at all"),
            ("", "begin", "begin"),
            ("end", "", "end"),
        ] {
            assert_eq!(merge_overlap(text, next), whole);
        }
    }
}
