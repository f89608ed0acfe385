//! Who and what there is: people, servers, channels, messages. Shapes as in
//! <https://discord.com/developers/docs/resources>.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::recorder::query_param;

/// Whoever owns all servers and the application; nobody that ever says anything.
const OWNER_ID: u64 = 1;

/// Milliseconds between 1970 and the first id.
const DISCORD_EPOCH_MS: u64 = 1_420_070_400_000;

/// Messages of one world. A test that needs more has gone astray.
const MAX_MESSAGES: usize = 200_000;

pub(super) const VIEW_CHANNEL: u64 = 1 << 10;
pub(super) const SEND_MESSAGES: u64 = 1 << 11;
pub(super) const MANAGE_MESSAGES: u64 = 1 << 13;
pub(super) const ATTACH_FILES: u64 = 1 << 15;
pub(super) const READ_MESSAGE_HISTORY: u64 = 1 << 16;
pub(super) const MANAGE_GUILD: u64 = 1 << 5;
pub(super) const SEND_MESSAGES_IN_THREADS: u64 = 1 << 38;
pub(super) const CONNECT: u64 = 1 << 20;
pub(super) const SPEAK: u64 = 1 << 21;
pub(super) const CHANGE_NICKNAME: u64 = 1 << 26;
/// What everybody may.
const EVERYONE_PERMISSIONS: u64 = VIEW_CHANNEL
    | SEND_MESSAGES
    | ATTACH_FILES
    | READ_MESSAGE_HISTORY
    | SEND_MESSAGES_IN_THREADS
    | CONNECT
    | SPEAK
    | CHANGE_NICKNAME
    | (1 << 6)
    | (1 << 14)
    | (1 << 25)
    | (1 << 31);

/// A channel to talk in.
pub(super) const GUILD_VOICE: u8 = 2;
/// A channel where few talk and many listen.
pub(super) const GUILD_STAGE_VOICE: u8 = 13;

/// A message that is a voice message.
pub(super) const IS_VOICE_MESSAGE: u64 = 1 << 13;
/// A message that came from a channel of another server.
pub(super) const IS_CROSSPOST: u64 = 1 << 1;
/// A message that holds what another one said.
pub(super) const HAS_SNAPSHOT: u64 = 1 << 14;
/// A message that only one person sees.
pub(super) const EPHEMERAL: u64 = 1 << 6;
/// A response that is still to come.
pub(super) const LOADING: u64 = 1 << 7;
/// A message whose links are not unfolded.
const SUPPRESS_EMBEDS: u64 = 1 << 2;

#[derive(Clone, Debug)]
pub(super) struct UserData {
    pub(super) name: String,
    pub(super) is_bot: bool,
    pub(super) locale: String,
}

#[derive(Clone, Debug, Default)]
pub(super) struct MemberData {
    pub(super) roles: Vec<u64>,
    pub(super) nick: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct RoleData {
    pub(super) id: u64,
    pub(super) name: String,
    /// Beyond what everybody may.
    pub(super) permissions: u64,
}

#[derive(Clone, Debug)]
pub(super) struct GuildData {
    pub(super) name: String,
    pub(super) members: BTreeMap<u64, MemberData>,
    pub(super) roles: Vec<RoleData>,
    /// The role that came with the bot, and that only it can have.
    pub(super) bot_role: u64,
    /// What the bot may not do anywhere in it.
    pub(super) denied_to_bot: u64,
    /// The bot is timed out.
    pub(super) is_bot_timed_out: bool,
}

/// Where somebody is in voice.
#[derive(Clone, Debug)]
pub(super) struct VoiceState {
    pub(super) channel_id: u64,
    pub(super) session_id: String,
    /// What the voice server asks for.
    pub(super) token: String,
    pub(super) self_mute: bool,
    pub(super) self_deaf: bool,
    /// In the audience of a stage, or without the right to speak.
    pub(super) suppress: bool,
    /// Deafened by a moderator.
    pub(super) deaf: bool,
}

impl VoiceState {
    /// Whether the voice server sends no audio.
    pub(super) fn receives_no_audio(&self, stage: bool) -> bool {
        self.self_deaf || self.deaf || (self.suppress && !stage)
    }
}

#[derive(Clone, Debug)]
pub(super) struct ChannelData {
    pub(super) id: u64,
    pub(super) guild_id: Option<u64>,
    pub(super) name: String,
    /// 0 text, 1 direct, 2 voice, 11 thread, 13 stage.
    pub(super) kind: u8,
    pub(super) parent_id: Option<u64>,
    /// The person at the other end of a direct one.
    pub(super) recipient: Option<u64>,
    /// What the bot may not do here.
    pub(super) denied_to_bot: u64,
    /// How many a voice channel takes; 0 for any number.
    pub(super) user_limit: usize,
    /// A thread in which only moderators may write.
    pub(super) is_locked: bool,
}

#[derive(Clone, Debug)]
pub(super) struct AttachmentData {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) bytes: Bytes,
    pub(super) duration_secs: Option<f64>,
    pub(super) content_type: Option<String>,
    /// Links that end before this second are dead already.
    pub(super) links_expired_before: u64,
}

