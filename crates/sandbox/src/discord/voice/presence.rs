//! Who is in which voice channel, as the main gateway tells it.

use serde_json::{Value, json};

use super::super::rest::State;
use super::super::world::{CONNECT, STAGE, VIEW_CHANNEL, VoiceState, World, is_voice};
use super::wire::id;

/// Somebody wants to be in a channel.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) guild: u64,
    pub(super) user: u64,
    pub(super) channel: u64,
    pub(super) session: &'a str,
    pub(super) mute: bool,
    pub(super) deaf: bool,
}

impl State {
    /// Opcode 4 of the main gateway. What is not allowed is not answered.
    pub(in super::super) fn bot_asks_for_voice(&self, data: &Value, session: &str) {
        let guild = id(&data["guild_id"]);
        let channel = id(&data["channel_id"]);
        let bot = self.world().bot;
        if data["channel_id"].is_null() {
            return self.quits_voice(guild, bot, Some(4_014));
        }
        if may_join(&self.world(), guild, channel) {
            self.enters_voice(&Place {
                guild,
                user: bot,
                channel,
                session,
                mute: data["self_mute"] == true,
                deaf: data["self_deaf"] == true,
            });
        }
    }

    /// Puts somebody into a channel and tells the bot.
    pub(super) fn enters_voice(&self, place: &Place<'_>) {
        let (guild, user) = (place.guild, place.user);
        let (is_bot, is_new, deaf, state, server) = {
            let mut world = self.world();
            let is_bot = user == world.bot;
            let token = format!("voice-token-{}", world.id());
            let channel = world.channels.get(&place.channel);
            let stage = channel.is_some_and(|it| it.kind == STAGE);
            let known = world.voice.get(&(guild, user));
            let same = known
                .filter(|it| it.channel == place.channel && it.session == place.session)
                .cloned();
            let is_new = same.is_none();
            // What a moderator has done to somebody goes with them.
            let deaf = world.voice.get(&(guild, user)).is_some_and(|it| it.deaf);
            let entry = VoiceState {
                channel: place.channel,
                session: place.session.to_owned(),
                token: same.map_or(token, |it| it.token),
                self_mute: place.mute,
                self_deaf: place.deaf,
                suppress: stage && is_bot,
                deaf,
            };
            let server = json!({
                "token": entry.token, "guild_id": guild.to_string(),
                "endpoint": self.voice.endpoint(),
            });
            world.voice.insert((guild, user), entry);
            let state = world.voice_json(guild, user);
            (is_bot, is_new, place.deaf || deaf, state, server)
        };
        self.dispatch("VOICE_STATE_UPDATE", Some(guild), &state);
        if is_new {
            if is_bot {
                self.dispatch("VOICE_SERVER_UPDATE", Some(guild), &server);
            }
            let mut calls = self.voice.calls();
            calls.remove_user(guild, user, Some(4_014));
        } else {
            let mut calls = self.voice.calls();
            let all = calls.clients.values_mut();
            for client in all.filter(|it| it.guild == guild && it.user == user) {
                client.deaf = deaf;
            }
        }
        self.touch();
    }

    /// Takes somebody out of voice and tells the bot.
    pub(super) fn quits_voice(&self, guild: u64, user: u64, code: Option<u16>) {
        let left = {
            let mut world = self.world();
            let mut left = world.voice_json(guild, user);
            left["channel_id"] = Value::Null;
            world.voice.remove(&(guild, user)).map(|_| left)
        };
        let Some(left) = left else {
            return;
        };
        self.dispatch("VOICE_STATE_UPDATE", Some(guild), &left);
        {
            let mut calls = self.voice.calls();
            calls.remove_user(guild, user, code);
            if let Some(mouth) = calls.mouths.remove(&user) {
                mouth.shut();
            }
        }
        self.touch();
    }

    /// Everybody has to leave a channel.
    pub(in super::super) fn empties_voice(&self, channel: u64) {
        let there: Vec<(u64, u64)> = {
            let world = self.world();
            let all = world.voice.iter();
            all.filter(|it| it.1.channel == channel)
                .map(|it| *it.0)
                .collect()
        };
        for (guild, user) in there {
            self.quits_voice(guild, user, Some(4_022));
        }
        self.voice.calls().groups.remove(&channel);
    }

    /// The channel in which somebody is.
    pub(super) fn voice_channel_of(&self, user: u64) -> Option<(u64, u64)> {
        let world = self.world();
        let mut all = world.voice.iter();
        let found = all.find(|it| it.0.1 == user);
        found.map(|it| (it.0.0, it.1.channel))
    }
}

fn may_join(world: &World, guild: u64, channel: u64) -> bool {
    let Some(found) = world.channels.get(&channel) else {
        return false;
    };
    if found.guild != Some(guild) || !is_voice(found.kind) {
        return false;
    }
    let needed = CONNECT | VIEW_CHANNEL;
    if world.bot_may(channel) & needed != needed || world.guilds[&guild].timed_out {
        return false;
    }
    let others = world.voice.iter();
    let others = others.filter(|it| it.1.channel == channel && it.0.1 != world.bot);
    found.user_limit == 0 || others.count() < found.user_limit
}
