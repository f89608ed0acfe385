//! Thoughts that a model writes into its answer, between tags, are no part of it.
//!
//! A tag in code or in quotes is a mention and stays. Where only the closing tag comes, all before it
//! was thought, and is taken back.

/// How models mark where their thoughts begin and end.
const TAGS: [(&str, &str); 16] = [
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

/// Bytes of words that are held back until it is sure what they are.
const MAX_HELD: usize = 256 * 1024;

/// What becomes of some words.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Said {
    /// They are of the answer.
    Words(String),
    /// All words so far were thoughts.
    TakeBack,
}

/// Takes thoughts out of an answer as it comes. The same is left, however it is cut.
#[derive(Default)]
pub(super) struct Thoughts {
    /// Not judged yet: it may be the beginning of a tag.
    held: String,
    /// The closing tag that ends the thoughts that are going on.
    until: Option<&'static str>,
    /// Thoughts that began in the middle of an answer: they are words after all if nothing ends them.
    perhaps: Option<String>,
    /// Words that are shown only once no closing tag can follow.
    waiting: Option<String>,
    place: Place,
    thought: bool,
    only_closed: bool,
}

/// Where in the answer the next character stands.
#[derive(Debug, Default)]
struct Place {
    begun: bool,
    /// The last character, and the last one on this line that is not blank.
    last: Option<char>,
    last_on_line: Option<char>,
    /// In a fence of so many marks, or in a span.
    fence: Option<(char, usize)>,
    span: Option<usize>,
    /// Opening tags that were only mentioned.
    mentions: usize,
}

/// What stands at a place.
enum Tag {
    Opening(&'static str, &'static str),
    Closing(&'static str),
    /// It takes more to tell.
    Unfinished,
    None,
}

impl Thoughts {
    /// For a model that is known to tell only where its thoughts end: nothing is shown before that.
    pub(super) fn of_a_model_that_only_closes() -> Self {
        Self {
            waiting: Some(String::new()),
            ..Self::default()
        }
    }

    /// Whether there were thoughts.
    pub(super) fn has_thoughts(&self) -> bool {
        self.thought
    }

    /// Whether there were thoughts that began without a tag.
    pub(super) fn only_closes(&self) -> bool {
        self.only_closed
    }

    /// Takes more of an answer.
    pub(super) fn push(&mut self, text: &str, said: &mut Vec<Said>) {
        self.held.push_str(text);
        let mut words = String::new();
        self.judge(false, &mut words, said);
        self.say(words, said);
    }

    /// The answer is over.
    pub(super) fn finish(&mut self, said: &mut Vec<Said>) {
        let mut words = String::new();
        self.judge(true, &mut words, said);
        words.push_str(&self.perhaps.take().unwrap_or_default());
        self.say(words, said);
        if let Some(waiting) = self.waiting.take() {
            self.say(waiting, said);
        }
    }

    fn say(&mut self, words: String, said: &mut Vec<Said>) {
        match &mut self.waiting {
            Some(waiting) => waiting.push_str(&words),
            None if words.is_empty() => {}
            None => said.push(Said::Words(words)),
        }
        let waiting = self.waiting.take_if(|it| it.len() > MAX_HELD);
        said.extend(waiting.map(Said::Words));
    }

    fn judge(&mut self, last: bool, words: &mut String, said: &mut Vec<Said>) {
        let held = std::mem::take(&mut self.held);
        let mut rest = held.as_str();
        while let Some(c) = rest.chars().next() {
            let step = match self.until {
                Some(until) => self.think(rest, until, last),
                None => self.speak(rest, c, last, words, said),
            };
            match step {
                Some(length) => rest = &rest[length..],
                None => break,
            }
        }
        self.held = rest.to_owned();
    }

    /// One step in thoughts: how much was taken, or none if more has to come first.
    fn think(&mut self, rest: &str, until: &'static str, last: bool) -> Option<usize> {
        let c = rest.chars().next()?;
        match begins_with(rest, until) {
            Some(true) if !self.place.last.is_some_and(is_quote) => {
                self.until = None;
                self.perhaps = None;
                self.place = Place {
                    begun: self.place.begun,
                    ..Place::default()
                };
                return Some(until.len());
            }
            None if !last => return None,
            _ => {}
        }
        if let Some(perhaps) = &mut self.perhaps {
            perhaps.push(c);
            if perhaps.len() > MAX_HELD {
                self.perhaps = None;
            }
        }
        self.place.last = Some(c);
        Some(c.len_utf8())
    }

    /// One step in the answer.
    fn speak(
        &mut self,
        rest: &str,
        c: char,
        last: bool,
        words: &mut String,
        said: &mut Vec<Said>,
    ) -> Option<usize> {
        if c == '`' || c == '~' {
            let marks = rest.chars().take_while(|mark| *mark == c).count();
            if marks == rest.len() && !last {
                return None;
            }
            self.place.marks(c, marks);
            words.push_str(&rest[..marks]);
            return Some(marks);
        }
        if !self.place.is_code() {
            match tag(rest) {
                Tag::Unfinished if !last => return None,
                Tag::Opening(opening, closing) => {
                    if self.place.may_open() {
                        self.thought = true;
                        self.until = Some(closing);
                        self.perhaps = self.place.begun.then(|| opening.to_owned());
                        self.place.last = None;
                        return Some(opening.len());
                    }
                    self.place.mentions += 1;
                }
                Tag::Closing(closing) => {
                    if self.place.may_close() && !self.thought {
                        self.take_back(words, said);
                        return Some(closing.len());
                    }
                    self.place.mentions = self.place.mentions.saturating_sub(1);
                }
                Tag::Unfinished | Tag::None => {}
            }
        }
        self.place.step(c);
        words.push(c);
        Some(c.len_utf8())
    }