/// Who a message came through, if no account wrote it.
#[derive(Clone, Debug)]
pub(super) struct WebhookData {
    pub(super) name: String,
    /// The application that made it, if one did.
    pub(super) application_id: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct MessageData {
    pub(super) id: u64,
    pub(super) channel_id: u64,
    pub(super) author_id: u64,
    pub(super) content: String,
    pub(super) flags: u64,
    pub(super) kind: u8,
    pub(super) reference: Option<u64>,
    /// What it forwards: the messages as they were.
    pub(super) forwarded: Vec<MessageData>,
    /// The webhook whose id is the author's.
    pub(super) webhook: Option<WebhookData>,
    pub(super) attachments: Vec<AttachmentData>,
    pub(super) components: Vec<Value>,
    pub(super) mentions: Vec<u64>,
    pub(super) mention_everyone: bool,
    pub(super) nonce: Option<Value>,
    pub(super) is_edited: bool,
    pub(super) is_deleted: bool,
    /// The only person who sees it.
    pub(super) visible_only_to: Option<u64>,
    /// The interaction it responds to, and whose that is.
    pub(super) interaction_and_user: Option<(u64, u64)>,
    /// Every content it has had, with the time.
    pub(super) versions: Vec<(Instant, String)>,
    /// Who reacted with which emoji.
    pub(super) reactions: Vec<(u64, String)>,
}

#[derive(Clone, Debug)]
pub(super) struct InteractionData {
    pub(super) id: u64,
    pub(super) token: String,
    pub(super) user_id: u64,
    pub(super) channel_id: u64,
    pub(super) created: Instant,
    pub(super) is_acknowledged: bool,
    pub(super) is_private: bool,
    /// The message that shows the response, or that the pressed button is under.
    pub(super) original: Option<u64>,
    pub(super) is_component: bool,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) token: String,
    pub(super) application_id: u64,
    pub(super) bot_id: u64,
    pub(super) message_content_allowed: bool,
    pub(super) message_content_flagged: bool,
    pub(super) users: HashMap<u64, UserData>,
    pub(super) guilds: BTreeMap<u64, GuildData>,
    pub(super) channels: BTreeMap<u64, ChannelData>,
    pub(super) messages: BTreeMap<u64, MessageData>,
    pub(super) interactions: HashMap<u64, InteractionData>,
    pub(super) commands: Vec<Value>,
    /// Files that hang on no message: those of commands.
    pub(super) command_attachments: HashMap<u64, AttachmentData>,
    pub(super) nonces: HashMap<(u64, String), (u64, Instant)>,
    pub(super) interaction_deadline: Duration,
    pub(super) interaction_token_lifetime: Duration,
    pub(super) link_lifetime: Duration,
    /// The channels where the bot was last seen typing.
    pub(super) bot_typing: HashMap<u64, Instant>,
    pub(super) nonce_lifetime: Duration,
    pub(super) recommended_shards: u32,
    /// Sessions that may still be begun today.
    pub(super) session_starts_left: u32,
    /// The gateway does not tell who the people in voice are.
    pub(super) voice_members_hidden: bool,
    /// Who is in voice, by server and user.
    pub(super) voice_states: BTreeMap<(u64, u64), VoiceState>,
    last_id: u64,
    /// Threads that are archived.
    pub(super) archived_threads: HashSet<u64>,
    /// Interactions as the bot was told of them.
    pub(super) sent_interactions: HashMap<u64, (Option<u64>, Value)>,
    /// People who have brought the bot along, where no server has added it.
    pub(super) user_installs: HashSet<u64>,
    /// Words that a server's AutoMod blocks.
    pub(super) automod_words: Vec<(u64, String)>,
}

