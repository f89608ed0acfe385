//! What people do and see.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use super::rest::State;
use super::world::{
    self, Attached, Interaction, MANAGE_GUILD, MANAGE_MESSAGES, SNAPSHOT, STAGE, VOICE,
    VOICE_CHANNEL,
};
use super::{interactions, wait};

/// A server.
#[derive(Clone, Debug)]
pub struct Guild {
    pub(super) state: Arc<State>,
    pub(super) id: u64,
}

/// A channel, a thread, or the direct messages with one person.
#[derive(Clone, Debug)]
pub struct Channel {
    pub(super) state: Arc<State>,
    pub(super) id: u64,
}

/// Somebody.
#[derive(Clone, Debug)]
pub struct Person {
    pub(super) state: Arc<State>,
    pub(super) id: u64,
    pub(super) guild: Option<u64>,
}

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    state: Arc<State>,
    id: u64,
}

/// What came of a command, or of a pressed button.
#[derive(Clone, Debug)]
pub struct Response {
    state: Arc<State>,
    interaction: u64,
}

impl Guild {
    pub(super) fn new(state: Arc<State>, id: u64) -> Self {
        Self { state, id }
    }

    /// Its id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// A new text channel.
    pub fn channel(&self, name: &str) -> Channel {
        make_channel(&self.state, self.id, name, 0, None)
    }

    /// A new voice channel.
    pub fn voice_channel(&self, name: &str) -> Channel {
        make_channel(&self.state, self.id, name, VOICE_CHANNEL, None)
    }

    /// A new stage.
    pub fn stage_channel(&self, name: &str) -> Channel {
        make_channel(&self.state, self.id, name, STAGE, None)
    }

    /// Takes permissions away from the bot in the whole server.
    pub fn denies_bot(&self, permissions: u64) {
        if let Some(guild) = self.state.world().guilds.get_mut(&self.id) {
            guild.denied |= permissions;
        }
    }

    /// The bot is timed out: it may read, and nothing else.
    pub fn times_out_bot(&self, timed_out: bool) {
        if let Some(guild) = self.state.world().guilds.get_mut(&self.id) {
            guild.timed_out = timed_out;
        }
    }

    /// The server's AutoMod blocks messages with this word in them.
    pub fn filters(&self, word: &str) {
        let word = word.to_lowercase();
        self.state.world().filtered.push((self.id, word));
    }

    /// What the bot is called here, if it has a name of its own here.
    pub fn bot_nick(&self) -> Option<String> {
        let world = self.state.world();
        let guild = world.guilds.get(&self.id)?;
        guild.members.get(&world.bot)?.nick.clone()
    }

    /// Somebody joins.
    pub fn member(&self, name: &str) -> Person {
        let id = self.state.world().user(name, false);
        let person = Person::new(Arc::clone(&self.state), id, Some(self.id));
        person.joins(self);
        person
    }

    /// A new role.
    pub fn role(&self, name: &str) -> u64 {
        new_role(&mut self.state.world(), self.id, name, 0)
    }

    /// The role that Discord made for the bot.
    pub fn bot_role(&self) -> u64 {
        let world = self.state.world();
        world.guilds.get(&self.id).map_or(0, |it| it.bot_role)
    }

    /// Another bot joins.
    pub fn bot(&self, name: &str) -> Person {
        let id = self.state.world().user(name, true);
        let person = Person::new(Arc::clone(&self.state), id, Some(self.id));
        person.joins(self);
        person
    }

    /// The bot is removed.
    pub fn removes_bot(&self) {
        if self.bot_in_voice().is_some() {
            self.disconnects_bot();
        }
        self.state.world().guilds.remove(&self.id);
        let value = json!({"id": self.id.to_string()});
        self.state.dispatch("GUILD_DELETE", Some(self.id), &value);
    }
}

fn new_role(world: &mut world::World, guild: u64, name: &str, permissions: u64) -> u64 {
    let id = world.id();
    if let Some(guild) = world.guilds.get_mut(&guild) {
        guild.roles.push(world::Role {
            id,
            name: name.to_owned(),
            permissions,
        });
    }
    id
}

