//! Words become cues: what is on the screen at one time.

use std::time::Duration;

use crate::speech::segments::{PAUSE, ends_sentence, is_unspaced, push_word};
use crate::speech::{Segment, Transcript, Word};

/// The most lines of a cue.
pub const LINES: usize = 2;
/// The most characters of a line.
pub const LINE_CHARS: usize = 42;
/// The longest that a cue stays.
pub const LONGEST: Duration = Duration::from_secs(7);
/// How long a cue stays at least, if the next one leaves it the time.
pub const SHORTEST: Duration = Duration::from_secs(1);

/// Characters a second that are assumed where text has no times of its own.
const READING_SPEED: u64 = 15;

/// One or two lines of text on the screen.
#[derive(Clone, Eq, PartialEq)]
pub struct Cue {
    /// When it appears, in whole milliseconds.
    pub start: Duration,
    /// When it goes: after `start`, and not after the next one's `start`.
    pub end: Duration,
    /// 1..=[`LINES`] lines of 1..=[`LINE_CHARS`] characters, without line breaks.
    pub lines: Vec<String>,
    /// Who speaks, where known.
    pub speaker: Option<String>,
}

impl std::fmt::Debug for Cue {
    /// Speech never reaches a log: only its place does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cue({:?}..{:?})", self.start, self.end)
    }
}

/// A piece of text that stays on one line. Times in ms.
#[derive(Clone)]
struct Token {
    text: String,
    start: u64,
    end: u64,
    speaker: Option<String>,
    /// Whether a new cue has to begin here.
    fresh: bool,
}

/// The cues of a transcript: from its words if there are any, else from its segments, whose time
/// is then dealt out by length. They are in order and do not overlap.
pub fn cues(transcript: &Transcript) -> Vec<Cue> {
    let mut tokens = if transcript.words.is_empty() {
        tokens_of_segments(transcript)
    } else {
        tokens_of_words(&transcript.words)
    };
    put_in_order(&mut tokens);
    let mut cues: Vec<Cue> = group(tokens).iter().map(|group| lay_out(group)).collect();
    settle_times(&mut cues);
    cues
}

fn tokens_of_words(words: &[Word]) -> Vec<Token> {
    words
        .iter()
        .flat_map(|word| spread(&word.text, word.start, word.end, &word.speaker))
        .collect()
}

fn tokens_of_segments(transcript: &Transcript) -> Vec<Token> {
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
            let mut tokens = spread(&segment.text, segment.start, segment.end, &segment.speaker);
            if let Some(first) = tokens.first_mut() {
                first.fresh = true;
            }
            tokens
        })
        .collect()
}

/// Cuts `text` at its spaces, and what is longer than a line anywhere, and deals out the time by
/// characters.
fn spread(text: &str, start: Duration, end: Duration, speaker: &Option<String>) -> Vec<Token> {
    let pieces: Vec<String> = text.split_whitespace().flat_map(pieces).collect();
    let all = pieces
        .iter()
        .map(|piece| piece.chars().count() as u64)
        .sum::<u64>();
    let start = milliseconds(start);
    let mut span = milliseconds(end).saturating_sub(start);
    if span == 0 && pieces.len() > 1 {
        span = all * 1_000 / READING_SPEED;
    }
    let mut before = 0;
    let mut tokens = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let chars = piece.chars().count() as u64;
        let at = |chars: u64| {
            let share = u128::from(span) * u128::from(chars) / u128::from(all.max(1));
            start.saturating_add(u64::try_from(share).unwrap_or(u64::MAX))
        };
        tokens.push(Token {
            text: piece,
            start: at(before),
            end: at(before + chars),
            speaker: speaker.clone(),
            fresh: false,
        });
        before += chars;
    }
    tokens
}

