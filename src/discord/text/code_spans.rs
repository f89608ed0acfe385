//! Finds what Discord certainly renders as code, which [`sanitize_answer`](super::sanitize_answer)
//! leaves unchanged.
//!
//! Discord parses from left to right and the construct that begins first wins: emphasis that begins
//! before a fence can end inside it, and the rest is then no code. So only code that nothing before
//! it can reach into counts. The rest is treated as prose, which costs code at most an extra space
//! in a link.

/// A piece of text that may be code.
pub(super) struct CodeCandidate<'a> {
    /// The text before it.
    pub(super) before: &'a str,
    /// The code with its backticks.
    pub(super) code: &'a str,
    /// The text after it.
    pub(super) after: &'a str,
}

/// The next piece of `text` that looks like code. `start` says whether `text` begins a line.
pub(super) fn next_candidate(text: &str, start: bool) -> Option<CodeCandidate<'_>> {
    let mut from = 0;
    while let Some(found) = text[from..].find('`') {
        let open = from + found;
        let run = text[open..].len() - text[open..].trim_start_matches('`').len();
        let escaped = text[..open]
            .bytes()
            .rev()
            .take_while(|byte| *byte == b'\\')
            .count()
            % 2
            == 1;
        let begins_line = text[..open].ends_with('\n') || (open == 0 && start);
        let inside = &text[open + run..];
        let length = match run {
            _ if escaped => None,
            3 if begins_line => code_block_len(inside).or_else(|| inline_code_len(inside, run)),
            1..=3 => inline_code_len(inside, run),
            _ => None,
        };
        if let Some(length) = length {
            let end = open + run + length;
            return Some(CodeCandidate {
                before: &text[..open],
                code: &text[open..end],
                after: &text[end..],
            });
        }
        from = open + run;
    }
    None
}

/// The length of a code block after its opening fence: a line with at most a language name, lines
/// that are not all blank, and a line with only the closing fence.
fn code_block_len(inside: &str) -> Option<usize> {
    let (language, _) = inside.split_once('\n')?;
    let is_language = language
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_+-.#".contains(c));
    let close = inside.find("```")?;
    let lines = inside.get(language.len()..close)?;
    let end = close + 3;
    let left = inside[end..].split('\n').next().unwrap_or_default();
    let whole = is_language
        && lines.ends_with('\n')
        && !lines.trim().is_empty()
        && left.trim_matches(' ').is_empty();
    whole.then_some(end)
}

/// The length of inline code after its opening backticks.
fn inline_code_len(inside: &str, run: usize) -> Option<usize> {
    let line = inside.split('\n').next().unwrap_or_default();
    let mut from = 0;
    while let Some(found) = line[from..].find('`') {
        let close = from + found;
        let closing = line[close..].len() - line[close..].trim_start_matches('`').len();
        if closing >= 3 && run == 3 && closing != run {
            // A fence ends a block even if it is part of a longer run of backticks.
            return None;
        }
        if closing == run {
            return (!line[..close].trim().is_empty()).then_some(close + run);
        }
        from = close + closing;
    }
    None
}

/// Delimiters that were opened earlier and may still be closed anywhere.
#[derive(Default)]
pub(super) struct OpenDelimiters(Vec<char>);

impl OpenDelimiters {
    /// Records the delimiters in `words`, which is sanitized text.
    pub(super) fn track(&mut self, words: &str) {
        for c in words.chars() {
            let end = match c {
                '*' | '_' | '~' | '|' | '`' => c,
                '[' => ']',
                '<' => '>',
                _ => continue,
            };
            if !self.0.contains(&end) {
                self.0.push(end);
            }
        }
    }

    /// Whether `candidate` is code whatever was opened before it.
    pub(super) fn is_code(&self, candidate: &CodeCandidate<'_>) -> bool {
        let word = candidate
            .before
            .rsplit(char::is_whitespace)
            .next()
            .unwrap_or_default();
        // A URL extends to the next space.
        !word.contains(':')
            && !self.0.contains(&'`')
            && !candidate.code.contains(|c| self.0.contains(&c))
    }
}
