//! The transcript as a model reads it, in parts that it can read.

use crate::chat::{prompt, token_budget};
use crate::store::{LineKind, TranscriptLine};

/// Tokens of a line that says no more than "Yes, right.": it may go where there is too much.
const MAX_FILLER_TOKENS: u32 = 4;

/// The most characters of a line: a bot's answer may be long, what people say is not.
const MAX_LINE_CHARS: usize = 2_000;

/// A line of what was said, quoted so that it can't pass for anything else.
#[derive(Clone)]
pub(super) struct PromptLine {
    pub(super) number: u32,
    pub(super) start_ms: u64,
    /// `[12] Ana: …`, one line.
    pub(super) text: String,
    /// By [`budget::estimate_tokens`].
    tokens: u32,
    is_filler: bool,
}

impl PromptLine {
    /// None if nothing is said in it.
    pub(super) fn from_line(line: &TranscriptLine) -> Option<Self> {
        if !matches!(line.kind, LineKind::Speech | LineKind::Answer) {
            return None;
        }
        let said = one_line(&line.text);
        if said.is_empty() {
            return None;
        }
        let name =
            prompt::sanitize_speaker_name(&line.name).unwrap_or_else(|| "Somebody".to_owned());
        let text = format!("[{}] {name}: {said}", line.number);
        Some(Self {
            number: line.number,
            start_ms: line.start_ms,
            // With its line break.
            tokens: token_budget::estimate_tokens(&text).saturating_add(1),
            is_filler: token_budget::estimate_tokens(&said) <= MAX_FILLER_TOKENS,
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

/// Cuts `lines` into at most `most` parts of at most `tokens`, oldest first, and says how many
/// lines are left out. If there are too many of them, those that say next to nothing go first, and
/// then the oldest.
pub(super) fn split_into_chunks(
    lines: &[PromptLine],
    tokens: u32,
    most: usize,
) -> (Vec<Vec<&PromptLine>>, usize) {
    let all: Vec<&PromptLine> = lines.iter().collect();
    let (parts, left_out) = pack_newest_first(&all, tokens, most);
    if left_out == 0 {
        return (parts, 0);
    }
    let telling: Vec<&PromptLine> = lines.iter().filter(|line| !line.is_filler).collect();
    let (parts, _) = pack_newest_first(&telling, tokens, most);
    let kept = parts.iter().map(Vec::len).sum::<usize>();
    (parts, lines.len() - kept)
}

/// Packed from the newest line backwards.
fn pack_newest_first<'a>(
    lines: &[&'a PromptLine],
    tokens: u32,
    most: usize,
) -> (Vec<Vec<&'a PromptLine>>, usize) {
    let mut parts: Vec<Vec<&PromptLine>> = Vec::new();
    let mut left = 0;
    let mut kept = 0;
    for line in lines.iter().rev() {
        if parts.is_empty() || line.tokens > left {
            if parts.len() == most {
                break;
            }
            // A line that is too long by itself is the model's to refuse.
            parts.push(Vec::new());
            left = tokens;
        }
        if let Some(part) = parts.last_mut() {
            part.push(line);
        }
        left = left.saturating_sub(line.tokens);
        kept += 1;
    }
    for part in &mut parts {
        part.reverse();
    }
    parts.reverse();
    (parts, lines.len() - kept)
}
