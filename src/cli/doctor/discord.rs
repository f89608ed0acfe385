//! The bot: its token, what it may do, and where it is.

use std::num::NonZeroU64;

use super::clock::Clock;
use super::report::Report;
use super::voice;
use crate::config::Config;
use crate::discord::checkup::{Account, CheckError, Checkup, GatewayFacts, Servers, greeted};
use crate::discord::{invite, trial};
use crate::flow::server::ServerSettings;
use crate::store::Store;
use crate::words;
use net;

const NAME: &str = "Discord";
const PERMISSIONS: &str = "permissions";

/// The most channels that are looked at.
const MAX_CHANNELS: usize = 200;

/// Below this something must be wrong with how the bot is started.
const FEW_STARTS: u64 = 50;

/// Needs to know which ledger there is, to see where notes are on.
pub(super) async fn check(
    config: &Config,
    ledger: impl Future<Output = Option<Store>>,
    clock: &Clock,
    call: Option<NonZeroU64>,
) -> Report {
    let mut report = Report::default();
    let Some(token) = config.bot.token.clone() else {
        report.ok(NAME, words::doctor::NO_BOT);
        if call.is_some() {
            report.broken(voice::NAME, words::NO_TOKEN);
        }
        return report;
    };
    let client = match net::client() {
        Ok(client) => client,
        Err(error) => {
            report.broken(NAME, &words::start(&error));
            return report;
        }
    };
    let proxied = config.bot.proxy.is_some();
    let proxy = config.bot.proxy.as_ref().map(ToString::to_string);
    let checkup = Checkup::new(token.clone(), proxy, client);
    let account = match checkup.account().await {
        Ok(account) => account,
        Err(error) => {
            report.broken(NAME, &sentence(&error, proxied));
            return report;
        }
    };
    clock.saw(NAME, account.skew, true);
    let (gateway, commands, servers) =
        tokio::join!(checkup.gateway(), checkup.commands(), checkup.servers());
    let counted = servers.as_ref().ok().map(|it| (it.count, it.more));
    let whose = words::doctor::account(&account.name, &account.bot, counted, proxied);
    report.ok(NAME, &whose);
    if account.reads_content {
        report.ok("message content", words::doctor::CONTENT_ON);
    } else {
        report.warn("message content", words::doctor::CONTENT_OFF);
    }
    match &gateway {
        Ok(gateway) => greeting(&mut report, gateway).await,
        Err(error) => report.broken("gateway", &sentence(error, proxied)),
    }
    match &commands {
        Ok(facts) if facts.missing.len() == facts.ours => {
            report.warn("commands", words::doctor::NO_COMMANDS);
        }
        Ok(facts) => {
            let (missing, changed, foreign) = (&facts.missing, &facts.changed, &facts.foreign);
            if missing.is_empty() && changed.is_empty() && foreign.is_empty() {
                report.ok("commands", &words::doctor::commands_right(facts.ours));
            } else {
                let differ = words::doctor::commands_differ(missing, changed, foreign);
                report.warn("commands", &differ);
            }
        }
        Err(error) => report.warn("commands", &sentence(error, proxied)),
    }
    match &servers {
        Ok(servers) => {
            let ledger = ledger.await;
            permissions(&mut report, &checkup, &account, servers, ledger.as_ref()).await;
        }
        Err(error) => report.warn(PERMISSIONS, &sentence(error, proxied)),
    }
    match (&gateway, call) {
        (Ok(gateway), None) => voice::check(&mut report, &gateway.url).await,
        (Ok(gateway), Some(channel)) => {
            let tried = trial::join(&checkup, &account, gateway, &token, channel.get()).await;
            voice::tried(&mut report, channel.get(), &tried, proxied);
        }
        // It has been said above.
        (Err(_), _) => {}
    }
    report
}

async fn greeting(report: &mut Report, gateway: &GatewayFacts) {
    let (left, total, reset) = gateway.starts;
    match greeted(&gateway.url).await {
        Ok(()) if left < FEW_STARTS => {
            let few = words::doctor::few_starts(left, total, reset);
            report.graded(left == 0, "gateway", &few);
        }
        Ok(()) => report.ok("gateway", &words::doctor::gateway(left, total)),
        Err(CheckError::Unreachable(why)) => {
            report.broken("gateway", &words::doctor::no_gateway(&why.to_string()));
        }
        Err(error) => report.broken("gateway", &sentence(&error, false)),
    }
}

/// What is missing in the servers, and in the channels where notes are on.
async fn permissions(
    report: &mut Report,
    checkup: &Checkup,
    account: &Account,
    servers: &Servers,
    ledger: Option<&Store>,
) {
    let mut lacking = Report::default();
    let mut looked = 0;
    let mut left = 0;
    for server in &servers.first {
        if !server.missing.is_empty() {
            let link = invite::link(account.application);
            let lacks = words::doctor::server_lacks(&server.missing, &link);
            lacking.warn(&words::doctor::server(&server.name), &lacks);
        }
        let mut notes = notes(ledger, server.id).await;
        left += notes.len().saturating_sub(MAX_CHANNELS - looked);
        notes.truncate(MAX_CHANNELS - looked);
        if notes.is_empty() {
            continue;
        }
        looked += notes.len();
        match checkup.channels(account, server.id, &notes).await {
            Ok(facts) => {
                for (id, facts) in notes.iter().zip(facts) {
                    let name = facts.name.as_deref();
                    let name = words::doctor::channel(name, *id, &server.name);
                    let all = [facts.missing.as_slice(), facts.wanting.as_slice()].concat();
                    if facts.gone {
                        lacking.warn(&name, words::doctor::CHANNEL_GONE);
                    } else if !all.is_empty() {
                        let lacks = words::doctor::channel_lacks(&all);
                        lacking.graded(!facts.missing.is_empty(), &name, &lacks);
                    }
                }
            }
            Err(error) => {
                let name = words::doctor::server(&server.name);
                lacking.warn(&name, &sentence(&error, false));
            }
        }
    }
    if lacking.is_empty() {
        let right = words::doctor::permissions_right(servers.first.len(), looked);
        report.ok(PERMISSIONS, &right);
    }
    report.append(lacking);
    if left > 0 || servers.count > servers.first.len() {
        let bounded = words::doctor::permissions_bounded(servers.first.len(), looked);
        report.ok(PERMISSIONS, &bounded);
    }
}

/// The channels of a server where notes are on.
async fn notes(ledger: Option<&Store>, server: u64) -> Vec<u64> {
    let Some(ledger) = ledger else {
        return Vec::new();
    };
    match ServerSettings::of(ledger, Some(server)).await {
        Ok(settings) => settings.notes,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "no settings");
            Vec::new()
        }
    }
}

pub(super) fn sentence(error: &CheckError, proxied: bool) -> String {
    match error {
        CheckError::TokenRefused => words::TOKEN_REFUSED.to_owned(),
        CheckError::Unreachable(why) => {
            words::doctor::discord_unreachable(&why.to_string(), proxied)
        }
        CheckError::Refused(why) => words::doctor::discord_refuses(&why.to_string()),
    }
}
