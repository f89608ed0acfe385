//! The addresses of the web pages: whether they can be bound, and whether a token protects them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;

use super::report::DoctorReport;
use crate::cli::health::connect_address;
use crate::config::{Config, RequiredFeatures, SettingValues};
use crate::ui_text;
use net;

/// The limit on a page that is read to recognize Talkback.
const MAX_PAGE_BYTES: usize = 256 * 1024;

/// How long a server at an address may take to answer.
const PAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// The end of the title of every Talkback page.
const TALKBACK_TITLE: &str = "Talkback</title>";

pub(super) async fn check(config: &Config, values: &SettingValues) -> DoctorReport {
    let mut report = DoctorReport::default();
    if let Some(address) = config.bot.http_address {
        check_address(&mut report, "TALKBACK_HTTP", address).await;
    }
    if values.is_set("WEB_ADDRESS") {
        check_address(&mut report, "WEB_ADDRESS", config.web.address).await;
    }
    // What `run` and `web` would reject. Other commands still work.
    let required = RequiredFeatures {
        discord: config.bot.token.is_some(),
        web: true,
        ..RequiredFeatures::NONE
    };
    if let Err(errors) = Config::read_for(values, required) {
        for error in errors {
            report.warn(error.variable, &error.message);
        }
    }
    report
}

async fn check_address(report: &mut DoctorReport, name: &str, address: SocketAddr) {
    match TcpListener::bind(address).await {
        Ok(_) => report.ok(name, &ui_text::doctor::address_free(address)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if is_talkback(connect_address(address)).await {
                report.ok(name, &ui_text::doctor::address_used_by_talkback(address));
            } else {
                report.warn(name, &ui_text::doctor::address_taken(address));
            }
        }
        Err(error) => report.warn(name, &ui_text::doctor::address_unavailable(address, &error)),
    }
}

/// Whether the server at `address` is a Talkback. Without the token its sign-in page shows that.
async fn is_talkback(address: SocketAddr) -> bool {
    let fetch_page = async {
        let answer = net::local_client().ok()?.get(format!("http://{address}/"));
        let answer = answer.send().await.ok()?;
        net::read_body(answer, MAX_PAGE_BYTES).await.ok()
    };
    let page = timeout(PAGE_TIMEOUT, fetch_page).await.ok().flatten();
    page.is_some_and(|page| String::from_utf8_lossy(&page).contains(TALKBACK_TITLE))
}
