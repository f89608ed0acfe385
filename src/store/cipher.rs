//! Encryption at rest of what people said.

use std::io::{self, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret, SecretString};

use super::{KeySource, StoreError, open_private_file};

/// Bytes of an XChaCha20 nonce: long enough that random ones don't collide.
const NONCE_LEN: usize = 24;

/// Characters of a key in Base64.
const KEY_BASE64_LEN: usize = 44;

/// XChaCha20-Poly1305 with one key. Sealed text is a nonce followed by the ciphertext. It is bound
/// to its column and row, so that rows can't be swapped.
#[derive(Clone)]
pub struct StoreCipher(XChaCha20Poly1305);

impl std::fmt::Debug for StoreCipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher")
    }
}

impl StoreCipher {
    /// Reads a key of 32 bytes in Base64.
    ///
    /// # Errors
    ///
    /// [`StoreError::BadKey`] if it is anything else.
    pub fn from_base64(key: &SecretString) -> Result<Self, StoreError> {
        let bytes = STANDARD
            .decode(key.expose_secret().trim())
            .map_err(|_| StoreError::BadKey)?;
        XChaCha20Poly1305::new_from_slice(&bytes)
            .map(Self)
            .map_err(|_| StoreError::BadKey)
    }

    /// Reads the key file, or creates one if `may_generate` is set: nothing has been written with
    /// another key then.
    pub(super) fn from_file(
        path: &Path,
        may_generate: bool,
    ) -> Result<(Self, KeySource), StoreError> {
        match std::fs::read(path) {
            Ok(bytes) => {
                let key = String::from_utf8_lossy(&bytes);
                // A file may contain zeros after a power failure.
                let key = key.trim_matches(|c: char| c.is_whitespace() || c == '\0');
                if let Ok(cipher) = Self::from_base64(&SecretString::from(key)) {
                    return Ok((cipher, KeySource::File(path.to_owned())));
                }
                // A key that was cut off while it was written has never encrypted anything.
                if !may_generate || key.len() >= KEY_BASE64_LEN {
                    return Err(StoreError::KeyUnusable {
                        path: path.to_owned(),
                    });
                }
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::disk(path, error));
            }
            Err(_) if !may_generate => {
                return Err(StoreError::KeyMissing {
                    path: path.to_owned(),
                });
            }
            Err(_) => {}
        }
        let key = Key::try_generate().map_err(|_| StoreError::NoRandomness)?;
        let text = format!("{}\n", STANDARD.encode(key));
        write_atomically(path, text.as_bytes()).map_err(|error| StoreError::disk(path, error))?;
        let cipher = Self(XChaCha20Poly1305::new(&key));
        Ok((cipher, KeySource::Generated(path.to_owned())))
    }

    /// Encrypts `text` for one place: the column's name, and the row's number.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRandomness`] if the system gives no nonce.
    pub fn seal(&self, column: &str, row: i64, text: &str) -> Result<Vec<u8>, StoreError> {
        let nonce = XNonce::try_generate().map_err(|_| StoreError::NoRandomness)?;
        let associated = associated_data(column, row);
        let payload = Payload {
            msg: text.as_bytes(),
            aad: &associated,
        };
        // Fails only for texts of many gigabytes.
        let sealed = self
            .0
            .encrypt(&nonce, payload)
            .map_err(|_| StoreError::Damaged)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Decrypts text that was sealed for this place.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if it was sealed for another place or with another key, or was
    /// changed.
    pub fn open(&self, column: &str, row: i64, sealed: &[u8]) -> Result<String, StoreError> {
        let (nonce, sealed) = sealed
            .split_at_checked(NONCE_LEN)
            .ok_or(StoreError::Damaged)?;
        let nonce = XNonce::try_from(nonce).map_err(|_| StoreError::Damaged)?;
        let associated = associated_data(column, row);
        let payload = Payload {
            msg: sealed,
            aad: &associated,
        };
        let bytes = self
            .0
            .decrypt(&nonce, payload)
            .map_err(|_| StoreError::Damaged)?;
        String::from_utf8(bytes).map_err(|_| StoreError::Damaged)
    }
}

/// Writes a key file completely or not at all: without its key, a ledger is lost.
fn write_atomically(path: &Path, text: &[u8]) -> io::Result<()> {
    let new = path.with_extension("key.new");
    let mut file = open_private_file(&new)?;
    // An earlier try may have left something longer.
    file.set_len(0)?;
    file.write_all(text)?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(&new, path)?;
    sync_folder(path)
}

/// Makes a file's directory entry durable.
#[cfg(unix)]
fn sync_folder(of: &Path) -> io::Result<()> {
    of.parent()
        .map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

fn associated_data(column: &str, row: i64) -> Vec<u8> {
    [column.as_bytes(), &row.to_le_bytes()].concat()
}
