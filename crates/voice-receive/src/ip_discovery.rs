//! Which address Discord sees us at
//! (<https://discord.com/developers/docs/topics/voice-connections#ip-discovery>).

/// Bytes of a question and of its answer.
pub(super) const PACKET_BYTES: usize = 74;

/// What follows the two first numbers, in bytes.
const BODY_BYTES: u16 = 70;

/// Bytes of the address, with what it is filled up with.
const ADDRESS_RANGE: std::ops::Range<usize> = 8..72;

/// The question for the address of a stream.
pub(super) fn request(ssrc: u32) -> [u8; PACKET_BYTES] {
    let mut question = [0; PACKET_BYTES];
    question[..2].copy_from_slice(&1_u16.to_be_bytes());
    question[2..4].copy_from_slice(&BODY_BYTES.to_be_bytes());
    question[4..8].copy_from_slice(&ssrc.to_be_bytes());
    question
}

/// The address and the port in an answer.
pub(super) fn parse_response(datagram: &[u8], ssrc: u32) -> Option<(String, u16)> {
    let answer: &[u8; PACKET_BYTES] = datagram.try_into().ok()?;
    if answer[..2] != 2_u16.to_be_bytes() || answer[4..8] != ssrc.to_be_bytes() {
        return None;
    }
    let address = answer[ADDRESS_RANGE].split(|byte| *byte == 0).next()?;
    let address = std::str::from_utf8(address).ok()?;
    // Whatever else it is, we would send it on.
    let address: std::net::IpAddr = address.parse().ok()?;
    let port = u16::from_be_bytes([answer[72], answer[73]]);
    Some((address.to_string(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(address: &str, port: u16) -> [u8; PACKET_BYTES] {
        let mut answer = request(5);
        answer[1] = 2;
        answer[8..8 + address.len()].copy_from_slice(address.as_bytes());
        answer[72..].copy_from_slice(&port.to_be_bytes());
        answer
    }

    #[test]
    fn an_answer_is_read() {
        let told = parse_response(&response("203.0.113.9", 4_000), 5);
        assert_eq!(told, Some(("203.0.113.9".to_owned(), 4_000)));
    }

    #[test]
    fn invalid_responses_are_ignored() {
        assert_eq!(parse_response(&request(5), 5), None);
        assert_eq!(parse_response(&response("203.0.113.9", 1), 6), None);
        assert_eq!(parse_response(&response("example.com", 1), 5), None);
        assert_eq!(parse_response(&response("", 1), 5), None);
        assert_eq!(parse_response(&response("203.0.113.9", 1)[..70], 5), None);
        let mut garbage = response("", 1);
        garbage[8..72].fill(0xff);
        assert_eq!(parse_response(&garbage, 5), None);
    }
}