/// Pieces of a line at most; scripts without spaces are cut at every character, so that lines
/// can break there.
fn pieces(word: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut chars_in_last = 0;
    let mut last = None;
    for c in word.chars() {
        let breaks = chars_in_last == LINE_CHARS
            || last.is_some_and(|last| is_unspaced(last) && is_unspaced(c) && !clings(c));
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

/// Punctuation and marks that must not begin a line.
fn clings(c: char) -> bool {
    matches!(c,
        '、' | '。' | '，' | '．' | '！' | '？' | '：' | '；' | '」' | '』' | '）' | '】' | 'ー'
        | '\u{0E31}' | '\u{0E33}'..='\u{0E3A}' | '\u{0E45}'..='\u{0E4E}')
}

/// No token begins before the one in front of it, and none ends before it begins.
fn put_in_order(tokens: &mut [Token]) {
    let mut earliest = 0;
    for token in tokens {
        token.start = token.start.max(earliest);
        token.end = token.end.max(token.start);
        earliest = token.start;
    }
}

/// Deals the tokens out to cues.
fn group(tokens: Vec<Token>) -> Vec<Vec<Token>> {
    let mut groups: Vec<Vec<Token>> = Vec::new();
    let mut open: Vec<Token> = Vec::new();
    for token in tokens {
        if let (Some(first), Some(last)) = (open.first(), open.last()) {
            let must_break = token.fresh
                || token.speaker != last.speaker
                || token.start.saturating_sub(last.end) >= milliseconds(PAUSE)
                || (ends_sentence(&last.text)
                    && last.end.saturating_sub(first.start) >= milliseconds(SHORTEST));
            if must_break {
                groups.push(std::mem::take(&mut open));
            } else if !fits(&open, &token) {
                let rest = open.split_off(best_break(&open));
                groups.push(std::mem::replace(&mut open, rest));
                // What was carried over may still be too long together with this one.
                if !open.is_empty() && !fits(&open, &token) {
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

/// Whether a cue may hold `open` and `token`.
fn fits(open: &[Token], token: &Token) -> bool {
    let first = open.first().unwrap_or(token);
    let texts: Vec<&str> = open
        .iter()
        .chain([token])
        .map(|token| token.text.as_str())
        .collect();
    token.end.saturating_sub(first.start) <= milliseconds(LONGEST) && break_lines(&texts).is_some()
}

/// Where a full cue is cut: behind its last clause if that leaves at least half of it, else at
/// its end.
fn best_break(open: &[Token]) -> usize {
    let clause_ends = |token: &Token| {
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

/// One line if it fits, else the two that fit and are most alike; `None` if two are not enough.
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
    if length(&whole) <= LINE_CHARS {
        return Some(vec![whole]);
    }
    if length(&whole) > LINES * LINE_CHARS + 1 {
        return None;
    }
    (1..texts.len())
        .map(|at| [line(&texts[..at]), line(&texts[at..])])
        .filter(|lines| lines.iter().all(|line| length(line) <= LINE_CHARS))
        .min_by_key(|[upper, lower]| length(upper).abs_diff(length(lower)))
        .map(Vec::from)
}

fn lay_out(group: &[Token]) -> Cue {
    let texts: Vec<&str> = group.iter().map(|token| token.text.as_str()).collect();
    let start = group.first().map_or(0, |token| token.start);
    let end = group.iter().map(|token| token.end).max().unwrap_or(start);
    Cue {
        start: Duration::from_millis(start),
        end: Duration::from_millis(end),
        // Groups are made so that they fit.
        lines: break_lines(&texts).unwrap_or_else(|| vec![texts.join(" ")]),
        speaker: group.first().and_then(|token| token.speaker.clone()),
    }
}

/// Every cue gets a time of its own: no overlap, none empty, none too long, none shorter than
/// need be.
fn settle_times(cues: &mut [Cue]) {
    const INSTANT: Duration = Duration::from_millis(1);
    let mut earliest = Duration::ZERO;
    for index in 0..cues.len() {
        let next = cues.get(index + 1).map(|next| next.start);
        let cue = &mut cues[index];
        cue.start = cue.start.max(earliest);
        let wanted = cue
            .end
            .max(cue.start.saturating_add(SHORTEST))
            .min(cue.start.saturating_add(LONGEST));
        cue.end = next
            .map_or(wanted, |next| wanted.min(next))
            .max(cue.start.saturating_add(INSTANT));
        earliest = cue.end;
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
