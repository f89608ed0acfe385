//! Messages of the voice gateway.

use std::time::Duration;

use serde_json::{Value, json};

use super::{AbuseCases, SeededBytes, Victim};
use crate::Outcome;

/// How often a listener may try to join.
const MAX_JOIN_ATTEMPTS: usize = 3;

/// How long a listener may take to reconnect and get new keys.
const RECOVERY_TIME: Duration = Duration::from_secs(4);

/// The size of a message that no listener should read.
const HUGE_MESSAGE_BYTES: usize = 8 << 20;

pub(super) async fn abuse_gateway_messages(cases: &AbuseCases<'_>) -> Outcome<()> {
    cases
        .run_case(
            "Client Disconnect of a user who keeps talking",
            async |victim| {
                send_json(
                    victim,
                    13,
                    &json!({"user_id": victim.talker().id().to_string()}),
                );
                Ok(())
            },
        )
        .await?;
    cases
        .run_case("broken JSON", async |victim| {
            for text in [
                "",
                "{",
                "null",
                "[]",
                "{\"op\":",
                "{\"op\":-1,\"d\":1e999}",
                "\u{0}",
            ] {
                victim.0.discord.send_voice_text_to(victim.id(), text);
            }
            wait_for_recovery(victim).await
        })
        .await?;
    cases
        .run_case("known opcodes with other data", async |victim| {
            for opcode in [4, 5, 6, 9, 11, 13, 21, 22, 24] {
                for data in [Value::Null, json!([]), json!("x"), json!({"ssrc": -1})] {
                    // None of these is valid: a valid session with another key would rightly be
                    // followed.
                    send_json(victim, opcode, &data);
                }
            }
            wait_for_recovery(victim).await
        })
        .await?;
    for opcode in [25, 27, 29, 30] {
        let what = format!("garbage in opcode {opcode}");
        cases
            .run_case(&what, async |victim| {
                let mut random = SeededBytes::new();
                for length in [0, 1, 2, 3, 40, 400] {
                    let bytes = random.next_bytes(length);
                    let discord = &victim.0.discord;
                    discord.send_voice_bytes_to(victim.id(), opcode, &bytes);
                }
                wait_for_recovery(victim).await
            })
            .await?;
    }
    cases
        .run_case("unknown opcodes", async |victim| {
            for opcode in [10, 18, 20, 99, 255] {
                send_json(victim, opcode, &json!({"x": 1}));
                let discord = &victim.0.discord;
                discord.send_voice_bytes_to(victim.id(), opcode, &[1, 2, 3]);
            }
            wait_for_recovery(victim).await
        })
        .await?;
    cases
        .run_case("huge messages", async |victim| {
            send_json(victim, 99, &json!("x".repeat(HUGE_MESSAGE_BYTES)));
            let discord = &victim.0.discord;
            discord.send_voice_bytes_to(victim.id(), 27, &vec![7; HUGE_MESSAGE_BYTES]);
            wait_for_recovery(victim).await
        })
        .await?;
    cases
        .run_case("opcode 11 with 20000 users", async |victim| {
            let people: Vec<String> = (1_000..21_000).map(|it: u64| it.to_string()).collect();
            send_json(victim, 11, &json!({"user_ids": people}));
            wait_for_recovery(victim).await
        })
        .await
}

fn send_json(victim: &Victim<'_>, opcode: u8, data: &Value) {
    let discord = &victim.0.discord;
    discord.send_voice_frame_to(victim.id(), opcode, data);
}

/// Waits until the listener has keys: it may have had to reconnect or to rejoin the group.
async fn wait_for_recovery(victim: &Victim<'_>) -> Outcome<()> {
    tokio::time::sleep(RECOVERY_TIME).await;
    victim.0.wait_for_keys(victim.id()).await
}

pub(super) async fn abuse_heartbeats(cases: &AbuseCases<'_>) -> Outcome<()> {
    for interval in [
        json!(-1),
        json!(0),
        json!(u64::MAX),
        json!(1e300),
        json!("soon"),
        Value::Null,
    ] {
        let what = format!("HELLO with a heartbeat every {interval} ms");
        cases
            .run_case_unconnected(&what, async |call| {
                call.discord.set_next_voice_hello_interval(interval.clone());
                let mut attempts = 0;
                loop {
                    attempts += 1;
                    match call.join_listener_with_keys().await {
                        Err(error) if attempts == MAX_JOIN_ATTEMPTS => return Err(error),
                        Err(_) => {}
                        Ok(()) => return Ok(()),
                    }
                }
            })
            .await?;
    }
    cases
        .run_case(
            "HELLO with a heartbeat every -1 ms when resuming",
            async |victim| {
                let discord = &victim.0.discord;
                discord.set_next_voice_hello_interval(json!(-1));
                discord.close_voice_of(victim.id(), 4_015);
                wait_for_recovery(victim).await
            },
        )
        .await
}
