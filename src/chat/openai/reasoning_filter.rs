//! Removes reasoning that a model writes into its answer between tags.
//!
//! A tag in code or in quotes is only a mention and stays. If only the closing tag appears,
//! everything before it was reasoning and is retracted.

use super::markdown_position::{MarkdownPosition, is_quote};
use super::reasoning_tags::{TagMatch, match_tag, starts_with_tag};

/// The most text, in bytes, that is held back until it is classified.
const MAX_HELD: usize = 256 * 1024;

/// A result of the filter.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum FilterOutput {
    /// Text of the answer.
    Text(String),
    /// All text so far was reasoning.
    Retract,
}

/// Removes reasoning from a streamed answer. The result doesn't depend on how the text is split.
#[derive(Default)]
pub(super) struct ReasoningFilter {
    /// Not classified yet: it may be the start of a tag.
    held: String,
    /// The closing tag of the reasoning that is open now.
    closing_tag: Option<&'static str>,
    /// Reasoning that began in the middle of an answer; it becomes text if no closing tag follows.
    tentative_reasoning: Option<String>,
    /// Text held back until no closing tag can follow.
    withheld_text: Option<String>,
    position: MarkdownPosition,
    has_reasoning: bool,
    only_closing_tags: bool,
}

impl ReasoningFilter {
    /// For a model that marks only the end of its reasoning: no text is returned before that.
    pub(super) fn for_closing_tags_only() -> Self {
        Self {
            withheld_text: Some(String::new()),
            ..Self::default()
        }
    }

    /// Whether any reasoning was found.
    pub(super) fn has_reasoning(&self) -> bool {
        self.has_reasoning
    }

    /// Whether the reasoning began without a tag.
    pub(super) fn has_only_closing_tags(&self) -> bool {
        self.only_closing_tags
    }

    /// Filters more of the answer.
    pub(super) fn push(&mut self, text: &str, output: &mut Vec<FilterOutput>) {
        self.held.push_str(text);
        let mut visible = String::new();
        self.process_held(false, &mut visible, output);
        self.emit_text(visible, output);
    }

    /// Ends the answer.
    pub(super) fn finish(&mut self, output: &mut Vec<FilterOutput>) {
        let mut visible = String::new();
        self.process_held(true, &mut visible, output);
        visible.push_str(&self.tentative_reasoning.take().unwrap_or_default());
        self.emit_text(visible, output);
        if let Some(withheld) = self.withheld_text.take() {
            self.emit_text(withheld, output);
        }
    }

    fn emit_text(&mut self, visible: String, output: &mut Vec<FilterOutput>) {
        match &mut self.withheld_text {
            Some(withheld) => withheld.push_str(&visible),
            None if visible.is_empty() => {}
            None => output.push(FilterOutput::Text(visible)),
        }
        let withheld = self.withheld_text.take_if(|it| it.len() > MAX_HELD);
        output.extend(withheld.map(FilterOutput::Text));
    }

    fn process_held(
        &mut self,
        is_last: bool,
        visible: &mut String,
        output: &mut Vec<FilterOutput>,
    ) {
        let held = std::mem::take(&mut self.held);
        let mut rest = held.as_str();
        while let Some(c) = rest.chars().next() {
            let step = match self.closing_tag {
                Some(closing_tag) => self.step_in_reasoning(rest, closing_tag, is_last),
                None => self.step_in_answer(rest, c, is_last, visible, output),
            };
            match step {
                Some(length) => rest = &rest[length..],
                None => break,
            }
        }
        self.held = rest.to_owned();
    }

    /// One step within reasoning. Returns the bytes consumed; `None` if more text is needed first.
    fn step_in_reasoning(
        &mut self,
        rest: &str,
        closing_tag: &'static str,
        is_last: bool,
    ) -> Option<usize> {
        let c = rest.chars().next()?;
        match starts_with_tag(rest, closing_tag) {
            Some(true) if !self.position.last_char.is_some_and(is_quote) => {
                self.closing_tag = None;
                self.tentative_reasoning = None;
                self.position = MarkdownPosition {
                    has_text: self.position.has_text,
                    ..MarkdownPosition::default()
                };
                return Some(closing_tag.len());
            }
            None if !is_last => return None,
            _ => {}
        }
        if let Some(tentative) = &mut self.tentative_reasoning {
            tentative.push(c);
            if tentative.len() > MAX_HELD {
                self.tentative_reasoning = None;
            }
        }
        self.position.last_char = Some(c);
        Some(c.len_utf8())
    }

    /// One step within the answer. Returns the bytes consumed; `None` if more text is needed first.
    fn step_in_answer(
        &mut self,
        rest: &str,
        c: char,
        is_last: bool,
        visible: &mut String,
        output: &mut Vec<FilterOutput>,
    ) -> Option<usize> {
        if c == '`' || c == '~' {
            let marks = rest.chars().take_while(|mark| *mark == c).count();
            if marks == rest.len() && !is_last {
                return None;
            }
            self.position.push_code_marks(c, marks);
            visible.push_str(&rest[..marks]);
            return Some(marks);
        }
        if !self.position.is_code() {
            match match_tag(rest) {
                TagMatch::Incomplete if !is_last => return None,
                TagMatch::Opening(opening, closing) => {
                    if self.position.can_open_reasoning() {
                        self.has_reasoning = true;
                        self.closing_tag = Some(closing);
                        self.tentative_reasoning =
                            self.position.has_text.then(|| opening.to_owned());
                        self.position.last_char = None;
                        return Some(opening.len());
                    }
                    self.position.mentioned_tags += 1;
                }
                TagMatch::Closing(closing) => {
                    if self.position.can_close_reasoning() && !self.has_reasoning {
                        self.retract(visible, output);
                        return Some(closing.len());
                    }
                    self.position.mentioned_tags = self.position.mentioned_tags.saturating_sub(1);
                }
                TagMatch::Incomplete | TagMatch::None => {}
            }
        }
        self.position.push_char(c);
        visible.push(c);
        Some(c.len_utf8())
    }

    fn retract(&mut self, visible: &mut String, output: &mut Vec<FilterOutput>) {
        self.has_reasoning = true;
        self.only_closing_tags = true;
        visible.clear();
        self.position = MarkdownPosition::default();
        if self.withheld_text.take().is_none() {
            output.push(FilterOutput::Retract);
        }
    }
}

#[cfg(test)]
mod tests;
