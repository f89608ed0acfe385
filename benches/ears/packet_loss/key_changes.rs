//! DAVE keys change while a user talks.

use std::time::Duration;

use sandbox::VoiceNetwork;

use super::LossCases;
use crate::Outcome;

/// How often a user joins and leaves: two epochs each.
const JOIN_ROUNDS: usize = 10;

/// How long a call stays encrypted or unencrypted.
const STAY_TIME: Duration = Duration::from_millis(1_500);

pub(super) async fn encryption_on_and_off(cases: &LossCases<'_>) -> Outcome<()> {
    for (first, what) in [
        (true, "DAVE on, off, and on in mid-speech"),
        (false, "DAVE off, on, off, and on in mid-speech"),
    ] {
        cases
            .run_case_with(what, 1, first, async |call| {
                call.join_listener_with_keys().await?;
                call.start_talking(&call.people[0]);
                let changes = if first { 2 } else { 3 };
                for change in 0..changes {
                    tokio::time::sleep(STAY_TIME).await;
                    call.channel.encrypts((changes - change) % 2 == 1);
                    call.wait_until_settled().await?;
                }
                tokio::time::sleep(STAY_TIME).await;
                call.stop_all_talking().await;
                Ok(())
            })
            .await?;
    }
    Ok(())
}

pub(super) async fn key_change_with_jitter(cases: &LossCases<'_>) -> Outcome<()> {
    for jitter in [60, 150] {
        let what = format!("{jitter} ms of jitter over {} epochs", 2 * JOIN_ROUNDS);
        let network = VoiceNetwork::perfect().with_jitter(Duration::from_millis(jitter));
        cases
            .run_case(&what, 1, async |call| {
                call.join_listener_with_keys().await?;
                call.discord.voice_network(network);
                call.start_talking(&call.people[0]);
                for _ in 0..JOIN_ROUNDS {
                    let guest = call.add_guest();
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    call.join(&guest).await?;
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    guest.leave_voice().await;
                }
                call.wait_until_settled().await?;
                call.stop_all_talking().await;
                Ok(())
            })
            .await?;
    }
    Ok(())
}
