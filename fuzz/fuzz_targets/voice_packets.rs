//! Arbitrary datagrams at arbitrary times, both foreign ones and ones encrypted by the voice
//! server: the packets that come out are within the limits, and every datagram is counted once.

#![no_main]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use voice_receive::MAX_OPUS_BYTES;
use voice_receive::internals::{DaveState, Depacketizer, TransportCipher};

const KEY: [u8; 32] = [7; 32];

/// The input, read from the front. Zeros follow its end.
struct FuzzInput<'a>(&'a [u8]);

impl<'a> FuzzInput<'a> {
    fn take_bytes(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn take_byte(&mut self) -> u8 {
        self.take_bytes(1).first().copied().unwrap_or(0)
    }
}

fn transport_cipher(setup: u8) -> TransportCipher {
    let mode = if setup & 1 == 0 {
        "aead_aes256_gcm_rtpsize"
    } else {
        "aead_xchacha20_poly1305_rtpsize"
    };
    TransportCipher::new(mode, &KEY).expect("a cipher")
}

fuzz_target!(|data: &[u8]| {
    let mut input = FuzzInput(data);
    let setup = input.take_byte();
    let mut dave = DaveState::new(1, 2);
    // Unencrypted, or encrypted without any key that decrypts something.
    dave.start_session(2, u16::from(setup & 2 != 0));
    let dave = Arc::new(Mutex::new(dave));
    let mut now = Instant::now();
    let mut depacketizer = Depacketizer::new(dave, Duration::from_secs(2), now);
    depacketizer.set_transport(transport_cipher(setup));
    let server_cipher = transport_cipher(setup);
    let (mut datagrams, mut nonce) = (0, 0);
    let mut packets = Vec::new();
    while !input.0.is_empty() {
        now += Duration::from_millis(u64::from(input.take_byte()));
        match input.take_byte() % 8 {
            0 => {
                let length = usize::from(input.take_byte()) * 8;
                let mut datagram = input.take_bytes(length).to_vec();
                depacketizer.push_datagram(&mut datagram, now, &mut packets);
                datagrams += 1;
            }
            1..=4 => {
                // A header, and a body encrypted with the key of the connection.
                let ssrc = input.take_byte() % 8;
                let mut header = vec![
                    input.take_byte() | 0x80,
                    0x78,
                    0,
                    input.take_byte(),
                    0,
                    0,
                    0,
                    0,
                ];
                header[0] &= 0xbf;
                header.extend([0, 0, 0, ssrc]);
                let more = usize::from(header[0] & 0x0f) * 4 + usize::from(header[0] >> 2 & 4);
                header.extend_from_slice(input.take_bytes(more));
                let length = usize::from(input.take_byte());
                nonce += 1;
                let encrypted = server_cipher.encrypt(&header, input.take_bytes(length), nonce);
                let mut datagram = encrypted.expect("encrypted");
                depacketizer.push_datagram(&mut datagram, now, &mut packets);
                datagrams += 1;
            }
            5 => depacketizer.map_ssrc(
                u32::from(input.take_byte() % 8),
                u64::from(input.take_byte()),
                now,
                &mut packets,
            ),
            6 => depacketizer.user_left(u64::from(input.take_byte())),
            _ => {
                depacketizer.keys_changed(now, &mut packets);
                depacketizer.advance(now);
            }
        }
        for packet in packets.drain(..) {
            assert!(!packet.opus.is_empty() && packet.opus.len() <= MAX_OPUS_BYTES);
            assert!(packet.received <= now);
        }
    }
    depacketizer.advance(now + Duration::from_secs(3));
    let stats = depacketizer.stats();
    let counted = stats.delivered
        + stats.no_speaker
        + stats.no_key
        + stats.duplicate
        + stats.malformed
        + stats.unauthenticated
        + stats.buffer_full
        + stats.other;
    assert_eq!(counted, datagrams);
});
