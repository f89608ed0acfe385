//! llama.cpp's log.
//!
//! llama.cpp logs about a hundred lines for every model it loads, and reports the reason of a
//! failure only there. During [`capture_errors`], its errors are collected and everything else is
//! dropped. At other times it logs only errors, which go to `tracing` under the target
//! `llama-cpp-2`. No line contains a prompt or an answer.

use std::sync::{Arc, Mutex, Once, PoisonError};

use llama_cpp_2::{LogOptions, send_logs_to_tracing};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// The most error lines kept per call.
const MAX_LINES: usize = 4;
/// The most characters kept per line.
const MAX_LINE: usize = 300;

/// Sends llama.cpp's log to `tracing`. Call it before any other function of llama.cpp.
pub(super) fn redirect_to_tracing() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| send_logs_to_tracing(LogOptions::default()));
}

/// Runs `work`; returns its result and the errors that llama.cpp logged on this thread.
pub(super) fn capture_errors<T>(work: impl FnOnce() -> T) -> (T, String) {
    let heard = ErrorCapture::default();
    let result = tracing::subscriber::with_default(heard.clone(), work);
    let lines = heard.0.lock().unwrap_or_else(PoisonError::into_inner);
    (result, lines.join("; "))
}

#[derive(Clone, Default)]
struct ErrorCapture(Arc<Mutex<Vec<String>>>);

impl Subscriber for ErrorCapture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() == Level::ERROR
    }

    fn event(&self, event: &Event<'_>) {
        if !self.enabled(event.metadata()) {
            return;
        }
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < MAX_LINES {
            let mut line = LogMessage(String::new());
            event.record(&mut line);
            lines.push(line.0);
        }
    }

    // Spans are ignored.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct LogMessage(String);

impl Visit for LogMessage {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.0 = value.trim().chars().take(MAX_LINE).collect();
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_kept_and_the_rest_is_dropped() {
        let (result, errors) = capture_errors(|| {
            tracing::event!(Level::INFO, message = "loading");
            for line in ["one ", "two", "three", "four", "five"] {
                tracing::event!(Level::ERROR, message = line);
            }
            7
        });
        assert_eq!(result, 7);
        assert_eq!(errors, "one; two; three; four");
    }
}