impl World {
    pub(super) fn new() -> Self {
        let mut world = Self {
            token: String::new(),
            application_id: 0,
            bot_id: 0,
            message_content_allowed: true,
            message_content_flagged: true,
            users: HashMap::new(),
            guilds: BTreeMap::new(),
            channels: BTreeMap::new(),
            messages: BTreeMap::new(),
            interactions: HashMap::new(),
            commands: Vec::new(),
            command_attachments: HashMap::new(),
            nonces: HashMap::new(),
            interaction_deadline: Duration::from_secs(3),
            interaction_token_lifetime: Duration::from_secs(15 * 60),
            link_lifetime: Duration::from_secs(24 * 3_600),
            bot_typing: HashMap::new(),
            nonce_lifetime: Duration::from_secs(180),
            recommended_shards: 1,
            session_starts_left: 999,
            voice_members_hidden: false,
            voice_states: BTreeMap::new(),
            archived_threads: HashSet::new(),
            sent_interactions: HashMap::new(),
            user_installs: HashSet::new(),
            automod_words: Vec::new(),
            last_id: 0,
        };
        let bot = world.add_user("Talkback", true);
        world.bot_id = bot;
        world.application_id = bot;
        // A real token begins with the id in Base64.
        use base64::Engine;
        let id = base64::engine::general_purpose::STANDARD_NO_PAD.encode(bot.to_string());
        world.token = format!("{id}.sandbox.not-a-real-token");
        world
    }

    /// Ids grow and tell the time, as Discord's do.
    pub(super) fn next_id(&mut self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let millis = now.map_or(DISCORD_EPOCH_MS, |now| now.as_millis() as u64);
        self.last_id = (self.last_id + 1).max((millis - DISCORD_EPOCH_MS) << 22);
        self.last_id
    }

    /// The id of what happened so long ago.
    pub(super) fn id_at(&mut self, ago: Duration) -> u64 {
        self.next_id() - ((ago.as_millis() as u64) << 22)
    }

    pub(super) fn add_user(&mut self, name: &str, bot: bool) -> u64 {
        let id = self.next_id();
        let user = UserData {
            name: name.to_owned(),
            is_bot: bot,
            locale: "en-US".to_owned(),
        };
        self.users.insert(id, user);
        id
    }

    pub(super) fn add_guild(&mut self, name: &str) -> u64 {
        let (id, bot_role) = (self.next_id(), self.next_id());
        let mut guild = GuildData {
            name: name.to_owned(),
            members: BTreeMap::new(),
            roles: Vec::new(),
            bot_role,
            denied_to_bot: 0,
            is_bot_timed_out: false,
        };
        let membership = MemberData {
            roles: vec![bot_role],
            ..MemberData::default()
        };
        guild.members.insert(self.bot_id, membership);
        self.guilds.insert(id, guild);
        id
    }

    pub(super) fn add_channel(&mut self, channel: ChannelData) -> u64 {
        let id = channel.id;
        self.channels.insert(id, channel);
        id
    }

