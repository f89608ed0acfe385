//! Users, or the listener itself, join and leave.

use std::time::Duration;

use super::LossCases;
use crate::Outcome;

/// How late gateway messages reach the listener; packets are not delayed.
const GATEWAY_LAGS_MS: [u64; 3] = [0, 100, 500];

/// 5 s of packets.
const PACKETS_SAID: u32 = 250;

/// How often a user joins and leaves while another one speaks.
const JOIN_ROUNDS: usize = 20;

/// How long they stay, and stay away.
const STAY_TIME: Duration = Duration::from_millis(100);

pub(super) async fn listener_joins(cases: &LossCases<'_>) -> Outcome<()> {
    for lag in GATEWAY_LAGS_MS {
        let lag = Duration::from_millis(lag);
        let what = format!("speech right after it joined, gateway lag {lag:?}");
        cases
            .run_case(&what, 2, async |call| {
                call.discord
                    .set_voice_gateway_lag_of(call.listening_user.id(), lag);
                call.join_listener_with_keys().await?;
                call.say(&call.people[0], PACKETS_SAID).await;
                Ok(())
            })
            .await?;
    }
    for lag in GATEWAY_LAGS_MS {
        let lag = Duration::from_millis(lag);
        let what = format!("it joins while two talk, gateway lag {lag:?}");
        cases
            .run_case(&what, 2, async |call| {
                call.discord
                    .set_voice_gateway_lag_of(call.listening_user.id(), lag);
                call.people.iter().for_each(|it| call.start_talking(it));
                tokio::time::sleep(Duration::from_secs(1)).await;
                call.join_listener_with_keys().await?;
                tokio::time::sleep(Duration::from_secs(3)).await;
                call.stop_all_talking().await;
                Ok(())
            })
            .await?;
    }
    Ok(())
}

pub(super) async fn others_join_and_leave(cases: &LossCases<'_>) -> Outcome<()> {
    for lag in GATEWAY_LAGS_MS {
        let lag = Duration::from_millis(lag);
        let what = format!("another joins and leaves {JOIN_ROUNDS} times, gateway lag {lag:?}");
        cases
            .run_case(&what, 1, async |call| {
                call.join_listener_with_keys().await?;
                call.discord
                    .set_voice_gateway_lag_of(call.listening_user.id(), lag);
                call.start_talking(&call.people[0]);
                for _ in 0..JOIN_ROUNDS {
                    let guest = call.add_guest();
                    call.join(&guest).await?;
                    tokio::time::sleep(STAY_TIME).await;
                    guest.leave_voice().await;
                    tokio::time::sleep(STAY_TIME).await;
                }
                call.wait_until_settled().await?;
                call.stop_all_talking().await;
                Ok(())
            })
            .await?;
    }
    Ok(())
}

pub(super) async fn talker_returns(cases: &LossCases<'_>) -> Outcome<()> {
    for away in [200, 500, 2_000, 7_000] {
        let away = Duration::from_millis(away);
        let what = format!("the talker rejoins after {away:?} and speaks");
        cases
            .run_case(&what, 2, async |call| {
                call.join_listener_with_keys().await?;
                let talker = &call.people[0];
                call.say(talker, 25).await;
                talker.leave_voice().await;
                tokio::time::sleep(away).await;
                talker.start_joining_voice(&call.channel);
                // Without a key the simulated client sends nothing.
                call.start_talking(talker);
                tokio::time::sleep(Duration::from_secs(8)).await;
                call.stop_all_talking().await;
                Ok(())
            })
            .await?;
    }
    Ok(())
}
