//! What is said: packets that tell who said them, so that anything else can be told from them.

use bytes::Bytes;

/// Silk, narrow, 20 ms: nobody decodes it.
const TOC: u8 = 0x08;

/// The head of a packet: the first byte, who, and the number.
const HEADER_BYTES: usize = 13;

/// What clients send when somebody stops talking. It is not encrypted from end to end.
const SILENCE_PACKET: &[u8] = &[0xf8, 0xff, 0xfe];

/// About as long as packets of speech are.
const LENGTHS: [usize; 5] = [61, 80, 97, 140, 183];

/// The `number`th packet of this person.
pub(crate) fn packet(user: u64, number: u32) -> Bytes {
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

/// So many of them.
pub(crate) fn marked_packets(user: u64, numbers: std::ops::Range<u32>) -> Vec<Bytes> {
    numbers.map(|number| packet(user, number)).collect()
}

/// Whether these are the bytes of a packet that was said by this person, to the last bit. Silence
/// might be anybody's.
pub(crate) fn is_packet_of(user: u64, opus: &[u8]) -> bool {
    let number = || {
        Some(u32::from_be_bytes(
            opus.get(9..HEADER_BYTES)?.try_into().ok()?,
        ))
    };
    opus == SILENCE_PACKET || number().is_some_and(|number| packet(user, number) == opus)
}

/// Whether these are the bytes of anybody's packet.
pub(crate) fn is_marked_packet(opus: &[u8]) -> bool {
    let user = opus.get(1..9).and_then(|it| it.try_into().ok());
    user.is_some_and(|user| is_packet_of(u64::from_be_bytes(user), opus))
}
