//! Removes reasoning that a model writes into its answer between tags.
//!
//! A tag in code or in quotes is only a mention and stays. If only the closing tag appears, everything
//! before it was reasoning and is retracted.

/// Opening and closing tags of various models.
const REASONING_TAGS: [(&str, &str); 16] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<thoughts>", "</thoughts>"),
    ("<reasoning>", "</reasoning>"),
    ("<reason>", "</reason>"),
    ("<reflection>", "</reflection>"),
    ("<scratchpad>", "</scratchpad>"),
    ("<antthinking>", "</antthinking>"),
    ("<inner_monologue>", "</inner_monologue>"),
    ("<seed:think>", "</seed:think>"),
    ("<|think|>", "<|/think|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    (
        "<|channel|>analysis<|message|>",
        "<|channel|>final<|message|>",
    ),
    ("[think]", "[/think]"),
    ("◁think▷", "◁/think▷"),
];

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

/// Position of the next character in the answer's Markdown.
#[derive(Debug, Default)]
struct MarkdownPosition {
    has_text: bool,
    /// The last character.
    last_char: Option<char>,
    /// The last visible character on this line.
    last_visible_on_line: Option<char>,
    /// The fence's character and length.
    code_fence: Option<(char, usize)>,
    /// The number of backticks that opened the span.
    code_span: Option<usize>,
    /// Opening tags that were only mentioned.
    mentioned_tags: usize,
}

