//! Packets that were sent to a listener and not received, by what happens in the call.

mod gateway_reconnects;
mod joins_and_leaves;
mod key_changes;
mod late_announcement;

use std::time::Duration;

use super::Outcome;
use super::call::{BenchCall, BenchServer, run_and_describe};

/// The time limit of one case.
const CASE_TIMEOUT: Duration = Duration::from_secs(150);

pub(crate) async fn bench_loss(server: &BenchServer, part: &str) -> Outcome<()> {
    println!("loss: packets sent to the listener that it did not receive");
    let cases = LossCases { server, part };
    joins_and_leaves::listener_joins(&cases).await?;
    joins_and_leaves::others_join_and_leave(&cases).await?;
    joins_and_leaves::talker_returns(&cases).await?;
    late_announcement::announced_late(&cases).await?;
    key_changes::encryption_on_and_off(&cases).await?;
    gateway_reconnects::gateway_reconnects(&cases).await?;
    key_changes::key_change_with_jitter(&cases).await
}

/// The server, and which cases to run: those whose name contains `part`.
struct LossCases<'a> {
    server: &'a BenchServer,
    part: &'a str,
}

impl LossCases<'_> {
    /// Runs the script for each listener in a call of its own, and prints a line for each.
    async fn run_case(
        &self,
        what: &str,
        people: usize,
        script: impl AsyncFn(&mut BenchCall) -> Outcome<()>,
    ) -> Outcome<()> {
        self.run_case_with(what, people, true, script).await
    }

    /// The same in a call that may be unencrypted at first.
    async fn run_case_with(
        &self,
        what: &str,
        people: usize,
        encrypted: bool,
        script: impl AsyncFn(&mut BenchCall) -> Outcome<()>,
    ) -> Outcome<()> {
        if !what.contains(self.part) {
            return Ok(());
        }
        for kind in &self.server.kinds {
            let mut call = self.server.new_call(*kind, people, encrypted)?;
            let case = async {
                call.join_everybody().await?;
                script(&mut call).await
            };
            let failure = run_and_describe(CASE_TIMEOUT, case).await;
            let (counted, all) = call.packet_tally();
            let early = if all.sent > counted.sent {
                format!(" ({} of {} of all sent to it)", all.lost(), all.sent)
            } else {
                String::new()
            };
            println!(
                "  {what:<52} {:<8} | lost {:>4} of {:>4}{early} | {}{failure}",
                kind.name(),
                counted.lost(),
                counted.sent,
                call.loss_causes(&counted)
            );
            call.leave_all().await;
        }
        Ok(())
    }
}
