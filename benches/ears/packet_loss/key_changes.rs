//! Keys change while somebody talks.

use std::time::Duration;

use sandbox::VoiceNetwork;

use super::LossCases;
use crate::Outcome;

/// How often somebody comes and goes: two epochs each.
const COMINGS: usize = 10;

/// How long each state lasts.
const MEANWHILE: Duration = Duration::from_millis(1_500);

pub(super) async fn encryption_on_and_off(lines: &LossCases<'_>) -> Outcome<()> {
    for (first, what) in [
        (true, "DAVE on, off, and on in mid-speech"),
        (false, "DAVE off, on, off, and on in mid-speech"),
    ] {
        lines
            .line_with(what, 1, first, async |call| {
                call.listens().await?;
                call.talks(&call.people[0]);
                let changes = if first { 2 } else { 3 };
                for change in 0..changes {
                    tokio::time::sleep(MEANWHILE).await;
                    call.lounge.encrypts((changes - change) % 2 == 1);
                    call.wait_until_settled().await?;
                }
                tokio::time::sleep(MEANWHILE).await;
                call.stop_all_talking().await;
                Ok(())
            })
            .await?;
    }
    Ok(())
}

pub(super) async fn jitter(lines: &LossCases<'_>) -> Outcome<()> {
    for jitter in [60, 150] {
        let what = format!("{jitter} ms of jitter over {} epochs", 2 * COMINGS);
        let network = VoiceNetwork::perfect().with_jitter(Duration::from_millis(jitter));
        lines
            .line(&what, 1, async |call| {
                call.listens().await?;
                call.discord.voice_network(network);
                call.talks(&call.people[0]);
                for _ in 0..COMINGS {
                    let guest = call.guest();
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    call.enters(&guest).await?;
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