    /// The direct channel between the bot and a person.
    pub(super) fn dm_channel(&mut self, user: u64) -> u64 {
        let known = self.channels.values().find(|it| it.recipient == Some(user));
        if let Some(channel) = known {
            return channel.id;
        }
        let id = self.next_id();
        self.add_channel(ChannelData {
            id,
            guild_id: None,
            name: String::new(),
            kind: 1,
            parent_id: None,
            recipient: Some(user),
            denied_to_bot: 0,
            user_limit: 0,
            is_locked: false,
        })
    }

    pub(super) fn guild_id_of(&self, channel: u64) -> Option<u64> {
        self.channels.get(&channel)?.guild_id
    }

    /// What the bot may do in a channel.
    pub(super) fn bot_permissions(&self, channel: u64) -> u64 {
        let Some(found) = self.channels.get(&channel) else {
            return 0;
        };
        let parent = found
            .parent_id
            .and_then(|parent| self.channels.get(&parent));
        let guild = found.guild_id.and_then(|guild| self.guilds.get(&guild));
        let here = EVERYONE_PERMISSIONS
            & !found.denied_to_bot
            & !parent.map_or(0, |parent| parent.denied_to_bot);
        let here = here & !guild.map_or(0, |guild| guild.denied_to_bot);
        // Who may not connect to a voice channel may nothing in it.
        if is_voice_channel(found.kind) && here & CONNECT == 0 {
            return here & VIEW_CHANNEL;
        }
        if guild.is_some_and(|guild| guild.is_bot_timed_out) {
            return here & (VIEW_CHANNEL | READ_MESSAGE_HISTORY);
        }
        here
    }

    /// What a person may do in a server.
    pub(super) fn member_permissions(&self, guild: u64, user: u64) -> u64 {
        let Some(guild) = self.guilds.get(&guild) else {
            return EVERYONE_PERMISSIONS;
        };
        let Some(member) = guild.members.get(&user) else {
            return EVERYONE_PERMISSIONS;
        };
        let roles = guild.roles.iter();
        let theirs = roles.filter(|role| member.roles.contains(&role.id));
        theirs.fold(EVERYONE_PERMISSIONS, |all, role| all | role.permissions)
    }

    pub(super) fn insert_message(&mut self, message: MessageData) -> u64 {
        assert!(self.messages.len() < MAX_MESSAGES, "too many messages");
        let id = message.id;
        self.messages.insert(id, message);
        id
    }

    pub(super) fn message(&self, id: u64) -> Option<&MessageData> {
        self.messages.get(&id).filter(|message| !message.is_deleted)
    }

    pub(super) fn user_json(&self, id: u64) -> Value {
        let Some(user) = self.users.get(&id) else {
            return json!({"id": id.to_string(), "username": "deleted", "discriminator": "0",
                "global_name": null, "avatar": null});
        };
        json!({
            "id": id.to_string(),
            "username": user.name.to_lowercase(),
            "discriminator": "0",
            "global_name": user.name,
            "avatar": null,
            "bot": user.is_bot,
        })
    }

    /// Whoever owns the application.
    pub(super) fn owner_json() -> Value {
        json!({"id": OWNER_ID.to_string(), "username": "owner", "discriminator": "0",
            "global_name": "Owner", "avatar": null})
    }

    pub(super) fn member_json(&self, guild: u64, user: u64) -> Value {
        let member = self.guilds.get(&guild).and_then(|it| it.members.get(&user));
        let member = member.cloned().unwrap_or_default();
        let timed_out = user == self.bot_id
            && self
                .guilds
                .get(&guild)
                .is_some_and(|it| it.is_bot_timed_out);
        let roles: Vec<String> = member.roles.iter().map(ToString::to_string).collect();
        json!({
            "nick": member.nick,
            "avatar": null,
            "roles": roles,
            "joined_at": "2026-01-01T00:00:00.000000+00:00",
            "premium_since": null,
            "deaf": false,
            "mute": false,
            "flags": 0,
            "pending": false,
            "communication_disabled_until": timed_out.then_some("2099-01-01T00:00:00.000000+00:00"),
        })
    }

