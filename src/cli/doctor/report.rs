//! The lines of the report, and whether one of them is bad enough for exit code 1.

use crate::cli::exit::Exit;
use crate::cli::terminal;
use crate::ui_text;

/// Lines, in the order in which they are printed.
#[derive(Default)]
pub(super) struct DoctorReport {
    results: Vec<CheckResult>,
}

struct CheckResult {
    status: CheckStatus,
    name: String,
    detail: String,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum CheckStatus {
    Passed,
    Warning,
    Failed,
}

impl DoctorReport {
    pub(super) fn ok(&mut self, what: &str, how: &str) {
        self.push_line(CheckStatus::Passed, what, how);
    }

    pub(super) fn warn(&mut self, what: &str, sentence: &str) {
        self.push_line(CheckStatus::Warning, what, sentence);
    }

    pub(super) fn fail(&mut self, what: &str, sentence: &str) {
        self.push_line(CheckStatus::Failed, what, sentence);
    }

    /// Broken if it is needed, else a warning.
    pub(super) fn fail_or_warn(&mut self, needed: bool, what: &str, sentence: &str) {
        if needed {
            self.fail(what, sentence);
        } else {
            self.warn(what, sentence);
        }
    }

    pub(super) fn append(&mut self, other: Self) {
        self.results.extend(other.results);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.results.is_empty()
    }

    fn push_line(&mut self, mark: CheckStatus, what: &str, sentence: &str) {
        self.results.push(CheckResult {
            status: mark,
            name: what.to_owned(),
            detail: sentence.to_owned(),
        });
    }
}

/// What has been printed so far.
#[derive(Default)]
pub(super) struct ReportPrinter {
    has_failures: bool,
}

impl ReportPrinter {
    pub(super) fn print(&mut self, report: DoctorReport) {
        for line in report.results {
            self.has_failures |= line.status == CheckStatus::Failed;
            let mark = match line.status {
                CheckStatus::Passed => "ok  ",
                CheckStatus::Warning => "warn",
                CheckStatus::Failed => "FAIL",
            };
            // Names come from other people too.
            let (what, sentence) = (to_single_line(&line.name), to_single_line(&line.detail));
            terminal::print(&format!("{mark}  {what}: {sentence}\n"));
        }
    }

    pub(super) fn exit(&self) -> Exit {
        let (exit, sentence) = if self.has_failures {
            (Exit::Failure, ui_text::doctor::CHECKS_FAILED)
        } else {
            (Exit::Success, ui_text::doctor::CHECKS_PASSED)
        };
        terminal::print(&format!("\n{sentence}\n"));
        exit
    }
}

/// One line, whatever stands in it.
fn to_single_line(text: &str) -> String {
    ui_text::strip_control_chars(text).replace(['\n', '\t'], " ")
}
