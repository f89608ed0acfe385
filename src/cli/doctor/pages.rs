//! Where pages are shown: whether the address can be had, and who may see them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;

use super::report::Report;
use crate::cli::health::reachable;
use crate::config::{Config, Needs, Values};
use crate::words;
use net;

/// The most that is read of a page.
const MAX_PAGE: usize = 256 * 1024;

/// How long whoever has an address may take to say who it is.
const LIMIT: Duration = Duration::from_secs(5);

/// What stands in every page of ours.
const TITLE: &str = "Talkback</title>";

pub(super) async fn check(config: &Config, values: &Values) -> Report {
    let mut report = Report::default();
    if let Some(address) = config.bot.http {
        look(&mut report, "TALKBACK_HTTP", address).await;
    }
    if values.has("WEB_ADDRESS") {
        look(&mut report, "WEB_ADDRESS", config.web.address).await;
    }
    // What `run` and `web` would refuse. Other commands work.
    let needs = Needs {
        discord: config.bot.token.is_some(),
        web: true,
        ..Needs::NOTHING
    };
    if let Err(faults) = Config::read_for(values, needs) {
        for fault in faults {
            report.warn(fault.variable, &fault.sentence);
        }
    }
    report
}

async fn look(report: &mut Report, name: &str, address: SocketAddr) {
    match TcpListener::bind(address).await {
        Ok(_) => report.ok(name, &words::doctor::address_free(address)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if is_ours(reachable(address)).await {
                report.ok(name, &words::doctor::address_ours(address));
            } else {
                report.warn(name, &words::doctor::address_taken(address));
            }
        }
        Err(error) => report.warn(name, &words::doctor::address_wrong(address, &error)),
    }
}

/// Whether a Talkback serves there: without the token there still is a page that asks for it.
async fn is_ours(address: SocketAddr) -> bool {
    let asked = async {
        let answer = net::local_client().ok()?.get(format!("http://{address}/"));
        let answer = answer.send().await.ok()?;
        net::read_body(answer, MAX_PAGE).await.ok()
    };
    let page = timeout(LIMIT, asked).await.ok().flatten();
    page.is_some_and(|page| String::from_utf8_lossy(&page).contains(TITLE))
}