fn make_channel(
    state: &Arc<State>,
    guild: u64,
    name: &str,
    kind: u8,
    parent: Option<u64>,
) -> Channel {
    let (id, value) = {
        let mut world = state.world();
        let id = world.id();
        world.channel(world::Channel {
            id,
            guild: Some(guild),
            name: name.to_owned(),
            kind,
            parent,
            with: None,
            denied: 0,
            user_limit: 0,
            locked: false,
        });
        (id, world.channel_json(id).unwrap_or_default())
    };
    let event = if parent.is_some() {
        "THREAD_CREATE"
    } else {
        "CHANNEL_CREATE"
    };
    state.dispatch(event, Some(guild), &value);
    Channel {
        state: Arc::clone(state),
        id,
    }
}

impl Channel {
    /// Its id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// A new thread in it.
    pub fn thread(&self, name: &str) -> Self {
        let guild = self.state.world().guild_of(self.id).expect("in a server");
        make_channel(&self.state, guild, name, 11, Some(self.id))
    }

    /// Takes permissions away from the bot.
    pub fn denies_bot(&self, permissions: u64) {
        if let Some(channel) = self.state.world().channels.get_mut(&self.id) {
            channel.denied |= permissions;
        }
        self.tells_change();
    }

    /// The thread is archived: a new message opens it again.
    pub fn archives(&self) {
        self.state.world().archived.insert(self.id);
        self.tells_thread();
    }

    /// A moderator locks the thread: nobody else may write in it any more.
    pub fn locks(&self) {
        if let Some(channel) = self.state.world().channels.get_mut(&self.id) {
            channel.locked = true;
        }
        self.tells_thread();
    }

    /// Whether the thread is archived.
    pub fn is_archived(&self) -> bool {
        self.state.world().archived.contains(&self.id)
    }

    fn tells_thread(&self) {
        let (guild, value) = {
            let world = self.state.world();
            let value = world.channel_json(self.id).unwrap_or_default();
            (world.guild_of(self.id), value)
        };
        self.state.dispatch("THREAD_UPDATE", guild, &value);
    }

    /// How many a voice channel takes; 0 for any number.
    pub fn user_limit(&self, limit: usize) {
        if let Some(channel) = self.state.world().channels.get_mut(&self.id) {
            channel.user_limit = limit;
        }
        self.tells_change();
    }

    fn tells_change(&self) {
        let (guild, value) = {
            let world = self.state.world();
            let value = world.channel_json(self.id).unwrap_or_default();
            (world.guild_of(self.id), value)
        };
        if guild.is_some() {
            self.state.dispatch("CHANNEL_UPDATE", guild, &value);
        }
    }

    /// Whether the bot was seen typing here within the last ten seconds.
    pub fn bot_types(&self) -> bool {
        let world = self.state.world();
        let since = world.typing.get(&self.id);
        since.is_some_and(|at| at.elapsed() < Duration::from_secs(10))
    }

    /// It is deleted, with all that is in it.
    pub fn delete(&self) {
        self.state.empties_voice(self.id);
        let (guild, value) = {
            let mut world = self.state.world();
            let value = world.channel_json(self.id).unwrap_or_default();
            let guild = world.guild_of(self.id);
            world.channels.remove(&self.id);
            (guild, value)
        };
        self.state.dispatch("CHANNEL_DELETE", guild, &value);
    }

    /// Everything in it that everybody sees, oldest first.
    pub fn messages(&self) -> Vec<Message> {
        self.all(|message| !message.deleted && message.only_for.is_none())
    }

    /// All that the bot ever sent here that everybody could see, deleted or not.
    pub fn sent_by_bot(&self) -> Vec<Message> {
        let bot = self.state.world().bot;
        self.all(|message| message.author == bot && message.only_for.is_none())
    }

