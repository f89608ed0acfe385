//! Who is in which voice channel, as the main gateway tells it.

use serde_json::{Value, json};

use super::super::rest_api::DiscordState;
use super::super::world::{
    CONNECT, GUILD_STAGE_VOICE, VIEW_CHANNEL, VoiceState, World, is_voice_channel,
};
use super::frames::parse_id;

/// Somebody wants to be in a channel.
#[derive(Debug)]
pub(super) struct VoiceJoin<'a> {
    pub(super) guild_id: u64,
    pub(super) user_id: u64,
    pub(super) channel_id: u64,
    pub(super) session_id: &'a str,
    pub(super) self_mute: bool,
    pub(super) self_deaf: bool,
}

impl DiscordState {
    /// Opcode 4 of the main gateway. What is not allowed is not answered.
    pub(in super::super) fn handle_voice_state_update(&self, data: &Value, session: &str) {
        let guild = parse_id(&data["guild_id"]);
        let channel = parse_id(&data["channel_id"]);
        let bot = self.world().bot_id;
        if data["channel_id"].is_null() {
            return self.leave_voice(guild, bot, Some(4_014));
        }
        if can_join(&self.world(), guild, channel) {
            self.join_voice(&VoiceJoin {
                guild_id: guild,
                user_id: bot,
                channel_id: channel,
                session_id: session,
                self_mute: data["self_mute"] == true,
                self_deaf: data["self_deaf"] == true,
            });
        }
    }

    /// Puts somebody into a channel and tells the bot.
    pub(super) fn join_voice(&self, place: &VoiceJoin<'_>) {
        let (guild, user) = (place.guild_id, place.user_id);
        let (is_bot, is_new, deaf, state, server) = {
            let mut world = self.world();
            let is_bot = user == world.bot_id;
            let token = format!("voice-token-{}", world.next_id());
            let channel = world.channels.get(&place.channel_id);
            let stage = channel.is_some_and(|it| it.kind == GUILD_STAGE_VOICE);
            let known = world.voice_states.get(&(guild, user));
            let same = known
                .filter(|it| it.channel_id == place.channel_id && it.session_id == place.session_id)
                .cloned();
            let is_new = same.is_none();
            // What a moderator has done to somebody goes with them.
            let deaf = world
                .voice_states
                .get(&(guild, user))
                .is_some_and(|it| it.deaf);
            let entry = VoiceState {
                channel_id: place.channel_id,
                session_id: place.session_id.to_owned(),
                token: same.map_or(token, |it| it.token),
                self_mute: place.self_mute,
                self_deaf: place.self_deaf,
                suppress: stage && is_bot,
                deaf,
            };
            let server = json!({
                "token": entry.token, "guild_id": guild.to_string(),
                "endpoint": self.voice.gateway_authority(),
            });
            world.voice_states.insert((guild, user), entry);
            let state = world.voice_state_json(guild, user);
            (is_bot, is_new, place.self_deaf || deaf, state, server)
        };
        self.dispatch("VOICE_STATE_UPDATE", Some(guild), &state);
        if is_new {
            if is_bot {
                self.dispatch("VOICE_SERVER_UPDATE", Some(guild), &server);
            }
            let mut calls = self.voice.state();
            calls.remove_user(guild, user, Some(4_014));
        } else {
            let mut calls = self.voice.state();
            let all = calls.clients.values_mut();
            for client in all.filter(|it| it.guild_id == guild && it.user_id == user) {
                client.deaf = deaf;
            }
        }
        self.notify_changed();
    }

    /// Takes somebody out of voice and tells the bot.
    pub(super) fn leave_voice(&self, guild: u64, user: u64, code: Option<u16>) {
        let left = {
            let mut world = self.world();
            let mut left = world.voice_state_json(guild, user);
            left["channel_id"] = Value::Null;
            world.voice_states.remove(&(guild, user)).map(|_| left)
        };
        let Some(left) = left else {
            return;
        };
        self.dispatch("VOICE_STATE_UPDATE", Some(guild), &left);
        {
            let mut calls = self.voice.state();
            calls.remove_user(guild, user, code);
            if let Some(mouth) = calls.simulated_clients.remove(&user) {
                mouth.close();
            }
        }
        self.notify_changed();
    }

    /// Everybody has to leave a channel.
    pub(in super::super) fn disconnect_all_from_voice(&self, channel: u64) {
        let there: Vec<(u64, u64)> = {
            let world = self.world();
            let all = world.voice_states.iter();
            all.filter(|it| it.1.channel_id == channel)
                .map(|it| *it.0)
                .collect()
        };
        for (guild, user) in there {
            self.leave_voice(guild, user, Some(4_022));
        }
        self.voice.state().groups.remove(&channel);
    }

    /// The channel in which somebody is.
    pub(super) fn voice_channel_of(&self, user: u64) -> Option<(u64, u64)> {
        let world = self.world();
        let mut all = world.voice_states.iter();
        let found = all.find(|it| it.0.1 == user);
        found.map(|it| (it.0.0, it.1.channel_id))
    }
}

fn can_join(world: &World, guild: u64, channel: u64) -> bool {
    let Some(found) = world.channels.get(&channel) else {
        return false;
    };
    if found.guild_id != Some(guild) || !is_voice_channel(found.kind) {
        return false;
    }
    let needed = CONNECT | VIEW_CHANNEL;
    if world.bot_permissions(channel) & needed != needed || world.guilds[&guild].is_bot_timed_out {
        return false;
    }
    let others = world.voice_states.iter();
    let others = others.filter(|it| it.1.channel_id == channel && it.0.1 != world.bot_id);
    found.user_limit == 0 || others.count() < found.user_limit
}