    pub(super) fn channel_json(&self, id: u64) -> Option<Value> {
        let channel = self.channels.get(&id)?;
        if let Some(with) = channel.recipient {
            return Some(json!({
                "id": id.to_string(), "type": 1, "last_message_id": null, "flags": 0,
                "recipients": [self.user_json(with)],
            }));
        }
        let denied = json!({"id": self.bot_id.to_string(), "type": 1, "allow": "0",
            "deny": channel.denied_to_bot.to_string()});
        let overwrites: Vec<Value> = (channel.denied_to_bot != 0)
            .then_some(denied)
            .into_iter()
            .collect();
        let mut value = json!({
            "id": id.to_string(),
            "type": channel.kind,
            "guild_id": channel.guild_id.map(|id| id.to_string()),
            "name": channel.name,
            "position": 0,
            "parent_id": channel.parent_id.map(|id| id.to_string()),
            "permission_overwrites": overwrites,
            "nsfw": false,
            "rate_limit_per_user": 0,
            "topic": null,
            "last_message_id": null,
            "flags": 0,
        });
        if is_voice_channel(channel.kind) {
            value["bitrate"] = json!(64_000);
            value["user_limit"] = json!(channel.user_limit);
            value["rtc_region"] = Value::Null;
        }
        if channel.kind == 11 {
            value["thread_metadata"] = json!({
                "archived": self.archived_threads.contains(&id), "auto_archive_duration": 1440,
                "locked": channel.is_locked,
                "archive_timestamp": "2026-01-01T00:00:00.000000+00:00",
                "create_timestamp": "2026-01-01T00:00:00.000000+00:00",
            });
            value["owner_id"] = json!(self.bot_id.to_string());
            value["message_count"] = json!(0);
            value["member_count"] = json!(1);
        }
        Some(value)
    }

    /// Where somebody is in voice, as a client gets it. The one who is not there any more has no
    /// channel.
    pub(super) fn voice_state_json(&self, guild: u64, user: u64) -> Value {
        let state = self.voice_states.get(&(guild, user));
        let mut member = self.member_json(guild, user);
        member["user"] = self.user_json(user);
        let mut value = json!({
            "guild_id": guild.to_string(),
            "channel_id": state.map(|it| it.channel_id.to_string()),
            "user_id": user.to_string(),
            "session_id": state.map_or("gone", |it| it.session_id.as_str()),
            "deaf": state.is_some_and(|it| it.deaf),
            "mute": false,
            "self_deaf": state.is_some_and(|it| it.self_deaf),
            "self_mute": state.is_some_and(|it| it.self_mute),
            "self_video": false,
            "suppress": state.is_some_and(|it| it.suppress),
            "request_to_speak_timestamp": null,
        });
        if !self.voice_members_hidden {
            value["member"] = member;
        }
        value
    }

    pub(super) fn role_json(id: u64, name: &str) -> Value {
        json!({
            "id": id.to_string(), "name": name, "color": 0,
            "colors": {"primary_color": 0, "secondary_color": null, "tertiary_color": null},
            "hoist": false, "icon": null, "unicode_emoji": null, "position": 0,
            "permissions": EVERYONE_PERMISSIONS.to_string(), "managed": false, "mentionable": false,
            "flags": 0,
        })
    }

    /// The bot's servers, as `GET /users/@me/guilds` pages through them.
    pub(super) fn guilds_json(&self, query: &str) -> Value {
        let number = |name| query_param(query, name).and_then(|it| it.parse::<u64>().ok());
        let limit = number("limit").unwrap_or(200).clamp(1, 200) as usize;
        let after = number("after").unwrap_or(0);
        let before = number("before").unwrap_or(u64::MAX);
        let page = self.guilds.iter().filter(|(id, guild)| {
            **id > after && **id < before && guild.members.contains_key(&self.bot_id)
        });
        let page = page.take(limit).map(|(id, guild)| {
            json!({
                "id": id.to_string(), "name": guild.name, "icon": null, "banner": null,
                "owner": false, "permissions": (EVERYONE_PERMISSIONS & !guild.denied_to_bot).to_string(),
                "features": [],
            })
        });
        page.collect()
    }

