//! The `talkback` program. The library says what it consists of.

use std::process::ExitCode;

fn main() -> ExitCode {
    talkback::cli::main()
}
