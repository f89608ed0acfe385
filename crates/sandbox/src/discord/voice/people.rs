//! What people do in voice.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::super::Discord;
use super::super::people::{Channel, Guild, Person};
use super::super::rest::State;
use super::super::wait;
use super::super::world::{STAGE, VoiceState};
use super::member::Mouth;
use super::presence::Place;
use super::speech::{self, Announces, opus_packets};
use crate::recorder::MAX_WAIT;

/// What a client of somebody else's making needs to join a call as a person.
#[derive(Clone, Debug)]
pub struct VoiceInvitation {
    /// Host and port of the voice gateway.
    pub endpoint: String,
    /// What the gateway asks for.
    pub token: String,
    /// The session that the token is for.
    pub session_id: String,
    /// Whose it is.
    pub user_id: u64,
    /// The server.
    pub guild_id: u64,
    /// The voice channel.
    pub channel_id: u64,
}

/// Something that a person is saying while the test goes on.
#[derive(Debug)]
pub struct Speech {
    done: oneshot::Receiver<()>,
    limit: Duration,
}

/// A microphone that is never switched off.
#[derive(Debug)]
pub struct OpenMic {
    state: Arc<State>,
    mouth: Arc<Mouth>,
}

impl Speech {
    /// Waits until all has been sent, or its speaker has left.
    pub async fn ends(self) {
        let ended = tokio::time::timeout(self.limit, self.done).await;
        assert!(ended.is_ok(), "waited in vain for the end of a speech");
    }
}

impl OpenMic {
    /// Says the packets of an Ogg Opus file into it.
    pub async fn says(&self, ogg: impl AsRef<[u8]>) {
        say(&self.state, &self.mouth, opus_packets(ogg.as_ref()), 1.0)
            .ends()
            .await;
    }

    /// Switches it off after all.
    pub fn close(self) {
        speech::keep_open(&self.state, &self.mouth, false);
    }
}

fn say(state: &Arc<State>, mouth: &Arc<Mouth>, packets: Vec<Bytes>, pace: f64) -> Speech {
    let length = Duration::from_millis(120).mul_f64((packets.len() + 10) as f64 / pace);
    let done = speech::utter(state, mouth, packets, pace);
    let limit = length + MAX_WAIT;
    Speech { done, limit }
}

impl Person {
    /// Joins a voice channel, and waits until they can be heard there.
    pub async fn joins_voice(&self, channel: &Channel) {
        self.begins_to_join_voice(channel);
        let id = channel.id;
        wait(&self.state, "a person in the call", || {
            let calls = self.state.voice.calls();
            let settled = calls.groups.get(&id);
            settled.filter(|it| it.is_settled_for(self.id)).map(|_| ())
        })
        .await;
    }

    /// Joins a voice channel, and does not wait for anything.
    pub fn begins_to_join_voice(&self, channel: &Channel) {
        let (guild, stage) = self.is_let_in(channel, &format!("person-{}", self.id));
        Mouth::enters(&self.state, guild, self.id, channel.id, stage);
    }

    /// Is in a voice channel as far as others see it. Whoever has the invitation can connect to
    /// the voice server as this person.
    pub fn invited_to_voice(&self, channel: &Channel) -> VoiceInvitation {
        let (guild_id, _) = self.is_let_in(channel, &format!("invited-{}", self.id));
        let world = self.state.world();
        let state = &world.voice[&(guild_id, self.id)];
        VoiceInvitation {
            endpoint: self.state.voice.endpoint(),
            token: state.token.clone(),
            session_id: state.session.clone(),
            user_id: self.id,
            guild_id,
            channel_id: channel.id,
        }
    }

    fn is_let_in(&self, channel: &Channel, session: &str) -> (u64, bool) {
        let (guild, stage) = {
            let world = self.state.world();
            let found = world.channels.get(&channel.id).expect("a channel");
            (found.guild.expect("in a server"), found.kind == STAGE)
        };
        if let Some(there) = self.state.voice_channel_of(self.id)
            && there.0 != guild
        {
            self.state.quits_voice(there.0, self.id, Some(4_014));
        }
        if let Some(mouth) = self.state.voice.calls().mouths.remove(&self.id) {
            mouth.shut();
        }
        self.state.enters_voice(&Place {
            guild,
            user: self.id,
            channel: channel.id,
            session,
            mute: false,
            deaf: false,
        });
        (guild, stage)
    }