    /// As in GUILD_CREATE.
    pub(super) fn guild_json(&self, id: u64) -> Option<Value> {
        let guild = self.guilds.get(&id)?;
        let mut everyone = Self::role_json(id, "@everyone");
        everyone["permissions"] = json!((EVERYONE_PERMISSIONS & !guild.denied_to_bot).to_string());
        let mut managed = Self::role_json(guild.bot_role, "Talkback");
        managed["managed"] = json!(true);
        managed["tags"] = json!({"bot_id": self.bot_id.to_string()});
        let own = guild.roles.iter().map(|role| {
            let mut value = Self::role_json(role.id, &role.name);
            value["permissions"] = json!((EVERYONE_PERMISSIONS | role.permissions).to_string());
            value
        });
        let roles: Vec<Value> = [everyone, managed].into_iter().chain(own).collect();
        let all = self.channels.values().filter(|it| it.guild_id == Some(id));
        let (threads, channels): (Vec<_>, Vec<_>) = all.partition(|it| it.kind == 11);
        let json_of = |list: Vec<&ChannelData>| -> Vec<Value> {
            list.iter()
                .filter_map(|it| self.channel_json(it.id))
                .collect()
        };
        let in_voice = self
            .voice_states
            .keys()
            .filter(|it| it.0 == id)
            .map(|it| it.1);
        let in_voice: Vec<u64> = in_voice.collect();
        let states = in_voice.iter().map(|user| {
            let mut state = self.voice_state_json(id, *user);
            if let Some(state) = state.as_object_mut() {
                state.remove("guild_id");
                state.remove("member");
            }
            state
        });
        let states: Vec<Value> = states.collect();
        let others = in_voice.iter().filter(|user| **user != self.bot_id);
        let members = std::iter::once(&self.bot_id).chain(others).map(|user| {
            let mut member = self.member_json(id, *user);
            member["user"] = self.user_json(*user);
            member
        });
        let members: Vec<Value> = members.collect();
        let mut value = json!({
            "id": id.to_string(), "name": guild.name, "icon": null, "splash": null,
            "discovery_splash": null, "owner_id": OWNER_ID.to_string(),
            "afk_channel_id": null, "afk_timeout": 300, "verification_level": 0,
            "default_message_notifications": 0, "explicit_content_filter": 0,
            "roles": roles, "emojis": [], "features": [], "mfa_level": 0,
            "application_id": null, "system_channel_id": null, "system_channel_flags": 0,
            "rules_channel_id": null, "vanity_url_code": null, "description": null,
        });
        let rest = json!({
            "banner": null, "premium_tier": 0, "premium_subscription_count": 0,
            "preferred_locale": "en-US", "public_updates_channel_id": null, "nsfw_level": 0,
            "nsfw": false, "stickers": [], "premium_progress_bar_enabled": false,
            "safety_alerts_channel_id": null, "incidents_data": null, "region": "deprecated",
            "joined_at": "2026-01-01T00:00:00.000000+00:00", "large": false,
            "unavailable": false, "member_count": guild.members.len(), "voice_states": states,
            "members": members, "channels": json_of(channels), "threads": json_of(threads),
            "presences": [], "stage_instances": [], "guild_scheduled_events": [],
            "soundboard_sounds": [], "hub_type": null, "max_members": 500_000,
        });
        if let (Some(value), Value::Object(rest)) = (value.as_object_mut(), rest) {
            value.extend(rest);
        }
        Some(value)
    }

