//! RTP headers (<https://www.rfc-editor.org/rfc/rfc3550#section-5.1>), divided as Discord's
//! `rtpsize` ciphers do
//! (<https://discord.com/developers/docs/topics/voice-connections#transport-encryption-and-sending-voice>):
//! the fixed header, the CSRC list and the first four bytes of an extension are authenticated and
//! in the clear; the rest of the extension is encrypted, in front of the payload.

use std::ops::Range;

/// The size of the fixed header, in bytes.
pub(super) const FIXED_HEADER_BYTES: usize = 12;

/// The RTP payload type that Discord uses for Opus.
const OPUS_PAYLOAD_TYPE: u8 = 120;

/// The first byte of an RTP packet of version 2 without padding, extension and CSRCs.
const VERSION_2: u8 = 0x80;

/// RTCP packet types, read as RTP payload types without the marker bit
/// (<https://www.rfc-editor.org/rfc/rfc5761#section-4>).
const RTCP_PAYLOAD_TYPES: Range<u8> = 64..96;

/// The kind of a datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum DatagramKind {
    /// Encrypted Opus behind this header.
    Opus(RtpHeader),
    /// An RTCP packet.
    Rtcp,
    /// RTP of another payload type, such as video.
    Other,
}

/// The header of an Opus packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct RtpHeader {
    /// The stream.
    pub(super) ssrc: u32,
    /// Counts packets; wraps.
    pub(super) sequence: u16,
    /// In samples at 48 kHz; wraps.
    pub(super) timestamp: u32,
    /// Bytes that are authenticated but not encrypted.
    pub(super) clear_bytes: usize,
    /// Bytes of the header extension in front of the payload, encrypted with it.
    extension_bytes: usize,
    has_padding: bool,
}

/// Parses the header of a datagram; `None` if it is no RTP or RTCP, or cut off within the header.
pub(super) fn parse(datagram: &[u8]) -> Option<DatagramKind> {
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
    let csrc_bytes = usize::from(first & 0x0f) * 4;
    let mut header = RtpHeader {
        ssrc: u32::from_be_bytes([i1, i2, i3, i4]),
        sequence: u16::from_be_bytes([s1, s2]),
        timestamp: u32::from_be_bytes([t1, t2, t3, t4]),
        clear_bytes: FIXED_HEADER_BYTES + csrc_bytes,
        extension_bytes: 0,
        has_padding: first & 0x20 != 0,
    };
    let rest = rest.get(csrc_bytes..)?;
    if first & 0x10 != 0 {
        let [_, _, l1, l2] = *rest.first_chunk::<4>()?;
        header.clear_bytes += 4;
        header.extension_bytes = usize::from(u16::from_be_bytes([l1, l2])) * 4;
    }
    Some(DatagramKind::Opus(header))
}

impl RtpHeader {
    /// The payload within the decrypted `body`, without extension and padding. `None` if it is
    /// empty or the padding is invalid.
    pub(super) fn payload_range(&self, body: &[u8]) -> Option<Range<usize>> {
        let padding = match (self.has_padding, body.last()) {
            (true, Some(0)) => return None,
            (true, Some(padding)) => usize::from(*padding),
            _ => 0,
        };
        let end = body.len().checked_sub(padding)?;
        (self.extension_bytes < end).then_some(self.extension_bytes..end)
    }
}

/// Writes the header of a packet that we send.
pub(super) fn write_header(sequence: u16, timestamp: u32, ssrc: u32) -> [u8; FIXED_HEADER_BYTES] {
    let mut header = [0; FIXED_HEADER_BYTES];
    header[0] = VERSION_2;
    header[1] = OPUS_PAYLOAD_TYPE;
    header[2..4].copy_from_slice(&sequence.to_be_bytes());
    header[4..8].copy_from_slice(&timestamp.to_be_bytes());
    header[8..].copy_from_slice(&ssrc.to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn opus_header(datagram: &[u8]) -> RtpHeader {
        let header = match parse(datagram) {
            Some(DatagramKind::Opus(header)) => Some(header),
            _ => None,
        };
        header.expect("an Opus packet")
    }

    #[test]
    fn written_header_is_parsed() {
        let header = opus_header(&write_header(7, 960, 42));
        assert_eq!(
            (
                header.sequence,
                header.timestamp,
                header.ssrc,
                header.clear_bytes
            ),
            (7, 960, 42, 12)
        );
        assert_eq!(header.payload_range(&[1, 2, 3]), Some(0..3));
        assert_eq!(header.payload_range(&[]), None);
    }

    #[test]
    fn payload_excludes_extension_csrcs_and_padding() {
        let mut datagram = write_header(1, 1, 1).to_vec();
        datagram[0] = 0xb1;
        datagram.extend([0, 0, 0, 9]);
        assert_eq!(parse(&datagram), None);
        datagram.extend([0xbe, 0xde, 0, 1]);
        let header = opus_header(&datagram);
        assert_eq!(header.clear_bytes, 20);
        // Four bytes of extension, two of payload, two of padding.
        assert_eq!(header.payload_range(&[9, 9, 9, 9, 1, 2, 0, 2]), Some(4..6));
        assert_eq!(header.payload_range(&[9, 9, 9, 9, 1, 2, 0, 0]), None);
        assert_eq!(header.payload_range(&[9, 9, 9, 9, 2, 4]), None);
        assert_eq!(header.payload_range(&[9, 9, 9, 1]), None);
        assert_eq!(header.payload_range(&[200]), None);
        assert_eq!(header.payload_range(&[]), None);
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
        // Opus with the marker bit, the start of a talkspurt.
        assert_eq!(
            opus_header(&[0x80, 0xf8, 0, 6, 0, 0, 0, 1, 0, 0, 0, 5]).ssrc,
            5
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_stay_in_bounds(datagram: Vec<u8>, body: Vec<u8>) {
            if let Some(DatagramKind::Opus(header)) = parse(&datagram) {
                prop_assert!(header.clear_bytes <= datagram.len());
                if let Some(payload) = header.payload_range(&body) {
                    prop_assert!(!payload.is_empty() && payload.end <= body.len());
                }
            }
        }
    }
}
