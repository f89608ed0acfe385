//! Packets that were sent to a listener and not heard, by what happens in the call.

mod comings;
mod ends;
mod keys;
mod streams;

use std::time::Duration;

use super::Outcome;
use super::call::{Call, Place, trouble};

/// The longest that one line may take.
const LIMIT: Duration = Duration::from_secs(150);

pub(crate) async fn loss(place: &Place, part: &str) -> Outcome<()> {
    println!("loss: packets sent to the listener that it has not heard");
    let lines = Lines { place, part };
    comings::listener_comes(&lines).await?;
    comings::others_come_and_go(&lines).await?;
    comings::talker_returns(&lines).await?;
    streams::announced_late(&lines).await?;
    keys::on_and_off(&lines).await?;
    ends::ends(&lines).await?;
    keys::jitter(&lines).await
}

/// Where lines are measured, and which.
struct Lines<'a> {
    place: &'a Place,
    part: &'a str,
}

impl Lines<'_> {
    /// One line for each listener: the same happens in a call of its own.
    async fn line(
        &self,
        what: &str,
        people: usize,
        script: impl AsyncFn(&mut Call) -> Outcome<()>,
    ) -> Outcome<()> {
        self.line_with(what, people, true, script).await
    }

    /// The same in a call that may not be encrypted at first.
    async fn line_with(
        &self,
        what: &str,
        people: usize,
        encrypted: bool,
        script: impl AsyncFn(&mut Call) -> Outcome<()>,
    ) -> Outcome<()> {
        if !what.contains(self.part) {
            return Ok(());
        }
        for kind in &self.place.kinds {
            let mut call = self.place.call(*kind, people, encrypted)?;
            let happening = async {
                call.gathers().await?;
                script(&mut call).await
            };
            let trouble = trouble(LIMIT, happening).await;
            let (counted, all) = call.tally();
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
                call.causes(&counted)
            );
            call.ends().await;
        }
        Ok(())
    }
}
