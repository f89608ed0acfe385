//! Text from others that must not reach the log.
//!
//! Errors of this program hold [`RedactedText`], [`ErrorCode`](crate::ErrorCode) and
//! [`ErrorCause`](crate::ErrorCause), never a foreign text or error as it came. However such an
//! error is printed, with `{:?}` or its chain of sources, it repeats nothing that a user or
//! provider wrote. What libraries log by themselves is filtered by the program's `telemetry`
//! module.

use std::fmt;

/// The most characters of a foreign text that are kept.
pub const MAX_REDACTED_TEXT_CHARS: usize = 300;

/// Text of a provider, of Discord, or of a library about its input. It may repeat a question, an
/// answer or a key, so `Display` and `Debug` show its size only.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct RedactedText(Box<str>);

impl RedactedText {
    /// Keeps at most [`MAX_REDACTED_TEXT_CHARS`] characters, on one line.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(shorten(text, MAX_REDACTED_TEXT_CHARS).into())
    }

    /// The text itself, for a message to the user who made the request, and for nothing else.
    #[must_use]
    pub fn expose_to_user(&self) -> &str {
        &self.0
    }

    /// Whether the text contains one of these substrings (given in lower case; case is ignored).
    /// Some failures can be recognized only by their message.
    #[must_use]
    pub fn contains_any(&self, substrings: &[&str]) -> bool {
        let text = self.0.to_lowercase();
        substrings.iter().any(|it| text.contains(it))
    }

    /// The byte offset, in the lower-case text, of the first of these substrings.
    #[must_use]
    pub fn find_first(&self, substrings: &[&str]) -> Option<usize> {
        let text = self.0.to_lowercase();
        substrings.iter().filter_map(|it| text.find(it)).min()
    }

    /// Which of these `names` (in lower case) stand as whole words after the first of the
    /// substrings.
    #[must_use]
    pub fn words_after(&self, substrings: &[&str], names: &[&'static str]) -> Vec<&'static str> {
        let text = self.0.to_lowercase();
        let rest = self
            .find_first(substrings)
            .and_then(|from| text.get(from..));
        let words: Vec<&str> = rest
            .unwrap_or_default()
            .split(|c: char| !c.is_alphanumeric())
            .collect();
        let mut names = names.to_vec();
        names.retain(|name| words.contains(name));
        names
    }

    /// Whether the text is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for RedactedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            0 => f.write_str("no reason given"),
            bytes => write!(f, "a reason of {bytes} bytes, kept out of the log"),
        }
    }
}

impl fmt::Debug for RedactedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedactedText({} bytes)", self.0.len())
    }
}

impl From<&str> for RedactedText {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// A server's request id, for its support, if it looks like one. Anything that could be words is
/// refused.
#[must_use]
pub fn loggable_id(id: &str) -> Option<String> {
    const PREFIXES: [&str; 3] = ["req_", "req-", "chatcmpl-"];
    let bare = PREFIXES.iter().find_map(|prefix| id.strip_prefix(prefix));
    let bare = bare.unwrap_or(id);
    let digits = bare.bytes().filter(u8::is_ascii_digit).count();
    let is_hex = bare.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    (is_hex && digits >= 4 && bare.len() <= 64).then(|| id.to_owned())
}

/// At most `limit` characters of `text`, on one line, followed by `…` if something was cut.
pub fn shorten(text: &str, limit: usize) -> String {
    let mut short: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(limit + 1)
        .collect();
    if short.chars().count() > limit {
        short.pop();
        short.push('…');
    }
    short.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What no way of printing may show.
    const WORD: &str = "zebrafinch";

    #[test]
    fn redacted_text_shows_only_to_the_user() {
        let text = RedactedText::new("You asked about the zebrafinch.");
        let printed = format!("{text} {text:?} {text:#?}");
        assert!(!printed.contains(WORD), "{printed}");
        assert!(text.expose_to_user().contains(WORD));
        assert!(text.contains_any(&["zebrafinch"]));
        let long = "z".repeat(10_000);
        let kept = RedactedText::new(&long);
        assert!(kept.expose_to_user().chars().count() <= MAX_REDACTED_TEXT_CHARS + 1);
    }

    #[test]
    fn only_ids_are_loggable() {
        for id in ["req_0a1b2c3d4e5f", "6f1e2d3c-1111-4222-8333-444455556666"] {
            assert_eq!(loggable_id(id).as_deref(), Some(id));
        }
        for word in [WORD, "facade", "req_zebrafinch12345", "", "dead-beef"] {
            assert_eq!(loggable_id(word), None, "{word}");
        }
    }
}
