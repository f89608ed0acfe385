//! The recordings named on the command line; `-` is standard input.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use tokio::io::AsyncReadExt;

use audio::{AudioError, AudioLimits, Recording, Spool};

/// How messages refer to standard input.
const STDIN_DISPLAY_NAME: &str = "The recording on standard input";

/// One FILE argument.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum InputFile {
    /// `-`
    Stdin,
    /// A path.
    File(PathBuf),
}

impl InputFile {
    /// Parses the arguments. Standard input can be read only once, so a second `-` is an error.
    pub(super) fn parse_all(files: &[PathBuf]) -> Result<Vec<Self>, &'static str> {
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

    /// The name for messages.
    pub(super) fn display_name(&self) -> String {
        match self {
            Self::Stdin => STDIN_DISPLAY_NAME.to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// The name for results: the path, or `-`.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Stdin => "-".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// The name without folder and extension, for output files.
    pub(super) fn file_stem(&self) -> String {
        match self {
            Self::Stdin => "stdin".to_owned(),
            Self::File(path) => path.file_stem().map_or_else(
                || "recording".to_owned(),
                |stem| stem.to_string_lossy().into_owned(),
            ),
        }
    }

    /// Opens the recording. Standard input is first copied to a temporary file, up to the limit.
    pub(super) async fn open_recording(
        &self,
        limits: &AudioLimits,
    ) -> Result<Recording, AudioError> {
        match self {
            // What a shell passes for `<(command)`. It can be read only once.
            Self::File(path) if is_pipe(path) => {
                let pipe = tokio::fs::File::open(path)
                    .await
                    .map_err(AudioError::Unreadable)?;
                spool_to_temp_file(pipe, limits).await
            }
            Self::File(path) => Ok(Recording::from_path(path)),
            Self::Stdin => spool_to_temp_file(tokio::io::stdin(), limits).await,
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

/// The size of reads from standard input, in bytes.
const READ_CHUNK_BYTES: usize = 64 * 1024;

async fn spool_to_temp_file(
    mut source: impl tokio::io::AsyncRead + Unpin,
    limits: &AudioLimits,
) -> Result<Recording, AudioError> {
    let mut spool = Spool::new(limits.bytes)?;
    let mut piece = vec![0; READ_CHUNK_BYTES];
    loop {
        let length = source
            .read(&mut piece)
            .await
            .map_err(AudioError::Unreadable)?;
        if length == 0 {
            return spool.finish(STDIN_DISPLAY_NAME);
        }
        spool.write(&piece[..length])?;
    }
}

/// The output file for `input` in `folder`.
pub(super) fn output_path(folder: &Path, input: &InputFile, extension: &str) -> PathBuf {
    folder.join(format!("{}.{extension}", input.file_stem()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_input_is_named_once() {
        assert!(InputFile::parse_all(&["-".into(), "-".into()]).is_err());
    }

    #[tokio::test]
    async fn standard_input_ends_at_the_limit() {
        let limits = AudioLimits {
            bytes: 11,
            ..AudioLimits::default()
        };
        let endless = tokio::io::repeat(7);
        let error = spool_to_temp_file(endless, &limits)
            .await
            .expect_err("too much");
        assert!(matches!(error, AudioError::TooManyBytes { limit: 11 }));
    }
}
