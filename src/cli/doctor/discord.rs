//! The bot's account: token, intents, gateway, commands and permissions.

use std::num::NonZeroU64;

use super::clock::ClockCheck;
use super::report::DoctorReport;
use super::voice;
use crate::config::Config;
use crate::discord::diagnostics::{
    BotAccount, Diagnostics, DiagnosticsError, GatewayInfo, GuildList, check_gateway_hello,
};
use crate::discord::{invite, voice_probe};
use crate::flow::guild_settings::GuildSettings;
use crate::store::Store;
use crate::ui_text;
use net;

const DISCORD_CHECK: &str = "Discord";
const PERMISSIONS_CHECK: &str = "permissions";

/// The limit on channels that are checked.
const MAX_CHANNELS: usize = 200;

/// With fewer session starts left, the bot restarts far too often.
const MIN_SESSION_STARTS: u64 = 50;

/// Checks the bot. The ledger says in which channels voice messages are answered.
pub(super) async fn check(
    config: &Config,
    ledger: impl Future<Output = Option<Store>>,
    clock: &ClockCheck,
    call: Option<NonZeroU64>,
) -> DoctorReport {
    let mut report = DoctorReport::default();
    let Some(token) = config.bot.token.clone() else {
        report.ok(DISCORD_CHECK, ui_text::doctor::NO_DISCORD_TOKEN);
        if call.is_some() {
            report.fail(voice::VOICE_CHECK, ui_text::INVALID_DISCORD_TOKEN);
        }
        return report;
    };
    let client = match net::http_client() {
        Ok(client) => client,
        Err(error) => {
            report.fail(DISCORD_CHECK, &ui_text::http_client_error(&error));
            return report;
        }
    };
    let proxied = config.bot.rest_proxy.is_some();
    let proxy = config.bot.rest_proxy.as_ref().map(ToString::to_string);
    let diagnostics = Diagnostics::new(token.clone(), proxy, client);
    let account = match diagnostics.account().await {
        Ok(account) => account,
        Err(error) => {
            report.fail(DISCORD_CHECK, &describe_error(&error, proxied));
            return report;
        }
    };
    clock.record(DISCORD_CHECK, account.clock_skew, true);
    let (gateway, commands, servers) = tokio::join!(
        diagnostics.gateway_info(),
        diagnostics.check_commands(),
        diagnostics.list_guilds()
    );
    let server_count = servers.as_ref().ok().map(|it| (it.count, it.more));
    let sentence = ui_text::doctor::bot_account(
        &account.application_name,
        &account.bot_name,
        server_count,
        proxied,
    );
    report.ok(DISCORD_CHECK, &sentence);
    if account.message_content_enabled {
        report.ok(
            "message content",
            ui_text::doctor::MESSAGE_CONTENT_INTENT_ON,
        );
    } else {
        report.warn(
            "message content",
            ui_text::doctor::MESSAGE_CONTENT_INTENT_OFF,
        );
    }
    match &gateway {
        Ok(gateway) => check_gateway(&mut report, gateway).await,
        Err(error) => report.fail("gateway", &describe_error(error, proxied)),
    }
    match &commands {
        Ok(check) if check.missing.len() == check.own_count => {
            report.warn("commands", ui_text::doctor::NO_COMMANDS_REGISTERED);
        }
        Ok(check) => {
            let (missing, changed, foreign) = (&check.missing, &check.changed, &check.unknown);
            if missing.is_empty() && changed.is_empty() && foreign.is_empty() {
                report.ok(
                    "commands",
                    &ui_text::doctor::commands_registered(check.own_count),
                );
            } else {
                let sentence = ui_text::doctor::commands_differ(missing, changed, foreign);
                report.warn("commands", &sentence);
            }
        }
        Err(error) => report.warn("commands", &describe_error(error, proxied)),
    }
    match &servers {
        Ok(servers) => {
            let ledger = ledger.await;
            check_permissions(
                &mut report,
                &diagnostics,
                &account,
                servers,
                ledger.as_ref(),
            )
            .await;
        }
        Err(error) => report.warn(PERMISSIONS_CHECK, &describe_error(error, proxied)),
    }
    match (&gateway, call) {
        (Ok(gateway), None) => voice::check_udp(&mut report, &gateway.url).await,
        (Ok(gateway), Some(channel)) => {
            let outcome = voice_probe::probe_voice_channel(
                &diagnostics,
                &account,
                gateway,
                &token,
                channel.get(),
            )
            .await;
            voice::report_voice_probe(&mut report, channel.get(), &outcome, proxied);
        }
        // Reported above.
        (Err(_), _) => {}
    }
    report
}

