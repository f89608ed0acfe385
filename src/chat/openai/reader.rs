//! The reader of answers: the bytes of a body in, pieces of an answer out, whatever the body says
//! it is. A pure state machine: no network, no clock, no panic, and the same answer however the
//! bytes are cut.

use std::collections::VecDeque;

use super::frames::{Fault, Frame, Frames};
use super::repeats::Repeats;
use super::shapes::{self, Finish, Part};
use super::thoughts::{Said, Thoughts};
use crate::chat::{Emptiness, End, EndReason, Piece, Unreadable, Usage};
use net::{Code, NetError};

/// Bytes of the longest answer that is read: 256 KiB.
const MAX_ANSWER: usize = 256 * 1024;

/// Reads the body of one answer.
#[derive(Default)]
pub struct AnswerReader {
    frames: Frames,
    ours: Option<u64>,
    thoughts: Thoughts,
    repeats: Repeats,
    ready: VecDeque<Piece>,
    /// All of the answer so far, and whether anybody has been given some of it.
    answer: String,
    was_given: bool,
    finish: Option<EndReason>,
    trust: Trust,
    usage: Option<Usage>,
    values: usize,
    is_answer: bool,
    thinks: bool,
    calls: bool,
    over: bool,
}

/// How far a reason for the end can be trusted: some servers give one all along.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Trust {
    /// There is none.
    #[default]
    None,
    /// It came with words, or before there were any.
    Doubtful,
    /// It came by itself when all words had come.
    Sure,
    /// More words came after one.
    Broken,
}

/// Why there is no answer, or no whole one.
#[derive(Debug)]
pub enum ReadError {
    /// The server says so itself.
    Server(NetError),
    /// What came is no answer, or can't be read any further.
    Unreadable(Unreadable),
    /// It is an answer, with no words in it.
    Empty(Emptiness),
}

/// How a body ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyEnd {
    /// As it should.
    Whole,
    /// The connection broke.
    Broken,
    /// Nothing came for too long.
    Silent,
}

impl std::fmt::Debug for AnswerReader {
    /// Answers never reach a log: only their size does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AnswerReader({} bytes)", self.answer.len())
    }
}

impl AnswerReader {
    /// A reader that has read nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same for a model that is known to write its thoughts into its answers with nothing but a
    /// closing tag: no word is given before that has come.
    #[must_use]
    pub fn of_a_model_that_only_closes() -> Self {
        Self {
            thoughts: Thoughts::of_a_model_that_only_closes(),
            ..Self::default()
        }
    }

