//! Drops text that a server repeats: the whole message in the last chunk, or the whole text so far
//! in every chunk.

use super::delta_parser::ResponseDelta;
use super::reasoning_filter::{FilterOutput, ReasoningFilter};

/// The most text, in bytes, kept for comparison: enough for any answer with its reasoning.
const MAX_SEEN_BYTES: usize = 1024 * 1024;

/// The shortest text, in bytes, that is not repeated by chance.
const MIN_REPEAT_BYTES: usize = 16;

/// The same for the last chunk.
const MIN_FINAL_REPEAT_BYTES: usize = 6;

/// Remembers the text so far.
#[derive(Default)]
pub(super) struct RepeatFilter {
    seen_text: String,
    chunk_count: usize,
}

impl RepeatFilter {
    /// The part of `part`'s text that is new.
    ///
    /// `answer` is the whole text so far without its reasoning.
    pub(super) fn strip_repeated(&mut self, part: &ResponseDelta, answer: &str) -> String {
        let text = &part.text;
        if text.is_empty() {
            return String::new();
        }
        let new = match self.repeated_prefix_len(part, answer) {
            Some(repeated) => text.get(repeated..).unwrap_or_default(),
            None => text,
        };
        if self.seen_text.len() + new.len() <= MAX_SEEN_BYTES {
            self.seen_text.push_str(new);
        }
        self.chunk_count += 1;
        new.to_owned()
    }

    /// Length in bytes of the repeated start of the text; `None` if the whole text is new.
    fn repeated_prefix_len(&self, part: &ResponseDelta, answer: &str) -> Option<usize> {
        let text = &part.text;
        let seen = self.seen_text.trim();
        let trimmed = text.trim();
        if seen.is_empty() || trimmed.len() < seen.len().min(MIN_FINAL_REPEAT_BYTES) {
            return None;
        }
        let is_last = part.finish_reason.is_some() || part.is_last;
        if trimmed == seen {
            let by_chance = if is_last {
                self.chunk_count < 2 && seen.len() < MIN_FINAL_REPEAT_BYTES
            } else {
                seen.len() < MIN_REPEAT_BYTES && !(part.is_full_answer && self.chunk_count > 1)
            };
            return (!by_chance).then_some(text.len());
        }
        let continues = part.is_full_answer || self.seen_text.len() >= MIN_REPEAT_BYTES;
        if continues && text.len() > self.seen_text.len() && text.starts_with(&self.seen_text) {
            return Some(self.seen_text.len());
        }
        // The complete message may include reasoning that the chunks lacked, or lack theirs.
        let answer = answer.trim();
        let is_repeat = (is_last || part.is_full_answer)
            && answer.len() >= MIN_FINAL_REPEAT_BYTES
            && text.len() >= answer.len()
            && (trimmed == answer || strip_reasoning(text) == answer);
        is_repeat.then_some(text.len())
    }
}

/// Removes the reasoning from a complete text.
fn strip_reasoning(text: &str) -> String {
    let (mut filter, mut outputs) = (ReasoningFilter::default(), Vec::new());
    filter.push(text, &mut outputs);
    filter.finish(&mut outputs);
    let mut answer = String::new();
    for output in outputs {
        match output {
            FilterOutput::Text(text) => answer.push_str(&text),
            FilterOutput::Retract => answer.clear(),
        }
    }
    answer.trim().to_owned()
}
