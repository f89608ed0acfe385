//! Settings of the web pages.

use std::net::{Ipv4Addr, SocketAddr};

use secrecy::{ExposeSecret, SecretString};

use super::reader::SettingsReader;

/// The default of `WEB_ADDRESS`.
const DEFAULT_ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8_711);

/// The shortest accepted token. Anyone who reaches the page can guess tokens.
const MIN_TOKEN_LEN: usize = 16;

const TOKEN_VARIABLE: &str = "TALKBACK_HTTP_TOKEN";

/// Settings of the web pages.
#[derive(Debug)]
pub struct WebConfig {
    /// The address of `talkback web`.
    pub address: SocketAddr,
    /// The token that opens the pages to other machines. `None`: only this machine has access.
    pub token: Option<SecretString>,
}

pub(super) fn read_web_config(reader: &mut SettingsReader<'_>) -> WebConfig {
    let token = reader.secret(TOKEN_VARIABLE);
    if let Some(token) = &token
        && token.expose_secret().len() < MIN_TOKEN_LEN
    {
        reader.push_error(
            TOKEN_VARIABLE,
            format!(
                "It is too easy to guess. Use at least {MIN_TOKEN_LEN} characters, as from \
                 `openssl rand -hex 32`."
            ),
        );
    }
    let address = reader.socket_address("WEB_ADDRESS", "127.0.0.1:8711");
    if reader.required.web {
        require_token(reader, "WEB_ADDRESS", address);
    }
    WebConfig {
        address: address.unwrap_or(DEFAULT_ADDRESS),
        token,
    }
}

/// Reports an error if `address` can be reached from other machines and no token is set.
pub(super) fn require_token(
    reader: &mut SettingsReader<'_>,
    variable: &'static str,
    address: Option<SocketAddr>,
) {
    let Some(address) = address.filter(|it| !it.ip().is_loopback()) else {
        return;
    };
    if reader.text(TOKEN_VARIABLE).is_none() {
        reader.push_error(
            TOKEN_VARIABLE,
            format!(
                "It is needed, since {variable} ({address}) can be reached from other machines. \
                 Set it to what `openssl rand -hex 32` prints, or use 127.0.0.1."
            ),
        );
    }
}
