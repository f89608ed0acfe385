//! Tracks where in Markdown a character stands: in code, in quotes, at the start of a sentence.

/// Position of the next character in the answer's Markdown.
#[derive(Debug, Default)]
pub(super) struct MarkdownPosition {
    pub(super) has_text: bool,
    /// The last character.
    pub(super) last_char: Option<char>,
    /// The last visible character on this line.
    pub(super) last_visible_on_line: Option<char>,
    /// The fence's character and length.
    pub(super) code_fence: Option<(char, usize)>,
    /// The number of backticks that opened the span.
    pub(super) code_span: Option<usize>,
    /// Opening tags that were only mentioned.
    pub(super) mentioned_tags: usize,
}

impl MarkdownPosition {
    pub(super) fn push_char(&mut self, c: char) {
        if c == '\n' {
            if self.last_visible_on_line.is_none() {
                // A blank line ends the paragraph, and with it a code span that was not closed.
                self.code_span = None;
            }
            self.last_visible_on_line = None;
        } else if !c.is_whitespace() {
            self.has_text = true;
            self.last_visible_on_line = Some(c);
        }
        self.last_char = Some(c);
    }

    /// Handles `marks` code marks in a row.
    pub(super) fn push_code_marks(&mut self, c: char, marks: usize) {
        let starts_line = self.last_visible_on_line.is_none();
        match self.code_fence {
            Some((mark, opened)) if starts_line && mark == c && marks >= opened => {
                self.code_fence = None;
            }
            Some(_) => {}
            None if starts_line && marks >= 3 => self.code_fence = Some((c, marks)),
            None if c == '`' => match self.code_span {
                Some(opened) if opened == marks => self.code_span = None,
                Some(_) => {}
                None => self.code_span = Some(marks),
            },
            None => {}
        }
        self.push_char(c);
    }

    pub(super) fn is_code(&self) -> bool {
        self.code_fence.is_some() || self.code_span.is_some()
    }

    /// Reasoning can begin only at the start of the answer, a line or a sentence.
    pub(super) fn can_open_reasoning(&self) -> bool {
        let begins = self
            .last_visible_on_line
            .is_none_or(|c| ".!?:;…。！？>".contains(c));
        begins && !self.last_char.is_some_and(is_quote)
    }

    pub(super) fn can_close_reasoning(&self) -> bool {
        self.mentioned_tags == 0 && !self.last_char.is_some_and(is_quote)
    }
}

pub(super) fn is_quote(c: char) -> bool {
    "\"'`“”‘’„«»".contains(c)
}
