//! The floor: decrypting and decoding the same packets in one loop, and nothing else.

use std::hint::black_box;
use std::time::{Duration, Instant};

use aes_gcm_010::aead::consts::U12;
use aes_gcm_010::aead::{AeadInPlace, KeyInit};
use aes_gcm_010::aes::Aes128;
use aes_gcm_010::{Aes256Gcm, AesGcm, Nonce, Tag};
use bytes::Bytes;

use super::Outcome;
use super::process::thread_cpu_time;

/// The cipher that DAVE uses for frames.
type DaveCipher = AesGcm<Aes128, U12>;

/// The duration of one packet.
const PACKET_DURATION: Duration = Duration::from_millis(20);

/// A packet as received: encrypted end to end, and again for the transport.
struct FloorPacket {
    body: Vec<u8>,
    transport_tag: Tag,
    dave_tag: Tag,
}

/// The least CPU time of one packet. Packets are processed one after the other or, with `in_time`,
/// at the pace of speech, so that the processor sleeps in between and its caches get cold.
pub(crate) fn cpu_floor(words: &[Vec<Bytes>], in_time: bool) -> Outcome<Duration> {
    let header = [0x80; 12];
    let nonce = Nonce::from([7; 12]);
    let transport = Aes256Gcm::new(&[1; 32].into());
    let dave = DaveCipher::new(&[2; 16].into());
    let encrypt = |packet: &Bytes| {
        let mut body = packet.to_vec();
        let inner = dave
            .encrypt_in_place_detached(&nonce, &[], &mut body)
            .ok()?;
        let outer = transport
            .encrypt_in_place_detached(&nonce, &header, &mut body)
            .ok()?;
        Some(FloorPacket {
            body,
            transport_tag: outer,
            dave_tag: inner,
        })
    };
    let encrypted: Vec<Vec<FloorPacket>> = words
        .iter()
        .map(|packets_said| packets_said.iter().filter_map(&encrypt).collect())
        .collect();
    let mut decoders: Vec<_> = words
        .iter()
        .filter_map(|_| opus2::Decoder::new(16_000, opus2::Channels::Mono).ok())
        .collect();
    let mut block = [0.0_f32; 1_920];
    let mut packets = 0;
    let cpu_before = thread_cpu_time();
    let started = Instant::now();
    let turns = words.iter().map(Vec::len).max().unwrap_or(0);
    for turn in 0..turns {
        for (packets_said, decoder) in encrypted.iter().zip(&mut decoders) {
            let Some(packet) = packets_said.get(turn) else {
                continue;
            };
            let mut body = packet.body.clone();
            let outer = transport.decrypt_in_place_detached(
                &nonce,
                &header,
                &mut body,
                &packet.transport_tag,
            );
            let inner = dave.decrypt_in_place_detached(&nonce, &[], &mut body, &packet.dave_tag);
            let decoded = decoder.decode_float(&body, &mut block, false);
            packets += u32::from(outer.is_ok() && inner.is_ok() && decoded.is_ok());
            black_box(&block);
        }
        if in_time {
            let next = started + PACKET_DURATION * u32::try_from(turn + 1)?;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }
    if packets == 0 {
        return Err("nothing was decrypted".into());
    }
    Ok((thread_cpu_time() - cpu_before) / packets)
}
