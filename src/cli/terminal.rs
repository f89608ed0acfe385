//! How a flow looks on a terminal: progress on standard error, results on standard output.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::Notify;

use crate::flow::{Notice, Reply, Stage};
use crate::speech::{Progress, Transcript};
use crate::words;

/// How often a spinner moves.
const TICK: Duration = Duration::from_millis(100);

/// The bar that is on the screen now, so that whoever ends the process can wipe it.
static ON_SCREEN: Mutex<Option<ProgressBar>> = Mutex::new(None);

static READER_GONE: Notify = Notify::const_new();

static OUTPUT_FAILED: AtomicBool = AtomicBool::new(false);

static MIDDLE_OF_LINE: AtomicBool = AtomicBool::new(false);

/// Prints a sentence for the user on standard error, with whatever bar there is out of its way.
pub(super) fn complain(sentence: &str) {
    aside(&format!("talkback: {sentence}"));
}

/// Prints a line on standard error without a name before it.
pub(super) fn aside(line: &str) {
    let print = || {
        let _ = writeln!(io::stderr(), "{line}");
    };
    match &*on_screen() {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

/// Takes whatever bar there is off the screen.
pub(super) fn clear() {
    if let Some(bar) = on_screen().take() {
        bar.finish_and_clear();
    }
}

/// Puts `bar` on the screen in place of what is there.
pub(super) fn show(bar: ProgressBar) {
    clear();
    *on_screen() = Some(bar);
}

fn on_screen() -> MutexGuard<'static, Option<ProgressBar>> {
    ON_SCREEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes to standard output at once. When nobody reads it any more, the process is told to end.
pub(super) fn print(text: &str) {
    let Some(last) = text.chars().last() else {
        return;
    };
    MIDDLE_OF_LINE.store(last != '\n', Ordering::Relaxed);
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    if let Err(error) = written {
        // A reader that has seen enough, such as `head`, is no fault.
        if error.kind() != io::ErrorKind::BrokenPipe {
            OUTPUT_FAILED.store(true, Ordering::Relaxed);
            complain(&format!(
                "The result can't be written to standard output ({}).",
                words::cause(&error)
            ));
        }
        READER_GONE.notify_one();
    }
}

/// Ends the line that the cursor stands on, if anything stands on it.
pub(super) fn end_line() {
    if MIDDLE_OF_LINE.load(Ordering::Relaxed) {
        print("\n");
    }
}

/// Whether a part of the result could not be written.
pub(super) fn output_failed() -> bool {
    OUTPUT_FAILED.load(Ordering::Relaxed)
}

/// Resolves when standard output can't be written any more, as after `| head`.
pub(super) async fn reader_gone() {
    READER_GONE.notified().await;
}

/// Shows a flow on this terminal.
pub(super) struct TerminalReply {
    /// Whether transcript and answer are printed as they come.
    live: bool,
    provider: Mutex<Option<&'static str>>,
    /// The answer, where nobody watches it come: what is written into a file or another program
    /// can't be taken back.
    unwatched: Mutex<String>,
}

impl TerminalReply {
    /// Prints the transcript as a quotation and the answer as it comes.
    pub(super) fn live() -> Self {
        Self {
            live: true,
            provider: Mutex::new(None),
            unwatched: Mutex::default(),
        }
    }

    /// Shows progress only; the caller prints the result.
    pub(super) fn progress_only() -> Self {
        Self {
            live: false,
            provider: Mutex::new(None),
            unwatched: Mutex::default(),
        }
    }

    /// Prints what has come of the answer, if that was not done as it came.
    pub(super) fn release(&self) {
        print(&std::mem::take(&mut *self.unwatched()));
    }

    fn unwatched(&self) -> MutexGuard<'_, String> {
        self.unwatched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn message(&self, message: String) {
        if let Some(bar) = &*on_screen() {
            bar.set_message(message);
        }
    }
}

impl Reply for TerminalReply {
    fn stage(&self, stage: Stage) {
        if !io::stderr().is_terminal() {
            return;
        }
        let bar = ProgressBar::new_spinner().with_style(
            ProgressStyle::with_template("{spinner} {msg} {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        bar.set_message(words::stage(stage));
        bar.enable_steady_tick(TICK);
        show(bar);
    }

    fn notice(&self, notice: Notice<'_>) {
        if let Notice::Listening { provider } = notice {
            *self.provider.lock().unwrap_or_else(PoisonError::into_inner) = Some(provider);
            self.message(format!("{}: {provider}", words::stage(Stage::Transcribing)));
        } else if let Some(sentence) = words::notice(&notice) {
            complain(&sentence);
        }
    }

    fn decoded(&self, done: Duration) {
        self.message(format!(
            "{}: {}",
            words::stage(Stage::Decoding),
            words::length(done)
        ));
    }

    fn progressed(&self, progress: Progress) {
        let provider = self
            .provider
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .unwrap_or_default();
        self.message(format!(
            "{}: {provider}, {}",
            words::stage(Stage::Transcribing),
            words::progress(progress)
        ));
    }

    fn heard(&self, transcript: &Transcript) {
        clear();
        if self.live {
            print(&format!(
                "{}\n",
                words::quoted(&words::printable(&transcript.text))
            ));
        }
    }

    fn partial(&self, text: &str) {
        if !self.live {
            clear();
        } else if io::stdout().is_terminal() {
            clear();
            print(&words::printable(text));
        } else {
            self.unwatched().push_str(&words::printable(text));
        }
    }

    fn take_back(&self) {
        self.unwatched().clear();
        if self.live && io::stdout().is_terminal() {
            print(words::THOUGHT_ALOUD);
        }
    }
}