    /// Leaves voice.
    pub async fn leaves_voice(&self) {
        if let Some((guild, _)) = self.state.voice_channel_of(self.id) {
            self.state.quits_voice(guild, self.id, Some(4_014));
        }
    }

    /// Mutes or unmutes themselves, as others see it.
    pub fn mutes_self(&self, mute: bool) {
        let Some((guild, channel)) = self.state.voice_channel_of(self.id) else {
            return;
        };
        let session = {
            let world = self.state.world();
            world.voice[&(guild, self.id)].session.clone()
        };
        self.state.enters_voice(&Place {
            guild,
            user: self.id,
            channel,
            session: &session,
            mute,
            deaf: false,
        });
    }

    fn mouth(&self) -> Arc<Mouth> {
        let calls = self.state.voice.calls();
        let mouth = calls.mouths.get(&self.id);
        Arc::clone(mouth.expect("somebody in voice"))
    }

    /// Says what is in an Ogg Opus file, packet by packet, and returns when all is sent.
    pub async fn speaks(&self, ogg: impl AsRef<[u8]>) {
        self.begins_to_speak(ogg).ends().await;
    }

    /// The same so many times as fast. The packets' own clock stays as it is.
    pub async fn speaks_fast(&self, ogg: impl AsRef<[u8]>, pace: f64) {
        let packets = opus_packets(ogg.as_ref());
        say(&self.state, &self.mouth(), packets, pace).ends().await;
    }

    /// Says these Opus packets.
    pub async fn speaks_packets(&self, packets: Vec<Bytes>) {
        self.begins_to_speak_packets(packets).ends().await;
    }

    /// Begins to say what is in an Ogg Opus file.
    pub fn begins_to_speak(&self, ogg: impl AsRef<[u8]>) -> Speech {
        self.begins_to_speak_packets(opus_packets(ogg.as_ref()))
    }

    /// Begins to say these Opus packets.
    pub fn begins_to_speak_packets(&self, packets: Vec<Bytes>) -> Speech {
        say(&self.state, &self.mouth(), packets, 1.0)
    }

    /// Says nothing of what they still wanted to say.
    pub fn falls_silent(&self) {
        self.mouth().line().hush();
    }

    /// An Opus packet as it would go out now, encrypted from end to end if the call is. None if
    /// there are no keys yet.
    pub fn seals(&self, opus: &[u8]) -> Option<Vec<u8>> {
        self.mouth().seal(opus)
    }

    /// Never stops sending: between utterances there is silence, encoded and encrypted.
    pub fn opens_mic(&self) -> OpenMic {
        let mouth = self.mouth();
        speech::keep_open(&self.state, &mouth, true);
        OpenMic {
            state: Arc::clone(&self.state),
            mouth,
        }
    }

    /// Sends the header extension that official clients send. Until they leave.
    pub fn sends_rtp_extension(&self) {
        self.mouth().line().extension = true;
    }

    /// From the next utterance on, says that they speak only so long after they have begun.
    pub fn announces_speech_late(&self, late: Duration) {
        self.mouth().line().announces = Announces::Late(late);
    }

    /// From the next utterance on, speaks without saying so.
    pub fn never_announces_speech(&self) {
        self.mouth().line().announces = Announces::Never;
    }

    /// How many packets they have sent since they joined.
    pub fn packets_sent(&self) -> usize {
        self.mouth().line().sent
    }

    /// The SSRC of their packets.
    pub fn ssrc(&self) -> u32 {
        self.mouth().ssrc
    }

    /// Whether they can speak: they are in a call with a client of the sandbox's own.
    pub fn can_speak(&self) -> bool {
        self.state.voice.calls().mouths.contains_key(&self.id)
    }

    /// Whether they are in this channel's call.
    pub fn is_in_voice(&self, channel: &Channel) -> bool {
        let there = self.state.voice_channel_of(self.id);
        there.is_some_and(|it| it.1 == channel.id)
    }
}

impl Discord {
    /// The bot is in a voice channel as far as others see it, and whoever has the invitation is the
    /// bot at the voice server.
    pub fn bot_invited_to_voice(&self, channel: &Channel) -> VoiceInvitation {
        let bot = Person::new(Arc::clone(&self.state), self.bot_id(), None);
        bot.invited_to_voice(channel)
    }
}

