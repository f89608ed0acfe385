//! Packets that wait for somebody to say whose they are, or for the key that opens them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::rtp::RtpHeader;

/// Packets that wait, of all streams. With the bytes below this is what a flood can cost.
const MAX_PACKETS: usize = 65_536;

/// Bytes that wait, of all streams: 16 MiB.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Packets of one stream: two seconds of 20 ms are 100; some are shorter.
const MAX_PACKETS_PER_STREAM: usize = 256;

/// Streams of which something waits.
const MAX_STREAMS: usize = 1_024;

/// A packet whose transport encryption is off.
#[derive(Debug)]
pub(super) struct EncryptedPacket {
    pub(super) header: RtpHeader,
    pub(super) received: Instant,
    pub(super) frame: Box<[u8]>,
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct PendingPackets {
    by_ssrc: HashMap<u32, Vec<EncryptedPacket>>,
    packets: usize,
    bytes: usize,
}

impl PendingPackets {
    /// Puts a packet in line. False if there is no room.
    pub(super) fn push(&mut self, sealed: EncryptedPacket) -> bool {
        let bytes = sealed.frame.len();
        let has_room = self.packets < MAX_PACKETS && self.bytes + bytes <= MAX_BYTES;
        let is_known = self.by_ssrc.contains_key(&sealed.header.ssrc);
        if !has_room || (!is_known && self.by_ssrc.len() >= MAX_STREAMS) {
            return false;
        }
        let line = self.by_ssrc.entry(sealed.header.ssrc).or_default();
        if line.len() >= MAX_PACKETS_PER_STREAM {
            return false;
        }
        self.packets += 1;
        self.bytes += bytes;
        line.push(sealed);
        true
    }

    /// Streams of which something waits.
    pub(super) fn ssrcs(&self) -> Vec<u32> {
        self.by_ssrc.keys().copied().collect()
    }

    pub(super) fn contains(&self, ssrc: u32) -> bool {
        self.by_ssrc.contains_key(&ssrc)
    }

    /// Everything of a stream, in the order in which it was sent.
    pub(super) fn take_stream(&mut self, ssrc: u32) -> Vec<EncryptedPacket> {
        let mut line = self.by_ssrc.remove(&ssrc).unwrap_or_default();
        self.packets -= line.len();
        self.bytes -= line.iter().map(|it| it.frame.len()).sum::<usize>();
        if let Some(first) = line.first().map(|it| it.header.sequence) {
            #[expect(clippy::cast_possible_wrap, reason = "the distance of two that wrap")]
            line.sort_by_key(|it| it.header.sequence.wrapping_sub(first) as i16);
        }
        line
    }

    /// Gives up what has waited for so long, and says of which streams how many.
    pub(super) fn expire(&mut self, now: Instant, patience: Duration) -> Vec<(u32, u64)> {
        let (packets, bytes) = (&mut self.packets, &mut self.bytes);
        let mut given_up = Vec::new();
        self.by_ssrc.retain(|ssrc, line| {
            let before = line.len();
            line.retain(|it| {
                let keeps = now < it.received + patience;
                if !keeps {
                    *packets -= 1;
                    *bytes -= it.frame.len();
                }
                keeps
            });
            if line.len() < before {
                given_up.push((*ssrc, (before - line.len()) as u64));
            }
            !line.is_empty()
        });
        given_up
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.by_ssrc.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::rtp::{DatagramKind, parse};
    use super::*;

    fn encrypted_packet(ssrc: u32, sequence: u16, received: Instant) -> EncryptedPacket {
        let head = super::super::rtp::write_header(sequence, 0, ssrc);
        let Some(DatagramKind::Opus(head)) = parse(&head) else {
            unreachable!("it is one");
        };
        EncryptedPacket {
            header: head,
            received,
            frame: Box::new([1; 100]),
        }
    }

    #[test]
    fn pending_packets_are_released_in_sequence() {
        let now = Instant::now();
        let mut waiting = PendingPackets::default();
        for sequence in [65_534, 0, 65_535, 1] {
            assert!(waiting.push(encrypted_packet(1, sequence, now)));
        }
        let line = waiting.take_stream(1);
        let order: Vec<u16> = line.iter().map(|it| it.header.sequence).collect();
        assert_eq!(order, [65_534, 65_535, 0, 1]);
        assert!(waiting.is_empty());
        assert_eq!((waiting.packets, waiting.bytes), (0, 0));
    }

    #[test]
    fn pending_packets_expire() {
        let now = Instant::now();
        let patience = Duration::from_secs(2);
        let mut waiting = PendingPackets::default();
        waiting.push(encrypted_packet(1, 1, now));
        waiting.push(encrypted_packet(1, 2, now + Duration::from_secs(1)));
        waiting.push(encrypted_packet(2, 1, now));
        let almost = now + patience - Duration::from_millis(1);
        assert_eq!(waiting.expire(almost, patience), []);
        let mut given_up = waiting.expire(now + patience, patience);
        given_up.sort_unstable();
        assert_eq!(given_up, [(1, 1), (2, 1)]);
        assert_eq!(waiting.ssrcs(), [1]);
        assert_eq!(waiting.expire(now + patience * 2, patience), [(1, 1)]);
        assert_eq!((waiting.packets, waiting.bytes), (0, 0));
    }

    #[test]
    fn flood_is_bounded() {
        let now = Instant::now();
        let mut waiting = PendingPackets::default();
        let of_one = (0..2_000).filter(|it| waiting.push(encrypted_packet(1, *it, now)));
        assert_eq!(of_one.count(), MAX_PACKETS_PER_STREAM);
        let streams = (2..10_000).filter(|it| waiting.push(encrypted_packet(*it, 0, now)));
        assert_eq!(streams.count(), MAX_STREAMS - 1);
        for ssrc in 2..=1_024 {
            for sequence in 1..MAX_PACKETS_PER_STREAM as u16 {
                waiting.push(encrypted_packet(ssrc, sequence, now));
            }
        }
        assert_eq!(waiting.packets, MAX_PACKETS);
        assert!(waiting.bytes <= MAX_BYTES);
    }
}
