//! Formats the transcript for the model, in chunks that fit its context.

use crate::chat::{prompt, token_budget};
use crate::store::{LineKind, TranscriptLine};

/// Lines of at most this many tokens, such as "Yes, right.", are dropped first if there are too
/// many.
const MAX_FILLER_TOKENS: u32 = 4;

/// Characters kept of a line. The bot's answers may be long; utterances are not.
const MAX_LINE_CHARS: usize = 2_000;

/// A transcript line, quoted so that it can't pass for anything else in a prompt.
#[derive(Clone)]
pub(super) struct PromptLine {
    pub(super) number: u32,
    pub(super) start_ms: u64,
    /// A single line: `[12] Ana: …`.
    pub(super) text: String,
    /// By [`token_budget::estimate_tokens`], including the line break.
    tokens: u32,
    is_filler: bool,
}

impl PromptLine {
    /// `None` for a line without text.
    pub(super) fn from_line(line: &TranscriptLine) -> Option<Self> {
        if !matches!(line.kind, LineKind::Speech | LineKind::Answer) {
            return None;
        }
        let content = one_line(&line.text);
        if content.is_empty() {
            return None;
        }
        let name =
            prompt::sanitize_speaker_name(&line.name).unwrap_or_else(|| "Somebody".to_owned());
        let text = format!("[{}] {name}: {content}", line.number);
        Some(Self {
            number: line.number,
            start_ms: line.start_ms,
            // Plus one for the line break.
            tokens: token_budget::estimate_tokens(&text).saturating_add(1),
            is_filler: token_budget::estimate_tokens(&content) <= MAX_FILLER_TOKENS,
            text,
        })
    }
}

fn one_line(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_LINE_CHARS)
        .collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Splits `lines` into at most `most` chunks of at most `tokens` each, oldest first, and returns
/// the number of lines left out. If there are too many, filler lines are dropped first, then the
/// oldest.
pub(super) fn split_into_chunks(
    lines: &[PromptLine],
    tokens: u32,
    max_chunks: usize,
) -> (Vec<Vec<&PromptLine>>, usize) {
    let all: Vec<&PromptLine> = lines.iter().collect();
    let (chunks, left_out) = pack_newest_first(&all, tokens, max_chunks);
    if left_out == 0 {
        return (chunks, 0);
    }
    let substantial: Vec<&PromptLine> = lines.iter().filter(|line| !line.is_filler).collect();
    let (chunks, _) = pack_newest_first(&substantial, tokens, max_chunks);
    let kept = chunks.iter().map(Vec::len).sum::<usize>();
    (chunks, lines.len() - kept)
}

/// Fills the chunks from the newest line backwards.
fn pack_newest_first<'a>(
    lines: &[&'a PromptLine],
    tokens: u32,
    max_chunks: usize,
) -> (Vec<Vec<&'a PromptLine>>, usize) {
    let mut chunks: Vec<Vec<&PromptLine>> = Vec::new();
    let mut left = 0;
    let mut kept = 0;
    for line in lines.iter().rev() {
        if chunks.is_empty() || line.tokens > left {
            if chunks.len() == max_chunks {
                break;
            }
            // A single line may exceed the limit; then the model rejects it.
            chunks.push(Vec::new());
            left = tokens;
        }
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(line);
        }
        left = left.saturating_sub(line.tokens);
        kept += 1;
    }
    for chunk in &mut chunks {
        chunk.reverse();
    }
    chunks.reverse();
    (chunks, lines.len() - kept)
}
