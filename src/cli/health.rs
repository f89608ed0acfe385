//! `talkback health`: what the running bot says of itself, for whoever watches over it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::exit::Exit;
use super::terminal;
use crate::config::Config;
use crate::words;
use net::{self, NetError};

/// The most that it says, in bytes.
const MAX_HEALTH: usize = 4_096;

/// The longest that the bot may take to say how it is.
const LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn run(config: &Config) -> Exit {
    let Some(address) = config.bot.http else {
        terminal::complain(words::NO_HEALTH);
        return Exit::Usage;
    };
    let address = reachable(address);
    let asked = async {
        let url = format!("http://{address}/healthz");
        let answer = net::local_client()?.get(url).send().await?;
        let well = answer.status().is_success();
        let text = net::read_body(answer, MAX_HEALTH).await?;
        Ok::<_, NetError>((well, text))
    };
    match tokio::time::timeout(LIMIT, asked).await {
        Ok(Ok((well, text))) => {
            terminal::print(&words::printable(&String::from_utf8_lossy(&text)));
            if well { Exit::Success } else { Exit::Failure }
        }
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "no health");
            terminal::complain(&words::no_bot_at(address));
            Exit::Failure
        }
        Err(_) => {
            terminal::complain(&words::no_bot_at(address));
            Exit::Failure
        }
    }
}

/// Where a server is reached that serves all addresses of this machine.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
