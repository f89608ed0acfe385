//! Durations, sizes and text from outside, in the form in which users read them.

use std::fmt::Write as _;
use std::time::Duration;

/// A duration as people say it: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`.
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let mut text = String::new();
    match seconds {
        0 if duration.subsec_millis() > 0 => {
            let _ = write!(text, "{:.1} s", duration.as_secs_f64());
        }
        0..60 => {
            let _ = write!(text, "{seconds} s");
        }
        60..3_600 => {
            let _ = write!(text, "{} min", seconds / 60);
            if !seconds.is_multiple_of(60) {
                let _ = write!(text, " {} s", seconds % 60);
            }
        }
        _ => {
            let _ = write!(text, "{} h", seconds / 3_600);
            if !(seconds / 60).is_multiple_of(60) {
                let _ = write!(text, " {} min", seconds / 60 % 60);
            }
        }
    }
    text
}

/// A number of bytes in binary units: `512.00 MiB`.
pub fn format_bytes(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// Removes control characters, which a terminal would act on. Line breaks and tabs stay.
pub fn strip_control_chars(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}

/// Prefixes every line with `> `, Markdown's quotation.
pub fn quote_lines(text: &str) -> String {
    text.trim()
        .lines()
        .map(|line| format!("> {line}\n"))
        .collect()
}

/// Makes text from a provider or the system fit for brackets inside one of our sentences.
pub(super) fn sanitize_fragment(text: &str) -> String {
    let text = strip_control_chars(text);
    text.trim().trim_end_matches('.').to_owned()
}

/// The system's message for an error, without the `(os error N)` that the library adds.
pub fn io_error_cause(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut characters = text.chars();
    characters
        .next()
        .map(|first| first.to_lowercase().chain(characters).collect())
        .unwrap_or_default()
}

/// For a subject in the middle of a sentence: “The recording” becomes “the recording”.
pub(super) fn lowercase_first(text: &str) -> String {
    match text.strip_prefix("The ") {
        Some(rest) => format!("the {rest}"),
        None => text.to_owned(),
    }
}
