//! The memory of an idle bot, and the time from its start to READY.

use std::time::Instant;

use super::environment::BotEnvironment;
use super::{BenchResult, as_millis_f64, kib_to_mib};

/// Memory of an idle bot in `more` + 1 guilds.
pub(crate) async fn bench_idle(more: usize) -> BenchResult<()> {
    let environment = BotEnvironment::new().await?;
    environment.discord.add_guilds(more);
    environment.guild.add_text_channel("general");
    let started = Instant::now();
    let bot = environment.launch_and_wait().await?;
    let ready = started.elapsed();
    // Once a note is answered, the bot has received all guilds.
    let ana = environment.guild.add_member("Ana");
    let note = ana
        .send_voice_message(&ana.dm_channel(), environment.note.clone())
        .await;
    ana.wait_for_reply(&note).await.wait_until_done().await;
    println!(
        "{} servers: {:.1} MiB, at most {:.1} MiB; start to READY and commands {:.0} ms",
        more + 1,
        kib_to_mib(bot.memory_kib("VmRSS")),
        kib_to_mib(bot.memory_kib("VmHWM")),
        as_millis_f64(ready)
    );
    Ok(())
}
