//! The heads of packets, as RFC 3550 has them (<https://www.rfc-editor.org/rfc/rfc3550#section-5.1>)
//! and as Discord's `rtpsize` ciphers cut them: clear and authenticated are the fixed head, the list
//! of sources and the four bytes that an extension begins with; what the extension holds is
//! encrypted, in front of the payload.

use std::ops::Range;

/// The part of a head that every packet has, in bytes.
pub const FIXED_HEADER_BYTES: usize = 12;

/// The payload type of Opus at Discord.
const OPUS_PAYLOAD_TYPE: u8 = 120;

/// The first bytes of an RTP packet of version 2 without padding, extension and sources.
const VERSION_2: u8 = 0x80;

/// Payload types of RTCP, as they look without the marker bit
/// (<https://www.rfc-editor.org/rfc/rfc5761#section-4>).
const RTCP_PAYLOAD_TYPES: Range<u8> = 64..96;

/// What a datagram is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DatagramKind {
    /// Opus, encrypted behind this head.
    Opus(RtpHeader),
    /// A report of RTCP.
    Rtcp,
    /// Other media.
    Other,
}

/// The head of a packet with Opus.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RtpHeader {
    /// Whose stream it belongs to.
    pub ssrc: u32,
    /// Counts packets; wraps.
    pub sequence: u16,
    /// Counts samples of 48 kHz; wraps.
    pub timestamp: u32,
    /// How many bytes are clear.
    pub clear_bytes: usize,
    /// How many bytes of an extension are in front of the payload.
    extension_bytes: usize,
    has_padding: bool,
}

/// What a datagram is; none if it is not even RTP.
#[must_use]
pub fn parse(datagram: &[u8]) -> Option<DatagramKind> {
    let (fixed, rest) = datagram.split_first_chunk::<FIXED_HEADER_BYTES>()?;
    let [first, second, s1, s2, t1, t2, t3, t4, i1, i2, i3, i4] = *fixed;
    if first >> 6 != 2 {
        return None;
    }
    let payload_type = second & 0x7f;
    if RTCP_PAYLOAD_TYPES.contains(&payload_type) {
        return Some(DatagramKind::Rtcp);
    }
    if payload_type != OPUS_PAYLOAD_TYPE {
        return Some(DatagramKind::Other);
    }
    let sources = usize::from(first & 0x0f) * 4;
    let mut head = RtpHeader {
        ssrc: u32::from_be_bytes([i1, i2, i3, i4]),
        sequence: u16::from_be_bytes([s1, s2]),
        timestamp: u32::from_be_bytes([t1, t2, t3, t4]),
        clear_bytes: FIXED_HEADER_BYTES + sources,
        extension_bytes: 0,
        has_padding: first & 0x20 != 0,
    };
    let rest = rest.get(sources..)?;
    if first & 0x10 != 0 {
        let [_, _, l1, l2] = *rest.first_chunk::<4>()?;
        head.clear_bytes += 4;
        head.extension_bytes = usize::from(u16::from_be_bytes([l1, l2])) * 4;
    }
    Some(DatagramKind::Opus(head))
}

impl RtpHeader {
    /// Where in the decrypted part the payload is: without extension and padding, and not empty.
    #[must_use]
    pub fn payload_range(&self, body: &[u8]) -> Option<Range<usize>> {
        let padding = match (self.has_padding, body.last()) {
            (true, Some(0)) => return None,
            (true, Some(padding)) => usize::from(*padding),
            _ => 0,
        };
        let end = body.len().checked_sub(padding)?;
        (self.extension_bytes < end).then_some(self.extension_bytes..end)
    }
}

/// The head of a packet that we send.
#[must_use]
pub fn write_header(sequence: u16, timestamp: u32, ssrc: u32) -> [u8; FIXED_HEADER_BYTES] {
    let mut head = [0; FIXED_HEADER_BYTES];
    head[0] = VERSION_2;
    head[1] = OPUS_PAYLOAD_TYPE;
    head[2..4].copy_from_slice(&sequence.to_be_bytes());
    head[4..8].copy_from_slice(&timestamp.to_be_bytes());
    head[8..].copy_from_slice(&ssrc.to_be_bytes());
    head
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn opus_header(datagram: &[u8]) -> RtpHeader {
        let head = match parse(datagram) {
            Some(DatagramKind::Opus(head)) => Some(head),
            _ => None,
        };
        head.expect("speech")
    }

    #[test]
    fn what_is_written_is_read() {
        let read = opus_header(&write_header(7, 960, 42));
        assert_eq!(
            (read.sequence, read.timestamp, read.ssrc, read.clear_bytes),
            (7, 960, 42, 12)
        );
        assert_eq!(read.payload_range(&[1, 2, 3]), Some(0..3));
        assert_eq!(read.payload_range(&[]), None);
    }

    #[test]
    fn extension_sources_and_padding_are_no_payload() {
        let mut datagram = write_header(1, 1, 1).to_vec();
        datagram[0] = 0xb1;
        datagram.extend([0, 0, 0, 9]);
        assert_eq!(parse(&datagram), None);
        datagram.extend([0xbe, 0xde, 0, 1]);
        let read = opus_header(&datagram);
        assert_eq!(read.clear_bytes, 20);
        // Four bytes of extension, two of payload, two of padding.
        assert_eq!(read.payload_range(&[9, 9, 9, 9, 1, 2, 0, 2]), Some(4..6));
        assert_eq!(read.payload_range(&[9, 9, 9, 9, 1, 2, 0, 0]), None);
        assert_eq!(read.payload_range(&[9, 9, 9, 9, 2, 4]), None);
        assert_eq!(read.payload_range(&[9, 9, 9, 1]), None);
        assert_eq!(read.payload_range(&[200]), None);
        assert_eq!(read.payload_range(&[]), None);
    }

    #[test]
    fn rtcp_and_other_media_are_recognized() {
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&[0; 12]), None);
        // A sender report.
        assert_eq!(
            parse(&[0x80, 200, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0]),
            Some(DatagramKind::Rtcp)
        );
        assert_eq!(
            parse(&[0x80, 101, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0]),
            Some(DatagramKind::Other)
        );
        // Opus with the marker bit, as a spurt begins.
        assert_eq!(
            opus_header(&[0x80, 0xf8, 0, 6, 0, 0, 0, 1, 0, 0, 0, 5]).ssrc,
            5
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_in_bounds(datagram: Vec<u8>, body: Vec<u8>) {
            if let Some(DatagramKind::Opus(head)) = parse(&datagram) {
                prop_assert!(head.clear_bytes <= datagram.len());
                if let Some(payload) = head.payload_range(&body) {
                    prop_assert!(!payload.is_empty() && payload.end <= body.len());
                }
            }
        }
    }
}