    fn all(&self, fits: impl Fn(&world::Message) -> bool) -> Vec<Message> {
        let world = self.state.world();
        world
            .messages
            .values()
            .filter(|message| message.channel == self.id && fits(message))
            .map(|message| Message::new(&self.state, message.id))
            .collect()
    }
}

impl Person {
    pub(super) fn new(state: Arc<State>, id: u64, guild: Option<u64>) -> Self {
        Self { state, id, guild }
    }

    /// Their id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Becomes a member of a further server.
    pub fn joins(&self, guild: &Guild) {
        if let Some(guild) = self.state.world().guilds.get_mut(&guild.id) {
            guild.members.entry(self.id).or_default();
        }
    }

    fn membership(&self, change: impl FnOnce(&mut world::Membership)) {
        let mut world = self.state.world();
        let guild = self.guild.and_then(|guild| world.guilds.get_mut(&guild));
        if let Some(member) = guild.and_then(|guild| guild.members.get_mut(&self.id)) {
            change(member);
        }
    }

    /// May change the server.
    pub fn may_manage_server(&self) {
        self.may(MANAGE_GUILD);
    }

    /// May delete what others wrote.
    pub fn may_manage_messages(&self) {
        self.may(MANAGE_MESSAGES);
    }

    /// Is given a role with a permission: members have none of their own.
    fn may(&self, permissions: u64) {
        let Some(guild) = self.guild else { return };
        let role = new_role(&mut self.state.world(), guild, "may", permissions);
        self.has_role(role);
    }

    /// Is given a role.
    pub fn has_role(&self, role: u64) {
        self.membership(|member| member.roles.push(role));
    }

    /// A role is taken away.
    pub fn loses_role(&self, role: u64) {
        self.membership(|member| member.roles.retain(|it| *it != role));
    }

    /// Is called something else in the server.
    pub fn is_called(&self, nick: &str) {
        self.membership(|member| member.nick = Some(nick.to_owned()));
    }

    /// Reads Discord in another language.
    pub fn reads(&self, locale: &str) {
        if let Some(user) = self.state.world().users.get_mut(&self.id) {
            locale.clone_into(&mut user.locale);
        }
    }

    /// Their direct messages with the bot.
    pub fn direct(&self) -> Channel {
        let id = self.state.world().direct(self.id);
        Channel {
            state: Arc::clone(&self.state),
            id,
        }
    }

    fn sends(
        &self,
        channel: &Channel,
        text: &str,
        files: Vec<Attached>,
        flags: u64,
        reply_to: Option<u64>,
    ) -> Message {
        let id = self.state.world().id();
        self.posts(id, channel, text, files, flags, reply_to)
    }

    fn posts(
        &self,
        id: u64,
        channel: &Channel,
        text: &str,
        files: Vec<Attached>,
        flags: u64,
        reply_to: Option<u64>,
    ) -> Message {
        {
            let mut world = self.state.world();
            let mut message = world::Message::new(id, channel.id, self.id, text);
            message.flags = flags;
            message.reference = reply_to;
            message.kind = if reply_to.is_some() { 19 } else { 0 };
            message.attachments = files;
            let mut mentions: Vec<u64> = world
                .users
                .keys()
                .copied()
                .filter(|id| text.contains(&format!("<@{id}>")))
                .collect();
            // A reply rings at the one it replies to.
            mentions.extend(
                reply_to
                    .and_then(|id| world.message(id))
                    .map(|it| it.author),
            );
            message.mentions = mentions;
            world.post(message);
        }
        self.state.dispatch_message("MESSAGE_CREATE", id);
        Message::new(&self.state, id)
    }

    fn attached(&self, name: &str, bytes: impl Into<Bytes>, seconds: Option<f64>) -> Attached {
        let kind = match name.rsplit('.').next() {
            Some("ogg") => Some("audio/ogg"),
            Some("mp3") => Some("audio/mpeg"),
            Some("wav") => Some("audio/x-wav"),
            Some("mp4") => Some("video/mp4"),
            Some("png") => Some("image/png"),
            Some("txt") => Some("text/plain; charset=utf-8"),
            _ => None,
        };
        Attached {
            id: self.state.world().id(),
            name: name.to_owned(),
            bytes: bytes.into(),
            seconds,
            content_type: kind.map(str::to_owned),
            dead_before: 0,
        }
    }

