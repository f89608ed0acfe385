//! Whether datagrams can leave this machine.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::UdpSocket;

/// Why no datagram leaves.
#[derive(Debug, thiserror::Error)]
pub enum NoUdp {
    /// The name of the host means nothing here.
    #[error("the name can't be resolved: {0}")]
    Name(#[source] io::Error),
    /// The system gives no socket, has no route, or forbids it.
    #[error("no datagram leaves: {0}")]
    Refused(#[source] io::Error),
}

/// Sends an empty datagram towards `host`. That the system takes it shows that there is a socket, a
/// route, and no rule of this machine against it; whether it arrives nobody knows.
///
/// # Errors
///
/// See [`NoUdp`].
pub async fn leaves(host: &str, port: u16) -> Result<(), NoUdp> {
    let found = tokio::net::lookup_host((host, port)).await;
    let addresses: Vec<SocketAddr> = found.map_err(NoUdp::Name)?.collect();
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match send(address).await {
            Ok(()) => return Ok(()),
            Err(error) => failed = error,
        }
    }
    Err(NoUdp::Refused(failed))
}

async fn send(to: SocketAddr) -> io::Result<()> {
    let any: SocketAddr = if to.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(to).await?;
    socket.send(&[]).await.map(|_| ())
}
