//! What was handed in: a file as it came, not yet opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempPath;

use super::growth::Growth;

/// The bytes of one recording as somebody made them, on disk. Cloning shares them.
///
/// Standard input and downloads are spooled to a temporary file first, which goes when the
/// last clone goes.
#[derive(Clone, Debug)]
pub struct Recording {
    name: String,
    file: File,
    growth: Option<Arc<Growth>>,
}

#[derive(Clone, Debug)]
enum File {
    Named(PathBuf),
    Temporary(Arc<TempPath>),
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
            file: File::Named(path),
            growth: None,
        }
    }

    /// A spooled file, removed together with the last clone. `name` is what people call it.
    pub fn from_temporary(name: impl Into<String>, path: impl Into<Arc<TempPath>>) -> Self {
        Self {
            name: name.into(),
            file: File::Temporary(path.into()),
            growth: None,
        }
    }

    /// A spooled file that more is written to.
    pub(super) fn growing(mut self, growth: Arc<Growth>) -> Self {
        self.growth = Some(growth);
        self
    }

    /// Whether not all of it has come yet.
    pub fn is_growing(&self) -> bool {
        self.growth().is_some()
    }

    /// How far it has grown, unless it is whole.
    pub(super) fn growth(&self) -> Option<&Arc<Growth>> {
        self.growth.as_ref().filter(|growth| !growth.is_whole())
    }

    /// What people call it: a file name, "standard input".
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the bytes are.
    pub fn path(&self) -> &Path {
        match &self.file {
            File::Named(path) => path,
            File::Temporary(path) => path,
        }
    }
}
