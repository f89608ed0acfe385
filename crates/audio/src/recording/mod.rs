//! A recording as it was handed in: an unopened file.

pub(crate) mod growth;
pub(crate) mod spool;
pub(crate) mod unnamed_file;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use growth::Growth;
use unnamed_file::{FileReader, UnnamedFile};

/// The original bytes of one recording, on disk. Cloning shares them.
///
/// Standard input, downloads and browser uploads are first spooled to an unnamed file, which is
/// freed when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Recording {
    name: String,
    file: RecordingFile,
    growth: Option<Arc<Growth>>,
    audio_track: usize,
}

#[derive(Clone, Debug)]
enum RecordingFile {
    Path(PathBuf),
    Spooled(UnnamedFile),
}

impl Recording {
    /// A file that belongs to the user. It is only ever read, and not before it is decoded.
    pub fn from_path(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = path
            .file_name()
            .map_or_else(|| path.to_string_lossy(), |name| name.to_string_lossy())
            .into_owned();
        Self {
            name,
            file: RecordingFile::Path(path),
            growth: None,
            audio_track: 0,
        }
    }

    /// A spooled file that is still being written. `name` is shown to users.
    pub(crate) fn from_spool(name: String, file: UnnamedFile, growth: Arc<Growth>) -> Self {
        Self {
            name,
            file: RecordingFile::Spooled(file),
            growth: Some(growth),
            audio_track: 0,
        }
    }

    /// Whether the file is still being written.
    pub fn is_growing(&self) -> bool {
        self.growth().is_some()
    }

    /// The write progress of a file that is still being written; `None` once it is complete.
    pub(crate) fn growth(&self) -> Option<&Arc<Growth>> {
        self.growth.as_ref().filter(|growth| !growth.is_complete())
    }

    /// The name shown to users: a file name, or "standard input".
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same recording with another audio track selected. Tracks are counted from the one that
    /// is decoded by default, which is 0.
    pub(crate) fn with_audio_track(&self, audio_track: usize) -> Self {
        Self {
            audio_track,
            ..self.clone()
        }
    }

    /// Index of the selected audio track; see [`Self::with_audio_track`].
    pub(crate) fn audio_track(&self) -> usize {
        self.audio_track
    }

    /// Opens the file for reading from its beginning. Every reader has its own position.
    ///
    /// # Errors
    ///
    /// Those of the operating system; [`io::ErrorKind::IsADirectory`] for a directory, and
    /// [`io::ErrorKind::Unsupported`] for anything else that is not a regular file.
    pub fn open(&self) -> io::Result<FileReader> {
        match &self.file {
            RecordingFile::Spooled(file) => Ok(file.reader()),
            RecordingFile::Path(path) => open_path(path),
        }
    }
}

fn open_path(path: &Path) -> io::Result<FileReader> {
    // Opening a pipe or a device may block forever, so check the file type first.
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let file = std::fs::File::open(path)?;
    Ok(FileReader::new(Arc::new(file)))
}