    fn take_back(&mut self, words: &mut String, said: &mut Vec<Said>) {
        self.thought = true;
        self.only_closed = true;
        words.clear();
        self.place = Place::default();
        if self.waiting.take().is_none() {
            said.push(Said::TakeBack);
        }
    }
}

impl Place {
    fn step(&mut self, c: char) {
        if c == '\n' {
            if self.last_on_line.is_none() {
                // A paragraph ends, and with it what was opened in it.
                self.span = None;
            }
            self.last_on_line = None;
        } else if !c.is_whitespace() {
            self.begun = true;
            self.last_on_line = Some(c);
        }
        self.last = Some(c);
    }

    /// So many marks of code in a row.
    fn marks(&mut self, c: char, marks: usize) {
        let starts_line = self.last_on_line.is_none();
        match self.fence {
            Some((mark, opened)) if starts_line && mark == c && marks >= opened => {
                self.fence = None;
            }
            Some(_) => {}
            None if starts_line && marks >= 3 => self.fence = Some((c, marks)),
            None if c == '`' => match self.span {
                Some(opened) if opened == marks => self.span = None,
                Some(_) => {}
                None => self.span = Some(marks),
            },
            None => {}
        }
        self.step(c);
    }

    fn is_code(&self) -> bool {
        self.fence.is_some() || self.span.is_some()
    }

    /// Thoughts begin where something begins: an answer, a line, a sentence.
    fn may_open(&self) -> bool {
        let begins = self
            .last_on_line
            .is_none_or(|c| ".!?:;…。！？>".contains(c));
        begins && !self.last.is_some_and(is_quote)
    }

    fn may_close(&self) -> bool {
        self.mentions == 0 && !self.last.is_some_and(is_quote)
    }
}

fn is_quote(c: char) -> bool {
    "\"'`“”‘’„«»".contains(c)
}

fn tag(text: &str) -> Tag {
    if !text.starts_with(['<', '[', '◁']) {
        return Tag::None;
    }
    let mut unfinished = false;
    for (opening, closing) in TAGS {
        for candidate in [opening, closing] {
            match begins_with(text, candidate) {
                Some(true) if candidate == opening => return Tag::Opening(opening, closing),
                Some(true) => return Tag::Closing(closing),
                Some(false) => {}
                None => unfinished = true,
            }
        }
    }
    if unfinished {
        Tag::Unfinished
    } else {
        Tag::None
    }
}

/// Whether `text` begins with `tag`, in either case; none if it ends before that is sure.
fn begins_with(text: &str, tag: &str) -> Option<bool> {
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

    fn shown(thoughts: &mut Thoughts, pieces: &[&str]) -> String {
        let mut said = Vec::new();
        for piece in pieces {
            thoughts.push(piece, &mut said);
        }
        thoughts.finish(&mut said);
        let mut shown = String::new();
        for said in said {
            match said {
                Said::Words(words) => shown.push_str(&words),
                Said::TakeBack => shown.clear(),
            }
        }
        shown
    }

    /// What is left of an answer, which is the same in pieces of one character.
    fn left(answer: &str) -> String {
        let whole = shown(&mut Thoughts::default(), &[answer]);
        let pieces: Vec<&str> = answer.split_inclusive(|_| true).collect();
        assert_eq!(shown(&mut Thoughts::default(), &pieces), whole, "{answer}");
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
            assert_eq!(left(answer), expected, "{answer}");
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
            assert_eq!(left(answer), answer);
        }
    }

    #[test]
    fn an_open_span_ends_with_its_paragraph() {
        assert_eq!(left("A ` alone.\n\nHm.</think>Paris."), "Paris.");
    }

    #[test]
    fn of_a_model_that_is_known_nothing_has_to_be_taken_back() {
        let mut said = Vec::new();
        let mut thoughts = Thoughts::of_a_model_that_only_closes();
        thoughts.push("Hm. </thi", &mut said);
        assert_eq!(said, []);
        thoughts.push("nk>Par", &mut said);
        assert_eq!(said, [Said::Words("Par".to_owned())]);
        let mut thoughts = Thoughts::of_a_model_that_only_closes();
        assert_eq!(shown(&mut thoughts, &["No", " thoughts."]), "No thoughts.");
        let mut thoughts = Thoughts::of_a_model_that_only_closes();
        assert_eq!(shown(&mut thoughts, &["<think>Hm</think>", "Par"]), "Par");
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
            let whole = shown(&mut Thoughts::default(), &[&answer]);
            prop_assert_eq!(shown(&mut Thoughts::default(), &pieces), whole);
        }
    }
}
