//! Packets that were sent to a listener and not heard, by what happens in the call.

mod gateway_reconnects;
mod joins_and_leaves;
mod key_changes;
mod late_announcement;

use std::time::Duration;

use super::Outcome;
use super::call::{BenchCall, BenchServer, run_and_describe};

/// The longest that one line may take.
const CASE_TIMEOUT: Duration = Duration::from_secs(150);

pub(crate) async fn bench_loss(place: &BenchServer, part: &str) -> Outcome<()> {
    println!("loss: packets sent to the listener that it has not heard");
    let lines = LossCases {
        server: place,
        part,
    };
    joins_and_leaves::listener_joins(&lines).await?;
    joins_and_leaves::others_join_and_leave(&lines).await?;
    joins_and_leaves::talker_returns(&lines).await?;
    late_announcement::announced_late(&lines).await?;
    key_changes::encryption_on_and_off(&lines).await?;
    gateway_reconnects::gateway_reconnects(&lines).await?;
    key_changes::jitter(&lines).await
}

/// Where lines are measured, and which.
struct LossCases<'a> {
    server: &'a BenchServer,
    part: &'a str,
}

impl LossCases<'_> {
    /// One line for each listener: the same happens in a call of its own.
    async fn line(
        &self,
        what: &str,
        people: usize,
        script: impl AsyncFn(&mut BenchCall) -> Outcome<()>,
    ) -> Outcome<()> {
        self.line_with(what, people, true, script).await
    }

    /// The same in a call that may not be encrypted at first.
    async fn line_with(
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
            let mut call = self.server.call(*kind, people, encrypted)?;
            let happening = async {
                call.join_everybody().await?;
                script(&mut call).await
            };
            let trouble = run_and_describe(CASE_TIMEOUT, happening).await;
            let (counted, all) = call.packet_tally();
            let early = if all.sent > counted.sent {
                format!(" ({} of {} of all sent to it)", all.lost(), all.sent)
            } else {
                String::new()
            };
            println!(
                "  {what:<52} {:<8} | lost {:>4} of {:>4}{early} | {}{trouble}",
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
