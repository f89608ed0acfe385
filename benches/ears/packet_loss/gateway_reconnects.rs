//! The gateway connection ends in ways after which the session can be resumed.

use std::time::Duration;

use super::LossCases;
use crate::Outcome;
use crate::call::BenchCall;

/// How long to wait for keys after a connection broke.
const RECOVERY_TIME: Duration = Duration::from_secs(6);

pub(super) async fn gateway_reconnects(cases: &LossCases<'_>) -> Outcome<()> {
    for code in [4_015, 4_009, 1_000, 1_001, 4_999] {
        let what = format!("closed with {code}");
        gateway_reconnect(cases, &what, |call| {
            call.discord.close_voice_of(call.listening_user.id(), code);
        })
        .await?;
    }
    gateway_reconnect(cases, "reset", |call| {
        call.discord.reset_voice_of(call.listening_user.id());
    })
    .await?;
    gateway_reconnect(cases, "cut", |call| {
        call.discord.drop_voice_of(call.listening_user.id());
    })
    .await?;
    gateway_reconnect(cases, "closed with 4015, resuming refused", |call| {
        call.discord.refuse_voice_resumes(1);
        call.discord.close_voice_of(call.listening_user.id(), 4_015);
    })
    .await
}

/// One user keeps talking while the connection ends. Another joins later: a listener that has not
/// come back has no keys from then on.
async fn gateway_reconnect(
    cases: &LossCases<'_>,
    what: &str,
    disconnect: impl Fn(&BenchCall),
) -> Outcome<()> {
    let what = format!("connection {what}");
    cases
        .run_case(&what, 1, async |call| {
            call.join_listener_with_keys().await?;
            call.start_talking(&call.people[0]);
            tokio::time::sleep(Duration::from_secs(1)).await;
            disconnect(call);
            tokio::time::sleep(RECOVERY_TIME).await;
            let guest = call.add_guest();
            call.join(&guest).await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            call.stop_all_talking().await;
            call.discord.refuse_voice_resumes(0);
            Ok(())
        })
        .await
}
