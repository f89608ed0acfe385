//! The ledger: whole, of this version, and opened by the right key. Nothing in it is changed.

use tokio::time::timeout;

use super::CHECK_LIMIT;
use super::report::Report;
use crate::config::Config;
use crate::store::{Inspected, KeySource, Store, StoreError};
use crate::words;

const NAME: &str = "ledger";

/// The report, and the ledger for those who want to read in it.
pub(super) async fn check(config: &Config) -> (Report, Option<Store>) {
    let mut report = Report::default();
    let (folder, key) = (&config.bot.data, config.bot.key.as_ref());
    let looked = timeout(CHECK_LIMIT, async {
        let inspected = Store::inspect(folder, key).await?;
        if let Some(inspected) = &inspected {
            inspected.store.check().await?;
        }
        Ok::<_, StoreError>(inspected)
    });
    // Only the bot has one.
    let needed = config.bot.token.is_some();
    match looked.await {
        Ok(Ok(None)) => report.ok(NAME, &words::doctor::no_ledger(folder)),
        Ok(Ok(Some(inspected))) => return (found(&inspected), readable(inspected)),
        Ok(Err(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the ledger");
            report.graded(needed, NAME, &words::store(&error));
        }
        Err(_) => report.warn(NAME, &words::no_answer_within(CHECK_LIMIT)),
    }
    (report, None)
}

fn found(inspected: &Inspected) -> Report {
    let mut report = Report::default();
    let sentence = words::doctor::ledger_whole(inspected.in_use, inspected.behind > 0);
    report.ok(NAME, &sentence);
    if inspected.key_exposed
        && let KeySource::File(path) = &inspected.key
    {
        report.warn("key", &words::doctor::key_exposed(path));
    }
    report
}

fn readable(inspected: Inspected) -> Option<Store> {
    (inspected.behind == 0).then_some(inspected.store)
}
