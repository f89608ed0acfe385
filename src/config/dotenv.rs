//! The `.env` file: found, read, and its faults told without its contents.

use std::path::PathBuf;

/// What became of the `.env` file.
#[derive(Debug, Eq, PartialEq)]
pub enum DotEnvSource {
    /// Read from here. Variables that the environment already had were left as they were.
    Loaded(PathBuf),
    /// There is none here or in any folder above.
    NotFound,
}

/// Why the `.env` file can't be used. Holds no line of it, since a line may hold a key.
#[derive(Debug, thiserror::Error)]
pub enum DotEnvError {
    /// A line that is not `NAME=value`.
    #[error(
        "the .env file has a line that is not NAME=value{}; values with spaces or # go in quotes",
        .line.map(|line| format!(" (line {line})")).unwrap_or_default()
    )]
    InvalidLine {
        /// Which one, counted from 1.
        line: Option<usize>,
    },
    /// It is there and can't be read.
    #[error("the .env file can't be read: {0}")]
    Unreadable(std::io::Error),
}

/// Loads the nearest `.env` file, here or in a folder above, into the environment.
///
/// Must run before any thread starts: it changes the process's environment.
pub fn load() -> Result<DotEnvSource, DotEnvError> {
    match dotenvy::dotenv() {
        Ok(path) => Ok(DotEnvSource::Loaded(path)),
        Err(error) if error.not_found() => Ok(DotEnvSource::NotFound),
        Err(dotenvy::Error::Io(error)) => Err(DotEnvError::Unreadable(error)),
        Err(dotenvy::Error::LineParse(text, _)) => Err(DotEnvError::InvalidLine {
            line: line_number(&text),
        }),
        Err(_) => Err(DotEnvError::InvalidLine { line: None }),
    }
}

/// What libraries are told by the environment unless somebody has told them otherwise. ONNX Runtime
/// writes a device's number and make into the home folder, to be sent to its makers, whatever its
/// programming interface was told (<https://github.com/microsoft/onnxruntime/blob/main/docs/Privacy.md>).
const LIBRARY_VARIABLES: &str = "ORT_DISABLE_TELEMETRY=1\n";

/// Tells the libraries below to keep to themselves what they know of this machine.
///
/// Must run before any thread starts: it changes the process's environment.
pub fn disable_library_telemetry() {
    // It is a line of ours, and so right.
    let _ = dotenvy::from_read(LIBRARY_VARIABLES.as_bytes());
}

/// dotenvy names the line by its text; people look for its number.
fn line_number(text: &str) -> Option<usize> {
    let here = std::env::current_dir().ok()?;
    let file = here
        .ancestors()
        .map(|folder| folder.join(".env"))
        .find(|file| file.is_file())?;
    let content = std::fs::read_to_string(file).ok()?;
    let wanted = text.lines().next()?.trim();
    let found = content.lines().position(|line| line.trim() == wanted)?;
    Some(found + 1)
}
