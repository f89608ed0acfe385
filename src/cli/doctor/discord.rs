//! The bot: its token, what it may do, and where it is.

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

/// The most channels that are looked at.
const MAX_CHANNELS: usize = 200;

/// Below this something must be wrong with how the bot is started.
const MIN_SESSION_STARTS: u64 = 50;

/// Needs to know which ledger there is, to see where notes are on.
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
    let checkup = Diagnostics::new(token.clone(), proxy, client);
    let account = match checkup.account().await {
        Ok(account) => account,
        Err(error) => {
            report.fail(DISCORD_CHECK, &describe_error(&error, proxied));
            return report;
        }
    };
    clock.record(DISCORD_CHECK, account.clock_skew, true);
    let (gateway, commands, servers) = tokio::join!(
        checkup.gateway_info(),
        checkup.check_commands(),
        checkup.list_guilds()
    );
    let counted = servers.as_ref().ok().map(|it| (it.count, it.more));
    let whose = ui_text::doctor::bot_account(
        &account.application_name,
        &account.bot_name,
        counted,
        proxied,
    );
    report.ok(DISCORD_CHECK, &whose);
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
        Ok(facts) if facts.missing.len() == facts.own_count => {
            report.warn("commands", ui_text::doctor::NO_COMMANDS_REGISTERED);
        }
        Ok(facts) => {
            let (missing, changed, foreign) = (&facts.missing, &facts.changed, &facts.unknown);
            if missing.is_empty() && changed.is_empty() && foreign.is_empty() {
                report.ok(
                    "commands",
                    &ui_text::doctor::commands_registered(facts.own_count),
                );
            } else {
                let differ = ui_text::doctor::commands_differ(missing, changed, foreign);
                report.warn("commands", &differ);
            }
        }
        Err(error) => report.warn("commands", &describe_error(error, proxied)),
    }
    match &servers {
        Ok(servers) => {
            let ledger = ledger.await;
            check_permissions(&mut report, &checkup, &account, servers, ledger.as_ref()).await;
        }
        Err(error) => report.warn(PERMISSIONS_CHECK, &describe_error(error, proxied)),
    }
    match (&gateway, call) {
        (Ok(gateway), None) => voice::check_udp(&mut report, &gateway.url).await,
        (Ok(gateway), Some(channel)) => {
            let tried = voice_probe::probe_voice_channel(
                &checkup,
                &account,
                gateway,
                &token,
                channel.get(),
            )
            .await;
            voice::report_voice_probe(&mut report, channel.get(), &tried, proxied);
        }
        // It has been said above.
        (Err(_), _) => {}
    }
    report
}

async fn check_gateway(report: &mut DoctorReport, gateway: &GatewayInfo) {
    let (left, total, reset) = gateway.session_starts;
    match check_gateway_hello(&gateway.url).await {
        Ok(()) if left < MIN_SESSION_STARTS => {
            let few = ui_text::doctor::few_session_starts_left(left, total, reset);
            report.fail_or_warn(left == 0, "gateway", &few);
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

/// What is missing in the servers, and in the channels where notes are on.
async fn check_permissions(
    report: &mut DoctorReport,
    checkup: &Diagnostics,
    account: &BotAccount,
    servers: &GuildList,
    ledger: Option<&Store>,
) {
    let mut lacking = DoctorReport::default();
    let mut looked = 0;
    let mut left = 0;
    for server in &servers.first {
        if !server.missing_permissions.is_empty() {
            let link = invite::invite_url(account.application_id);
            let lacks =
                ui_text::doctor::missing_server_permissions(&server.missing_permissions, &link);
            lacking.warn(&ui_text::doctor::server_check_name(&server.name), &lacks);
        }
        let mut notes = channels_with_notes(ledger, server.id).await;
        left += notes.len().saturating_sub(MAX_CHANNELS - looked);
        notes.truncate(MAX_CHANNELS - looked);
        if notes.is_empty() {
            continue;
        }
        looked += notes.len();
        match checkup.check_channels(account, server.id, &notes).await {
            Ok(facts) => {
                for (id, facts) in notes.iter().zip(facts) {
                    let name = facts.name.as_deref();
                    let name = ui_text::doctor::channel_check_name(name, *id, &server.name);
                    let all = [
                        facts.missing_required.as_slice(),
                        facts.missing_optional.as_slice(),
                    ]
                    .concat();
                    if facts.is_deleted {
                        lacking.warn(&name, ui_text::doctor::CHANNEL_GONE);
                    } else if !all.is_empty() {
                        let lacks = ui_text::doctor::missing_channel_permissions(&all);
                        lacking.fail_or_warn(!facts.missing_required.is_empty(), &name, &lacks);
                    }
                }
            }
            Err(error) => {
                let name = ui_text::doctor::server_check_name(&server.name);
                lacking.warn(&name, &describe_error(&error, false));
            }
        }
    }
    if lacking.is_empty() {
        let right = ui_text::doctor::permissions_complete(servers.first.len(), looked);
        report.ok(PERMISSIONS_CHECK, &right);
    }
    report.append(lacking);
    if left > 0 || servers.count > servers.first.len() {
        let bounded = ui_text::doctor::permissions_partly_checked(servers.first.len(), looked);
        report.ok(PERMISSIONS_CHECK, &bounded);
    }
}

/// The channels of a server where notes are on.
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
