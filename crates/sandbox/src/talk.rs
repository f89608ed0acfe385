//! A person at a terminal who talks to the bot, and who has others join voice.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use sandbox::{Channel, Discord, Guild, Message, Person};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

/// Between two looks at what the bot shows.
const LOOK: Duration = Duration::from_millis(100);

/// What can be typed.
const HELP: &str = "# A line is a direct message, an Ogg file's path a voice message. /join NAME, \
/say NAME FILE, /leave NAME: voice. /invite NAME: for another voice client. /run COMMAND \
OPTION=VALUE: a slash command in the channel of the server. /press NAME LABEL: the newest button \
of that label.";

/// Sends what is typed until the input ends, and then shows what the bot says until somebody
/// stops it.
pub(crate) async fn talk(discord: &Discord) -> io::Result<()> {
    let mut room = Room::new(discord);
    room.introduce()?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut open = true;
    loop {
        tokio::select! {
            line = lines.next_line(), if open => match line? {
                Some(line) if !line.trim().is_empty() => room.does(line.trim()).await?,
                Some(_) => {}
                None => open = false,
            },
            () = tokio::time::sleep(LOOK) => room.show()?,
        }
    }
}

/// A server with somebody in it.
struct Room {
    guild: Guild,
    general: Channel,
    lounge: Channel,
    you: Person,
    people: BTreeMap<String, Person>,
    shown: HashMap<u64, String>,
}

impl Room {
    fn new(discord: &Discord) -> Self {
        let guild = discord.guild("Sandbox");
        let you = guild.member("You");
        let people = BTreeMap::from([("You".to_owned(), you.clone())]);
        Self {
            general: guild.channel("general"),
            lounge: guild.voice_channel("Lounge"),
            guild,
            you,
            people,
            shown: HashMap::new(),
        }
    }

    fn introduce(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "# Server {}, text channel {}, voice channel {}",
            self.guild.id(),
            self.general.id(),
            self.lounge.id()
        )?;
        writeln!(out, "{HELP}")?;
        out.flush()
    }

    fn person(&mut self, name: &str) -> Person {
        let known = self.people.entry(name.to_owned());
        known.or_insert_with(|| self.guild.member(name)).clone()
    }

    async fn does(&mut self, line: &str) -> io::Result<()> {
        let mut words = line.splitn(3, ' ');
        let command = words.next().unwrap_or_default();
        let (name, rest) = (words.next(), words.next().unwrap_or_default());
        match (command, name) {
            ("/run", Some(name)) => {
                let (command, options) = with_options(&format!("{name} {rest}"));
                self.you.runs(&self.general, &command, options).await;
            }
            ("/press", Some(name)) => {
                let person = self.person(name);
                match self.with_button(rest) {
                    Some(message) => drop(person.presses(&message, rest).await),
                    None => println!("{rest}: no such button"),
                }
            }
            ("/join", Some(name)) => self.person(name).begins_to_join_voice(&self.lounge),
            ("/leave", Some(name)) => self.person(name).leaves_voice().await,
            ("/say", Some(name)) => {
                let person = self.person(name);
                if !person.can_speak() {
                    person.begins_to_join_voice(&self.lounge);
                }
                match std::fs::read(rest) {
                    Ok(ogg) if !ogg.starts_with(b"OggS") => println!("{rest}: no Ogg file"),
                    Ok(ogg) => drop(person.begins_to_speak(ogg)),
                    Err(error) => println!("{rest}: {error}"),
                }
            }
            ("/invite", Some(name)) => {
                let invited = self.person(name).invited_to_voice(&self.lounge);
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
            _ => self.sends(line).await?,
        }
        Ok(())
    }

    async fn sends(&self, line: &str) -> io::Result<()> {
        let channel = self.you.direct();
        if Path::new(line).is_file() {
            self.you
                .sends_voice_note(&channel, std::fs::read(line)?)
                .await;
        } else {
            self.you.says(&channel, line).await;
        }
        Ok(())
    }

    /// The newest message of the bot with a button of this label.
    fn with_button(&self, label: &str) -> Option<Message> {
        let messages = self.said_by_bot().into_iter();
        messages
            .filter(|it| it.buttons().iter().any(|(known, _)| known == label))
            .max_by_key(Message::id)
    }

    /// Everything that the bot has said, to all and to somebody alone.
    fn said_by_bot(&self) -> Vec<Message> {
        let channels = [&self.you.direct(), &self.general, &self.lounge];
        let mut messages: Vec<Message> = channels.iter().flat_map(|it| it.sent_by_bot()).collect();
        for person in self.people.values() {
            let seen = channels.iter().flat_map(|channel| person.sees_in(channel));
            messages.extend(seen.filter(Message::is_private));
        }
        messages
    }

    fn show(&mut self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for message in self.said_by_bot() {
            let text = message.text();
            // A response that is still to come says nothing.
            let empty = text.is_empty() && message.files().is_empty();
            if empty || self.shown.get(&message.id()) == Some(&text) {
                continue;
            }
            let private = if message.is_private() {
                " (private)"
            } else {
                ""
            };
            writeln!(out, "[{}]{private} {text}\n", message.id())?;
            for (name, bytes) in message.files() {
                writeln!(out, "[{}] {name}:", message.id())?;
                writeln!(out, "{}\n", String::from_utf8_lossy(&bytes))?;
            }
            self.shown.insert(message.id(), text);
        }
        out.flush()
    }
}

/// A command and its options: each goes from its `NAME=` to the next one's. What reads as a switch
/// or a number is one.
fn with_options(line: &str) -> (String, Value) {
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
