//! Whose stream it is comes late, or never.

use std::time::Duration;

use super::LossCases;
use crate::Outcome;

/// Packets that are said: 5 s.
const SAID: u32 = 250;

pub(super) async fn announced_late(lines: &LossCases<'_>) -> Outcome<()> {
    let late = Duration::from_secs(1);
    for (encrypted, how) in [(true, ""), (false, ", no DAVE")] {
        let what = format!("who speaks is told {late:?} late{how}");
        lines
            .line_with(&what, 1, encrypted, async |call| {
                call.listens().await?;
                call.people[0].announce_speaking_late(late);
                call.says(&call.people[0], SAID).await;
                Ok(())
            })
            .await?;
        for others in [0, 1] {
            let what = format!("who speaks is never told{how}, {others} others");
            lines
                .line_with(&what, 1 + others, encrypted, async |call| {
                    call.listens().await?;
                    call.people[0].disable_speaking_announcement();
                    call.says(&call.people[0], SAID).await;
                    Ok(())
                })
                .await?;
        }
    }
    Ok(())
}
