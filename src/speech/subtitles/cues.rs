//! Builds subtitle cues: the text that is on the screen at one time.

use std::time::Duration;

use crate::millis::to_millis;
use crate::speech::segments::{SEGMENT_PAUSE, ends_sentence, is_unspaced_script, push_word};
use crate::speech::{Segment, Transcript, Word};

/// The most lines in a cue.
pub const MAX_LINES: usize = 2;
/// The most characters in a line.
pub const MAX_LINE_CHARS: usize = 42;
/// The longest time that a cue is shown.
pub const MAX_CUE_DURATION: Duration = Duration::from_secs(7);
/// The shortest time that a cue is shown, unless the next one starts earlier.
pub const MIN_CUE_DURATION: Duration = Duration::from_secs(1);

/// Assumed reading speed, in characters per second, for text without times.
const READING_CHARS_PER_SECOND: u64 = 15;

/// One or two lines of text on the screen.
#[derive(Clone, Eq, PartialEq)]
pub struct Cue {
    /// When it appears, in whole milliseconds.
    pub start: Duration,
    /// When it disappears: after `start`, and not after the next cue's `start`.
    pub end: Duration,
    /// 1..=[`MAX_LINES`] lines of 1..=[`MAX_LINE_CHARS`] characters, without line breaks.
    pub lines: Vec<String>,
    /// The speaker's name, if known.
    pub speaker: Option<String>,
}

impl std::fmt::Debug for Cue {
    /// Transcript text never reaches a log, only its times.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cue({:?}..{:?})", self.start, self.end)
    }
}

/// Text that is not broken across lines. Times in ms.
#[derive(Clone)]
struct CueToken {
    text: String,
    start: u64,
    end: u64,
    speaker: Option<String>,
    /// Whether a new cue must start here.
    starts_cue: bool,
}

/// Builds the cues of a transcript, in order and without overlap: from its words if there are any,
/// otherwise from its segments, whose time is then distributed over the text by length.
pub fn build_cues(transcript: &Transcript) -> Vec<Cue> {
    let mut tokens = if transcript.words.is_empty() {
        tokens_from_segments(transcript)
    } else {
        tokens_from_words(&transcript.words)
    };
    make_monotonic(&mut tokens);
    let mut cues: Vec<Cue> = group_into_cues(tokens)
        .iter()
        .map(|group| build_cue(group))
        .collect();
    fix_overlaps(&mut cues);
    cues
}

fn tokens_from_words(words: &[Word]) -> Vec<CueToken> {
    words
        .iter()
        .flat_map(|word| split_with_times(&word.text, word.start, word.end, &word.speaker))
        .collect()
}

fn tokens_from_segments(transcript: &Transcript) -> Vec<CueToken> {
    let whole = [Segment {
        start: Duration::ZERO,
        end: Duration::ZERO,
        text: transcript.text.clone(),
        speaker: None,
    }];
    let segments = if transcript.segments.is_empty() {
        &whole
    } else {
        &transcript.segments[..]
    };
    segments
        .iter()
        .flat_map(|segment| {
            let mut tokens =
                split_with_times(&segment.text, segment.start, segment.end, &segment.speaker);
            if let Some(first) = tokens.first_mut() {
                first.starts_cue = true;
            }
            tokens
        })
        .collect()
}

/// Splits `text` at spaces, and overlong words anywhere, and distributes the time by characters.
fn split_with_times(
    text: &str,
    start: Duration,
    end: Duration,
    speaker: &Option<String>,
) -> Vec<CueToken> {
    let pieces: Vec<String> = text.split_whitespace().flat_map(split_breakable).collect();
    let total_chars = pieces
        .iter()
        .map(|piece| piece.chars().count() as u64)
        .sum::<u64>();
    let start = to_millis(start);
    let mut span = to_millis(end).saturating_sub(start);
    if span == 0 && pieces.len() > 1 {
        span = total_chars * 1_000 / READING_CHARS_PER_SECOND;
    }
    let mut chars_before = 0;
    let mut tokens = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let chars = piece.chars().count() as u64;
        let at = |chars: u64| {
            let share = u128::from(span) * u128::from(chars) / u128::from(total_chars.max(1));
            start.saturating_add(u64::try_from(share).unwrap_or(u64::MAX))
        };
        tokens.push(CueToken {
            text: piece,
            start: at(chars_before),
            end: at(chars_before + chars),
            speaker: speaker.clone(),
            starts_cue: false,
        });
        chars_before += chars;
    }
    tokens
}

/// Splits a word into parts that fit on a line. Scripts without spaces are split at every
/// character, so that lines can break there.
fn split_breakable(word: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut chars_in_last = 0;
    let mut last = None;
    for c in word.chars() {
        let breaks = chars_in_last == MAX_LINE_CHARS
            || last.is_some_and(|last| {
                is_unspaced_script(last) && is_unspaced_script(c) && !must_not_start_line(c)
            });
        match pieces.last_mut() {
            Some(piece) if !breaks => {
                piece.push(c);
                chars_in_last += 1;
            }
            _ => {
                pieces.push(c.to_string());
                chars_in_last = 1;
            }
        }
        last = Some(c);
    }
    pieces
}

