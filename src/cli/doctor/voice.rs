//! Voice goes over UDP. What can be found out without a call: whether a datagram leaves.

use std::time::Duration;

use tokio::time::timeout;
use url::Url;

use super::report::Report;
use crate::net::udp::{self, NoUdp};
use crate::words;

const NAME: &str = "voice";

/// The longest that a name may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The variables that name a proxy for HTTPS.
const PROXIES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// The voice servers' addresses are known in a call only; the gateway's stands for them.
pub(super) async fn check(report: &mut Report, gateway: &str) {
    let Some((host, port)) = authority(gateway) else {
        return;
    };
    let sent = timeout(LIMIT, udp::leaves(&host, port)).await;
    match sent {
        Ok(Ok(())) if behind_a_proxy() => report.warn(NAME, words::doctor::VOICE_PAST_PROXY),
        Ok(Ok(())) => report.ok(NAME, words::doctor::VOICE_LEAVES),
        Ok(Err(NoUdp::Name(_))) | Err(_) => {
            report.warn(NAME, &words::doctor::voice_no_name(&host));
        }
        Ok(Err(NoUdp::Refused(error))) => report.warn(NAME, &words::doctor::voice_no_udp(&error)),
    }
}

fn behind_a_proxy() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|it| !it.is_empty());
    PROXIES.into_iter().any(set)
}

fn authority(url: &str) -> Option<(String, u16)> {
    let url = Url::parse(url).ok()?;
    let port = url.port_or_known_default().unwrap_or(443);
    Some((url.host_str()?.to_owned(), port))
}
