//! The encryption between us and Discord's voice server
//! (<https://discord.com/developers/docs/topics/voice-connections#transport-encryption-and-sending-voice>).
//! A datagram is header, encrypted body, tag (16 bytes) and the first four bytes of the nonce,
//! whose other bytes are zero.

use std::ops::Range;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit, Nonce, Tag};
use chacha20poly1305::XChaCha20Poly1305;

/// Bytes of the nonce that are sent with each packet.
const NONCE_BYTES: usize = 4;

/// Bytes of the authentication tag.
const TAG_BYTES: usize = 16;

/// The supported encryption modes, preferred first. Discord always offers the second.
const MODES: [&str; 2] = ["aead_aes256_gcm_rtpsize", "aead_xchacha20_poly1305_rtpsize"];

/// The preferred mode among those offered; `None` if none is supported.
pub(super) fn choose_mode(offered: &[String]) -> Option<&'static str> {
    let is_offered = |mode: &&str| offered.iter().any(|it| it == mode);
    MODES.into_iter().find(is_offered)
}

/// A transport cipher with its key.
pub struct TransportCipher(AeadCipher);

enum AeadCipher {
    Aes(Box<Aes256Gcm>),
    ChaCha(Box<XChaCha20Poly1305>),
}

impl std::fmt::Debug for TransportCipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TransportCipher")
    }
}

impl TransportCipher {
    /// `mode` and `key` come from the Session Description. `None` if the mode is not supported.
    #[must_use]
    pub fn new(mode: &str, key: &[u8; 32]) -> Option<Self> {
        Some(Self(match MODES.iter().position(|it| *it == mode)? {
            0 => AeadCipher::Aes(Box::new(Aes256Gcm::new(key.into()))),
            _ => AeadCipher::ChaCha(Box::new(XChaCha20Poly1305::new(key.into()))),
        }))
    }

    /// Decrypts a datagram in place. Its first `clear_bytes` are authenticated only. Returns the
    /// range of the decrypted body; `None` if authentication fails or the datagram is too short.
    #[must_use]
    pub fn decrypt(&self, datagram: &mut [u8], clear_bytes: usize) -> Option<Range<usize>> {
        let end = datagram.len().checked_sub(TAG_BYTES + NONCE_BYTES)?;
        if clear_bytes > end {
            return None;
        }
        let (header, rest) = datagram.split_at_mut(clear_bytes);
        let (rest, nonce) = rest.split_last_chunk_mut::<NONCE_BYTES>()?;
        let (body, tag) = rest.split_last_chunk_mut::<TAG_BYTES>()?;
        match &self.0 {
            AeadCipher::Aes(cipher) => decrypt_in_place(&**cipher, *nonce, header, body, tag),
            AeadCipher::ChaCha(cipher) => decrypt_in_place(&**cipher, *nonce, header, body, tag),
        }
        .then_some(clear_bytes..end)
    }

    /// Builds the datagram for a header and a body. Each `nonce` may be used once per key.
    #[must_use]
    pub fn encrypt(&self, header: &[u8], body: &[u8], nonce: u32) -> Option<Vec<u8>> {
        let mut datagram = Vec::with_capacity(header.len() + body.len() + TAG_BYTES + NONCE_BYTES);
        datagram.extend_from_slice(header);
        datagram.extend_from_slice(body);
        let nonce = nonce.to_be_bytes();
        let (_, body) = datagram.split_at_mut(header.len());
        let tag = match &self.0 {
            AeadCipher::Aes(cipher) => encrypt_in_place(&**cipher, nonce, header, body),
            AeadCipher::ChaCha(cipher) => encrypt_in_place(&**cipher, nonce, header, body),
        }?;
        datagram.extend_from_slice(&tag);
        datagram.extend_from_slice(&nonce);
        Some(datagram)
    }
}

fn decrypt_in_place<C: AeadInOut>(
    cipher: &C,
    nonce: [u8; NONCE_BYTES],
    header: &[u8],
    body: &mut [u8],
    tag: &[u8; TAG_BYTES],
) -> bool {
    let Ok(tag) = Tag::<C>::try_from(&tag[..]) else {
        return false;
    };
    cipher
        .decrypt_inout_detached(&full_nonce::<C>(nonce), header, body.into(), &tag)
        .is_ok()
}

fn encrypt_in_place<C: AeadInOut>(
    cipher: &C,
    nonce: [u8; NONCE_BYTES],
    header: &[u8],
    body: &mut [u8],
) -> Option<[u8; TAG_BYTES]> {
    let tag = cipher.encrypt_inout_detached(&full_nonce::<C>(nonce), header, body.into());
    tag.ok()?.as_slice().try_into().ok()
}

fn full_nonce<C: AeadInOut>(nonce: [u8; NONCE_BYTES]) -> Nonce<C> {
    let mut padded = Nonce::<C>::default();
    padded[..NONCE_BYTES].copy_from_slice(&nonce);
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_offered_mode_is_chosen() {
        let offered = |modes: &[&str]| modes.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            choose_mode(&offered(&["xsalsa20_poly1305", MODES[1], MODES[0]])),
            Some(MODES[0])
        );
        assert_eq!(
            choose_mode(&offered(&["xsalsa20_poly1305", MODES[1]])),
            Some(MODES[1])
        );
        assert_eq!(choose_mode(&offered(&["xsalsa20_poly1305"])), None);
        assert!(TransportCipher::new("xsalsa20_poly1305", &[0; 32]).is_none());
    }

    #[test]
    fn altered_or_truncated_datagrams_are_rejected() {
        for mode in MODES {
            let cipher = TransportCipher::new(mode, &[7; 32]).expect("a cipher");
            let sent = cipher.encrypt(&[1; 12], &[2; 40], 9).expect("encrypted");
            assert_eq!(sent.len(), 12 + 40 + TAG_BYTES + NONCE_BYTES);
            let mut datagram = sent.clone();
            assert_eq!(cipher.decrypt(&mut datagram, 12), Some(12..52));
            assert_eq!(datagram[12..52], [2; 40]);
            for at in 0..sent.len() {
                let mut datagram = sent.clone();
                datagram[at] ^= 1;
                assert_eq!(cipher.decrypt(&mut datagram, 12), None, "{mode}, byte {at}");
                let mut datagram = sent[..at].to_vec();
                assert_eq!(cipher.decrypt(&mut datagram, 12), None, "{mode}, byte {at}");
            }
            assert_eq!(cipher.decrypt(&mut [0; 20], 12), None);
        }
    }
}
