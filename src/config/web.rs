//! What only pages for a browser need.

use std::net::{Ipv4Addr, SocketAddr};

use secrecy::{ExposeSecret, SecretString};

use super::reader::Reader;

/// Where the page is unless somebody says otherwise.
const DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8_711);

/// The shortest token that is taken: anybody may guess at it.
const LEAST_TOKEN: usize = 16;

const TOKEN: &str = "TALKBACK_HTTP_TOKEN";

/// What only pages for a browser need.
#[derive(Debug)]
pub struct Web {
    /// Where the page is.
    pub address: SocketAddr,
    /// Who knows it may see the pages; without it only this machine does.
    pub token: Option<SecretString>,
}

pub(super) fn web(reader: &mut Reader<'_>) -> Web {
    let token = reader.secret(TOKEN);
    if let Some(token) = &token
        && token.expose_secret().len() < LEAST_TOKEN
    {
        reader.fault(
            TOKEN,
            format!(
                "It is too easy to guess. Use at least {LEAST_TOKEN} characters, as from \
                 `openssl rand -hex 32`."
            ),
        );
    }
    let address = reader.address("WEB_ADDRESS", "127.0.0.1:8711");
    if reader.needs.web {
        demand_token(reader, "WEB_ADDRESS", address);
    }
    Web {
        address: address.unwrap_or(DEFAULT),
        token,
    }
}

/// Finds fault if `address` can be reached from other machines and nobody has to know anything.
pub(super) fn demand_token(
    reader: &mut Reader<'_>,
    variable: &'static str,
    address: Option<SocketAddr>,
) {
    let Some(address) = address.filter(|it| !it.ip().is_loopback()) else {
        return;
    };
    if reader.text(TOKEN).is_none() {
        reader.fault(
            TOKEN,
            format!(
                "It is needed, since {variable} ({address}) can be reached from other machines. \
                 Set it to what `openssl rand -hex 32` prints, or use 127.0.0.1."
            ),
        );
    }
}
