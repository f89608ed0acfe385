//! Just enough of Ogg (RFC 3533) to hand the packets of one stream to libopus by hand.

/// The packets of a file with one logical stream, headers included, and the granule position
/// of its last page.
pub(crate) fn packets(file: &[u8]) -> (Vec<Vec<u8>>, u64) {
    let mut packets = Vec::new();
    let mut packet = Vec::new();
    let mut last_position = 0;
    let mut at = 0;
    while let Some(page) = file.get(at..).filter(|rest| rest.len() >= 27) {
        assert!(page.starts_with(b"OggS"), "no page at {at}");
        let position = page[6..14].try_into().expect("eight bytes");
        last_position = u64::from_le_bytes(position);
        let segments = usize::from(page[26]);
        let mut data = 27 + segments;
        for length in &page[27..27 + segments] {
            let end = data + usize::from(*length);
            packet.extend_from_slice(&page[data..end]);
            data = end;
            if *length < 255 {
                packets.push(std::mem::take(&mut packet));
            }
        }
        at += data;
    }
    (packets, last_position)
}