    fn voice(&self, bytes: impl Into<Bytes>, seconds: Option<f64>) -> Attached {
        let bytes = bytes.into();
        let seconds = seconds.unwrap_or_else(|| ogg_seconds(&bytes));
        self.attached("voice-message.ogg", bytes, Some(seconds))
    }

    /// Sends a voice message: the bytes of an Ogg Opus file.
    pub async fn sends_voice_note(&self, channel: &Channel, ogg: impl Into<Bytes>) -> Message {
        let note = self.voice(ogg, None);
        self.sends(channel, "", vec![note], VOICE, None)
    }

    /// Has sent a voice message so long ago.
    pub async fn sent_voice_note(
        &self,
        channel: &Channel,
        ogg: impl Into<Bytes>,
        ago: Duration,
    ) -> Message {
        let note = self.voice(ogg, None);
        let id = self.state.world().id_of(ago);
        self.posts(id, channel, "", vec![note], VOICE, None)
    }

    /// Sends a voice message that is announced to play so long.
    pub async fn sends_voice_note_lasting(
        &self,
        channel: &Channel,
        ogg: impl Into<Bytes>,
        seconds: f64,
    ) -> Message {
        let note = self.voice(ogg, Some(seconds));
        self.sends(channel, "", vec![note], VOICE, None)
    }

    /// Replies with a voice message.
    pub async fn replies_with_voice_note(&self, to: &Message, ogg: impl Into<Bytes>) -> Message {
        let note = self.voice(ogg, None);
        self.sends(&to.channel(), "", vec![note], VOICE, Some(to.id))
    }

    /// Sends files with a text.
    pub async fn sends_files(
        &self,
        channel: &Channel,
        text: &str,
        files: &[(&str, Bytes)],
    ) -> Message {
        let files = files
            .iter()
            .map(|(name, bytes)| self.attached(name, bytes.clone(), None))
            .collect();
        self.sends(channel, text, files, 0, None)
    }

    /// Writes.
    pub async fn says(&self, channel: &Channel, text: &str) -> Message {
        self.sends(channel, text, Vec::new(), 0, None)
    }

    /// Sends a file that Discord gives this type, or none.
    pub async fn sends_file_of_type(
        &self,
        channel: &Channel,
        text: &str,
        (name, bytes): (&str, Bytes),
        content_type: Option<&str>,
    ) -> Message {
        let mut file = self.attached(name, bytes, None);
        file.content_type = content_type.map(str::to_owned);
        self.sends(channel, text, vec![file], 0, None)
    }

    /// Forwards messages of other channels, as one message.
    pub async fn forwards(&self, messages: &[&Message], to: &Channel) -> Message {
        let id = {
            let mut world = self.state.world();
            let id = world.id();
            let mut message = world::Message::new(id, to.id, self.id, "");
            message.flags = SNAPSHOT;
            let all = messages.iter().filter_map(|it| world.messages.get(&it.id));
            message.forwarded = all.cloned().collect();
            world.post(message);
            id
        };
        self.state.dispatch_message("MESSAGE_CREATE", id);
        Message::new(&self.state, id)
    }

    /// Writes, with the name of the bot's own role before it.
    pub async fn calls_bot_by_its_role(&self, channel: &Channel, text: &str) -> Message {
        let role = {
            let world = self.state.world();
            let guild = world.guild_of(channel.id);
            guild
                .and_then(|id| world.guilds.get(&id))
                .map(|it| it.bot_role)
        };
        let role = role.expect("in a server");
        self.says(channel, &format!("<@&{role}> {text}")).await
    }

    /// Writes, with the bot's name before it.
    pub async fn calls_bot(&self, channel: &Channel, text: &str) -> Message {
        let bot = self.state.world().bot;
        self.says(channel, &format!("<@{bot}> {text}")).await
    }

