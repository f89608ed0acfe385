//! The recordings named on the command line; `-` is standard input.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::audio::{AudioError, Limits, Recording};

/// What standard input is called in sentences.
const STDIN: &str = "The recording on standard input";

/// One FILE argument.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Input {
    /// `-`
    Stdin,
    /// A path.
    File(PathBuf),
}

impl Input {
    /// Reads the arguments. Standard input can be read only once, so a second `-` is the first
    /// fault that is reported.
    pub(super) fn all(files: &[PathBuf]) -> Result<Vec<Self>, &'static str> {
        let inputs: Vec<Self> = files
            .iter()
            .map(|path| match path.as_os_str() == "-" {
                true => Self::Stdin,
                false => Self::File(path.clone()),
            })
            .collect();
        if inputs.iter().filter(|input| **input == Self::Stdin).count() > 1 {
            return Err("Standard input (-) can be read only once. Name it once.");
        }
        if inputs.contains(&Self::Stdin) && io::stdin().is_terminal() {
            return Err(
                "Standard input is this terminal, not a recording. Pipe one in, or name a file.",
            );
        }
        Ok(inputs)
    }

    /// As sentences call it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Stdin => STDIN.to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// As results call it: the path, or `-`.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Stdin => "-".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// The name without folder and ending, for files made from it.
    pub(super) fn stem(&self) -> String {
        match self {
            Self::Stdin => "stdin".to_owned(),
            Self::File(path) => path.file_stem().map_or_else(
                || "recording".to_owned(),
                |stem| stem.to_string_lossy().into_owned(),
            ),
        }
    }

    /// The recording. Standard input is read to its end into a temporary file, up to the limit.
    pub(super) async fn recording(&self, limits: &Limits) -> Result<Recording, AudioError> {
        match self {
            // What the shell makes of `<(command)`: it can be read once only.
            Self::File(path) if is_pipe(path) => {
                let pipe = tokio::fs::File::open(path)
                    .await
                    .map_err(AudioError::Unreadable)?;
                spool(pipe, limits).await
            }
            Self::File(path) => Ok(Recording::from_path(path)),
            Self::Stdin => spool(tokio::io::stdin(), limits).await,
        }
    }
}

#[cfg(unix)]
fn is_pipe(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

#[cfg(not(unix))]
fn is_pipe(_: &Path) -> bool {
    false
}

async fn spool(
    source: impl tokio::io::AsyncRead + Unpin,
    limits: &Limits,
) -> Result<Recording, AudioError> {
    let (file, path) = NamedTempFile::with_prefix("talkback-")
        .map_err(AudioError::Unreadable)?
        .into_parts();
    let mut file = tokio::fs::File::from_std(file);
    // One byte more than allowed tells a file at the limit from one beyond it.
    let mut bounded = source.take(limits.bytes.saturating_add(1));
    let read = tokio::io::copy(&mut bounded, &mut file)
        .await
        .map_err(AudioError::Unreadable)?;
    file.flush().await.map_err(AudioError::Unreadable)?;
    if read > limits.bytes {
        return Err(AudioError::TooManyBytes {
            limit: limits.bytes,
        });
    }
    Ok(Recording::from_temporary(STDIN, path))
}

/// The file that is made from `input` in `folder`.
pub(super) fn output_path(folder: &Path, input: &Input, extension: &str) -> PathBuf {
    folder.join(format!("{}.{extension}", input.stem()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_input_is_named_once() {
        assert!(Input::all(&["-".into(), "-".into()]).is_err());
    }

    #[tokio::test]
    async fn a_spooled_recording_goes_with_its_last_owner() {
        let recording = spool(&b"twelve bytes"[..], &Limits::default())
            .await
            .expect("spooled");
        let path = recording.path().to_owned();
        assert_eq!(std::fs::read(&path).expect("there"), b"twelve bytes");
        drop(recording);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn standard_input_ends_at_the_limit() {
        let limits = Limits {
            bytes: 11,
            ..Limits::default()
        };
        let endless = tokio::io::repeat(7);
        let error = spool(endless, &limits).await.expect_err("too much");
        assert!(matches!(error, AudioError::TooManyBytes { limit: 11 }));
    }
}
