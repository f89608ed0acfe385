//! `talkback health`: asks the running bot for its health, for container and service health checks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::exit::Exit;
use super::terminal;
use crate::config::Config;
use crate::ui_text;
use net::{self, NetError};

/// The limit on the response, in bytes.
const MAX_RESPONSE_BYTES: usize = 4_096;

/// The time limit for the response.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn run(config: &Config) -> Exit {
    let Some(address) = config.bot.http_address else {
        terminal::print_error(ui_text::HEALTH_NOT_CONFIGURED);
        return Exit::Usage;
    };
    let address = connect_address(address);
    let request = async {
        let url = format!("http://{address}/healthz");
        let answer = net::local_client()?.get(url).send().await?;
        let is_healthy = answer.status().is_success();
        let text = net::read_body(answer, MAX_RESPONSE_BYTES).await?;
        Ok::<_, NetError>((is_healthy, text))
    };
    match tokio::time::timeout(HEALTH_TIMEOUT, request).await {
        Ok(Ok((is_healthy, text))) => {
            terminal::print(&ui_text::strip_control_chars(&String::from_utf8_lossy(
                &text,
            )));
            if is_healthy {
                Exit::Success
            } else {
                Exit::Failure
            }
        }
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "no health");
            terminal::print_error(&ui_text::no_bot_at(address));
            Exit::Failure
        }
        Err(_) => {
            terminal::print_error(&ui_text::no_bot_at(address));
            Exit::Failure
        }
    }
}

/// The address to connect to for a server that listens on `address`. For “all addresses” that is
/// this machine's own.
pub(super) fn connect_address(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
