//! Writes files atomically.

use std::io::{self, Write};
use std::path::Path;

/// Writes `content` to `path`, replacing it. Readers see the old file or the new one, never a part;
/// an interrupted or failed write leaves nothing behind.
pub(super) fn write_atomically(path: &Path, content: &str) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".talkback-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Temporary files are created private; results get the permissions of the user's umask.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(content.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
