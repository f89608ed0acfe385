//! IP discovery: asks the voice server from which address it sees our UDP socket
//! (<https://discord.com/developers/docs/topics/voice-connections#ip-discovery>).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdSocket};
use std::ops::Range;
use std::time::Duration;

use net::ErrorCause;
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

/// The size of a request and of its response, in bytes.
const PACKET_BYTES: usize = 74;

/// The length field: the bytes after type and length.
const BODY_BYTES: u16 = 70;

/// The address in a response: text, padded with zeros.
const ADDRESS_RANGE: Range<usize> = 8..72;

/// How many requests are sent.
const ATTEMPTS: usize = 10;

/// How long to wait for each response.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);

/// The receive buffer that is asked for: 4 MiB, of which most systems give less. Hundreds of
/// speakers send 25,000 datagrams in a second.
const UDP_RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// A socket connected to the voice server, and our address as Discord sees it. `None` if there is
/// no socket or no response.
pub(super) async fn discover_address(
    server: SocketAddr,
    ssrc: u32,
) -> Option<(StdSocket, String, u16)> {
    let socket = bind_udp_socket(server).map_err(|error| {
        let cause = ErrorCause::from_error(&error);
        tracing::warn!(%cause, "can't open a UDP socket for voice");
    });
    let socket = socket.ok()?;
    let async_socket = UdpSocket::from_std(socket.try_clone().ok()?).ok()?;
    let request = request(ssrc);
    for _ in 0..ATTEMPTS {
        // A lost or refused request is sent again.
        let _ = async_socket.send(&request).await;
        let response = async {
            // One byte more than a response has, so that a longer datagram does not pass for one.
            let mut datagram = [0; PACKET_BYTES + 1];
            loop {
                let length = async_socket.recv(&mut datagram).await.ok()?;
                if let Some(address) = parse_response(&datagram[..length], ssrc) {
                    return Some(address);
                }
            }
        };
        match timeout(RESPONSE_TIMEOUT, response).await {
            Ok(Some((address, port))) => return Some((socket, address, port)),
            Ok(None) => sleep(RESPONSE_TIMEOUT).await,
            Err(_) => {}
        }
    }
    tracing::warn!("the voice server does not answer over UDP");
    None
}

fn bind_udp_socket(server: SocketAddr) -> std::io::Result<StdSocket> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = StdSocket::bind((any, 0))?;
    // Datagrams from other addresses are dropped by the system.
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    // A smaller buffer than asked for will do.
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(UDP_RECEIVE_BUFFER);
    Ok(socket)
}

fn request(ssrc: u32) -> [u8; PACKET_BYTES] {
    let mut packet = [0; PACKET_BYTES];
    packet[..2].copy_from_slice(&1_u16.to_be_bytes());
    packet[2..4].copy_from_slice(&BODY_BYTES.to_be_bytes());
    packet[4..8].copy_from_slice(&ssrc.to_be_bytes());
    packet
}

/// The address and the port in a response.
fn parse_response(datagram: &[u8], ssrc: u32) -> Option<(String, u16)> {
    let packet: &[u8; PACKET_BYTES] = datagram.try_into().ok()?;
    if packet[..2] != 2_u16.to_be_bytes() || packet[4..8] != ssrc.to_be_bytes() {
        return None;
    }
    let address = packet[ADDRESS_RANGE].split(|byte| *byte == 0).next()?;
    let address = std::str::from_utf8(address).ok()?;
    // It is sent back in Select Protocol, so only an address may pass.
    let address: IpAddr = address.parse().ok()?;
    let port = u16::from_be_bytes([packet[72], packet[73]]);
    Some((address.to_string(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(address: &str, port: u16) -> [u8; PACKET_BYTES] {
        let mut packet = request(5);
        packet[1] = 2;
        packet[8..8 + address.len()].copy_from_slice(address.as_bytes());
        packet[72..].copy_from_slice(&port.to_be_bytes());
        packet
    }

    #[test]
    fn response_is_parsed() {
        let address = parse_response(&response("203.0.113.9", 4_000), 5);
        assert_eq!(address, Some(("203.0.113.9".to_owned(), 4_000)));
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
