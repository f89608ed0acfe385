//! What people do and see.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use super::rest_api::DiscordState;
use super::world::{
    self, AttachmentData, GUILD_STAGE_VOICE, GUILD_VOICE, HAS_SNAPSHOT, IS_VOICE_MESSAGE,
    InteractionData, MANAGE_GUILD, MANAGE_MESSAGES,
};
use super::{interactions, wait_for};

/// A server.
#[derive(Clone, Debug)]
pub struct Guild {
    pub(super) state: Arc<DiscordState>,
    pub(super) id: u64,
}

/// A channel, a thread, or the direct messages with one person.
#[derive(Clone, Debug)]
pub struct Channel {
    pub(super) state: Arc<DiscordState>,
    pub(super) id: u64,
}

/// Somebody.
#[derive(Clone, Debug)]
pub struct TestUser {
    pub(super) state: Arc<DiscordState>,
    pub(super) id: u64,
    pub(super) guild_id: Option<u64>,
}

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    state: Arc<DiscordState>,
    id: u64,
}

/// What came of a command, or of a pressed button.
#[derive(Clone, Debug)]
pub struct InteractionResponse {
    state: Arc<DiscordState>,
    interaction_id: u64,
}

impl Guild {
    pub(super) fn new(state: Arc<DiscordState>, id: u64) -> Self {
        Self { state, id }
    }

    /// Its id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// A new text channel.
    pub fn add_text_channel(&self, name: &str) -> Channel {
        insert_channel(&self.state, self.id, name, 0, None)
    }

    /// A new voice channel.
    pub fn add_voice_channel(&self, name: &str) -> Channel {
        insert_channel(&self.state, self.id, name, GUILD_VOICE, None)
    }

    /// A new stage.
    pub fn add_stage_channel(&self, name: &str) -> Channel {
        insert_channel(&self.state, self.id, name, GUILD_STAGE_VOICE, None)
    }

    /// Takes permissions away from the bot in the whole server.
    pub fn deny_bot(&self, permissions: u64) {
        if let Some(guild) = self.state.world().guilds.get_mut(&self.id) {
            guild.denied_to_bot |= permissions;
        }
    }

    /// The bot is timed out: it may read, and nothing else.
    pub fn set_bot_timed_out(&self, timed_out: bool) {
        if let Some(guild) = self.state.world().guilds.get_mut(&self.id) {
            guild.is_bot_timed_out = timed_out;
        }
    }

    /// The server's AutoMod blocks messages with this word in them.
    pub fn block_word(&self, word: &str) {
        let word = word.to_lowercase();
        self.state.world().automod_words.push((self.id, word));
    }

    /// What the bot is called here, if it has a name of its own here.
    pub fn bot_nick(&self) -> Option<String> {
        let world = self.state.world();
        let guild = world.guilds.get(&self.id)?;
        guild.members.get(&world.bot_id)?.nick.clone()
    }

    /// Somebody joins.
    pub fn add_member(&self, name: &str) -> TestUser {
        let id = self.state.world().add_user(name, false);
        let person = TestUser::new(Arc::clone(&self.state), id, Some(self.id));
        person.join_guild(self);
        person
    }

    /// A new role.
    pub fn add_role(&self, name: &str) -> u64 {
        insert_role(&mut self.state.world(), self.id, name, 0)
    }

    /// The role that Discord made for the bot.
    pub fn bot_role_id(&self) -> u64 {
        let world = self.state.world();
        world.guilds.get(&self.id).map_or(0, |it| it.bot_role)
    }

    /// Another bot joins.
    pub fn add_bot(&self, name: &str) -> TestUser {
        let id = self.state.world().add_user(name, true);
        let person = TestUser::new(Arc::clone(&self.state), id, Some(self.id));
        person.join_guild(self);
        person
    }

    /// The bot is removed.
    pub fn remove_bot(&self) {
        if self.bot_voice_channel().is_some() {
            self.disconnect_bot();
        }
        self.state.world().guilds.remove(&self.id);
        let value = json!({"id": self.id.to_string()});
        self.state.dispatch("GUILD_DELETE", Some(self.id), &value);
    }
}

fn insert_role(world: &mut world::World, guild: u64, name: &str, permissions: u64) -> u64 {
    let id = world.next_id();
    if let Some(guild) = world.guilds.get_mut(&guild) {
        guild.roles.push(world::RoleData {
            id,
            name: name.to_owned(),
            permissions,
        });
    }
    id
}

