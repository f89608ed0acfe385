//! The lines of the report, and whether one of them leads to exit code 1.

use crate::cli::exit::Exit;
use crate::cli::terminal;
use crate::ui_text;

/// Lines in the order in which they are printed.
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
    pub(super) fn ok(&mut self, name: &str, detail: &str) {
        self.push_line(CheckStatus::Passed, name, detail);
    }

    pub(super) fn warn(&mut self, name: &str, detail: &str) {
        self.push_line(CheckStatus::Warning, name, detail);
    }

    pub(super) fn fail(&mut self, name: &str, detail: &str) {
        self.push_line(CheckStatus::Failed, name, detail);
    }

    /// Fails if `needed`, else warns.
    pub(super) fn fail_or_warn(&mut self, needed: bool, name: &str, detail: &str) {
        if needed {
            self.fail(name, detail);
        } else {
            self.warn(name, detail);
        }
    }

    pub(super) fn append(&mut self, other: Self) {
        self.results.extend(other.results);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.results.is_empty()
    }

    fn push_line(&mut self, status: CheckStatus, name: &str, detail: &str) {
        self.results.push(CheckResult {
            status,
            name: name.to_owned(),
            detail: detail.to_owned(),
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
            // Names of servers and channels come from users.
            let (name, detail) = (to_single_line(&line.name), to_single_line(&line.detail));
            terminal::print(&format!("{mark}  {name}: {detail}\n"));
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

/// Replaces line breaks, so that a report line stays one line.
fn to_single_line(text: &str) -> String {
    ui_text::strip_control_chars(text).replace(['\n', '\t'], " ")
}
