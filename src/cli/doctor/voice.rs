//! Voice goes over UDP. What can be found out without a call: whether a datagram leaves. The rest
//! shows in a call, for those who ask for one.

use std::time::Duration;

use tokio::time::timeout;
use url::Url;

use super::discord::sentence;
use super::report::Report;
use crate::discord::trial::{Trial, TrialError};
use crate::words;
use net::udp::{self, NoUdp};

pub(super) const NAME: &str = "voice";

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

/// What came of going into a call.
pub(super) fn tried(
    report: &mut Report,
    channel: u64,
    tried: &Result<Trial, TrialError>,
    proxied: bool,
) {
    let error = match tried {
        Ok(trial) => {
            let heard = words::doctor::call_heard(&trial.channel, trial.took, trial.encrypted);
            return if trial.encrypted == Some(false) {
                report.warn(NAME, &heard);
            } else {
                report.ok(NAME, &heard);
            };
        }
        Err(error) => error,
    };
    let sentence = match error {
        TrialError::NoChannel => words::doctor::call_no_channel(channel),
        TrialError::InCall => {
            return report.warn(NAME, words::doctor::CALL_GOES_ON);
        }
        TrialError::Gateway(why) => words::doctor::no_gateway(why),
        TrialError::NotLetIn => words::doctor::call_closed(channel),
        TrialError::Lost(code) => words::doctor::call_lost(*code),
        TrialError::Silent => words::doctor::CALL_SILENT.to_owned(),
        TrialError::Discord(error) => sentence(error, proxied),
    };
    report.broken(NAME, &sentence);
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
