//! Frames of the voice gateway.

use std::time::Duration;

use serde_json::{Value, json};

use super::{AbuseCases, SeededBytes, Victim};
use crate::Outcome;

/// How often a listener may try to join.
const TRIES: usize = 3;

/// Until connections and keys that were made anew are there.
const RECOVERY_TIME: Duration = Duration::from_secs(4);

/// A frame that is too long for anything.
const HUGE: usize = 8 << 20;

pub(super) async fn abuse_gateway_messages(lines: &AbuseCases<'_>) -> Outcome<()> {
    lines
        .line(
            "one who goes on talking is said to have left",
            async |victim| {
                json(
                    victim,
                    13,
                    &json!({"user_id": victim.ana().id().to_string()}),
                );
                Ok(())
            },
        )
        .await?;
    lines
        .line("broken JSON", async |victim| {
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
            settles(victim).await
        })
        .await?;
    lines
        .line("known opcodes with other data", async |victim| {
            for opcode in [4, 5, 6, 9, 11, 13, 21, 22, 24] {
                for data in [Value::Null, json!([]), json!("x"), json!({"ssrc": -1})] {
                    // A session with another key would rightly be followed.
                    json(victim, opcode, &data);
                }
            }
            settles(victim).await
        })
        .await?;
    for opcode in [25, 27, 29, 30] {
        let what = format!("garbage in opcode {opcode}");
        lines
            .line(&what, async |victim| {
                let mut random = SeededBytes::new();
                for length in [0, 1, 2, 3, 40, 400] {
                    let bytes = random.bytes(length);
                    let discord = &victim.0.discord;
                    discord.send_voice_bytes_to(victim.id(), opcode, &bytes);
                }
                settles(victim).await
            })
            .await?;
    }
    lines
        .line("unknown opcodes", async |victim| {
            for opcode in [10, 18, 20, 99, 255] {
                json(victim, opcode, &json!({"x": 1}));
                let discord = &victim.0.discord;
                discord.send_voice_bytes_to(victim.id(), opcode, &[1, 2, 3]);
            }
            settles(victim).await
        })
        .await?;
    lines
        .line("huge frames", async |victim| {
            json(victim, 99, &json!("x".repeat(HUGE)));
            let discord = &victim.0.discord;
            discord.send_voice_bytes_to(victim.id(), 27, &vec![7; HUGE]);
            settles(victim).await
        })
        .await?;
    lines
        .line("11 with 20000 people", async |victim| {
            let people: Vec<String> = (1_000..21_000).map(|it: u64| it.to_string()).collect();
            json(victim, 11, &json!({"user_ids": people}));
            settles(victim).await
        })
        .await
}

fn json(victim: &Victim<'_>, opcode: u8, data: &Value) {
    let discord = &victim.0.discord;
    discord.send_voice_frame_to(victim.id(), opcode, data);
}

/// The listener may have to connect or to join the group anew.
async fn settles(victim: &Victim<'_>) -> Outcome<()> {
    tokio::time::sleep(RECOVERY_TIME).await;
    victim.0.wait_for_keys(victim.id()).await
}

pub(super) async fn abuse_heartbeats(lines: &AbuseCases<'_>) -> Outcome<()> {
    for interval in [
        json!(-1),
        json!(0),
        json!(u64::MAX),
        json!(1e300),
        json!("soon"),
        Value::Null,
    ] {
        let what = format!("HELLO with a heartbeat every {interval} ms");
        lines
            .line_with(&what, async |call| {
                call.discord.set_next_voice_hello_interval(interval.clone());
                let mut tries = 0;
                loop {
                    tries += 1;
                    match call.listens().await {
                        Err(error) if tries == TRIES => return Err(error),
                        Err(_) => {}
                        Ok(()) => return Ok(()),
                    }
                }
            })
            .await?;
    }
    lines
        .line(
            "HELLO with a heartbeat every -1 ms when resuming",
            async |victim| {
                let discord = &victim.0.discord;
                discord.set_next_voice_hello_interval(json!(-1));
                discord.close_voice_of(victim.id(), 4_015);
                settles(victim).await
            },
        )
        .await
}
