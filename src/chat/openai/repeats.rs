//! Servers that say again what they have said: the whole message in the last chunk, or all that
//! there is so far in each.

use super::shapes::Part;
use super::thoughts::{Said, Thoughts};

/// Bytes of what came so far that are kept to compare: as much as of any answer with its thoughts.
const MAX_KEPT: usize = 1024 * 1024;

/// A text of so many bytes is not said twice by chance.
const TELLING: usize = 16;

/// The same for the last chunk.
const TELLING_AT_THE_END: usize = 6;

/// Knows what has come.
#[derive(Default)]
pub(super) struct Repeats {
    came: String,
    pieces: usize,
}

impl Repeats {
    /// What of a part's text has not come before.
    ///
    /// `answer` is what is left of all that came, without thoughts.
    pub(super) fn new_of(&mut self, part: &Part, answer: &str) -> String {
        let text = &part.text;
        if text.is_empty() {
            return String::new();
        }
        let new = match self.length_of_repeated(part, answer) {
            Some(repeated) => text.get(repeated..).unwrap_or_default(),
            None => text,
        };
        if self.came.len() + new.len() <= MAX_KEPT {
            self.came.push_str(new);
        }
        self.pieces += 1;
        new.to_owned()
    }

    /// How many bytes at the beginning of the text have come before; none: the text is new.
    fn length_of_repeated(&self, part: &Part, answer: &str) -> Option<usize> {
        let text = &part.text;
        let came = self.came.trim();
        let said = text.trim();
        if came.is_empty() || said.len() < came.len().min(TELLING_AT_THE_END) {
            return None;
        }
        let is_last = part.finish.is_some() || part.over;
        if said == came {
            let by_chance = if is_last {
                self.pieces < 2 && came.len() < TELLING_AT_THE_END
            } else {
                came.len() < TELLING && !(part.is_whole && self.pieces > 1)
            };
            return (!by_chance).then_some(text.len());
        }
        let goes_on = part.is_whole || self.came.len() >= TELLING;
        if goes_on && text.len() > self.came.len() && text.starts_with(&self.came) {
            return Some(self.came.len());
        }
        // The whole message may hold the thoughts that the pieces did not, or lack them.
        let answer = answer.trim();
        let is_again = (is_last || part.is_whole)
            && answer.len() >= TELLING_AT_THE_END
            && text.len() >= answer.len()
            && (said == answer || answer_of(text) == answer);
        is_again.then_some(text.len())
    }
}

/// What is left without thoughts.
fn answer_of(text: &str) -> String {
    let (mut thoughts, mut said) = (Thoughts::default(), Vec::new());
    thoughts.push(text, &mut said);
    thoughts.finish(&mut said);
    let mut answer = String::new();
    for said in said {
        match said {
            Said::Words(words) => answer.push_str(&words),
            Said::TakeBack => answer.clear(),
        }
    }
    answer.trim().to_owned()
}