/// The tag at a position.
enum TagMatch {
    Opening(&'static str, &'static str),
    Closing(&'static str),
    /// More text is needed to decide.
    Incomplete,
    None,
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
    pub(super) fn push(&mut self, text: &str, said: &mut Vec<FilterOutput>) {
        self.held.push_str(text);
        let mut words = String::new();
        self.process_held(false, &mut words, said);
        self.emit_text(words, said);
    }

    /// Ends the answer.
    pub(super) fn finish(&mut self, said: &mut Vec<FilterOutput>) {
        let mut words = String::new();
        self.process_held(true, &mut words, said);
        words.push_str(&self.tentative_reasoning.take().unwrap_or_default());
        self.emit_text(words, said);
        if let Some(waiting) = self.withheld_text.take() {
            self.emit_text(waiting, said);
        }
    }

    fn emit_text(&mut self, words: String, said: &mut Vec<FilterOutput>) {
        match &mut self.withheld_text {
            Some(waiting) => waiting.push_str(&words),
            None if words.is_empty() => {}
            None => said.push(FilterOutput::Text(words)),
        }
        let waiting = self.withheld_text.take_if(|it| it.len() > MAX_HELD);
        said.extend(waiting.map(FilterOutput::Text));
    }

    fn process_held(&mut self, last: bool, words: &mut String, said: &mut Vec<FilterOutput>) {
        let held = std::mem::take(&mut self.held);
        let mut rest = held.as_str();
        while let Some(c) = rest.chars().next() {
            let step = match self.closing_tag {
                Some(until) => self.step_in_reasoning(rest, until, last),
                None => self.step_in_answer(rest, c, last, words, said),
            };
            match step {
                Some(length) => rest = &rest[length..],
                None => break,
            }
        }
        self.held = rest.to_owned();
    }

    /// One step within reasoning. Returns the bytes consumed; `None` if more text is needed first.
    fn step_in_reasoning(&mut self, rest: &str, until: &'static str, last: bool) -> Option<usize> {
        let c = rest.chars().next()?;
        match starts_with_tag(rest, until) {
            Some(true) if !self.position.last_char.is_some_and(is_quote) => {
                self.closing_tag = None;
                self.tentative_reasoning = None;
                self.position = MarkdownPosition {
                    has_text: self.position.has_text,
                    ..MarkdownPosition::default()
                };
                return Some(until.len());
            }
            None if !last => return None,
            _ => {}
        }
        if let Some(perhaps) = &mut self.tentative_reasoning {
            perhaps.push(c);
            if perhaps.len() > MAX_HELD {
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
        last: bool,
        words: &mut String,
        said: &mut Vec<FilterOutput>,
    ) -> Option<usize> {
        if c == '`' || c == '~' {
            let marks = rest.chars().take_while(|mark| *mark == c).count();
            if marks == rest.len() && !last {
                return None;
            }
            self.position.push_code_marks(c, marks);
            words.push_str(&rest[..marks]);
            return Some(marks);
        }
        if !self.position.is_code() {
            match match_tag(rest) {
                TagMatch::Incomplete if !last => return None,
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
                        self.retract(words, said);
                        return Some(closing.len());
                    }
                    self.position.mentioned_tags = self.position.mentioned_tags.saturating_sub(1);
                }
                TagMatch::Incomplete | TagMatch::None => {}
            }
        }
        self.position.push_char(c);
        words.push(c);
        Some(c.len_utf8())
    }

    fn retract(&mut self, words: &mut String, said: &mut Vec<FilterOutput>) {
        self.has_reasoning = true;
        self.only_closing_tags = true;
        words.clear();
        self.position = MarkdownPosition::default();
        if self.withheld_text.take().is_none() {
            said.push(FilterOutput::Retract);
        }
    }
}

impl MarkdownPosition {
    fn push_char(&mut self, c: char) {
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
    fn push_code_marks(&mut self, c: char, marks: usize) {
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

    fn is_code(&self) -> bool {
        self.code_fence.is_some() || self.code_span.is_some()
    }

    /// Reasoning can begin only at the start of the answer, a line or a sentence.
    fn can_open_reasoning(&self) -> bool {
        let begins = self
            .last_visible_on_line
            .is_none_or(|c| ".!?:;…。！？>".contains(c));
        begins && !self.last_char.is_some_and(is_quote)
    }

    fn can_close_reasoning(&self) -> bool {
        self.mentioned_tags == 0 && !self.last_char.is_some_and(is_quote)
    }
}

fn is_quote(c: char) -> bool {
    "\"'`“”‘’„«»".contains(c)
}

fn match_tag(text: &str) -> TagMatch {
    if !text.starts_with(['<', '[', '◁']) {
        return TagMatch::None;
    }
    let mut unfinished = false;
    for (opening, closing) in REASONING_TAGS {
        for candidate in [opening, closing] {
            match starts_with_tag(text, candidate) {
                Some(true) if candidate == opening => return TagMatch::Opening(opening, closing),
                Some(true) => return TagMatch::Closing(closing),
                Some(false) => {}
                None => unfinished = true,
            }
        }
    }
    if unfinished {
        TagMatch::Incomplete
    } else {
        TagMatch::None
    }
}

/// Whether `text` starts with `tag`, ignoring case; `None` if it is too short to decide.
fn starts_with_tag(text: &str, tag: &str) -> Option<bool> {
    let (text, tag) = (text.as_bytes(), tag.as_bytes());
    let shared = text.len().min(tag.len());
    if !text[..shared].eq_ignore_ascii_case(&tag[..shared]) {
        return Some(false);
    }
    (shared == tag.len()).then_some(true)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown_text(thoughts: &mut ReasoningFilter, pieces: &[&str]) -> String {
        let mut said = Vec::new();
        for piece in pieces {
            thoughts.push(piece, &mut said);
        }
        thoughts.finish(&mut said);
        let mut shown = String::new();
        for said in said {
            match said {
                FilterOutput::Text(words) => shown.push_str(&words),
                FilterOutput::Retract => shown.clear(),
            }
        }
        shown
    }

    /// Filters an answer, and checks that filtering it character by character gives the same.
    fn without_reasoning(answer: &str) -> String {
        let whole = shown_text(&mut ReasoningFilter::default(), &[answer]);
        let pieces: Vec<&str> = answer.split_inclusive(|_| true).collect();
        assert_eq!(
            shown_text(&mut ReasoningFilter::default(), &pieces),
            whole,
            "{answer}"
        );
        whole
    }

    #[test]
    fn thoughts_are_left_out() {
        for (answer, expected) in [
            ("<think>Hm.</think>Paris.", "Paris."),
            ("<think>\nHm.\n</think>\n\nParis.", "\n\nParis."),
            ("\n <THINK>a < b</Think>Paris.", "\n Paris."),
            ("<thinking>Hm</thinking>Paris.", "Paris."),
            ("<reasoning>Hm</reasoning>Paris.", "Paris."),
            ("<thought>Hm</thought>Paris.", "Paris."),
            ("[THINK]Hm[/THINK]Paris.", "Paris."),
            ("◁think▷Hm◁/think▷Paris.", "Paris."),
            (
                "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>final<|message|>Paris.",
                "Paris.",
            ),
            ("Sure. <think>Hm</think>Paris.", "Sure. Paris."),
            ("One.\n<think>Hm</think>\nTwo.", "One.\n\nTwo."),
            ("<think>a</think><think>b</think>Paris.", "Paris."),
            (
                "<think>The tag \"</think>\" ends it.</think>Paris.",
                "Paris.",
            ),
            ("<think>Hm", ""),
            ("<think></think>", ""),
            ("Hm. Let me see.</think>Paris.", "Paris."),
            ("Hm.\n</think>\n\nParis.", "\n\nParis."),
            ("</think>Paris.", "Paris."),
            ("Hm.</thinking>Paris.", "Paris."),
            ("Hm.</think>", ""),
        ] {
            assert_eq!(without_reasoning(answer), expected, "{answer}");
        }
    }

    #[test]
    fn a_mention_is_none() {
        for answer in [
            "Write `<think>` and `</think>`.",
            "Write ``a ` <think>`` here.\n\nParis.",
            "```xml\n<think>\nHm\n</think>\n```\nThat is all.",
            "~~~\n</think>\n~~~",
            "````\n```\n</think>\n```\n````",
            "The tag \"<think>\" begins, and '</think>' ends it.",
            "The <think> tag begins, and the </think> tag ends it.",
            "a < b, [1], <b>bold</b>, <thin>, </thin",
            "It ends with <thi",
            "So it begins:\n<think> is a tag that I don't close.",
            "◁ is a triangle, ` is a mark, ``` are three",
        ] {
            assert_eq!(without_reasoning(answer), answer);
        }
    }

    #[test]
    fn an_open_span_ends_with_its_paragraph() {
        assert_eq!(
            without_reasoning("A ` alone.\n\nHm.</think>Paris."),
            "Paris."
        );
    }

    #[test]
    fn of_a_model_that_is_known_nothing_has_to_be_taken_back() {
        let mut said = Vec::new();
        let mut thoughts = ReasoningFilter::for_closing_tags_only();
        thoughts.push("Hm. </thi", &mut said);
        assert_eq!(said, []);
        thoughts.push("nk>Par", &mut said);
        assert_eq!(said, [FilterOutput::Text("Par".to_owned())]);
        let mut thoughts = ReasoningFilter::for_closing_tags_only();
        assert_eq!(
            shown_text(&mut thoughts, &["No", " thoughts."]),
            "No thoughts."
        );
        let mut thoughts = ReasoningFilter::for_closing_tags_only();
        assert_eq!(
            shown_text(&mut thoughts, &["<think>Hm</think>", "Par"]),
            "Par"
        );
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "<think>", "</think>", "<thinking>", "</reasoning>", "`", "```", "\n", "\n\n", "a ",
                    "<", "\"", "[THINK]", "◁", "/think▷", "é. ", "~~~",
                ]),
                0..24,
            ),
            cuts in prop::collection::vec(any::<bool>(), 200),
        ) {
            let answer = parts.concat();
            let mut pieces = vec![String::new()];
            for (c, cut) in answer.chars().zip(cuts.iter().cycle()) {
                if *cut {
                    pieces.push(String::new());
                }
                pieces.last_mut().expect("one").push(c);
            }
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let whole = shown_text(&mut ReasoningFilter::default(), &[&answer]);
            prop_assert_eq!(shown_text(&mut ReasoningFilter::default(), &pieces), whole);
        }
    }
}
