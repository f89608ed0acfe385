//! What was handed in: a file as it came, not yet opened.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::growth::Growth;
use super::unnamed_file::{FileReader, UnnamedFile};

/// The bytes of one recording as somebody made them, on disk. Cloning shares them.
///
/// Standard input, downloads and what a page sends are spooled to a file without a name first, which
/// goes when the last clone goes.
#[derive(Clone, Debug)]
pub struct Recording {
    name: String,
    file: RecordingFile,
    growth: Option<Arc<Growth>>,
    sound_track: usize,
}

#[derive(Clone, Debug)]
enum RecordingFile {
    Path(PathBuf),
    Spooled(UnnamedFile),
}

impl Recording {
    /// A file of the user's own. It is not touched before it is decoded.
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
            sound_track: 0,
        }
    }

    /// A spooled file that more is written to. `name` is what people call it.
    pub(super) fn from_spool(name: String, file: UnnamedFile, growth: Arc<Growth>) -> Self {
        Self {
            name,
            file: RecordingFile::Spooled(file),
            growth: Some(growth),
            sound_track: 0,
        }
    }

    /// Whether not all of it has come yet.
    pub fn is_growing(&self) -> bool {
        self.growth().is_some()
    }

    /// How far it has grown, unless it is whole.
    pub(super) fn growth(&self) -> Option<&Arc<Growth>> {
        self.growth.as_ref().filter(|growth| !growth.is_complete())
    }

    /// What people call it: a file name, "standard input".
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same, of which another sound track is heard, counted from the one that is heard
    /// otherwise.
    pub(super) fn with_sound_track(&self, sound_track: usize) -> Self {
        Self {
            sound_track,
            ..self.clone()
        }
    }

    /// Which of its sound tracks is heard.
    pub(super) fn sound_track(&self) -> usize {
        self.sound_track
    }

    /// Its bytes, from the beginning. Every reader has a place of its own.
    ///
    /// # Errors
    ///
    /// What the system says; [`io::ErrorKind::IsADirectory`] of a folder, and
    /// [`io::ErrorKind::Unsupported`] of anything else that is no file.
    pub fn open(&self) -> io::Result<FileReader> {
        match &self.file {
            RecordingFile::Spooled(file) => Ok(file.reader()),
            RecordingFile::Path(path) => open_path(path),
        }
    }
}

fn open_path(path: &Path) -> io::Result<FileReader> {
    // Opening a pipe or a device could block for ever, so look before.
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