fn insert_channel(
    state: &Arc<DiscordState>,
    guild: u64,
    name: &str,
    kind: u8,
    parent: Option<u64>,
) -> Channel {
    let (id, value) = {
        let mut world = state.world();
        let id = world.next_id();
        world.add_channel(world::ChannelData {
            id,
            guild_id: Some(guild),
            name: name.to_owned(),
            kind,
            parent_id: parent,
            recipient: None,
            denied_to_bot: 0,
            user_limit: 0,
            is_locked: false,
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
    pub fn add_thread(&self, name: &str) -> Self {
        let guild = self
            .state
            .world()
            .guild_id_of(self.id)
            .expect("in a server");
        insert_channel(&self.state, guild, name, 11, Some(self.id))
    }

    /// Takes permissions away from the bot.
    pub fn deny_bot(&self, permissions: u64) {
        if let Some(channel) = self.state.world().channels.get_mut(&self.id) {
            channel.denied_to_bot |= permissions;
        }
        self.dispatch_channel_update();
    }

    /// The thread is archived: a new message opens it again.
    pub fn archive(&self) {
        self.state.world().archived_threads.insert(self.id);
        self.dispatch_thread_update();
    }

    /// A moderator locks the thread: nobody else may write in it any more.
    pub fn lock(&self) {
        if let Some(channel) = self.state.world().channels.get_mut(&self.id) {
            channel.is_locked = true;
        }
        self.dispatch_thread_update();
    }

    /// Whether the thread is archived.
    pub fn is_archived(&self) -> bool {
        self.state.world().archived_threads.contains(&self.id)
    }

    fn dispatch_thread_update(&self) {
        let (guild, value) = {
            let world = self.state.world();
            let value = world.channel_json(self.id).unwrap_or_default();
            (world.guild_id_of(self.id), value)
        };
        self.state.dispatch("THREAD_UPDATE", guild, &value);
    }

    /// How many a voice channel takes; 0 for any number.
    pub fn set_user_limit(&self, limit: usize) {
        if let Some(channel) = self.state.world().channels.get_mut(&self.id) {
            channel.user_limit = limit;
        }
        self.dispatch_channel_update();
    }

    fn dispatch_channel_update(&self) {
        let (guild, value) = {
            let world = self.state.world();
            let value = world.channel_json(self.id).unwrap_or_default();
            (world.guild_id_of(self.id), value)
        };
        if guild.is_some() {
            self.state.dispatch("CHANNEL_UPDATE", guild, &value);
        }
    }

    /// Whether the bot was seen typing here within the last ten seconds.
    pub fn is_bot_typing(&self) -> bool {
        let world = self.state.world();
        let since = world.bot_typing.get(&self.id);
        since.is_some_and(|at| at.elapsed() < Duration::from_secs(10))
    }

    /// It is deleted, with all that is in it.
    pub fn delete(&self) {
        self.state.disconnect_all_from_voice(self.id);
        let (guild, value) = {
            let mut world = self.state.world();
            let value = world.channel_json(self.id).unwrap_or_default();
            let guild = world.guild_id_of(self.id);
            world.channels.remove(&self.id);
            (guild, value)
        };
        self.state.dispatch("CHANNEL_DELETE", guild, &value);
    }

    /// Everything in it that everybody sees, oldest first.
    pub fn messages(&self) -> Vec<Message> {
        self.filter_messages(|message| !message.is_deleted && message.visible_only_to.is_none())
    }

    /// All that the bot ever sent here that everybody could see, deleted or not.
    pub fn bot_messages(&self) -> Vec<Message> {
        let bot = self.state.world().bot_id;
        self.filter_messages(|message| {
            message.author_id == bot && message.visible_only_to.is_none()
        })
    }

    fn filter_messages(&self, fits: impl Fn(&world::MessageData) -> bool) -> Vec<Message> {
        let world = self.state.world();
        world
            .messages
            .values()
            .filter(|message| message.channel_id == self.id && fits(message))
            .map(|message| Message::new(&self.state, message.id))
            .collect()
    }
}

impl TestUser {
    pub(super) fn new(state: Arc<DiscordState>, id: u64, guild_id: Option<u64>) -> Self {
        Self {
            state,
            id,
            guild_id,
        }
    }

    /// Their id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Becomes a member of a further server.
    pub fn join_guild(&self, guild: &Guild) {
        if let Some(guild) = self.state.world().guilds.get_mut(&guild.id) {
            guild.members.entry(self.id).or_default();
        }
    }

    fn update_member(&self, change: impl FnOnce(&mut world::MemberData)) {
        let mut world = self.state.world();
        let guild = self.guild_id.and_then(|guild| world.guilds.get_mut(&guild));
        if let Some(member) = guild.and_then(|guild| guild.members.get_mut(&self.id)) {
            change(member);
        }
    }

    /// May change the server.
    pub fn grant_manage_guild(&self) {
        self.grant(MANAGE_GUILD);
    }

    /// May delete what others wrote.
    pub fn grant_manage_messages(&self) {
        self.grant(MANAGE_MESSAGES);
    }

    /// Is given a role with a permission: members have none of their own.
    fn grant(&self, permissions: u64) {
        let Some(guild) = self.guild_id else { return };
        let role = insert_role(&mut self.state.world(), guild, "may", permissions);
        self.assign_role(role);
    }

    /// Is given a role.
    pub fn assign_role(&self, role: u64) {
        self.update_member(|member| member.roles.push(role));
    }

    /// A role is taken away.
    pub fn remove_role(&self, role: u64) {
        self.update_member(|member| member.roles.retain(|it| *it != role));
    }

    /// Is called something else in the server.
    pub fn set_nick(&self, nick: &str) {
        self.update_member(|member| member.nick = Some(nick.to_owned()));
    }

    /// Reads Discord in another language.
    pub fn set_locale(&self, locale: &str) {
        if let Some(user) = self.state.world().users.get_mut(&self.id) {
            locale.clone_into(&mut user.locale);
        }
    }

    /// Their direct messages with the bot.
    pub fn dm_channel(&self) -> Channel {
        let id = self.state.world().dm_channel(self.id);
        Channel {
            state: Arc::clone(&self.state),
            id,
        }
    }

    fn send(
        &self,
        channel: &Channel,
        text: &str,
        files: Vec<AttachmentData>,
        flags: u64,
        reply_to: Option<u64>,
    ) -> Message {
        let id = self.state.world().next_id();
        self.post(id, channel, text, files, flags, reply_to)
    }

    fn post(
        &self,
        id: u64,
        channel: &Channel,
        text: &str,
        files: Vec<AttachmentData>,
        flags: u64,
        reply_to: Option<u64>,
    ) -> Message {
        {
            let mut world = self.state.world();
            let mut message = world::MessageData::new(id, channel.id, self.id, text);
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
                    .map(|it| it.author_id),
            );
            message.mentions = mentions;
            world.insert_message(message);
        }
        self.state.dispatch_message("MESSAGE_CREATE", id);
        Message::new(&self.state, id)
    }

    fn make_attachment(
        &self,
        name: &str,
        bytes: impl Into<Bytes>,
        seconds: Option<f64>,
    ) -> AttachmentData {
        let kind = match name.rsplit('.').next() {
            Some("ogg") => Some("audio/ogg"),
            Some("mp3") => Some("audio/mpeg"),
            Some("wav") => Some("audio/x-wav"),
            Some("mp4") => Some("video/mp4"),
            Some("png") => Some("image/png"),
            Some("txt") => Some("text/plain; charset=utf-8"),
            _ => None,
        };
        AttachmentData {
            id: self.state.world().next_id(),
            name: name.to_owned(),
            bytes: bytes.into(),
            duration_secs: seconds,
            content_type: kind.map(str::to_owned),
            links_expired_before: 0,
        }
    }

    fn make_voice_attachment(
        &self,
        bytes: impl Into<Bytes>,
        seconds: Option<f64>,
    ) -> AttachmentData {
        let bytes = bytes.into();
        let seconds = seconds.unwrap_or_else(|| ogg_seconds(&bytes));
        self.make_attachment("voice-message.ogg", bytes, Some(seconds))
    }

    /// Sends a voice message: the bytes of an Ogg Opus file.
    pub async fn send_voice_message(&self, channel: &Channel, ogg: impl Into<Bytes>) -> Message {
        let note = self.make_voice_attachment(ogg, None);
        self.send(channel, "", vec![note], IS_VOICE_MESSAGE, None)
    }

    /// Has sent a voice message so long ago.
    pub async fn send_past_voice_message(
        &self,
        channel: &Channel,
        ogg: impl Into<Bytes>,
        ago: Duration,
    ) -> Message {
        let note = self.make_voice_attachment(ogg, None);
        let id = self.state.world().id_at(ago);
        self.post(id, channel, "", vec![note], IS_VOICE_MESSAGE, None)
    }

    /// Sends a voice message that is announced to play so long.
    pub async fn send_voice_message_with_duration(
        &self,
        channel: &Channel,
        ogg: impl Into<Bytes>,
        seconds: f64,
    ) -> Message {
        let note = self.make_voice_attachment(ogg, Some(seconds));
        self.send(channel, "", vec![note], IS_VOICE_MESSAGE, None)
    }

    /// Replies with a voice message.
    pub async fn reply_with_voice_message(&self, to: &Message, ogg: impl Into<Bytes>) -> Message {
        let note = self.make_voice_attachment(ogg, None);
        self.send(&to.channel(), "", vec![note], IS_VOICE_MESSAGE, Some(to.id))
    }

    /// Sends files with a text.
    pub async fn send_files(
        &self,
        channel: &Channel,
        text: &str,
        files: &[(&str, Bytes)],
    ) -> Message {
        let files = files
            .iter()
            .map(|(name, bytes)| self.make_attachment(name, bytes.clone(), None))
            .collect();
        self.send(channel, text, files, 0, None)
    }

    /// Writes.
    pub async fn says(&self, channel: &Channel, text: &str) -> Message {
        self.send(channel, text, Vec::new(), 0, None)
    }

    /// Sends a file that Discord gives this type, or none.
    pub async fn send_file_with_type(
        &self,
        channel: &Channel,
        text: &str,
        (name, bytes): (&str, Bytes),
        content_type: Option<&str>,
    ) -> Message {
        let mut file = self.make_attachment(name, bytes, None);
        file.content_type = content_type.map(str::to_owned);
        self.send(channel, text, vec![file], 0, None)
    }

    /// Forwards messages of other channels, as one message.
    pub async fn forward_messages(&self, messages: &[&Message], to: &Channel) -> Message {
        let id = {
            let mut world = self.state.world();
            let id = world.next_id();
            let mut message = world::MessageData::new(id, to.id, self.id, "");
            message.flags = HAS_SNAPSHOT;
            let all = messages.iter().filter_map(|it| world.messages.get(&it.id));
            message.forwarded = all.cloned().collect();
            world.insert_message(message);
            id
        };
        self.state.dispatch_message("MESSAGE_CREATE", id);
        Message::new(&self.state, id)
    }

    /// Writes, with the name of the bot's own role before it.
    pub async fn mention_bot_role(&self, channel: &Channel, text: &str) -> Message {
        let role = {
            let world = self.state.world();
            let guild = world.guild_id_of(channel.id);
            guild
                .and_then(|id| world.guilds.get(&id))
                .map(|it| it.bot_role)
        };
        let role = role.expect("in a server");
        self.says(channel, &format!("<@&{role}> {text}")).await
    }

    /// Writes, with the bot's name before it.
    pub async fn mention_bot(&self, channel: &Channel, text: &str) -> Message {
        let bot = self.state.world().bot_id;
        self.says(channel, &format!("<@{bot}> {text}")).await
    }

    /// Replies in writing.
    pub async fn send_reply(&self, to: &Message, text: &str) -> Message {
        self.send(&to.channel(), text, Vec::new(), 0, Some(to.id))
    }

    /// Uses a slash command such as `/ask` or `/settings notes`. A value that is an object with
    /// `file` names one of `files`.
    pub async fn run_command(
        &self,
        channel: &Channel,
        command: &str,
        options: Value,
    ) -> InteractionResponse {
        self.run_command_with_files(channel, command, options, &[])
            .await
    }

    /// Uses a slash command with files: the value of an option is the file's name.
    pub async fn run_command_with_files(
        &self,
        channel: &Channel,
        command: &str,
        options: Value,
        files: &[(&str, Bytes)],
    ) -> InteractionResponse {
        let mut words = command.trim_start_matches('/').split(' ');
        let (name, sub) = (words.next().unwrap_or_default(), words.next());
        let mut resolved = json!({});
        let mut given = Vec::new();
        for (option, value) in options.as_object().into_iter().flatten() {
            given.push(self.resolve_option(channel, option, value, files, &mut resolved));
        }
        if let Some(sub) = sub {
            given = vec![json!({"name": sub, "type": 1, "options": given})];
        }
        let id = self.command_id(name);
        let data = json!({"id": id, "name": name, "type": 1, "options": given,
            "resolved": resolved});
        self.interact(channel, 2, &data, None)
    }

    fn resolve_option(
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
                    let attached = self.make_attachment(file, bytes.clone(), None);
                    let id = attached.id;
                    let mut world = self.state.world();
                    let json = world.attachment_json(channel.id, &attached);
                    world.command_attachments.insert(id, attached);
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
    pub async fn run_message_command(&self, message: &Message, name: &str) -> InteractionResponse {
        let json = self.state.world().message_json(message.id, true, true);
        let id = message.id.to_string();
        let data = json!({
            "id": self.command_id(name), "name": name, "type": 3, "target_id": id,
            "resolved": {"messages": {id.clone(): json}},
        });
        self.interact(&message.channel(), 2, &data, None)
    }

    /// Presses the button with this label.
    pub async fn press_button(&self, message: &Message, label: &str) -> InteractionResponse {
        let buttons = message.buttons();
        let button = buttons.iter().find(|(known, _)| known == label);
        let (_, id) = button.expect("a button with this label");
        let data = json!({"component_type": 2, "custom_id": id});
        self.interact(&message.channel(), 3, &data, Some(message.id))
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
    pub async fn run_past_command(
        &self,
        channel: &Channel,
        command: &str,
        options: Value,
        ago: Duration,
    ) -> InteractionResponse {
        let name = command.trim_start_matches('/');
        let mut given = Vec::new();
        for (option, value) in options.as_object().into_iter().flatten() {
            given.push(self.resolve_option(channel, option, value, &[], &mut json!({})));
        }
        let data = json!({"id": self.command_id(name), "name": name, "type": 1,
            "options": given, "resolved": {}});
        let id = self.state.world().id_at(ago);
        self.interact_with_id(id, channel, 2, &data, None)
    }

    fn interact(
        &self,
        channel: &Channel,
        kind: u8,
        data: &Value,
        on: Option<u64>,
    ) -> InteractionResponse {
        let id = self.state.world().next_id();
        self.interact_with_id(id, channel, kind, data, on)
    }

    fn interact_with_id(
        &self,
        id: u64,
        channel: &Channel,
        kind: u8,
        data: &Value,
        on: Option<u64>,
    ) -> InteractionResponse {
        let (id, guild, event) = {
            let mut world = self.state.world();
            let interaction = InteractionData {
                id,
                token: format!("interaction-token-{id}"),
                user_id: self.id,
                channel_id: channel.id,
                created: Instant::now(),
                is_acknowledged: false,
                is_private: false,
                original: on,
                is_component: kind == 3,
            };
            world.interactions.insert(id, interaction.clone());
            let mut event = interactions::event_json(&world, &interaction, kind, data);
            if let Some(on) = on {
                event["message"] = world.message_json(on, true, true).unwrap_or_default();
            }
            let guild = world.guild_id_of(channel.id);
            world.sent_interactions.insert(id, (guild, event.clone()));
            (id, guild, event)
        };
        self.state.dispatch("INTERACTION_CREATE", guild, &event);
        InteractionResponse {
            state: Arc::clone(&self.state),
            interaction_id: id,
        }
    }

    /// Reacts to a message.
    pub async fn add_reaction(&self, message: &Message, emoji: &str) {
        let (guild, channel) = {
            let mut world = self.state.world();
            let found = world.messages.get_mut(&message.id).expect("messages stay");
            found.reactions.push((self.id, emoji.to_owned()));
            let channel = found.channel_id;
            (world.guild_id_of(channel), channel)
        };
        let value = json!({
            "user_id": self.id.to_string(), "channel_id": channel.to_string(),
            "message_id": message.id.to_string(), "guild_id": guild.map(|id| id.to_string()),
            "emoji": {"id": null, "name": emoji}, "burst": false, "type": 0,
        });
        self.state.dispatch("MESSAGE_REACTION_ADD", guild, &value);
    }

    /// Begins to type.
    pub async fn start_typing(&self, channel: &Channel) {
        let guild = self.state.world().guild_id_of(channel.id);
        let value = json!({
            "user_id": self.id.to_string(), "channel_id": channel.id.to_string(),
            "guild_id": guild.map(|id| id.to_string()), "timestamp": super::cdn::unix_now(),
        });
        self.state.dispatch("TYPING_START", guild, &value);
    }

    /// Everything in a channel that this person sees, private responses included, oldest first.
    pub fn visible_messages(&self, channel: &Channel) -> Vec<Message> {
        channel.filter_messages(|it| {
            !it.is_deleted && it.visible_only_to.is_none_or(|only| only == self.id)
        })
    }

    /// Waits until all that this person sees in a channel is as `fits` says.
    pub async fn wait_for_visible(
        &self,
        channel: &Channel,
        what: &str,
        fits: impl Fn(&[Message]) -> bool,
    ) -> Vec<Message> {
        wait_for(&self.state, what, || {
            let seen = self.visible_messages(channel);
            fits(&seen).then_some(seen)
        })
        .await
    }

    /// Has brought the bot along: it is no member of the servers where they use it.
    pub fn user_install_bot(&self) {
        self.state.world().user_installs.insert(self.id);
    }

    /// Waits for the bot's reply to a message.
    pub async fn wait_for_reply(&self, message: &Message) -> Message {
        let what = format!("a reply to {}", message.id);
        wait_for(&self.state, what, || message.bot_reply()).await
    }

    /// Waits for a message of the bot with these words in a channel.
    pub async fn wait_for_message(&self, channel: &Channel, words: &str) -> Message {
        let what = format!("“{words}” in the channel");
        wait_for(&self.state, what, || {
            let world = self.state.world();
            let found = world.messages.values().find(|it| {
                it.channel_id == channel.id
                    && it.author_id == world.bot_id
                    && !it.is_deleted
                    && it.visible_only_to.is_none_or(|only| only == self.id)
                    && it.content.contains(words)
            });
            found.map(|it| Message::new(&self.state, it.id))
        })
        .await
    }

    /// Waits for the bot's reply to a message to have these words in it.
    pub async fn wait_for_reply_containing(&self, message: &Message, words: &str) -> Message {
        let what = format!("a reply with “{words}”");
        let reply = wait_for(&self.state, what, || {
            message
                .bot_reply()
                .filter(|reply| reply.text().contains(words))
        });
        reply.await
    }
}

impl Message {
    pub(super) fn new(state: &Arc<DiscordState>, id: u64) -> Self {
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
            id: self.read(|message| message.channel_id),
        }
    }

    fn read<T>(&self, part: impl FnOnce(&world::MessageData) -> T) -> T {
        let world = self.state.world();
        part(world.messages.get(&self.id).expect("messages stay"))
    }

    /// What it says.
    pub fn text(&self) -> String {
        self.read(|message| message.content.clone())
    }

    /// All that it has said, one after the other.
    pub fn versions(&self) -> Vec<String> {
        self.read(|message| message.versions.iter().map(|it| it.1.clone()).collect())
    }

    /// When it first said anything, and when it was changed.
    pub fn version_times(&self) -> Vec<Instant> {
        self.read(|message| message.versions.iter().map(|it| it.0).collect())
    }

    /// The files that hang on it.
    pub fn attachments(&self) -> Vec<(String, Bytes)> {
        self.read(|message| {
            let files = message.attachments.iter();
            files
                .map(|it| (it.name.clone(), it.bytes.clone()))
                .collect()
        })
    }

    /// Labels and ids of the buttons under it.
    pub fn buttons(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.read(|message| {
            let rows = message.components.iter();
            let buttons = rows.flat_map(|row| row["components"].as_array().into_iter().flatten());
            buttons
                .map(|button| (text(&button["label"]), text(&button["custom_id"])))
                .collect()
        })
    }

    /// Who was pinged by it.
    pub fn mentions(&self) -> (bool, Vec<u64>) {
        self.read(|message| (message.mention_everyone, message.mentions.clone()))
    }

    /// Who reacted with which emoji.
    pub fn reactions(&self) -> Vec<(u64, String)> {
        self.read(|message| message.reactions.clone())
    }

    /// Whether the bot wrote it.
    pub fn is_by_bot(&self) -> bool {
        let world = self.state.world();
        world.messages[&self.id].author_id == world.bot_id
    }

    /// Whether it is gone.
    pub fn is_deleted(&self) -> bool {
        self.read(|message| message.is_deleted)
    }

    /// Whether only one person sees it.
    pub fn is_private(&self) -> bool {
        self.read(|message| message.visible_only_to.is_some())
    }

    /// The bot's first reply to it, if there is one.
    pub fn bot_reply(&self) -> Option<Self> {
        let world = self.state.world();
        let mut all = world.messages.values();
        all.find(|it| {
            it.reference == Some(self.id) && it.author_id == world.bot_id && !it.is_deleted
        })
        .map(|it| Self::new(&self.state, it.id))
    }

    /// All of the bot's replies to it, deleted ones too.
    pub fn bot_replies(&self) -> Vec<Self> {
        let world = self.state.world();
        let all = world.messages.values();
        all.filter(|it| it.reference == Some(self.id) && it.author_id == world.bot_id)
            .map(|it| Self::new(&self.state, it.id))
            .collect()
    }

    /// Waits until it says something of which `fits` is true.
    pub async fn wait_until(&self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        wait_for(&self.state, UnmetExpectation(what, self), || {
            let text = self.text();
            fits(&text).then_some(text)
        })
        .await
    }

    /// Waits until it has buttons: the bot is done with it.
    pub async fn wait_until_done(&self) -> String {
        wait_for(
            &self.state,
            UnmetExpectation("a finished reply", self),
            || (!self.buttons().is_empty()).then(|| self.text()),
        )
        .await
    }

    /// Waits until it is gone.
    pub async fn wait_until_deleted(&self) {
        wait_for(&self.state, "a deletion", || {
            self.is_deleted().then_some(())
        })
        .await;
    }

    /// The gateway tells the bot of it once more.
    pub fn redispatch(&self) {
        self.state.dispatch_message("MESSAGE_CREATE", self.id);
    }

    /// Somebody deletes it.
    pub fn delete(&self) {
        self.state.delete_message(self.id);
    }

    /// Its author changes it.
    pub fn edit(&self, text: &str) {
        if let Some(message) = self.state.world().messages.get_mut(&self.id) {
            message.set_content(text);
        }
        self.state.dispatch_message("MESSAGE_UPDATE", self.id);
    }
}

/// What was waited for, and what is there instead.
struct UnmetExpectation<'a>(&'a str, &'a Message);

impl std::fmt::Display for UnmetExpectation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; there is {:?}", self.0, self.1.versions())
    }
}

impl InteractionResponse {
    fn interaction(&self) -> InteractionData {
        let world = self.state.world();
        world.interactions[&self.interaction_id].clone()
    }

    /// The interaction's id.
    pub fn id(&self) -> u64 {
        self.interaction_id
    }

    /// Waits until the bot has said anything at all.
    pub async fn wait_until_acknowledged(&self) {
        wait_for(&self.state, "an acknowledgement", || {
            self.interaction().is_acknowledged.then_some(())
        })
        .await;
    }

    /// The message with the response, if there is one.
    pub fn message(&self) -> Option<Message> {
        let world = self.state.world();
        let mut all = world.messages.values();
        let own = all.find(|it| {
            it.interaction_and_user
                .is_some_and(|(id, _)| id == self.interaction_id)
        });
        own.map(|it| Message::new(&self.state, it.id))
    }

    /// Waits for a response that is not still to come.
    pub async fn wait_for_answer(&self) -> Message {
        wait_for(&self.state, "a response", || {
            self.message().filter(|message| !message.text().is_empty())
        })
        .await
    }

    /// Waits for a response with these words.
    pub async fn wait_for_answer_containing(&self, words: &str) -> Message {
        let what = format!("a response with “{words}”");
        wait_for(&self.state, what, || {
            self.message()
                .filter(|message| message.text().contains(words))
        })
        .await
    }

    /// Its token is dead from now on.
    pub fn expire_token(&self) {
        let mut world = self.state.world();
        let life = world.interaction_token_lifetime + Duration::from_secs(1);
        if let Some(interaction) = world.interactions.get_mut(&self.interaction_id)
            && let Some(long_ago) = Instant::now().checked_sub(life)
        {
            interaction.created = long_ago;
        }
    }

    /// The gateway tells the bot of it once more.
    pub fn redispatch(&self) {
        let told = self
            .state
            .world()
            .sent_interactions
            .get(&self.interaction_id)
            .cloned();
        if let Some((guild, event)) = told {
            self.state.dispatch("INTERACTION_CREATE", guild, &event);
        }
    }

    /// Whether only its user sees it.
    pub fn is_private(&self) -> bool {
        self.interaction().is_private
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
