//! Packets that contain their sender and number, so that a garbled or misattributed packet is
//! recognized.

use bytes::Bytes;

/// The first byte of an Opus packet: SILK, narrowband, 20 ms. The rest is not Opus and is never
/// decoded.
const TOC: u8 = 0x08;

/// The first byte, the user id and the number.
const HEADER_BYTES: usize = 13;

/// What clients send when a user stops talking. It is not end-to-end encrypted.
const SILENCE_PACKET: &[u8] = &[0xf8, 0xff, 0xfe];

/// Typical sizes of speech packets, in bytes.
const LENGTHS: [usize; 5] = [61, 80, 97, 140, 183];

/// The packet with this number of this user.
pub(crate) fn marked_packet(user: u64, number: u32) -> Bytes {
    let mut packet = vec![TOC];
    packet.extend(user.to_be_bytes());
    packet.extend(number.to_be_bytes());
    let mut random = user ^ (u64::from(number) << 20) ^ 0x9e37_79b9_7f4a_7c15;
    let length = LENGTHS[number as usize % LENGTHS.len()];
    while packet.len() < length {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        packet.push(random.to_be_bytes()[0]);
    }
    packet.into()
}

/// The packets with these numbers.
pub(crate) fn marked_packets(user: u64, numbers: std::ops::Range<u32>) -> Vec<Bytes> {
    numbers.map(|number| marked_packet(user, number)).collect()
}

/// Whether these are exactly the bytes of a packet of this user. Silence may be of any user.
pub(crate) fn is_packet_of(user: u64, opus: &[u8]) -> bool {
    let number = || {
        Some(u32::from_be_bytes(
            opus.get(9..HEADER_BYTES)?.try_into().ok()?,
        ))
    };
    opus == SILENCE_PACKET || number().is_some_and(|number| marked_packet(user, number) == opus)
}

/// Whether these are exactly the bytes of any user's packet.
pub(crate) fn is_marked_packet(opus: &[u8]) -> bool {
    let user = opus.get(1..9).and_then(|it| it.try_into().ok());
    user.is_some_and(|user| is_packet_of(u64::from_be_bytes(user), opus))
}