    /// Reads more of the body. What was read before an error can still be had.
    ///
    /// # Errors
    ///
    /// If the server reports a failure, or what it sends can't be read. Nothing is read after that.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ReadError> {
        if self.over {
            return Ok(());
        }
        let mut found = Vec::new();
        let fault = self.frames.push(bytes, &mut found).err();
        self.take(found, fault)
    }

    /// The body is over.
    ///
    /// # Errors
    ///
    /// If there is no whole answer.
    pub fn finish(&mut self, how: BodyEnd) -> Result<End, ReadError> {
        let mut found = Vec::new();
        let mut cut_off = None;
        if how == BodyEnd::Whole && !self.over {
            let fault = self.frames.finish(&mut found).err();
            self.take(found, None)?;
            cut_off = fault.filter(|_| !self.over);
        }
        self.over = true;
        let mut said = Vec::new();
        self.thoughts.finish(&mut said);
        self.say(said);
        // One value that is not of a stream is all that there is.
        let is_one = self.values == 1 && !self.frames.has_events();
        let ended = match how {
            BodyEnd::Whole => self.trust != Trust::None || is_one,
            BodyEnd::Silent => matches!(self.trust, Trust::Sure | Trust::Doubtful),
            BodyEnd::Broken => self.trust == Trust::Sure,
        };
        if let Some(fault) = cut_off.filter(|_| self.trust != Trust::Sure) {
            return Err(ReadError::Unreadable(fault.into()));
        }
        if self.answer.is_empty() {
            return Err(self.nothing(ended || how == BodyEnd::Whole && !self.frames.has_events()));
        }
        if !ended {
            return Err(ReadError::Unreadable(Unreadable::CutOff));
        }
        Ok(End {
            reason: self.finish.unwrap_or(EndReason::Complete),
            usage: self.usage,
        })
    }

    /// The next piece that was read. Never [`Piece::End`].
    pub fn next_piece(&mut self) -> Option<Piece> {
        let piece = self.ready.pop_front()?;
        self.was_given = piece != Piece::TakeBack;
        Some(piece)
    }

    /// Whether there is a piece to be had.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether nothing more is read.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Whether all words are here for sure, so that only the usage may still come.
    #[must_use]
    pub fn has_all_words(&self) -> bool {
        self.trust == Trust::Sure
    }

    /// Whether a word has been read.
    #[must_use]
    pub fn has_words(&self) -> bool {
        !self.answer.is_empty()
    }

    /// What the answer has cost, as far as the server says.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Whether the model has thought in the answer, with nothing but a closing tag.
    #[must_use]
    pub fn only_closes(&self) -> bool {
        self.thoughts.only_closes()
    }

    fn take(&mut self, found: Vec<Frame>, fault: Option<Fault>) -> Result<(), ReadError> {
        for frame in found {
            if self.over {
                return Ok(());
            }
            if let Err(error) = self.frame(frame) {
                self.over = true;
                return Err(ReadError::Server(error));
            }
        }
        match fault {
            Some(fault) if !self.over => {
                self.over = true;
                Err(ReadError::Unreadable(fault.into()))
            }
            _ => Ok(()),
        }
    }

    fn frame(&mut self, frame: Frame) -> Result<(), NetError> {
        let value = match frame {
            Frame::Done => {
                self.over = true;
                if self.trust == Trust::None {
                    self.trust = Trust::Doubtful;
                }
                return Ok(());
            }
            Frame::Error(value) => return Err(shapes::failure(&value)),
            Frame::Json(value) => value,
        };
        self.values += 1;
        let part = shapes::read(&value, &mut self.ours)?;
        self.part(&part)
    }

    fn part(&mut self, part: &Part) -> Result<(), NetError> {
        self.is_answer |= part.is_answer;
        self.thinks |= part.thinks;
        self.calls |= part.calls;
        if let Some(usage) = part.usage {
            let known = self.usage.unwrap_or(usage);
            let newer = |new: u64, old: u64| if new == 0 { old } else { new };
            self.usage = Some(Usage {
                prompt_tokens: newer(usage.prompt_tokens, known.prompt_tokens),
                answer_tokens: newer(usage.answer_tokens, known.answer_tokens),
            });
        }
        if part.finish == Some(Finish::Failed) {
            return Err(NetError::Status {
                status: reqwest::StatusCode::INTERNAL_SERVER_ERROR,
                code: Some(Code::new("server_error")),
                message: "it gave up".into(),
                retry_after: None,
                should_retry: None,
                request_id: None,
            });
        }
        let text = self.repeats.new_of(part, &self.answer);
        let has_more = !text.is_empty() || part.thinks;
        if has_more && matches!(self.trust, Trust::Sure | Trust::Doubtful) && self.finish.is_some()
        {
            self.trust = Trust::Broken;
        }
        let mut said = Vec::new();
        self.thoughts.push(&text, &mut said);
        self.say(said);
        self.ended(part, has_more);
        Ok(())
    }

    fn ended(&mut self, part: &Part, had_more: bool) {
        if let Some(finish) = part.finish {
            self.finish = Some(match finish {
                Finish::Length => EndReason::Length,
                Finish::Filtered => EndReason::Filtered,
                Finish::Complete | Finish::Failed => EndReason::Complete,
            });
        }
        let is_end = part.finish.is_some() || part.over || part.is_whole;
        if !is_end {
            return;
        }
        self.trust = match self.trust {
            Trust::Broken if !part.over => Trust::Broken,
            _ if had_more && !part.over => Trust::Doubtful,
            _ if !self.answer.is_empty() || self.calls => Trust::Sure,
            _ => Trust::Doubtful,
        };
        self.over |= part.over;
    }

    fn say(&mut self, said: Vec<Said>) {
        for said in said {
            match said {
                Said::Words(words) => self.words(words),
                Said::TakeBack => {
                    self.answer.clear();
                    self.ready.retain(|piece| *piece == Piece::TakeBack);
                    if self.was_given {
                        self.ready.push_back(Piece::TakeBack);
                    }
                }
            }
        }
    }

    fn words(&mut self, words: String) {
        let words = if self.answer.is_empty() {
            words.trim_start_matches(is_blank).to_owned()
        } else {
            words
        };
        if words.is_empty() {
            return;
        }
        if self.answer.len() + words.len() > MAX_ANSWER {
            self.finish = Some(EndReason::Length);
            self.trust = Trust::Sure;
            self.over = true;
            return;
        }
        self.answer.push_str(&words);
        self.ready.push_back(Piece::Text(words));
    }

    /// Why there are no words.
    fn nothing(&self, ended: bool) -> ReadError {
        let thought = self.thinks || self.thoughts.has_thoughts();
        if self.is_answer && ended {
            return ReadError::Empty(match self.finish {
                Some(EndReason::Length) => Emptiness::OutOfTokens,
                Some(EndReason::Filtered) => Emptiness::Filtered,
                _ if self.calls => Emptiness::OnlyCalls,
                _ if thought => Emptiness::OnlyThoughts,
                _ => Emptiness::Nothing,
            });
        }
        let text = self.frames.text();
        ReadError::Unreadable(if self.is_answer {
            Unreadable::CutOff
        } else if self.frames.is_page() {
            Unreadable::Page
        } else if self.frames.is_empty() {
            Unreadable::Nothing
        } else if text.is_empty() {
            Unreadable::Malformed("there is no answer in it".into())
        } else {
            Unreadable::Text(text)
        })
    }
}

/// Nothing that a person could see.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
}

impl From<Fault> for Unreadable {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TooLarge => Self::TooLarge,
            Fault::Malformed(cause) => Self::Malformed(cause),
            Fault::CutOff => Self::CutOff,
        }
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
