//! A person at a terminal who talks to the bot.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use sandbox::{Channel, Discord, Person};
use tokio::io::{AsyncBufReadExt, BufReader};

/// Between two looks at what the bot shows.
const LOOK: Duration = Duration::from_millis(100);

/// Sends what is typed until the input ends, and then shows what the bot says until somebody
/// stops it.
pub(crate) async fn talk(discord: &Discord) -> io::Result<()> {
    discord.guild("Sandbox").channel("general");
    let you = discord.person("You");
    let channel = you.direct();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut shown = HashMap::new();
    let mut open = true;
    loop {
        tokio::select! {
            line = lines.next_line(), if open => match line? {
                Some(line) if !line.trim().is_empty() => send(&you, &channel, line.trim()).await?,
                Some(_) => {}
                None => open = false,
            },
            () = tokio::time::sleep(LOOK) => show(&channel, &mut shown)?,
        }
    }
}

async fn send(you: &Person, channel: &Channel, line: &str) -> io::Result<()> {
    if Path::new(line).is_file() {
        you.sends_voice_note(channel, std::fs::read(line)?).await;
    } else {
        you.says(channel, line).await;
    }
    Ok(())
}

fn show(channel: &Channel, shown: &mut HashMap<u64, String>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for message in channel.sent_by_bot() {
        let text = message.text();
        if shown.get(&message.id()) != Some(&text) {
            writeln!(out, "[{}] {text}\n", message.id())?;
            shown.insert(message.id(), text);
        }
    }
    out.flush()
}
