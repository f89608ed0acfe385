//! What was said, by whom and when.

use std::time::Duration;

use super::segments::push_word;

/// The words of one clip. Times count from the start of the clip.
#[derive(Clone, PartialEq)]
pub struct Transcript {
    /// Everything that was said; empty if nothing was.
    pub text: String,
    /// The same in stretches, in order of time; at least one unless `text` is empty.
    pub segments: Vec<Segment>,
    /// The same word by word; empty where the provider gives no times.
    pub words: Vec<Word>,
    /// ISO 639-1 code of the language, where known.
    pub language: Option<String>,
    /// 0.0..=1.0, where the provider says.
    pub confidence: Option<f32>,
    /// Who wrote it down: [`Capabilities::name`](super::Capabilities::name).
    pub provider: &'static str,
}

/// A stretch of speech, a sentence or what lies between two pauses.
#[derive(Clone, PartialEq)]
pub struct Segment {
    /// Where it begins.
    pub start: Duration,
    /// Where it ends.
    pub end: Duration,
    /// What was said.
    pub text: String,
    /// Who said it, where the provider tells speakers apart.
    pub speaker: Option<String>,
}

/// One word.
#[derive(Clone, PartialEq)]
pub struct Word {
    /// The word with its punctuation.
    pub text: String,
    /// Where it begins.
    pub start: Duration,
    /// Where it ends.
    pub end: Duration,
    /// 0.0..=1.0, where the provider says.
    pub confidence: Option<f32>,
    /// Who said it, where the provider tells speakers apart.
    pub speaker: Option<String>,
}

impl Transcript {
    /// Whether an engine of this machine wrote it down, which costs nothing.
    pub fn is_local(&self) -> bool {
        self.provider.ends_with(super::LOCAL_NAME_SUFFIX)
    }

    /// Leaves the segments that are to be kept, with their words and text; `rest` says whether to
    /// keep those beyond the end of `kept`, and a text without segments.
    #[must_use]
    pub fn retain_segments(mut self, kept: &[bool], rest: bool) -> Self {
        let keeps = |at: usize| kept.get(at).copied().unwrap_or(rest);
        if self.segments.is_empty() && !rest {
            self.text.clear();
            self.words.clear();
            return self;
        }
        if (0..self.segments.len()).all(keeps) {
            return self;
        }
        let mut at = 0;
        let (left, dropped): (Vec<_>, Vec<_>) = self.segments.into_iter().partition(|_| {
            at += 1;
            keeps(at - 1)
        });
        self.segments = left;
        self.words.retain(|word| {
            let middle = word
                .start
                .saturating_add(word.end.saturating_sub(word.start) / 2);
            let holds = |segment: &Segment| (segment.start..=segment.end).contains(&middle);
            self.segments.iter().any(holds) || !dropped.iter().any(holds)
        });
        self.text.clear();
        for segment in &self.segments {
            push_word(&mut self.text, &segment.text);
        }
        self
    }
}

impl std::fmt::Debug for Transcript {
    /// Speech never reaches a log: only its size does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transcript")
            .field("characters", &self.text.chars().count())
            .field("segments", &self.segments.len())
            .field("words", &self.words.len())
            .field("language", &self.language.as_deref().map(loggable_language))
            .field("provider", &self.provider)
            .finish_non_exhaustive()
    }
}

/// A language as the log may know it: a provider may put anything where a code should be.
fn loggable_language(language: &str) -> &str {
    let (code, region) = language.split_once(['_', '-']).unwrap_or((language, "xx"));
    let is_plain = |part: &str, most: usize| {
        (2..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphabetic())
    };
    if is_plain(code, 3) && is_plain(region, 4) {
        language
    } else {
        "no code"
    }
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Segment({:?}..{:?})", self.start, self.end)
    }
}

impl std::fmt::Debug for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Word({:?}..{:?})", self.start, self.end)
    }
}