    /// Replies in writing.
    pub async fn replies(&self, to: &Message, text: &str) -> Message {
        self.sends(&to.channel(), text, Vec::new(), 0, Some(to.id))
    }

    /// Uses a slash command such as `/ask` or `/settings notes`. A value that is an object with
    /// `file` names one of `files`.
    pub async fn runs(&self, channel: &Channel, command: &str, options: Value) -> Response {
        self.runs_with(channel, command, options, &[]).await
    }

    /// Uses a slash command with files: the value of an option is the file's name.
    pub async fn runs_with(
        &self,
        channel: &Channel,
        command: &str,
        options: Value,
        files: &[(&str, Bytes)],
    ) -> Response {
        let mut words = command.trim_start_matches('/').split(' ');
        let (name, sub) = (words.next().unwrap_or_default(), words.next());
        let mut resolved = json!({});
        let mut given = Vec::new();
        for (option, value) in options.as_object().into_iter().flatten() {
            given.push(self.option(channel, option, value, files, &mut resolved));
        }
        if let Some(sub) = sub {
            given = vec![json!({"name": sub, "type": 1, "options": given})];
        }
        let id = self.command_id(name);
        let data = json!({"id": id, "name": name, "type": 1, "options": given,
            "resolved": resolved});
        self.interacts(channel, 2, &data, None)
    }

    fn option(
        &self,
        channel: &Channel,
        name: &str,
        value: &Value,
        files: &[(&str, Bytes)],
        resolved: &mut Value,
    ) -> Value {
        let kind = match value {
            Value::Bool(_) => 5,
            Value::Number(_) => 4,
            Value::String(text) => {
                if let Some((file, bytes)) = files.iter().find(|(file, _)| file == text) {
                    let attached = self.attached(file, bytes.clone(), None);
                    let id = attached.id;
                    let mut world = self.state.world();
                    let json = world.attachment_json(channel.id, &attached);
                    world.loose.insert(id, attached);
                    resolved["attachments"][id.to_string()] = json;
                    return json!({"name": name, "type": 11, "value": id.to_string()});
                }
                3
            }
            _ => {
                // {"channel": id}, {"role": id} or {"user": id}
                let mut ids = value.as_object().into_iter().flatten();
                let Some((what, id)) = ids.next() else {
                    return json!({"name": name, "type": 3, "value": ""});
                };
                let id = id.as_u64().unwrap_or(0);
                let world = self.state.world();
                let (kind, list, json) = match what.as_str() {
                    "channel" => (7, "channels", world.channel_json(id).unwrap_or_default()),
                    "role" => (8, "roles", world::World::role_json(id, "role")),
                    _ => (6, "users", world.user_json(id)),
                };
                let mut json = json;
                if kind == 7 {
                    json["permissions"] = json!("0");
                }
                resolved[list][id.to_string()] = json;
                return json!({"name": name, "type": kind, "value": id.to_string()});
            }
        };
        json!({"name": name, "type": kind, "value": value})
    }

    /// Chooses an entry of a message's menu.
    pub async fn uses_menu(&self, message: &Message, name: &str) -> Response {
        let json = self.state.world().message_json(message.id, true, true);
        let id = message.id.to_string();
        let data = json!({
            "id": self.command_id(name), "name": name, "type": 3, "target_id": id,
            "resolved": {"messages": {id.clone(): json}},
        });
        self.interacts(&message.channel(), 2, &data, None)
    }

    /// Presses the button with this label.
    pub async fn presses(&self, message: &Message, label: &str) -> Response {
        let buttons = message.buttons();
        let button = buttons.iter().find(|(known, _)| known == label);
        let (_, id) = button.expect("a button with this label");
        let data = json!({"component_type": 2, "custom_id": id});
        self.interacts(&message.channel(), 3, &data, Some(message.id))
    }

    fn command_id(&self, name: &str) -> String {
        let world = self.state.world();
        let known = world.commands.iter().find(|it| it["name"] == name);
        known
            .and_then(|it| it["id"].as_str())
            .unwrap_or("1")
            .to_owned()
    }