async fn check_gateway(report: &mut DoctorReport, gateway: &GatewayInfo) {
    let (left, total, reset) = gateway.session_starts;
    match check_gateway_hello(&gateway.url).await {
        Ok(()) if left < MIN_SESSION_STARTS => {
            let sentence = ui_text::doctor::few_session_starts_left(left, total, reset);
            report.fail_or_warn(left == 0, "gateway", &sentence);
        }
        Ok(()) => report.ok("gateway", &ui_text::doctor::gateway_reachable(left, total)),
        Err(DiagnosticsError::Unreachable(why)) => {
            report.fail(
                "gateway",
                &ui_text::doctor::gateway_unreachable(&why.to_string()),
            );
        }
        Err(error) => report.fail("gateway", &describe_error(&error, false)),
    }
}

/// Checks permissions in the servers, and in channels where voice messages are answered.
async fn check_permissions(
    report: &mut DoctorReport,
    diagnostics: &Diagnostics,
    account: &BotAccount,
    servers: &GuildList,
    ledger: Option<&Store>,
) {
    let mut problems = DoctorReport::default();
    let mut checked = 0;
    let mut left = 0;
    for server in &servers.first {
        if !server.missing_permissions.is_empty() {
            let link = invite::invite_url(account.application_id);
            let sentence =
                ui_text::doctor::missing_server_permissions(&server.missing_permissions, &link);
            problems.warn(&ui_text::doctor::server_check_name(&server.name), &sentence);
        }
        let mut notes = channels_with_notes(ledger, server.id).await;
        left += notes.len().saturating_sub(MAX_CHANNELS - checked);
        notes.truncate(MAX_CHANNELS - checked);
        if notes.is_empty() {
            continue;
        }
        checked += notes.len();
        match diagnostics.check_channels(account, server.id, &notes).await {
            Ok(checks) => {
                for (id, check) in notes.iter().zip(checks) {
                    let name = check.name.as_deref();
                    let name = ui_text::doctor::channel_check_name(name, *id, &server.name);
                    let all = [
                        check.missing_required.as_slice(),
                        check.missing_optional.as_slice(),
                    ]
                    .concat();
                    if check.is_deleted {
                        problems.warn(&name, ui_text::doctor::CHANNEL_GONE);
                    } else if !all.is_empty() {
                        let sentence = ui_text::doctor::missing_channel_permissions(&all);
                        problems.fail_or_warn(!check.missing_required.is_empty(), &name, &sentence);
                    }
                }
            }
            Err(error) => {
                let name = ui_text::doctor::server_check_name(&server.name);
                problems.warn(&name, &describe_error(&error, false));
            }
        }
    }
    if problems.is_empty() {
        let sentence = ui_text::doctor::permissions_complete(servers.first.len(), checked);
        report.ok(PERMISSIONS_CHECK, &sentence);
    }
    report.append(problems);
    if left > 0 || servers.count > servers.first.len() {
        let sentence = ui_text::doctor::permissions_partly_checked(servers.first.len(), checked);
        report.ok(PERMISSIONS_CHECK, &sentence);
    }
}

/// The channels of a server where voice messages are answered.
async fn channels_with_notes(ledger: Option<&Store>, server: u64) -> Vec<u64> {
    let Some(ledger) = ledger else {
        return Vec::new();
    };
    match GuildSettings::load(ledger, Some(server)).await {
        Ok(settings) => settings.note_channels,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "no settings");
            Vec::new()
        }
    }
}

pub(super) fn describe_error(error: &DiagnosticsError, proxied: bool) -> String {
    match error {
        DiagnosticsError::TokenRefused => ui_text::DISCORD_TOKEN_REFUSED.to_owned(),
        DiagnosticsError::Unreachable(why) => {
            ui_text::doctor::discord_unreachable(&why.to_string(), proxied)
        }
        DiagnosticsError::Refused(why) => ui_text::doctor::discord_refuses(&why.to_string()),
    }
}
