//! A bounded buffer of packets whose speaker or key is not known yet.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::rtp::RtpHeader;

/// Packets of all streams. Together with `MAX_BYTES` this bounds the memory that a flood can take.
const MAX_PACKETS: usize = 65_536;

/// Bytes of all streams: 16 MiB.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Packets of one stream: 2 s of 20 ms packets are 100; some clients send shorter ones.
const MAX_PACKETS_PER_STREAM: usize = 256;

/// Streams that have buffered packets.
const MAX_STREAMS: usize = 1_024;

/// A packet with the transport encryption removed. Its payload may still be encrypted with DAVE.
#[derive(Debug)]
pub(super) struct EncryptedPacket {
    pub(super) header: RtpHeader,
    pub(super) received: Instant,
    pub(super) frame: Box<[u8]>,
}

/// The buffered packets by stream.
#[derive(Debug, Default)]
pub(super) struct PendingPackets {
    by_ssrc: HashMap<u32, Vec<EncryptedPacket>>,
    packets: usize,
    bytes: usize,
}

impl PendingPackets {
    /// Buffers a packet. False if there is no capacity for it.
    pub(super) fn push(&mut self, packet: EncryptedPacket) -> bool {
        let bytes = packet.frame.len();
        let has_capacity = self.packets < MAX_PACKETS && self.bytes + bytes <= MAX_BYTES;
        let is_known = self.by_ssrc.contains_key(&packet.header.ssrc);
        if !has_capacity || (!is_known && self.by_ssrc.len() >= MAX_STREAMS) {
            return false;
        }
        let stream = self.by_ssrc.entry(packet.header.ssrc).or_default();
        if stream.len() >= MAX_PACKETS_PER_STREAM {
            return false;
        }
        self.packets += 1;
        self.bytes += bytes;
        stream.push(packet);
        true
    }

    /// The streams that have buffered packets.
    pub(super) fn ssrcs(&self) -> Vec<u32> {
        self.by_ssrc.keys().copied().collect()
    }

    pub(super) fn contains(&self, ssrc: u32) -> bool {
        self.by_ssrc.contains_key(&ssrc)
    }

    /// Removes the packets of a stream, ordered by sequence number.
    pub(super) fn take_stream(&mut self, ssrc: u32) -> Vec<EncryptedPacket> {
        let mut stream = self.by_ssrc.remove(&ssrc).unwrap_or_default();
        self.packets -= stream.len();
        self.bytes -= stream.iter().map(|it| it.frame.len()).sum::<usize>();
        if let Some(first) = stream.first().map(|it| it.header.sequence) {
            #[expect(
                clippy::cast_possible_wrap,
                reason = "signed distance of wrapping numbers"
            )]
            stream.sort_by_key(|it| it.header.sequence.wrapping_sub(first) as i16);
        }
        stream
    }

    /// Drops packets that were received `timeout` ago or earlier. Returns how many of which stream.
    pub(super) fn expire(&mut self, now: Instant, timeout: Duration) -> Vec<(u32, u64)> {
        let (packets, bytes) = (&mut self.packets, &mut self.bytes);
        let mut expired = Vec::new();
        self.by_ssrc.retain(|ssrc, stream| {
            let before = stream.len();
            stream.retain(|it| {
                let is_fresh = now < it.received + timeout;
                if !is_fresh {
                    *packets -= 1;
                    *bytes -= it.frame.len();
                }
                is_fresh
            });
            if stream.len() < before {
                expired.push((*ssrc, (before - stream.len()) as u64));
            }
            !stream.is_empty()
        });
        expired
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
        let header = super::super::rtp::write_header(sequence, 0, ssrc);
        let Some(DatagramKind::Opus(header)) = parse(&header) else {
            unreachable!("an Opus header was written");
        };
        EncryptedPacket {
            header,
            received,
            frame: Box::new([1; 100]),
        }
    }

    #[test]
    fn pending_packets_are_released_in_sequence() {
        let now = Instant::now();
        let mut pending = PendingPackets::default();
        for sequence in [65_534, 0, 65_535, 1] {
            assert!(pending.push(encrypted_packet(1, sequence, now)));
        }
        let stream = pending.take_stream(1);
        let order: Vec<u16> = stream.iter().map(|it| it.header.sequence).collect();
        assert_eq!(order, [65_534, 65_535, 0, 1]);
        assert!(pending.is_empty());
        assert_eq!((pending.packets, pending.bytes), (0, 0));
    }

    #[test]
    fn pending_packets_expire() {
        let now = Instant::now();
        let timeout = Duration::from_secs(2);
        let mut pending = PendingPackets::default();
        pending.push(encrypted_packet(1, 1, now));
        pending.push(encrypted_packet(1, 2, now + Duration::from_secs(1)));
        pending.push(encrypted_packet(2, 1, now));
        let almost = now + timeout - Duration::from_millis(1);
        assert_eq!(pending.expire(almost, timeout), []);
        let mut expired = pending.expire(now + timeout, timeout);
        expired.sort_unstable();
        assert_eq!(expired, [(1, 1), (2, 1)]);
        assert_eq!(pending.ssrcs(), [1]);
        assert_eq!(pending.expire(now + timeout * 2, timeout), [(1, 1)]);
        assert_eq!((pending.packets, pending.bytes), (0, 0));
    }

    #[test]
    fn flood_is_bounded() {
        let now = Instant::now();
        let mut pending = PendingPackets::default();
        let of_one = (0..2_000).filter(|it| pending.push(encrypted_packet(1, *it, now)));
        assert_eq!(of_one.count(), MAX_PACKETS_PER_STREAM);
        let streams = (2..10_000).filter(|it| pending.push(encrypted_packet(*it, 0, now)));
        assert_eq!(streams.count(), MAX_STREAMS - 1);
        for ssrc in 2..=1_024 {
            for sequence in 1..MAX_PACKETS_PER_STREAM as u16 {
                pending.push(encrypted_packet(ssrc, sequence, now));
            }
        }
        assert_eq!(pending.packets, MAX_PACKETS);
        assert!(pending.bytes <= MAX_BYTES);
    }
}