    /// Used a slash command so long ago, by its id: the bot hears of it only now.
    pub async fn ran(
        &self,
        channel: &Channel,
        command: &str,
        options: Value,
        ago: Duration,
    ) -> Response {
        let name = command.trim_start_matches('/');
        let mut given = Vec::new();
        for (option, value) in options.as_object().into_iter().flatten() {
            given.push(self.option(channel, option, value, &[], &mut json!({})));
        }
        let data = json!({"id": self.command_id(name), "name": name, "type": 1,
            "options": given, "resolved": {}});
        let id = self.state.world().id_of(ago);
        self.interacts_as(id, channel, 2, &data, None)
    }

    fn interacts(&self, channel: &Channel, kind: u8, data: &Value, on: Option<u64>) -> Response {
        let id = self.state.world().id();
        self.interacts_as(id, channel, kind, data, on)
    }

    fn interacts_as(
        &self,
        id: u64,
        channel: &Channel,
        kind: u8,
        data: &Value,
        on: Option<u64>,
    ) -> Response {
        let (id, guild, event) = {
            let mut world = self.state.world();
            let interaction = Interaction {
                id,
                token: format!("interaction-token-{id}"),
                user: self.id,
                channel: channel.id,
                created: Instant::now(),
                acknowledged: false,
                private: false,
                original: on,
                is_component: kind == 3,
            };
            world.interactions.insert(id, interaction.clone());
            let mut event = interactions::event(&world, &interaction, kind, data);
            if let Some(on) = on {
                event["message"] = world.message_json(on, true, true).unwrap_or_default();
            }
            let guild = world.guild_of(channel.id);
            world.told.insert(id, (guild, event.clone()));
            (id, guild, event)
        };
        self.state.dispatch("INTERACTION_CREATE", guild, &event);
        Response {
            state: Arc::clone(&self.state),
            interaction: id,
        }
    }

    /// Reacts to a message.
    pub async fn reacts(&self, message: &Message, emoji: &str) {
        let (guild, channel) = {
            let mut world = self.state.world();
            let found = world.messages.get_mut(&message.id).expect("messages stay");
            found.reactions.push((self.id, emoji.to_owned()));
            let channel = found.channel;
            (world.guild_of(channel), channel)
        };
        let value = json!({
            "user_id": self.id.to_string(), "channel_id": channel.to_string(),
            "message_id": message.id.to_string(), "guild_id": guild.map(|id| id.to_string()),
            "emoji": {"id": null, "name": emoji}, "burst": false, "type": 0,
        });
        self.state.dispatch("MESSAGE_REACTION_ADD", guild, &value);
    }

    /// Begins to type.
    pub async fn types(&self, channel: &Channel) {
        let guild = self.state.world().guild_of(channel.id);
        let value = json!({
            "user_id": self.id.to_string(), "channel_id": channel.id.to_string(),
            "guild_id": guild.map(|id| id.to_string()), "timestamp": super::cdn::now(),
        });
        self.state.dispatch("TYPING_START", guild, &value);
    }

    /// Everything in a channel that this person sees, private responses included, oldest first.
    pub fn sees_in(&self, channel: &Channel) -> Vec<Message> {
        channel.all(|it| !it.deleted && it.only_for.is_none_or(|only| only == self.id))
    }

    /// Waits until all that this person sees in a channel is as `fits` says.
    pub async fn sees_that(
        &self,
        channel: &Channel,
        what: &str,
        fits: impl Fn(&[Message]) -> bool,
    ) -> Vec<Message> {
        wait(&self.state, what, || {
            let seen = self.sees_in(channel);
            fits(&seen).then_some(seen)
        })
        .await
    }

    /// Has brought the bot along: it is no member of the servers where they use it.
    pub fn brings_bot(&self) {
        self.state.world().bringers.insert(self.id);
    }

