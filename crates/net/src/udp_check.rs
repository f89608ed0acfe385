//! Checks whether this machine lets UDP datagrams out.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::UdpSocket;

/// Why no datagram can be sent.
#[derive(Debug, thiserror::Error)]
pub enum UdpError {
    /// The host's name can't be resolved.
    #[error("the name can't be resolved: {0}")]
    Resolve(#[source] io::Error),
    /// There is no socket or no route, or a local firewall forbids it.
    #[error("no datagram leaves: {0}")]
    Send(#[source] io::Error),
}

/// Sends an empty datagram to `host`. Success means that there is a socket, a route, and no local
/// firewall rule against it; it does not mean that the datagram arrives.
///
/// # Errors
///
/// [`UdpError`] of the last address if none of the host's addresses can be sent to.
pub async fn check_outbound_udp(host: &str, port: u16) -> Result<(), UdpError> {
    let resolved = tokio::net::lookup_host((host, port)).await;
    let addresses: Vec<SocketAddr> = resolved.map_err(UdpError::Resolve)?.collect();
    let mut last_error = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match send_empty_datagram(address).await {
            Ok(()) => return Ok(()),
            Err(error) => last_error = error,
        }
    }
    Err(UdpError::Send(last_error))
}

async fn send_empty_datagram(to: SocketAddr) -> io::Result<()> {
    let any: SocketAddr = if to.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(to).await?;
    socket.send(&[]).await.map(|_| ())
}
