//! The gateway's connection ends in ways after which a session can be taken up again.

use std::time::Duration;

use super::LossCases;
use crate::Outcome;
use crate::call::BenchCall;

/// How long is waited for keys after a connection broke.
const AFTER: Duration = Duration::from_secs(6);

pub(super) async fn gateway_reconnects(lines: &LossCases<'_>) -> Outcome<()> {
    for code in [4_015, 4_009, 1_000, 1_001, 4_999] {
        let what = format!("closed with {code}");
        end(lines, &what, |call| {
            call.discord.close_voice_of(call.eve.id(), code);
        })
        .await?;
    }
    end(lines, "reset", |call| {
        call.discord.reset_voice_of(call.eve.id());
    })
    .await?;
    end(lines, "cut", |call| {
        call.discord.drop_voice_of(call.eve.id());
    })
    .await?;
    end(lines, "closed with 4015, resuming refused", |call| {
        call.discord.refuse_voice_resumes(1);
        call.discord.close_voice_of(call.eve.id(), 4_015);
    })
    .await
}

/// Somebody goes on talking. Somebody else comes later, so that whoever has not come back is seen
/// to have no keys.
async fn end(lines: &LossCases<'_>, what: &str, end: impl Fn(&BenchCall)) -> Outcome<()> {
    let what = format!("connection {what}");
    lines
        .line(&what, 1, async |call| {
            call.listens().await?;
            call.talks(&call.people[0]);
            tokio::time::sleep(Duration::from_secs(1)).await;
            end(call);
            tokio::time::sleep(AFTER).await;
            let guest = call.guest();
            call.enters(&guest).await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            call.stop_all_talking().await;
            call.discord.refuse_voice_resumes(0);
            Ok(())
        })
        .await
}