    /// Waits for the bot's reply to a message.
    pub async fn sees_reply_to(&self, message: &Message) -> Message {
        let what = format!("a reply to {}", message.id);
        wait(&self.state, what, || message.reply()).await
    }

    /// Waits for a message of the bot with these words in a channel.
    pub async fn sees(&self, channel: &Channel, words: &str) -> Message {
        let what = format!("“{words}” in the channel");
        wait(&self.state, what, || {
            let world = self.state.world();
            let found = world.messages.values().find(|it| {
                it.channel == channel.id
                    && it.author == world.bot
                    && !it.deleted
                    && it.only_for.is_none_or(|only| only == self.id)
                    && it.content.contains(words)
            });
            found.map(|it| Message::new(&self.state, it.id))
        })
        .await
    }

    /// Waits for the bot's reply to a message to have these words in it.
    pub async fn sees_reply_with(&self, message: &Message, words: &str) -> Message {
        let what = format!("a reply with “{words}”");
        let reply = wait(&self.state, what, || {
            message.reply().filter(|reply| reply.text().contains(words))
        });
        reply.await
    }
}

impl Message {
    pub(super) fn new(state: &Arc<State>, id: u64) -> Self {
        Self {
            state: Arc::clone(state),
            id,
        }
    }

    /// Its id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Where it is.
    pub fn channel(&self) -> Channel {
        Channel {
            state: Arc::clone(&self.state),
            id: self.get(|message| message.channel),
        }
    }

    fn get<T>(&self, part: impl FnOnce(&world::Message) -> T) -> T {
        let world = self.state.world();
        part(world.messages.get(&self.id).expect("messages stay"))
    }

    /// What it says.
    pub fn text(&self) -> String {
        self.get(|message| message.content.clone())
    }

    /// All that it has said, one after the other.
    pub fn versions(&self) -> Vec<String> {
        self.get(|message| message.versions.iter().map(|it| it.1.clone()).collect())
    }

    /// When it first said anything, and when it was changed.
    pub fn times(&self) -> Vec<Instant> {
        self.get(|message| message.versions.iter().map(|it| it.0).collect())
    }

    /// The files that hang on it.
    pub fn files(&self) -> Vec<(String, Bytes)> {
        self.get(|message| {
            let files = message.attachments.iter();
            files
                .map(|it| (it.name.clone(), it.bytes.clone()))
                .collect()
        })
    }

    /// Labels and ids of the buttons under it.
    pub fn buttons(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.get(|message| {
            let rows = message.components.iter();
            let buttons = rows.flat_map(|row| row["components"].as_array().into_iter().flatten());
            buttons
                .map(|button| (text(&button["label"]), text(&button["custom_id"])))
                .collect()
        })
    }

    /// Who was pinged by it.
    pub fn pinged(&self) -> (bool, Vec<u64>) {
        self.get(|message| (message.mention_everyone, message.mentions.clone()))
    }

    /// Who reacted with which emoji.
    pub fn reactions(&self) -> Vec<(u64, String)> {
        self.get(|message| message.reactions.clone())
    }

    /// Whether the bot wrote it.
    pub fn is_by_bot(&self) -> bool {
        let world = self.state.world();
        world.messages[&self.id].author == world.bot
    }

    /// Whether it is gone.
    pub fn is_deleted(&self) -> bool {
        self.get(|message| message.deleted)
    }

    /// Whether only one person sees it.
    pub fn is_private(&self) -> bool {
        self.get(|message| message.only_for.is_some())
    }

    /// The bot's first reply to it, if there is one.
    pub fn reply(&self) -> Option<Self> {
        let world = self.state.world();
        let mut all = world.messages.values();
        all.find(|it| it.reference == Some(self.id) && it.author == world.bot && !it.deleted)
            .map(|it| Self::new(&self.state, it.id))
    }

    /// All of the bot's replies to it, deleted ones too.
    pub fn replies(&self) -> Vec<Self> {
        let world = self.state.world();
        let all = world.messages.values();
        all.filter(|it| it.reference == Some(self.id) && it.author == world.bot)
            .map(|it| Self::new(&self.state, it.id))
            .collect()
    }

