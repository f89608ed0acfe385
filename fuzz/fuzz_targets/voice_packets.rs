//! Any datagrams at any times, of anybody and of the voice server itself: packets come out in
//! bounds, and everything that comes in is accounted for.

#![no_main]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use voice_receive::MAX_OPUS;
use voice_receive::inbox::Inbox;
use voice_receive::keys::Keys;
use voice_receive::transport::Transport;

const KEY: [u8; 32] = [7; 32];

struct Bits<'a>(&'a [u8]);

impl<'a> Bits<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }
}

fn cipher(which: u8) -> Transport {
    let mode = if which & 1 == 0 {
        "aead_aes256_gcm_rtpsize"
    } else {
        "aead_xchacha20_poly1305_rtpsize"
    };
    Transport::new(mode, &KEY).expect("a cipher")
}

fuzz_target!(|data: &[u8]| {
    let mut bits = Bits(data);
    let setup = bits.byte();
    let mut keys = Keys::new(1, 2);
    // Plain, or encrypted without any key that would open something.
    keys.begin(2, u16::from(setup & 2 != 0));
    let keys = Arc::new(Mutex::new(keys));
    let mut now = Instant::now();
    let mut inbox = Inbox::new(keys, Duration::from_secs(2), now);
    inbox.transport(cipher(setup));
    let server = cipher(setup);
    let (mut given, mut nonce) = (0, 0);
    let mut heard = Vec::new();
    while !bits.0.is_empty() {
        now += Duration::from_millis(u64::from(bits.byte()));
        match bits.byte() % 8 {
            0 => {
                let length = usize::from(bits.byte()) * 8;
                let mut datagram = bits.take(length).to_vec();
                inbox.datagram(&mut datagram, now, &mut heard);
                given += 1;
            }
            1..=4 => {
                // What is behind the head is under the key of the connection.
                let ssrc = bits.byte() % 8;
                let mut head = vec![bits.byte() | 0x80, 0x78, 0, bits.byte(), 0, 0, 0, 0];
                head[0] &= 0xbf;
                head.extend([0, 0, 0, ssrc]);
                let more = usize::from(head[0] & 0x0f) * 4 + usize::from(head[0] >> 2 & 4);
                head.extend_from_slice(bits.take(more));
                let length = usize::from(bits.byte());
                nonce += 1;
                let sealed = server.seal(&head, bits.take(length), nonce);
                inbox.datagram(&mut sealed.expect("sealed"), now, &mut heard);
                given += 1;
            }
            5 => inbox.belongs(
                u32::from(bits.byte() % 8),
                u64::from(bits.byte()),
                now,
                &mut heard,
            ),
            6 => inbox.left(u64::from(bits.byte())),
            _ => {
                inbox.keys_changed(now, &mut heard);
                inbox.advance(now);
            }
        }
        for packet in heard.drain(..) {
            assert!(!packet.opus.is_empty() && packet.opus.len() <= MAX_OPUS);
            assert!(packet.received <= now);
        }
    }
    inbox.advance(now + Duration::from_secs(3));
    let counts = inbox.counts();
    let all = counts.heard
        + counts.no_speaker
        + counts.no_key
        + counts.repeated
        + counts.malformed
        + counts.forged
        + counts.no_room
        + counts.other;
    assert_eq!(all, given);
});
