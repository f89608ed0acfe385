//! A person at a terminal who talks to the bot, and who has others join voice.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use sandbox::{Channel, Discord, Guild, Message, TestUser};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

/// Between two looks at what the bot shows.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// What can be typed.
const HELP: &str = "# A line is a direct message, an Ogg file's path a voice message. /join NAME, \
/say NAME FILE, /leave NAME: voice. /invite NAME: for another voice client. /run COMMAND \
OPTION=VALUE: a slash command in the channel of the server. /press NAME LABEL: the newest button \
of that label.";

/// Sends what is typed until the input ends, and then shows what the bot says until somebody
/// stops it.
pub(crate) async fn run_console(discord: &Discord) -> io::Result<()> {
    let mut room = Console::new(discord);
    room.print_intro()?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut open = true;
    loop {
        tokio::select! {
            line = lines.next_line(), if open => match line? {
                Some(line) if !line.trim().is_empty() => room.run_line(line.trim()).await?,
                Some(_) => {}
                None => open = false,
            },
            () = tokio::time::sleep(POLL_INTERVAL) => room.print_new_messages()?,
        }
    }
}

/// A server with somebody in it.
struct Console {
    guild: Guild,
    text_channel: Channel,
    voice_channel: Channel,
    own_user: TestUser,
    users: BTreeMap<String, TestUser>,
    printed: HashMap<u64, String>,
}

impl Console {
    fn new(discord: &Discord) -> Self {
        let guild = discord.add_guild("Sandbox");
        let own_user = guild.add_member("You");
        let users = BTreeMap::from([("You".to_owned(), own_user.clone())]);
        Self {
            text_channel: guild.add_text_channel("general"),
            voice_channel: guild.add_voice_channel("Lounge"),
            guild,
            own_user,
            users,
            printed: HashMap::new(),
        }
    }

    fn print_intro(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "# Server {}, text channel {}, voice channel {}",
            self.guild.id(),
            self.text_channel.id(),
            self.voice_channel.id()
        )?;
        writeln!(out, "{HELP}")?;
        out.flush()
    }

    fn get_or_add_user(&mut self, name: &str) -> TestUser {
        let known = self.users.entry(name.to_owned());
        known.or_insert_with(|| self.guild.add_member(name)).clone()
    }

    async fn run_line(&mut self, line: &str) -> io::Result<()> {
        let mut words = line.splitn(3, ' ');
        let command = words.next().unwrap_or_default();
        let (name, rest) = (words.next(), words.next().unwrap_or_default());
        match (command, name) {
            ("/run", Some(name)) => {
                let (command, options) = parse_command_options(&format!("{name} {rest}"));
                self.own_user
                    .run_command(&self.text_channel, &command, options)
                    .await;
            }
            ("/press", Some(name)) => {
                let person = self.get_or_add_user(name);
                match self.find_message_with_button(rest) {
                    Some(message) => drop(person.press_button(&message, rest).await),
                    None => println!("{rest}: no such button"),
                }
            }
            ("/join", Some(name)) => self
                .get_or_add_user(name)
                .start_joining_voice(&self.voice_channel),
            ("/leave", Some(name)) => self.get_or_add_user(name).leave_voice().await,
            ("/say", Some(name)) => {
                let person = self.get_or_add_user(name);
                if !person.can_speak() {
                    person.start_joining_voice(&self.voice_channel);
                }
                match std::fs::read(rest) {
                    Ok(ogg) if !ogg.starts_with(b"OggS") => println!("{rest}: no Ogg file"),
                    Ok(ogg) => drop(person.start_speaking(ogg)),
                    Err(error) => println!("{rest}: {error}"),
                }
            }
            ("/invite", Some(name)) => {
                let invited = self
                    .get_or_add_user(name)
                    .join_voice_externally(&self.voice_channel);
                // As text, since JavaScript has no integers of that size.
                let value = json!({
                    "endpoint": invited.endpoint, "token": invited.token,
                    "session_id": invited.session_id,
                    "user_id": invited.user_id.to_string(),
                    "guild_id": invited.guild_id.to_string(),
                    "channel_id": invited.channel_id.to_string(),
                });
                println!("{value}");
            }
            _ => self.send_dm(line).await?,
        }
        Ok(())
    }

    async fn send_dm(&self, line: &str) -> io::Result<()> {
        let channel = self.own_user.dm_channel();
        if Path::new(line).is_file() {
            self.own_user
                .send_voice_message(&channel, std::fs::read(line)?)
                .await;
        } else {
            self.own_user.says(&channel, line).await;
        }
        Ok(())
    }

    /// The newest message of the bot with a button of this label.
    fn find_message_with_button(&self, label: &str) -> Option<Message> {
        let messages = self.bot_messages().into_iter();
        messages
            .filter(|it| it.buttons().iter().any(|(known, _)| known == label))
            .max_by_key(Message::id)
    }

    /// Everything that the bot has said, to all and to somebody alone.
    fn bot_messages(&self) -> Vec<Message> {
        let channels = [
            &self.own_user.dm_channel(),
            &self.text_channel,
            &self.voice_channel,
        ];
        let mut messages: Vec<Message> = channels.iter().flat_map(|it| it.bot_messages()).collect();
        for person in self.users.values() {
            let seen = channels
                .iter()
                .flat_map(|channel| person.visible_messages(channel));
            messages.extend(seen.filter(Message::is_private));
        }
        messages
    }

    fn print_new_messages(&mut self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for message in self.bot_messages() {
            let text = message.text();
            // A response that is still to come says nothing.
            let empty = text.is_empty() && message.attachments().is_empty();
            if empty || self.printed.get(&message.id()) == Some(&text) {
                continue;
            }
            let private = if message.is_private() {
                " (private)"
            } else {
                ""
            };
            writeln!(out, "[{}]{private} {text}\n", message.id())?;
            for (name, bytes) in message.attachments() {
                writeln!(out, "[{}] {name}:", message.id())?;
                writeln!(out, "{}\n", String::from_utf8_lossy(&bytes))?;
            }
            self.printed.insert(message.id(), text);
        }
        out.flush()
    }
}

/// A command and its options: each goes from its `NAME=` to the next one's. What reads as a switch
/// or a number is one.
fn parse_command_options(line: &str) -> (String, Value) {
    let mut command = Vec::new();
    let mut options: Vec<(&str, String)> = Vec::new();
    for word in line.split_whitespace() {
        match (word.split_once('='), options.last_mut()) {
            (Some((name, value)), _) => options.push((name, value.to_owned())),
            (None, Some((_, value))) => *value += &format!(" {word}"),
            (None, None) => command.push(word),
        }
    }
    let typed = |text: String| match serde_json::from_str(&text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
        _ => Value::String(text),
    };
    let options: Map<String, Value> = options
        .into_iter()
        .map(|(name, value)| (name.to_owned(), typed(value)))
        .collect();
    (command.join(" "), Value::Object(options))
}