    /// Waits until it says something of which `fits` is true.
    pub async fn until(&self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        wait(&self.state, Unlike(what, self), || {
            let text = self.text();
            fits(&text).then_some(text)
        })
        .await
    }

    /// Waits until it has buttons: the bot is done with it.
    pub async fn until_done(&self) -> String {
        wait(&self.state, Unlike("a finished reply", self), || {
            (!self.buttons().is_empty()).then(|| self.text())
        })
        .await
    }

    /// Waits until it is gone.
    pub async fn until_deleted(&self) {
        wait(&self.state, "a deletion", || {
            self.is_deleted().then_some(())
        })
        .await;
    }

    /// The gateway tells the bot of it once more.
    pub fn is_told_again(&self) {
        self.state.dispatch_message("MESSAGE_CREATE", self.id);
    }

    /// Somebody deletes it.
    pub fn delete(&self) {
        self.state.delete_message(self.id);
    }

    /// Its author changes it.
    pub fn edit(&self, text: &str) {
        if let Some(message) = self.state.world().messages.get_mut(&self.id) {
            message.write(text);
        }
        self.state.dispatch_message("MESSAGE_UPDATE", self.id);
    }
}

/// What was waited for, and what is there instead.
struct Unlike<'a>(&'a str, &'a Message);

impl std::fmt::Display for Unlike<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; there is {:?}", self.0, self.1.versions())
    }
}

impl Response {
    fn interaction(&self) -> Interaction {
        let world = self.state.world();
        world.interactions[&self.interaction].clone()
    }

    /// The interaction's id.
    pub fn id(&self) -> u64 {
        self.interaction
    }

    /// Waits until the bot has said anything at all.
    pub async fn until_acknowledged(&self) {
        wait(&self.state, "an acknowledgement", || {
            self.interaction().acknowledged.then_some(())
        })
        .await;
    }

    /// The message with the response, if there is one.
    pub fn message(&self) -> Option<Message> {
        let world = self.state.world();
        let mut all = world.messages.values();
        let own = all.find(|it| it.interaction.is_some_and(|(id, _)| id == self.interaction));
        own.map(|it| Message::new(&self.state, it.id))
    }

    /// Waits for a response that is not still to come.
    pub async fn answer(&self) -> Message {
        wait(&self.state, "a response", || {
            self.message().filter(|message| !message.text().is_empty())
        })
        .await
    }

    /// Waits for a response with these words.
    pub async fn answer_with(&self, words: &str) -> Message {
        let what = format!("a response with “{words}”");
        wait(&self.state, what, || {
            self.message()
                .filter(|message| message.text().contains(words))
        })
        .await
    }

    /// Its token is dead from now on.
    pub fn expires(&self) {
        let mut world = self.state.world();
        let life = world.token_life + Duration::from_secs(1);
        if let Some(interaction) = world.interactions.get_mut(&self.interaction)
            && let Some(long_ago) = Instant::now().checked_sub(life)
        {
            interaction.created = long_ago;
        }
    }

    /// The gateway tells the bot of it once more.
    pub fn is_told_again(&self) {
        let told = self.state.world().told.get(&self.interaction).cloned();
        if let Some((guild, event)) = told {
            self.state.dispatch("INTERACTION_CREATE", guild, &event);
        }
    }

    /// Whether only its user sees it.
    pub fn is_private(&self) -> bool {
        self.interaction().private
    }
}

/// How long an Ogg Opus file plays: the last page says how many samples there are, 48,000 a
/// second.
fn ogg_seconds(bytes: &[u8]) -> f64 {
    let last = bytes.windows(4).rposition(|four| four == b"OggS");
    let granule = last.and_then(|at| bytes.get(at + 6..at + 14));
    let granule = granule
        .and_then(|it| it.try_into().ok())
        .map(u64::from_le_bytes);
    (granule.unwrap_or(0) as f64 / 48_000.0 * 100.0).round() / 100.0
}
