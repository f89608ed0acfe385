//! The two transport ciphers. The nonce's first four bytes travel behind the packet, what stands
//! before the encrypted part is authenticated.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

/// What a client may choose, the best first.
pub(super) const ENCRYPTION_MODES: [&str; 2] =
    ["aead_aes256_gcm_rtpsize", "aead_xchacha20_poly1305_rtpsize"];

/// Bytes of the nonce that travel.
const NONCE_LEN: usize = 4;

/// Bytes of the tag.
const TAG_LEN: usize = 16;

/// A client's cipher with its key.
pub(super) enum ClientCipher {
    Aes(Box<Aes256Gcm>),
    ChaCha(Box<XChaCha20Poly1305>),
}

impl std::fmt::Debug for ClientCipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher")
    }
}

impl ClientCipher {
    pub(super) fn new(mode: &str, key: &[u8; 32]) -> Option<Self> {
        if mode == ENCRYPTION_MODES[0] {
            let cipher = Aes256Gcm::new_from_slice(key).ok()?;
            return Some(Self::Aes(Box::new(cipher)));
        }
        if mode == ENCRYPTION_MODES[1] {
            let cipher = XChaCha20Poly1305::new_from_slice(key).ok()?;
            return Some(Self::ChaCha(Box::new(cipher)));
        }
        None
    }

    /// The whole datagram.
    pub(super) fn encrypt(&self, header: &[u8], body: &[u8], nonce: u32) -> Vec<u8> {
        let nonce = nonce.to_be_bytes();
        let payload = Payload {
            msg: body,
            aad: header,
        };
        let sealed = match self {
            Self::Aes(cipher) => cipher.encrypt(&Nonce::from(pad_nonce(nonce)), payload),
            Self::ChaCha(cipher) => cipher.encrypt(&XNonce::from(pad_nonce(nonce)), payload),
        };
        let mut datagram = header.to_vec();
        datagram.extend(sealed.unwrap_or_default());
        datagram.extend_from_slice(&nonce);
        datagram
    }

    /// What is inside a datagram behind its header.
    pub(super) fn decrypt(&self, datagram: &[u8], header: usize) -> Option<Vec<u8>> {
        if datagram.len() < header + TAG_LEN + NONCE_LEN {
            return None;
        }
        let (header, rest) = datagram.split_at(header);
        let (sealed, nonce) = rest.split_last_chunk::<NONCE_LEN>()?;
        let payload = Payload {
            msg: sealed,
            aad: header,
        };
        let opened = match self {
            Self::Aes(cipher) => cipher.decrypt(&Nonce::from(pad_nonce(*nonce)), payload),
            Self::ChaCha(cipher) => cipher.decrypt(&XNonce::from(pad_nonce(*nonce)), payload),
        };
        opened.ok()
    }
}

fn pad_nonce<const N: usize>(nonce: [u8; NONCE_LEN]) -> [u8; N] {
    let mut padded = [0; N];
    padded[..NONCE_LEN].copy_from_slice(&nonce);
    padded
}
