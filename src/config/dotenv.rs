//! Loads the `.env` file. Errors never quote its contents.

use std::path::PathBuf;

/// Where settings from a `.env` file came from.
#[derive(Debug, Eq, PartialEq)]
pub enum DotEnvSource {
    /// Loaded from this file. Variables already in the environment took precedence.
    Loaded(PathBuf),
    /// There is no `.env` file here or in any folder above.
    NotFound,
}

/// Why the `.env` file can't be used. Quotes no line of it, since a line may hold a key.
#[derive(Debug, thiserror::Error)]
pub enum DotEnvError {
    /// A line that is not `NAME=value`.
    #[error(
        "the .env file has a line that is not NAME=value{}; values with spaces or # go in quotes",
        .line.map(|line| format!(" (line {line})")).unwrap_or_default()
    )]
    InvalidLine {
        /// The line number, counted from 1.
        line: Option<usize>,
    },
    /// The file exists and can't be read.
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

/// Environment variables for libraries, unless they are already set. ONNX Runtime writes a device
/// id and model to the home folder for telemetry, whatever its API was told
/// (<https://github.com/microsoft/onnxruntime/blob/main/docs/Privacy.md>).
const LIBRARY_VARIABLES: &str = "ORT_DISABLE_TELEMETRY=1\n";

/// Turns off the telemetry of libraries.
///
/// Must run before any thread starts: it changes the process's environment.
pub fn disable_library_telemetry() {
    // The constant is well-formed, so this can't fail.
    let _ = dotenvy::from_read(LIBRARY_VARIABLES.as_bytes());
}

/// The number of the line that dotenvy quotes in its error.
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
