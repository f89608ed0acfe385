//! The gateway announces the user of an SSRC late, or never.

use std::time::Duration;

use super::LossCases;
use crate::Outcome;

/// 5 s of packets.
const PACKETS_SAID: u32 = 250;

pub(super) async fn announced_late(cases: &LossCases<'_>) -> Outcome<()> {
    let late = Duration::from_secs(1);
    for (encrypted, how) in [(true, ""), (false, ", no DAVE")] {
        let what = format!("SSRC announced {late:?} late{how}");
        cases
            .run_case_with(&what, 1, encrypted, async |call| {
                call.join_listener_with_keys().await?;
                call.people[0].announce_speaking_late(late);
                call.say(&call.people[0], PACKETS_SAID).await;
                Ok(())
            })
            .await?;
        for others in [0, 1] {
            let what = format!("SSRC never announced{how}, {others} others");
            cases
                .run_case_with(&what, 1 + others, encrypted, async |call| {
                    call.join_listener_with_keys().await?;
                    call.people[0].disable_speaking_announcement();
                    call.say(&call.people[0], PACKETS_SAID).await;
                    Ok(())
                })
                .await?;
        }
    }
    Ok(())
}
