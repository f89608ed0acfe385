//! Unnamed temporary files. Speech is written to disk nowhere else.
//!
//! On Unix such a file never has a name, or loses it before the first byte is written; on Windows
//! it is deleted with its last handle. A killed process leaves nothing behind.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use symphonia::core::io::MediaSource;

/// A file without a name. Cloning shares it; it is deleted with the last clone and reader.
#[derive(Clone, Debug)]
pub(super) struct UnnamedFile(Arc<File>);

impl UnnamedFile {
    /// An empty file in the temporary directory.
    pub(super) fn new() -> io::Result<Self> {
        tempfile::tempfile().map(|file| Self(Arc::new(file)))
    }

    /// Writes all of `bytes` at offset `at`.
    pub(super) fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match write_at(&self.0, &bytes[done..], at + done as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(more) => done += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A reader that starts at the beginning.
    pub(super) fn reader(&self) -> FileReader {
        FileReader::new(Arc::clone(&self.0))
    }
}

/// Reads a file from its own position, independent of other readers and writers.
#[derive(Clone, Debug)]
pub struct FileReader {
    file: Arc<File>,
    position: u64,
}

impl FileReader {
    pub(super) fn new(file: Arc<File>) -> Self {
        Self { file, position: 0 }
    }

    /// Current length in bytes.
    pub fn length(&self) -> io::Result<u64> {
        self.file.metadata().map(|it| it.len())
    }
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = read_at(&self.file, buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for FileReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.length()?.checked_add_signed(by),
        };
        self.position = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl MediaSource for FileReader {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        self.length().ok()
    }
}

#[cfg(unix)]
use std::os::unix::fs::FileExt as _;

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    file.read_at(buffer, at)
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<usize> {
    file.write_at(bytes, at)
}

#[cfg(windows)]
use std::os::windows::fs::FileExt as _;

// Both also move the position of the file handle, which nothing relies on.
#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    file.seek_read(buffer, at)
}

#[cfg(windows)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<usize> {
    file.seek_write(bytes, at)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    #[test]
    fn everybody_reads_from_a_place_of_their_own() {
        let file = UnnamedFile::new().expect("a file");
        file.write(0, b"said once").expect("written");
        let (mut one, mut other) = (file.reader(), file.reader());
        let mut heard = String::new();
        one.seek(SeekFrom::End(-4)).expect("a place");
        one.read_to_string(&mut heard).expect("read");
        assert_eq!(heard, "once");
        file.write(9, b" and again").expect("written");
        heard.clear();
        other.read_to_string(&mut heard).expect("read");
        assert_eq!(heard, "said once and again");
        assert_eq!(one.length().expect("known"), 19);
        assert!(one.seek(SeekFrom::Current(-100)).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn it_has_no_name() {
        use std::os::fd::AsRawFd;
        let file = UnnamedFile::new().expect("a file");
        file.write(0, b"words").expect("written");
        let open = PathBuf::from(format!("/proc/self/fd/{}", file.0.as_raw_fd()));
        let name = std::fs::read_link(open).expect("a link");
        assert!(!name.exists(), "{}", name.display());
    }

    /// Other code may create named files only for models, results and the usage ledger.
    #[test]
    fn nothing_else_makes_temporary_files() {
        const MAY: [&str; 4] = [
            "crates/audio/src/speech_file.rs",
            "src/cli/doctor/folders.rs",
            "src/cli/output.rs",
            "src/models/wheel.rs",
        ];
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut folders: Vec<_> = [
            "src",
            "crates/audio/src",
            "crates/net/src",
            "crates/voice-receive/src",
        ]
        .iter()
        .map(|folder| root.join(folder))
        .collect();
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let source = std::fs::read_to_string(&path).unwrap_or_default();
                let program = source.split("#[cfg(test)]\nmod tests {").next();
                let makes = ["tempfile", "temp_dir()", "File::create", "fs::write("]
                    .iter()
                    .any(|sign| program.is_some_and(|it| it.contains(sign)));
                let is_test = path.file_stem().is_some_and(|it| {
                    let name = it.to_string_lossy();
                    name == "tests" || name.ends_with("_tests")
                });
                if makes && !is_test {
                    let name = path.strip_prefix(&root).expect("inside");
                    found.push(name.to_string_lossy().replace('\\', "/"));
                }
            }
        }
        found.retain(|name| !MAY.contains(&name.as_str()) && !name.starts_with("src/models/"));
        assert_eq!(found, Vec::<String>::new());
    }
}
