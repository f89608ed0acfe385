//! Whether datagrams can leave this machine.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::UdpSocket;

/// Why no datagram leaves.
#[derive(Debug, thiserror::Error)]
pub enum UdpError {
    /// The name of the host means nothing here.
    #[error("the name can't be resolved: {0}")]
    Resolve(#[source] io::Error),
    /// The system gives no socket, has no route, or forbids it.
    #[error("no datagram leaves: {0}")]
    Send(#[source] io::Error),
}

/// Sends an empty datagram towards `host`. That the system takes it shows that there is a socket, a
/// route, and no rule of this machine against it; whether it arrives nobody knows.
///
/// # Errors
///
/// See [`UdpError`].
pub async fn check_outbound_udp(host: &str, port: u16) -> Result<(), UdpError> {
    let found = tokio::net::lookup_host((host, port)).await;
    let addresses: Vec<SocketAddr> = found.map_err(UdpError::Resolve)?.collect();
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match send_empty_datagram(address).await {
            Ok(()) => return Ok(()),
            Err(error) => failed = error,
        }
    }
    Err(UdpError::Send(failed))
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
