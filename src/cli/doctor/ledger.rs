//! The ledger: intact, of this version, and opened with the right key. It is only read.

use tokio::time::timeout;

use super::CHECK_TIMEOUT;
use super::report::DoctorReport;
use crate::config::Config;
use crate::store::{KeySource, Store, StoreError, StoreInspection};
use crate::ui_text;

const LEDGER_CHECK: &str = "ledger";

/// Returns the report, and the ledger for checks that read it.
pub(super) async fn check(config: &Config) -> (DoctorReport, Option<Store>) {
    let mut report = DoctorReport::default();
    let (folder, key) = (&config.bot.data_folder, config.bot.encryption_key.as_ref());
    let inspection = timeout(CHECK_TIMEOUT, async {
        let inspected = Store::inspect(folder, key).await?;
        if let Some(inspected) = &inspected {
            inspected.store.check_integrity().await?;
        }
        Ok::<_, StoreError>(inspected)
    });
    // Only the bot needs a ledger.
    let needed = config.bot.token.is_some();
    match inspection.await {
        Ok(Ok(None)) => report.ok(LEDGER_CHECK, &ui_text::doctor::no_ledger(folder)),
        Ok(Ok(Some(inspected))) => {
            return (ledger_report(&inspected), into_readable_store(inspected));
        }
        Ok(Err(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the ledger");
            report.fail_or_warn(needed, LEDGER_CHECK, &ui_text::ledger_error(&error));
        }
        Err(_) => report.warn(LEDGER_CHECK, &ui_text::check_timed_out(CHECK_TIMEOUT)),
    }
    (report, None)
}

fn ledger_report(inspected: &StoreInspection) -> DoctorReport {
    let mut report = DoctorReport::default();
    let sentence =
        ui_text::doctor::ledger_intact(inspected.in_use, inspected.missing_migrations > 0);
    report.ok(LEDGER_CHECK, &sentence);
    if inspected.key_exposed
        && let KeySource::File(path) = &inspected.key_source
    {
        report.warn("key", &ui_text::doctor::key_exposed(path));
    }
    report
}

fn into_readable_store(inspected: StoreInspection) -> Option<Store> {
    (inspected.missing_migrations == 0).then_some(inspected.store)
}
