//! SHA-256 checksums.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

/// Bytes read at a time.
const CHUNK: usize = 128 * 1024;

/// The SHA-256 checksum of `source` in lower-case hexadecimal, and its length in bytes.
pub(super) fn sha256(mut source: impl Read) -> io::Result<(String, u64)> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let mut length = 0;
    loop {
        match source.read(&mut buffer)? {
            0 => return Ok((hex(&hash.finalize()), length)),
            read => {
                hash.update(&buffer[..read]);
                length += read as u64;
            }
        }
    }
}

/// The checksum of the file at `path`.
pub(super) fn sha256_of_file(path: &Path) -> io::Result<String> {
    sha256(File::open(path)?).map(|(sum, _)| sum)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
