//! Shows a pipeline run on a terminal: progress on standard error, results on standard output.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::Notify;

use crate::flow::{PipelineNotice, PipelineStage, Reply};
use crate::speech::{Transcript, TranscriptionProgress};
use crate::ui_text;

/// The spinner's frame interval.
const SPINNER_INTERVAL: Duration = Duration::from_millis(100);

/// The bar on the screen, so that it can be cleared when the process ends.
static CURRENT_BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

static STDOUT_CLOSED: Notify = Notify::const_new();

static OUTPUT_FAILED: AtomicBool = AtomicBool::new(false);

static IS_MID_LINE: AtomicBool = AtomicBool::new(false);

/// Prints an error message on standard error, above the current bar.
pub(super) fn print_error(sentence: &str) {
    print_note(&format!("talkback: {sentence}"));
}

/// Prints a line on standard error without the program's name.
pub(super) fn print_note(line: &str) {
    let print = || {
        let _ = writeln!(io::stderr(), "{line}");
    };
    match &*current_bar() {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

/// Removes the current bar from the screen.
pub(super) fn clear_bar() {
    if let Some(bar) = current_bar().take() {
        bar.finish_and_clear();
    }
}

/// Replaces the current bar.
pub(super) fn show_bar(bar: ProgressBar) {
    clear_bar();
    *current_bar() = Some(bar);
}

fn current_bar() -> MutexGuard<'static, Option<ProgressBar>> {
    CURRENT_BAR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes to standard output at once. If that fails, [`stdout_closed`] resolves.
pub(super) fn print(text: &str) {
    let Some(last) = text.chars().last() else {
        return;
    };
    IS_MID_LINE.store(last != '\n', Ordering::Relaxed);
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    if let Err(error) = written {
        // A reader that stops early, such as `head`, is not an error.
        if error.kind() != io::ErrorKind::BrokenPipe {
            OUTPUT_FAILED.store(true, Ordering::Relaxed);
            print_error(&format!(
                "The result can't be written to standard output ({}).",
                ui_text::io_error_cause(&error)
            ));
        }
        STDOUT_CLOSED.notify_one();
    }
}

/// Ends the current line of standard output, if it has text.
pub(super) fn end_line() {
    if IS_MID_LINE.load(Ordering::Relaxed) {
        print("\n");
    }
}

/// Whether a part of the result could not be written.
pub(super) fn output_failed() -> bool {
    OUTPUT_FAILED.load(Ordering::Relaxed)
}

/// Resolves when standard output can no longer be written, as with `| head`.
pub(super) async fn stdout_closed() {
    STDOUT_CLOSED.notified().await;
}

/// Shows a pipeline run on this terminal.
pub(super) struct TerminalReply {
    /// Whether transcript and answer are printed as they arrive.
    is_streaming: bool,
    provider: Mutex<Option<&'static str>>,
    /// The answer so far, if standard output is a file or a pipe. Printed text could not be
    /// retracted there when it turns out to be reasoning.
    buffered_answer: Mutex<String>,
}

impl TerminalReply {
    /// Prints the transcript as a quotation and the answer as it arrives.
    pub(super) fn streaming() -> Self {
        Self {
            is_streaming: true,
            provider: Mutex::new(None),
            buffered_answer: Mutex::default(),
        }
    }

    /// Shows progress only; the caller prints the result.
    pub(super) fn progress_only() -> Self {
        Self {
            is_streaming: false,
            provider: Mutex::new(None),
            buffered_answer: Mutex::default(),
        }
    }

    /// Prints the buffered part of the answer.
    pub(super) fn print_buffered_answer(&self) {
        print(&std::mem::take(&mut *self.buffered_answer()));
    }

    fn buffered_answer(&self) -> MutexGuard<'_, String> {
        self.buffered_answer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn set_bar_message(&self, message: String) {
        if let Some(bar) = &*current_bar() {
            bar.set_message(message);
        }
    }
}

impl Reply for TerminalReply {
    fn enter_stage(&self, stage: PipelineStage) {
        if !io::stderr().is_terminal() {
            return;
        }
        let bar = ProgressBar::new_spinner().with_style(
            ProgressStyle::with_template("{spinner} {msg} {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        bar.set_message(ui_text::stage(stage));
        bar.enable_steady_tick(SPINNER_INTERVAL);
        show_bar(bar);
    }

    fn show_notice(&self, notice: PipelineNotice<'_>) {
        if let PipelineNotice::ProviderStarted { provider } = notice {
            *self.provider.lock().unwrap_or_else(PoisonError::into_inner) = Some(provider);
            self.set_bar_message(format!(
                "{}: {provider}",
                ui_text::stage(PipelineStage::Transcribing)
            ));
        } else if let Some(sentence) = ui_text::notice(&notice) {
            print_error(&sentence);
        }
    }

    fn show_decode_progress(&self, done: Duration) {
        self.set_bar_message(format!(
            "{}: {}",
            ui_text::stage(PipelineStage::Decoding),
            ui_text::format_duration(done)
        ));
    }

    fn show_transcription_progress(&self, progress: TranscriptionProgress) {
        let provider = self
            .provider
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .unwrap_or_default();
        self.set_bar_message(format!(
            "{}: {provider}, {}",
            ui_text::stage(PipelineStage::Transcribing),
            ui_text::progress(progress)
        ));
    }

    fn show_transcript(&self, transcript: &Transcript) {
        clear_bar();
        if self.is_streaming {
            print(&format!(
                "{}\n",
                ui_text::quote_lines(&ui_text::strip_control_chars(&transcript.text))
            ));
        }
    }

    fn append_answer(&self, text: &str) {
        if !self.is_streaming {
            clear_bar();
        } else if io::stdout().is_terminal() {
            clear_bar();
            print(&ui_text::strip_control_chars(text));
        } else {
            self.buffered_answer()
                .push_str(&ui_text::strip_control_chars(text));
        }
    }

    fn retract_answer(&self) {
        self.buffered_answer().clear();
        if self.is_streaming && io::stdout().is_terminal() {
            print(ui_text::REASONING_ENDED);
        }
    }
}
