//! Where pages are shown: whether the address can be had, and who may see them.

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

/// The most that is read of a page.
const MAX_PAGE_BYTES: usize = 256 * 1024;

/// How long whoever has an address may take to say who it is.
const PAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// What stands in every page of ours.
const TALKBACK_TITLE: &str = "Talkback</title>";

pub(super) async fn check(config: &Config, values: &SettingValues) -> DoctorReport {
    let mut report = DoctorReport::default();
    if let Some(address) = config.bot.http_address {
        check_address(&mut report, "TALKBACK_HTTP", address).await;
    }
    if values.is_set("WEB_ADDRESS") {
        check_address(&mut report, "WEB_ADDRESS", config.web.address).await;
    }
    // What `run` and `web` would refuse. Other commands work.
    let needs = RequiredFeatures {
        discord: config.bot.token.is_some(),
        web: true,
        ..RequiredFeatures::NONE
    };
    if let Err(faults) = Config::read_for(values, needs) {
        for fault in faults {
            report.warn(fault.variable, &fault.message);
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

/// Whether a Talkback serves there: without the token there still is a page that asks for it.
async fn is_talkback(address: SocketAddr) -> bool {
    let asked = async {
        let answer = net::local_client().ok()?.get(format!("http://{address}/"));
        let answer = answer.send().await.ok()?;
        net::read_body(answer, MAX_PAGE_BYTES).await.ok()
    };
    let page = timeout(PAGE_TIMEOUT, asked).await.ok().flatten();
    page.is_some_and(|page| String::from_utf8_lossy(&page).contains(TALKBACK_TITLE))
}
