//! Servers that say again what they have said: the whole message in the last chunk, or all that
//! there is so far in each.

use super::delta_parser::ResponseDelta;
use super::reasoning_filter::{FilterOutput, ReasoningFilter};

/// Bytes of what came so far that are kept to compare: as much as of any answer with its thoughts.
const MAX_SEEN_BYTES: usize = 1024 * 1024;

/// A text of so many bytes is not said twice by chance.
const MIN_REPEAT_BYTES: usize = 16;

/// The same for the last chunk.
const MIN_FINAL_REPEAT_BYTES: usize = 6;

/// Knows what has come.
#[derive(Default)]
pub(super) struct RepeatFilter {
    seen_text: String,
    chunk_count: usize,
}

impl RepeatFilter {
    /// What of a part's text has not come before.
    ///
    /// `answer` is what is left of all that came, without thoughts.
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

    /// How many bytes at the beginning of the text have come before; none: the text is new.
    fn repeated_prefix_len(&self, part: &ResponseDelta, answer: &str) -> Option<usize> {
        let text = &part.text;
        let came = self.seen_text.trim();
        let said = text.trim();
        if came.is_empty() || said.len() < came.len().min(MIN_FINAL_REPEAT_BYTES) {
            return None;
        }
        let is_last = part.finish_reason.is_some() || part.is_last;
        if said == came {
            let by_chance = if is_last {
                self.chunk_count < 2 && came.len() < MIN_FINAL_REPEAT_BYTES
            } else {
                came.len() < MIN_REPEAT_BYTES && !(part.is_full_answer && self.chunk_count > 1)
            };
            return (!by_chance).then_some(text.len());
        }
        let goes_on = part.is_full_answer || self.seen_text.len() >= MIN_REPEAT_BYTES;
        if goes_on && text.len() > self.seen_text.len() && text.starts_with(&self.seen_text) {
            return Some(self.seen_text.len());
        }
        // The whole message may hold the thoughts that the pieces did not, or lack them.
        let answer = answer.trim();
        let is_again = (is_last || part.is_full_answer)
            && answer.len() >= MIN_FINAL_REPEAT_BYTES
            && text.len() >= answer.len()
            && (said == answer || strip_reasoning(text) == answer);
        is_again.then_some(text.len())
    }
}

/// What is left without thoughts.
fn strip_reasoning(text: &str) -> String {
    let (mut thoughts, mut said) = (ReasoningFilter::default(), Vec::new());
    thoughts.push(text, &mut said);
    thoughts.finish(&mut said);
    let mut answer = String::new();
    for said in said {
        match said {
            FilterOutput::Text(words) => answer.push_str(&words),
            FilterOutput::Retract => answer.clear(),
        }
    }
    answer.trim().to_owned()
}
