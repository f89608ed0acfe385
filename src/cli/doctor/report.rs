//! The lines of the report, and whether one of them is bad enough for exit code 1.

use crate::cli::exit::Exit;
use crate::cli::terminal;
use crate::words;

/// Lines, in the order in which they are printed.
#[derive(Default)]
pub(super) struct Report {
    lines: Vec<Line>,
}

struct Line {
    mark: Mark,
    what: String,
    sentence: String,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Mark {
    Fine,
    Warning,
    Broken,
}

impl Report {
    pub(super) fn ok(&mut self, what: &str, how: &str) {
        self.line(Mark::Fine, what, how);
    }

    pub(super) fn warn(&mut self, what: &str, sentence: &str) {
        self.line(Mark::Warning, what, sentence);
    }

    pub(super) fn broken(&mut self, what: &str, sentence: &str) {
        self.line(Mark::Broken, what, sentence);
    }

    /// Broken if it is needed, else a warning.
    pub(super) fn graded(&mut self, needed: bool, what: &str, sentence: &str) {
        if needed {
            self.broken(what, sentence);
        } else {
            self.warn(what, sentence);
        }
    }

    pub(super) fn append(&mut self, other: Self) {
        self.lines.extend(other.lines);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn line(&mut self, mark: Mark, what: &str, sentence: &str) {
        self.lines.push(Line {
            mark,
            what: what.to_owned(),
            sentence: sentence.to_owned(),
        });
    }
}

/// What has been printed so far.
#[derive(Default)]
pub(super) struct Printed {
    broken: bool,
}

impl Printed {
    pub(super) fn print(&mut self, report: Report) {
        for line in report.lines {
            self.broken |= line.mark == Mark::Broken;
            let mark = match line.mark {
                Mark::Fine => "ok  ",
                Mark::Warning => "warn",
                Mark::Broken => "FAIL",
            };
            // Names come from other people too.
            let (what, sentence) = (printable(&line.what), printable(&line.sentence));
            terminal::print(&format!("{mark}  {what}: {sentence}\n"));
        }
    }

    pub(super) fn exit(&self) -> Exit {
        let (exit, sentence) = if self.broken {
            (Exit::Failure, words::doctor::BROKEN)
        } else {
            (Exit::Success, words::doctor::WELL)
        };
        terminal::print(&format!("\n{sentence}\n"));
        exit
    }
}

/// One line, whatever stands in it.
fn printable(text: &str) -> String {
    words::printable(text).replace(['\n', '\t'], " ")
}