    pub(super) fn attachment_json(&self, channel: u64, attached: &AttachmentData) -> Value {
        let url = super::cdn::signed_url(self, channel, attached);
        let mut value = json!({
            "id": attached.id.to_string(),
            "filename": attached.name,
            "size": attached.bytes.len(),
            "url": url,
            "proxy_url": url.replace("cdn.discordapp.com", "media.discordapp.net"),
            "flags": 0,
        });
        if let Some(kind) = &attached.content_type {
            value["content_type"] = json!(kind);
        }
        if let Some(seconds) = attached.duration_secs {
            value["duration_secs"] = json!(seconds);
            value["waveform"] = json!("AAAAAAAAAAA=");
        }
        value
    }

    fn reactions_json(&self, message: &MessageData) -> Value {
        let mut counts: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
        for (user, emoji) in &message.reactions {
            let entry = counts.entry(emoji).or_default();
            entry.0 += 1;
            entry.1 |= *user == self.bot_id;
        }
        let list = counts.into_iter().map(|(emoji, (count, me))| {
            json!({
                "count": count, "count_details": {"normal": count, "burst": 0},
                "me": me, "me_burst": false, "burst_colors": [],
                "emoji": {"id": null, "name": emoji},
            })
        });
        list.collect()
    }

    fn author_json(&self, message: &MessageData) -> Value {
        let Some(webhook) = &message.webhook else {
            return self.user_json(message.author_id);
        };
        json!({
            "id": message.author_id.to_string(), "username": webhook.name, "discriminator": "0000",
            "global_name": null, "avatar": null, "bot": true, "flags": 0, "public_flags": 0,
        })
    }

    /// The roles that a text names, as Discord finds them.
    fn mentioned_roles(&self, guild: Option<u64>, text: &str) -> Vec<String> {
        let Some(guild) = guild.and_then(|guild| self.guilds.get(&guild)) else {
            return Vec::new();
        };
        let roles = guild.roles.iter().map(|role| role.id);
        roles
            .chain([guild.bot_role])
            .filter(|id| text.contains(&format!("<@&{id}>")))
            .map(|id| id.to_string())
            .collect()
    }

    /// What a forwarded message said, without who said it.
    fn snapshot_json(&self, message: &MessageData, shown: bool) -> Value {
        let attachments = message.attachments.iter();
        let attachments: Vec<Value> = attachments
            .map(|it| self.attachment_json(message.channel_id, it))
            .collect();
        json!({"message": {
            "type": message.kind,
            "content": if shown { message.content.as_str() } else { "" },
            "embeds": [],
            "attachments": if shown { attachments } else { Vec::new() },
            "timestamp": timestamp_of(message.id),
            "edited_timestamp": null,
            "flags": message.flags,
            "mentions": [],
            "mention_roles": [],
            "components": [],
        }})
    }

