//! Voice uses UDP. Without a call only sending a datagram can be tested; `--voice` tests the rest
//! in a real call.

use std::time::Duration;

use tokio::time::timeout;
use url::Url;

use super::discord::describe_error;
use super::report::DoctorReport;
use crate::discord::voice_probe::{VoiceProbe, VoiceProbeError};
use crate::ui_text;
use net::udp_check::{self, UdpError};

pub(super) const VOICE_CHECK: &str = "voice";

/// The time limit of name resolution.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The environment variables that set a proxy for HTTPS.
const PROXY_VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// Sends a datagram to the gateway's address. The voice servers' addresses are only known in a
/// call.
pub(super) async fn check_udp(report: &mut DoctorReport, gateway: &str) {
    let Some((host, port)) = host_and_port(gateway) else {
        return;
    };
    let sent = timeout(RESOLVE_TIMEOUT, udp_check::check_outbound_udp(&host, port)).await;
    match sent {
        Ok(Ok(())) if is_behind_proxy() => {
            report.warn(VOICE_CHECK, ui_text::doctor::VOICE_BYPASSES_PROXY);
        }
        Ok(Ok(())) => report.ok(VOICE_CHECK, ui_text::doctor::UDP_LEAVES_MACHINE),
        Ok(Err(UdpError::Resolve(_))) | Err(_) => {
            report.warn(
                VOICE_CHECK,
                &ui_text::doctor::gateway_name_unresolved(&host),
            );
        }
        Ok(Err(UdpError::Send(error))) => {
            report.warn(VOICE_CHECK, &ui_text::doctor::udp_blocked(&error));
        }
    }
}

/// Reports the outcome of the test call.
pub(super) fn report_voice_probe(
    report: &mut DoctorReport,
    channel: u64,
    outcome: &Result<VoiceProbe, VoiceProbeError>,
    proxied: bool,
) {
    let error = match outcome {
        Ok(trial) => {
            let sentence = ui_text::doctor::voice_probe_passed(
                &trial.channel_name,
                trial.connect_time,
                trial.encrypted,
            );
            return if trial.encrypted == Some(false) {
                report.warn(VOICE_CHECK, &sentence);
            } else {
                report.ok(VOICE_CHECK, &sentence);
            };
        }
        Err(error) => error,
    };
    let sentence = match error {
        VoiceProbeError::NotVoiceChannel => ui_text::doctor::voice_probe_no_channel(channel),
        VoiceProbeError::AlreadyInCall => {
            return report.warn(VOICE_CHECK, ui_text::doctor::VOICE_PROBE_ALREADY_IN_CALL);
        }
        VoiceProbeError::Gateway(why) => ui_text::doctor::gateway_unreachable(why),
        VoiceProbeError::JoinRefused => ui_text::doctor::voice_probe_not_admitted(channel),
        VoiceProbeError::Disconnected(code) => ui_text::doctor::voice_probe_disconnected(*code),
        VoiceProbeError::TimedOut => ui_text::doctor::VOICE_PROBE_TIMED_OUT.to_owned(),
        VoiceProbeError::Diagnostics(error) => describe_error(error, proxied),
    };
    report.fail(VOICE_CHECK, &sentence);
}

fn is_behind_proxy() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|it| !it.is_empty());
    PROXY_VARIABLES.into_iter().any(is_set)
}

fn host_and_port(url: &str) -> Option<(String, u16)> {
    let url = Url::parse(url).ok()?;
    let port = url.port_or_known_default().unwrap_or(443);
    Some((url.host_str()?.to_owned(), port))
}
