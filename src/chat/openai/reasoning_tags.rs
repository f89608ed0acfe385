//! The tags between which models write their reasoning.

/// Opening and closing tags of various models.
const REASONING_TAGS: [(&str, &str); 16] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<thoughts>", "</thoughts>"),
    ("<reasoning>", "</reasoning>"),
    ("<reason>", "</reason>"),
    ("<reflection>", "</reflection>"),
    ("<scratchpad>", "</scratchpad>"),
    ("<antthinking>", "</antthinking>"),
    ("<inner_monologue>", "</inner_monologue>"),
    ("<seed:think>", "</seed:think>"),
    ("<|think|>", "<|/think|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    (
        "<|channel|>analysis<|message|>",
        "<|channel|>final<|message|>",
    ),
    ("[think]", "[/think]"),
    ("◁think▷", "◁/think▷"),
];

/// The tag at a position.
pub(super) enum TagMatch {
    Opening(&'static str, &'static str),
    Closing(&'static str),
    /// More text is needed to decide.
    Incomplete,
    None,
}

pub(super) fn match_tag(text: &str) -> TagMatch {
    if !text.starts_with(['<', '[', '◁']) {
        return TagMatch::None;
    }
    let mut unfinished = false;
    for (opening, closing) in REASONING_TAGS {
        for candidate in [opening, closing] {
            match starts_with_tag(text, candidate) {
                Some(true) if candidate == opening => return TagMatch::Opening(opening, closing),
                Some(true) => return TagMatch::Closing(closing),
                Some(false) => {}
                None => unfinished = true,
            }
        }
    }
    if unfinished {
        TagMatch::Incomplete
    } else {
        TagMatch::None
    }
}

/// Whether `text` starts with `tag`, ignoring case; `None` if it is too short to decide.
pub(super) fn starts_with_tag(text: &str, tag: &str) -> Option<bool> {
    let (text, tag) = (text.as_bytes(), tag.as_bytes());
    let shared = text.len().min(tag.len());
    if !text[..shared].eq_ignore_ascii_case(&tag[..shared]) {
        return Some(false);
    }
    (shared == tag.len()).then_some(true)
}
