//! The result of a transcription: text, segments and words.

use std::time::Duration;

use super::segments::push_word;

/// The transcript of one clip. Times count from the start of the clip.
#[derive(Clone, PartialEq)]
pub struct Transcript {
    /// The whole text; empty if nothing was said.
    pub text: String,
    /// The text in segments, in order of time; at least one unless `text` is empty.
    pub segments: Vec<Segment>,
    /// The text in words; empty if the provider gives no word timestamps.
    pub words: Vec<Word>,
    /// ISO 639-1 code of the language, if known.
    pub language: Option<String>,
    /// 0.0..=1.0, if the provider reports it.
    pub confidence: Option<f32>,
    /// The transcriber's [`Capabilities::name`](super::Capabilities::name).
    pub provider: &'static str,
}

/// A stretch of speech: a sentence, or the part of one between two pauses.
#[derive(Clone, PartialEq)]
pub struct Segment {
    /// Start time.
    pub start: Duration,
    /// End time.
    pub end: Duration,
    /// The spoken text.
    pub text: String,
    /// Speaker label, if the provider separates speakers.
    pub speaker: Option<String>,
}

/// A word and its time.
#[derive(Clone, PartialEq)]
pub struct Word {
    /// The word with its punctuation.
    pub text: String,
    /// Start time.
    pub start: Duration,
    /// End time.
    pub end: Duration,
    /// 0.0..=1.0, if the provider reports it.
    pub confidence: Option<f32>,
    /// Speaker label, if the provider separates speakers.
    pub speaker: Option<String>,
}

impl Transcript {
    /// Whether a local engine made the transcript, which costs nothing.
    pub fn is_local(&self) -> bool {
        self.provider.ends_with(super::LOCAL_NAME_SUFFIX)
    }

    /// Keeps segment number `i` if `kept[i]` is true, with its words and text. `rest` decides about
    /// segments beyond the end of `kept`, and about a text without segments.
    #[must_use]
    pub fn retain_segments(mut self, kept: &[bool], rest: bool) -> Self {
        let keeps = |index: usize| kept.get(index).copied().unwrap_or(rest);
        if self.segments.is_empty() && !rest {
            self.text.clear();
            self.words.clear();
            return self;
        }
        if (0..self.segments.len()).all(keeps) {
            return self;
        }
        let mut index = 0;
        let (retained, dropped): (Vec<_>, Vec<_>) = self.segments.into_iter().partition(|_| {
            index += 1;
            keeps(index - 1)
        });
        self.segments = retained;
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
    /// Transcript text never reaches a log, only its size.
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

/// The language if it looks like a language code; a provider could put any text there, so nothing
/// else may be logged.
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
