//! Somebody comes or goes.

use std::time::Duration;

use super::LossCases;
use crate::Outcome;

/// How late the listener is told by the voice server, where packets come at once.
const LAGS: [u64; 3] = [0, 100, 500];

/// Packets that are said: 5 s.
const SAID: u32 = 250;

/// How often somebody comes and goes while another one speaks.
const COMINGS: usize = 20;

/// How long they stay, and stay away.
const MEANWHILE: Duration = Duration::from_millis(100);

pub(super) async fn listener_joins(lines: &LossCases<'_>) -> Outcome<()> {
    for lag in LAGS {
        let lag = Duration::from_millis(lag);
        let what = format!("speech at once after it has come, told {lag:?} late");
        lines
            .line(&what, 2, async |call| {
                call.discord.set_voice_gateway_lag_of(call.eve.id(), lag);
                call.listens().await?;
                call.says(&call.people[0], SAID).await;
                Ok(())
            })
            .await?;
    }
    for lag in LAGS {
        let lag = Duration::from_millis(lag);
        let what = format!("it comes while two talk, told {lag:?} late");
        lines
            .line(&what, 2, async |call| {
                call.discord.set_voice_gateway_lag_of(call.eve.id(), lag);
                call.people.iter().for_each(|it| call.talks(it));
                tokio::time::sleep(Duration::from_secs(1)).await;
                call.listens().await?;
                tokio::time::sleep(Duration::from_secs(3)).await;
                call.stop_all_talking().await;
                Ok(())
            })
            .await?;
    }
    Ok(())
}

pub(super) async fn others_join_and_leave(lines: &LossCases<'_>) -> Outcome<()> {
    for lag in LAGS {
        let lag = Duration::from_millis(lag);
        let what = format!("{COMINGS} times another comes and goes, told {lag:?} late");
        lines
            .line(&what, 1, async |call| {
                call.listens().await?;
                call.discord.set_voice_gateway_lag_of(call.eve.id(), lag);
                call.talks(&call.people[0]);
                for _ in 0..COMINGS {
                    let guest = call.guest();
                    call.enters(&guest).await?;
                    tokio::time::sleep(MEANWHILE).await;
                    guest.leave_voice().await;
                    tokio::time::sleep(MEANWHILE).await;
                }
                call.wait_until_settled().await?;
                call.stop_all_talking().await;
                Ok(())
            })
            .await?;
    }
    Ok(())
}

pub(super) async fn talker_returns(lines: &LossCases<'_>) -> Outcome<()> {
    for away in [200, 500, 2_000, 7_000] {
        let away = Duration::from_millis(away);
        let what = format!("the talker comes back after {away:?} and speaks");
        lines
            .line(&what, 2, async |call| {
                call.listens().await?;
                let talker = &call.people[0];
                call.says(talker, 25).await;
                talker.leave_voice().await;
                tokio::time::sleep(away).await;
                talker.start_joining_voice(&call.lounge);
                // What they have no key for is not sent.
                call.talks(talker);
                tokio::time::sleep(Duration::from_secs(8)).await;
                call.stop_all_talking().await;
                Ok(())
            })
            .await?;
    }
    Ok(())
}