impl Guild {
    /// A moderator moves the bot to another voice channel.
    pub fn moves_bot(&self, channel: &Channel) {
        let (bot, known) = {
            let world = self.state.world();
            let known = world.voice.get(&(self.id, world.bot)).cloned();
            (world.bot, known)
        };
        let known = known.expect("the bot is in voice");
        self.state.enters_voice(&Place {
            guild: self.id,
            user: bot,
            channel: channel.id,
            session: &known.session,
            mute: known.self_mute,
            deaf: known.self_deaf,
        });
    }

    /// A moderator takes the bot out of voice.
    pub fn disconnects_bot(&self) {
        let bot = self.state.world().bot;
        self.state.quits_voice(self.id, bot, Some(4_014));
    }

    /// A moderator deafens the bot, or takes that back: the voice server sends it no audio.
    pub fn deafens_bot(&self, deaf: bool) {
        self.changes_bot(|state| state.deaf = deaf);
    }

    /// The bot loses the right to speak, or gets it back. As people report it, the voice server
    /// sends it no audio meanwhile.
    pub fn suppresses_bot(&self, suppress: bool) {
        self.changes_bot(|state| state.suppress = suppress);
    }

    fn changes_bot(&self, change: impl FnOnce(&mut VoiceState)) {
        let (bot, value, deaf) = {
            let mut world = self.state.world();
            let bot = world.bot;
            let state = world.voice.get_mut(&(self.id, bot));
            let state = state.expect("the bot is in voice");
            change(state);
            let deaf = state.hears_nothing(false);
            (bot, world.voice_json(self.id, bot), deaf)
        };
        let mut calls = self.state.voice.calls();
        let all = calls.clients.values_mut();
        for client in all.filter(|it| it.guild == self.id && it.user == bot) {
            client.deaf = deaf;
        }
        drop(calls);
        self.state
            .dispatch("VOICE_STATE_UPDATE", Some(self.id), &value);
    }

    /// The voice channel in which others see the bot.
    pub fn bot_in_voice(&self) -> Option<u64> {
        let world = self.state.world();
        let state = world.voice.get(&(self.id, world.bot));
        state.map(|it| it.channel)
    }

    /// Whether the bot has muted and deafened itself.
    pub fn bot_self_mute_deaf(&self) -> Option<(bool, bool)> {
        let world = self.state.world();
        let state = world.voice.get(&(self.id, world.bot));
        state.map(|it| (it.self_mute, it.self_deaf))
    }

    /// Waits until the bot has deafened itself in voice, or hears again.
    pub async fn until_bot_deaf(&self, deaf: bool) {
        wait(&self.state, "the bot to change its ears", || {
            let now = self.bot_self_mute_deaf();
            now.is_some_and(|it| it.1 == deaf).then_some(())
        })
        .await;
    }

    /// Waits until others see the bot in this voice channel, or in none.
    pub async fn until_bot_in_voice(&self, channel: Option<&Channel>) {
        let wanted = channel.map(|it| it.id);
        wait(&self.state, "the bot to change channels", || {
            (self.bot_in_voice() == wanted).then_some(())
        })
        .await;
    }
}

impl Channel {
    /// Switches end-to-end encryption on or off. It is on in voice channels and off on stages
    /// from the beginning. Clients that can't encrypt are closed with 4017.
    pub fn encrypts(&self, wanted: bool) {
        self.state.voice.calls().dave_wanted(self.id, wanted);
        self.state.touch();
    }

    /// The server has the call make new keys from scratch.
    pub fn resets_encryption(&self) {
        self.state.voice.calls().dave_reset(self.id);
        self.state.touch();
    }

    /// Waits until everybody in the call has changed to what was ordered last.
    pub async fn until_encryption_settles(&self) {
        wait(&self.state, "the call's keys", || {
            let calls = self.state.voice.calls();
            let users = calls.users(self.id);
            let Some(group) = calls.groups.get(&self.id) else {
                return users.is_empty().then_some(());
            };
            let settled = users.iter().all(|user| group.is_settled_for(*user));
            settled.then_some(())
        })
        .await;
    }

    /// Waits until the call's group has reached this epoch, and has settled.
    pub async fn until_encryption_epoch(&self, epoch: u64) {
        wait(&self.state, "the call's keys to change", || {
            (self.encryption_group().0 >= epoch).then_some(())
        })
        .await;
        self.until_encryption_settles().await;
    }

    /// The epoch of the call's group, and how many belong to it.
    pub fn encryption_group(&self) -> (u64, usize) {
        let calls = self.state.voice.calls();
        let group = calls.groups.get(&self.id);
        group.map_or((0, 0), super::group::Group::size)
    }
}
