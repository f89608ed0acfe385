//! The encryption between us and Discord's voice server
//! (<https://discord.com/developers/docs/topics/voice-connections#transport-encryption-and-sending-voice>).
//! The first four bytes of the nonce travel behind the packet, the rest of it is zero.

use std::ops::Range;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit, Nonce, Tag};
use chacha20poly1305::XChaCha20Poly1305;

/// Bytes of the nonce that travel.
const NONCE_BYTES: usize = 4;

/// Bytes of the tag.
const TAG_BYTES: usize = 16;

/// The ciphers that we can do, the best first. The second one is always offered.
const MODES: [&str; 2] = ["aead_aes256_gcm_rtpsize", "aead_xchacha20_poly1305_rtpsize"];

/// The best of the ciphers that are offered.
#[must_use]
pub fn choose_mode(offered: &[String]) -> Option<&'static str> {
    let is_offered = |mode: &&str| offered.iter().any(|it| it == mode);
    MODES.into_iter().find(is_offered)
}

/// A cipher with its key.
pub struct TransportCipher(AeadCipher);

enum AeadCipher {
    Aes(Box<Aes256Gcm>),
    ChaCha(Box<XChaCha20Poly1305>),
}

impl std::fmt::Debug for TransportCipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transport")
    }
}

impl TransportCipher {
    /// None if we can't do the cipher.
    #[must_use]
    pub fn new(mode: &str, key: &[u8; 32]) -> Option<Self> {
        Some(Self(match MODES.iter().position(|it| *it == mode)? {
            0 => AeadCipher::Aes(Box::new(Aes256Gcm::new(key.into()))),
            _ => AeadCipher::ChaCha(Box::new(XChaCha20Poly1305::new(key.into()))),
        }))
    }

    /// Decrypts a datagram in place, whose first `clear` bytes are only authenticated. Gives the
    /// place of what was encrypted; none if it is not under this key, or too short.
    #[must_use]
    pub fn decrypt(&self, datagram: &mut [u8], clear: usize) -> Option<Range<usize>> {
        let end = datagram.len().checked_sub(TAG_BYTES + NONCE_BYTES)?;
        if clear > end {
            return None;
        }
        let (head, rest) = datagram.split_at_mut(clear);
        let (rest, nonce) = rest.split_last_chunk_mut::<NONCE_BYTES>()?;
        let (body, tag) = rest.split_last_chunk_mut::<TAG_BYTES>()?;
        match &self.0 {
            AeadCipher::Aes(cipher) => decrypt_in_place(&**cipher, *nonce, head, body, tag),
            AeadCipher::ChaCha(cipher) => decrypt_in_place(&**cipher, *nonce, head, body, tag),
        }
        .then_some(clear..end)
    }

    /// The whole datagram: the head, the body encrypted, and what goes with it.
    #[must_use]
    pub fn encrypt(&self, head: &[u8], body: &[u8], nonce: u32) -> Option<Vec<u8>> {
        let mut datagram = Vec::with_capacity(head.len() + body.len() + TAG_BYTES + NONCE_BYTES);
        datagram.extend_from_slice(head);
        datagram.extend_from_slice(body);
        let nonce = nonce.to_be_bytes();
        let (_, body) = datagram.split_at_mut(head.len());
        let tag = match &self.0 {
            AeadCipher::Aes(cipher) => encrypt_in_place(&**cipher, nonce, head, body),
            AeadCipher::ChaCha(cipher) => encrypt_in_place(&**cipher, nonce, head, body),
        }?;
        datagram.extend_from_slice(&tag);
        datagram.extend_from_slice(&nonce);
        Some(datagram)
    }
}

fn decrypt_in_place<C: AeadInOut>(
    cipher: &C,
    nonce: [u8; NONCE_BYTES],
    head: &[u8],
    body: &mut [u8],
    tag: &[u8; TAG_BYTES],
) -> bool {
    let Ok(tag) = Tag::<C>::try_from(&tag[..]) else {
        return false;
    };
    cipher
        .decrypt_inout_detached(&full_nonce::<C>(nonce), head, body.into(), &tag)
        .is_ok()
}

fn encrypt_in_place<C: AeadInOut>(
    cipher: &C,
    nonce: [u8; NONCE_BYTES],
    head: &[u8],
    body: &mut [u8],
) -> Option<[u8; TAG_BYTES]> {
    let tag = cipher.encrypt_inout_detached(&full_nonce::<C>(nonce), head, body.into());
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
    fn only_untouched_datagrams_decrypt() {
        for mode in MODES {
            let cipher = TransportCipher::new(mode, &[7; 32]).expect("a cipher");
            let sealed = cipher.encrypt(&[1; 12], &[2; 40], 9).expect("sealed");
            assert_eq!(sealed.len(), 12 + 40 + TAG_BYTES + NONCE_BYTES);
            let mut datagram = sealed.clone();
            assert_eq!(cipher.decrypt(&mut datagram, 12), Some(12..52));
            assert_eq!(datagram[12..52], [2; 40]);
            for broken in 0..sealed.len() {
                let mut datagram = sealed.clone();
                datagram[broken] ^= 1;
                assert_eq!(cipher.decrypt(&mut datagram, 12), None, "{mode} {broken}");
                let mut datagram = sealed[..broken].to_vec();
                assert_eq!(cipher.decrypt(&mut datagram, 12), None, "{mode} {broken}");
            }
            assert_eq!(cipher.decrypt(&mut [0; 20], 12), None);
        }
    }
}