/// Punctuation and marks that must not start a line.
fn must_not_start_line(c: char) -> bool {
    matches!(c,
        '、' | '。' | '，' | '．' | '！' | '？' | '：' | '；' | '」' | '』' | '）' | '】' | 'ー'
        | '\u{0E31}' | '\u{0E33}'..='\u{0E3A}' | '\u{0E45}'..='\u{0E4E}')
}

/// Ensures that no token starts before the previous one, and none ends before it starts.
fn make_monotonic(tokens: &mut [CueToken]) {
    let mut earliest = 0;
    for token in tokens {
        token.start = token.start.max(earliest);
        token.end = token.end.max(token.start);
        earliest = token.start;
    }
}

/// Groups the tokens into cues.
fn group_into_cues(tokens: Vec<CueToken>) -> Vec<Vec<CueToken>> {
    let mut groups: Vec<Vec<CueToken>> = Vec::new();
    let mut open: Vec<CueToken> = Vec::new();
    for token in tokens {
        if let (Some(first), Some(last)) = (open.first(), open.last()) {
            let must_break = token.starts_cue
                || token.speaker != last.speaker
                || token.start.saturating_sub(last.end) >= to_millis(SEGMENT_PAUSE)
                || (ends_sentence(&last.text)
                    && last.end.saturating_sub(first.start) >= to_millis(MIN_CUE_DURATION));
            if must_break {
                groups.push(std::mem::take(&mut open));
            } else if !fits_in_cue(&open, &token) {
                let rest = open.split_off(best_cue_break(&open));
                groups.push(std::mem::replace(&mut open, rest));
                // What was carried over may still be too long together with this token.
                if !open.is_empty() && !fits_in_cue(&open, &token) {
                    groups.push(std::mem::take(&mut open));
                }
            }
        }
        open.push(token);
    }
    if !open.is_empty() {
        groups.push(open);
    }
    groups
}

/// Whether `token` fits into the cue `open`.
fn fits_in_cue(open: &[CueToken], token: &CueToken) -> bool {
    let first = open.first().unwrap_or(token);
    let texts: Vec<&str> = open
        .iter()
        .chain([token])
        .map(|token| token.text.as_str())
        .collect();
    token.end.saturating_sub(first.start) <= to_millis(MAX_CUE_DURATION)
        && break_lines(&texts).is_some()
}

/// Where to cut a full cue: after its last clause if that keeps at least half of it, else at its
/// end.
fn best_cue_break(open: &[CueToken]) -> usize {
    let clause_ends = |token: &CueToken| {
        token
            .text
            .ends_with([',', ';', ':', '—', '–', '、', '，', '；', '：'])
            || ends_sentence(&token.text)
    };
    open.iter()
        .rposition(clause_ends)
        .map(|position| position + 1)
        .filter(|&position| position * 2 >= open.len())
        .unwrap_or(open.len())
}

/// One line if the text fits, else the two most balanced lines; `None` if two are not enough.
fn break_lines(texts: &[&str]) -> Option<Vec<String>> {
    let line = |texts: &[&str]| {
        let mut line = String::new();
        for text in texts {
            push_word(&mut line, text);
        }
        line
    };
    let length = |line: &str| line.chars().count();
    let whole = line(texts);
    if length(&whole) <= MAX_LINE_CHARS {
        return Some(vec![whole]);
    }
    if length(&whole) > MAX_LINES * MAX_LINE_CHARS + 1 {
        return None;
    }
    (1..texts.len())
        .map(|at| [line(&texts[..at]), line(&texts[at..])])
        .filter(|lines| lines.iter().all(|line| length(line) <= MAX_LINE_CHARS))
        .min_by_key(|[upper, lower]| length(upper).abs_diff(length(lower)))
        .map(Vec::from)
}

fn build_cue(group: &[CueToken]) -> Cue {
    let texts: Vec<&str> = group.iter().map(|token| token.text.as_str()).collect();
    let start = group.first().map_or(0, |token| token.start);
    let end = group.iter().map(|token| token.end).max().unwrap_or(start);
    Cue {
        start: Duration::from_millis(start),
        end: Duration::from_millis(end),
        // The groups were built so that they fit.
        lines: break_lines(&texts).unwrap_or_else(|| vec![texts.join(" ")]),
        speaker: group.first().and_then(|token| token.speaker.clone()),
    }
}

/// Adjusts the times so that cues don't overlap, are not empty, and are as close to the minimum and
/// maximum duration as possible.
fn fix_overlaps(cues: &mut [Cue]) {
    const INSTANT: Duration = Duration::from_millis(1);
    let mut earliest = Duration::ZERO;
    for index in 0..cues.len() {
        let next = cues.get(index + 1).map(|next| next.start);
        let cue = &mut cues[index];
        cue.start = cue.start.max(earliest);
        let wanted = cue
            .end
            .max(cue.start.saturating_add(MIN_CUE_DURATION))
            .min(cue.start.saturating_add(MAX_CUE_DURATION));
        cue.end = next
            .map_or(wanted, |next| wanted.min(next))
            .max(cue.start.saturating_add(INSTANT));
        earliest = cue.end;
    }
}