    /// A message as a client gets it. Without `content`, the privileged parts are empty, unless
    /// the bot has a right to them anyway.
    pub(super) fn message_json(&self, id: u64, content: bool, nested: bool) -> Option<Value> {
        let message = self.messages.get(&id)?;
        let guild = self.guild_id_of(message.channel_id);
        let shown = content
            || guild.is_none()
            || message.author_id == self.bot_id
            || message.mentions.contains(&self.bot_id);
        let attachments: Vec<Value> = message
            .attachments
            .iter()
            .map(|it| self.attachment_json(message.channel_id, it))
            .collect();
        let mentions: Vec<Value> = message
            .mentions
            .iter()
            .map(|id| self.user_json(*id))
            .collect();
        let mut value = json!({
            "id": id.to_string(),
            "channel_id": message.channel_id.to_string(),
            "author": self.author_json(message),
            "content": if shown { message.content.as_str() } else { "" },
            "timestamp": timestamp_of(id),
            "edited_timestamp": message.is_edited.then(|| timestamp_of(id)),
            "tts": false,
            "mention_everyone": message.mention_everyone,
            "mentions": mentions,
            "mention_roles": self.mentioned_roles(guild, &message.content),
            "attachments": if shown { attachments } else { Vec::new() },
            "embeds": [],
            "pinned": false,
            "type": message.kind,
            "flags": message.flags,
            "components": if shown { message.components.clone() } else { Vec::new() },
        });
        if !message.reactions.is_empty() {
            value["reactions"] = self.reactions_json(message);
        }
        if let Some(nonce) = &message.nonce {
            value["nonce"] = nonce.clone();
        }
        if let Some((interaction, user)) = message.interaction_and_user {
            value["application_id"] = json!(self.application_id.to_string());
            value["interaction_metadata"] = json!({
                "id": interaction.to_string(), "type": 2, "user": self.user_json(user),
                "authorizing_integration_owners": {"0": guild.unwrap_or(0).to_string()},
            });
        }
        if let Some(webhook) = &message.webhook {
            value["webhook_id"] = json!(message.author_id.to_string());
            if let Some(application) = webhook.application_id {
                value["application_id"] = json!(application.to_string());
            }
        }
        if let Some(first) = message.forwarded.first() {
            value["message_reference"] = json!({
                "type": 1,
                "message_id": first.id.to_string(),
                "channel_id": first.channel_id.to_string(),
            });
            if let Some(guild) = self.guild_id_of(first.channel_id) {
                value["message_reference"]["guild_id"] = json!(guild.to_string());
            }
            let all = message.forwarded.iter();
            value["message_snapshots"] = all.map(|it| self.snapshot_json(it, shown)).collect();
        }
        if let Some(reference) = message.reference {
            value["message_reference"] = json!({
                "type": 0,
                "message_id": reference.to_string(),
                "channel_id": message.channel_id.to_string(),
                "guild_id": guild.map(|id| id.to_string()),
            });
            if guild.is_none()
                && let Some(reference) = value["message_reference"].as_object_mut()
            {
                reference.remove("guild_id");
            }
            if nested {
                value["referenced_message"] = self
                    .message(reference)
                    .and_then(|it| self.message_json(it.id, content, false))
                    .unwrap_or(Value::Null);
            }
        }
        Some(value)
    }
}

impl MessageData {
    pub(super) fn new(id: u64, channel_id: u64, author_id: u64, content: &str) -> Self {
        Self {
            id,
            channel_id,
            author_id,
            content: content.to_owned(),
            flags: 0,
            kind: 0,
            reference: None,
            forwarded: Vec::new(),
            webhook: None,
            attachments: Vec::new(),
            components: Vec::new(),
            mentions: Vec::new(),
            mention_everyone: false,
            nonce: None,
            is_edited: false,
            is_deleted: false,
            visible_only_to: None,
            interaction_and_user: None,
            versions: vec![(Instant::now(), content.to_owned())],
            reactions: Vec::new(),
        }
    }

    /// Only these flags can be set by a bot.
    pub(super) fn set_flags(&mut self, flags: u64) {
        let settable = SUPPRESS_EMBEDS;
        self.flags = (self.flags & !settable) | (flags & settable);
    }

    pub(super) fn set_content(&mut self, content: &str) {
        if self.content != content || self.flags & LOADING != 0 {
            content.clone_into(&mut self.content);
            self.versions.push((Instant::now(), content.to_owned()));
        }
        self.is_edited = true;
        self.flags &= !LOADING;
    }
}

/// An id in a request: Discord takes them as text and as numbers.
pub(super) fn parse_snowflake(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    }
}

/// Whether people can talk in a channel of this kind.
pub(super) fn is_voice_channel(kind: u8) -> bool {
    matches!(kind, GUILD_VOICE | GUILD_STAGE_VOICE)
}

/// The time in an id, as ISO 8601.
fn timestamp_of(id: u64) -> String {
    let millis = (id >> 22) + DISCORD_EPOCH_MS;
    let (days, rest) = (millis / 86_400_000, millis % 86_400_000);
    // Howard Hinnant's algorithm for the civil calendar.
    let z = days as i64 + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hours, minutes) = (rest / 3_600_000, rest / 60_000 % 60);
    let (seconds, millis) = (rest / 1_000 % 60, rest % 1_000);
    format!(
        "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}000+00:00"
    )
}
