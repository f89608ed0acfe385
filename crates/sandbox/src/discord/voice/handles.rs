//! What people do in voice.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::super::Discord;
use super::super::handles::{Channel, Guild, TestUser};
use super::super::rest_api::DiscordState;
use super::super::wait_for;
use super::super::world::{GUILD_STAGE_VOICE, VoiceState};
use super::simulated_client::SimulatedClient;
use super::speech::{self, SpeakingAnnouncement, opus_packets};
use super::voice_states::VoiceJoin;
use crate::recorder::MAX_WAIT;

/// What a client of somebody else's making needs to join a call as a person.
#[derive(Clone, Debug)]
pub struct VoiceConnectionInfo {
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
pub struct OngoingSpeech {
    done: oneshot::Receiver<()>,
    limit: Duration,
}

/// A microphone that is never switched off.
#[derive(Debug)]
pub struct OpenMic {
    state: Arc<DiscordState>,
    client: Arc<SimulatedClient>,
}

impl OngoingSpeech {
    /// Waits until all has been sent, or its speaker has left.
    pub async fn wait_until_sent(self) {
        let ended = tokio::time::timeout(self.limit, self.done).await;
        assert!(ended.is_ok(), "waited in vain for the end of a speech");
    }
}

impl OpenMic {
    /// Says the packets of an Ogg Opus file into it.
    pub async fn says(&self, ogg: impl AsRef<[u8]>) {
        start_speech(&self.state, &self.client, opus_packets(ogg.as_ref()), 1.0)
            .wait_until_sent()
            .await;
    }

    /// Switches it off after all.
    pub fn close(self) {
        speech::set_mic_open(&self.state, &self.client, false);
    }
}

fn start_speech(
    state: &Arc<DiscordState>,
    mouth: &Arc<SimulatedClient>,
    packets: Vec<Bytes>,
    pace: f64,
) -> OngoingSpeech {
    let length = Duration::from_millis(120).mul_f64((packets.len() + 10) as f64 / pace);
    let done = speech::queue_utterance(state, mouth, packets, pace);
    let limit = length + MAX_WAIT;
    OngoingSpeech { done, limit }
}

impl TestUser {
    /// Joins a voice channel, and waits until they can be heard there.
    pub async fn join_voice(&self, channel: &Channel) {
        self.start_joining_voice(channel);
        let id = channel.id;
        wait_for(&self.state, "a person in the call", || {
            let calls = self.state.voice.state();
            let settled = calls.groups.get(&id);
            settled.filter(|it| it.is_settled_for(self.id)).map(|_| ())
        })
        .await;
    }

    /// Joins a voice channel, and does not wait for anything.
    pub fn start_joining_voice(&self, channel: &Channel) {
        let (guild, stage) = self.enter_channel(channel, &format!("person-{}", self.id));
        SimulatedClient::start_simulated_client(&self.state, guild, self.id, channel.id, stage);
    }

    /// Is in a voice channel as far as others see it. Whoever has the invitation can connect to
    /// the voice server as this person.
    pub fn join_voice_externally(&self, channel: &Channel) -> VoiceConnectionInfo {
        let (guild_id, _) = self.enter_channel(channel, &format!("invited-{}", self.id));
        let world = self.state.world();
        let state = &world.voice_states[&(guild_id, self.id)];
        VoiceConnectionInfo {
            endpoint: self.state.voice.gateway_authority(),
            token: state.token.clone(),
            session_id: state.session_id.clone(),
            user_id: self.id,
            guild_id,
            channel_id: channel.id,
        }
    }

    fn enter_channel(&self, channel: &Channel, session: &str) -> (u64, bool) {
        let (guild, stage) = {
            let world = self.state.world();
            let found = world.channels.get(&channel.id).expect("a channel");
            (
                found.guild_id.expect("in a server"),
                found.kind == GUILD_STAGE_VOICE,
            )
        };
        if let Some(there) = self.state.voice_channel_of(self.id)
            && there.0 != guild
        {
            self.state.leave_voice(there.0, self.id, Some(4_014));
        }
        if let Some(mouth) = self.state.voice.state().simulated_clients.remove(&self.id) {
            mouth.close();
        }
        self.state.join_voice(&VoiceJoin {
            guild_id: guild,
            user_id: self.id,
            channel_id: channel.id,
            session_id: session,
            self_mute: false,
            self_deaf: false,
        });
        (guild, stage)
    }

    /// Leaves voice.
    pub async fn leave_voice(&self) {
        if let Some((guild, _)) = self.state.voice_channel_of(self.id) {
            self.state.leave_voice(guild, self.id, Some(4_014));
        }
    }

    /// Mutes or unmutes themselves, as others see it.
    pub fn set_self_mute(&self, mute: bool) {
        let Some((guild, channel)) = self.state.voice_channel_of(self.id) else {
            return;
        };
        let session = {
            let world = self.state.world();
            world.voice_states[&(guild, self.id)].session_id.clone()
        };
        self.state.join_voice(&VoiceJoin {
            guild_id: guild,
            user_id: self.id,
            channel_id: channel,
            session_id: &session,
            self_mute: mute,
            self_deaf: false,
        });
    }

    fn simulated_client(&self) -> Arc<SimulatedClient> {
        let calls = self.state.voice.state();
        let mouth = calls.simulated_clients.get(&self.id);
        Arc::clone(mouth.expect("somebody in voice"))
    }

    /// Says what is in an Ogg Opus file, packet by packet, and returns when all is sent.
    pub async fn speak(&self, ogg: impl AsRef<[u8]>) {
        self.start_speaking(ogg).wait_until_sent().await;
    }

    /// The same so many times as fast. The packets' own clock stays as it is.
    pub async fn speak_fast(&self, ogg: impl AsRef<[u8]>, pace: f64) {
        let packets = opus_packets(ogg.as_ref());
        start_speech(&self.state, &self.simulated_client(), packets, pace)
            .wait_until_sent()
            .await;
    }

    /// Says these Opus packets.
    pub async fn speak_packets(&self, packets: Vec<Bytes>) {
        self.start_speaking_packets(packets).wait_until_sent().await;
    }

    /// Begins to say what is in an Ogg Opus file.
    pub fn start_speaking(&self, ogg: impl AsRef<[u8]>) -> OngoingSpeech {
        self.start_speaking_packets(opus_packets(ogg.as_ref()))
    }

    /// Begins to say these Opus packets.
    pub fn start_speaking_packets(&self, packets: Vec<Bytes>) -> OngoingSpeech {
        start_speech(&self.state, &self.simulated_client(), packets, 1.0)
    }

    /// Says nothing of what they still wanted to say.
    pub fn stop_all_talking(&self) {
        self.simulated_client().speech().clear();
    }

    /// An Opus packet as it would go out now, encrypted from end to end if the call is. None if
    /// there are no keys yet.
    pub fn encrypt_opus_packet(&self, opus: &[u8]) -> Option<Vec<u8>> {
        self.simulated_client().encrypt(opus)
    }

    /// Never stops sending: between utterances there is silence, encoded and encrypted.
    pub fn open_mic(&self) -> OpenMic {
        let mouth = self.simulated_client();
        speech::set_mic_open(&self.state, &mouth, true);
        OpenMic {
            state: Arc::clone(&self.state),
            client: mouth,
        }
    }

    /// Sends the header extension that official clients send. Until they leave.
    pub fn enable_rtp_extension(&self) {
        self.simulated_client().speech().has_rtp_extension = true;
    }

    /// From the next utterance on, says that they speak only so long after they have begun.
    pub fn announce_speaking_late(&self, late: Duration) {
        self.simulated_client().speech().announcement = SpeakingAnnouncement::Delayed(late);
    }

    /// From the next utterance on, speaks without saying so.
    pub fn disable_speaking_announcement(&self) {
        self.simulated_client().speech().announcement = SpeakingAnnouncement::Never;
    }

    /// How many packets they have sent since they joined.
    pub fn packets_sent(&self) -> usize {
        self.simulated_client().speech().packets_sent
    }

    /// The SSRC of their packets.
    pub fn ssrc(&self) -> u32 {
        self.simulated_client().ssrc
    }

    /// Whether they can speak: they are in a call with a client of the sandbox's own.
    pub fn can_speak(&self) -> bool {
        self.state
            .voice
            .state()
            .simulated_clients
            .contains_key(&self.id)
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
    pub fn join_voice_externally_as_bot(&self, channel: &Channel) -> VoiceConnectionInfo {
        let bot = TestUser::new(Arc::clone(&self.state), self.bot_id(), None);
        bot.join_voice_externally(channel)
    }
}

impl Guild {
    /// A moderator moves the bot to another voice channel.
    pub fn move_bot(&self, channel: &Channel) {
        let (bot, known) = {
            let world = self.state.world();
            let known = world.voice_states.get(&(self.id, world.bot_id)).cloned();
            (world.bot_id, known)
        };
        let known = known.expect("the bot is in voice");
        self.state.join_voice(&VoiceJoin {
            guild_id: self.id,
            user_id: bot,
            channel_id: channel.id,
            session_id: &known.session_id,
            self_mute: known.self_mute,
            self_deaf: known.self_deaf,
        });
    }

    /// A moderator takes the bot out of voice.
    pub fn disconnect_bot(&self) {
        let bot = self.state.world().bot_id;
        self.state.leave_voice(self.id, bot, Some(4_014));
    }

    /// A moderator deafens the bot, or takes that back: the voice server sends it no audio.
    pub fn set_bot_deaf(&self, deaf: bool) {
        self.update_bot_voice_state(|state| state.deaf = deaf);
    }

    /// The bot loses the right to speak, or gets it back. As people report it, the voice server
    /// sends it no audio meanwhile.
    pub fn set_bot_suppressed(&self, suppress: bool) {
        self.update_bot_voice_state(|state| state.suppress = suppress);
    }

    fn update_bot_voice_state(&self, change: impl FnOnce(&mut VoiceState)) {
        let (bot, value, deaf) = {
            let mut world = self.state.world();
            let bot = world.bot_id;
            let state = world.voice_states.get_mut(&(self.id, bot));
            let state = state.expect("the bot is in voice");
            change(state);
            let deaf = state.receives_no_audio(false);
            (bot, world.voice_state_json(self.id, bot), deaf)
        };
        let mut calls = self.state.voice.state();
        let all = calls.clients.values_mut();
        for client in all.filter(|it| it.guild_id == self.id && it.user_id == bot) {
            client.deaf = deaf;
        }
        drop(calls);
        self.state
            .dispatch("VOICE_STATE_UPDATE", Some(self.id), &value);
    }

    /// The voice channel in which others see the bot.
    pub fn bot_voice_channel(&self) -> Option<u64> {
        let world = self.state.world();
        let state = world.voice_states.get(&(self.id, world.bot_id));
        state.map(|it| it.channel_id)
    }

    /// Whether the bot has muted and deafened itself.
    pub fn bot_self_mute_deaf(&self) -> Option<(bool, bool)> {
        let world = self.state.world();
        let state = world.voice_states.get(&(self.id, world.bot_id));
        state.map(|it| (it.self_mute, it.self_deaf))
    }

    /// Waits until the bot has deafened itself in voice, or hears again.
    pub async fn wait_until_bot_self_deaf(&self, deaf: bool) {
        wait_for(&self.state, "the bot to change its ears", || {
            let now = self.bot_self_mute_deaf();
            now.is_some_and(|it| it.1 == deaf).then_some(())
        })
        .await;
    }

    /// Waits until others see the bot in this voice channel, or in none.
    pub async fn wait_until_bot_in_voice(&self, channel: Option<&Channel>) {
        let wanted = channel.map(|it| it.id);
        wait_for(&self.state, "the bot to change channels", || {
            (self.bot_voice_channel() == wanted).then_some(())
        })
        .await;
    }
}

impl Channel {
    /// Switches end-to-end encryption on or off. It is on in voice channels and off on stages
    /// from the beginning. Clients that can't encrypt are closed with 4017.
    pub fn encrypts(&self, wanted: bool) {
        self.state.voice.state().set_dave_enabled(self.id, wanted);
        self.state.notify_changed();
    }

    /// The server has the call make new keys from scratch.
    pub fn reset_encryption(&self) {
        self.state.voice.state().reset_dave_group(self.id);
        self.state.notify_changed();
    }

    /// Waits until everybody in the call has changed to what was ordered last.
    pub async fn wait_until_encryption_settled(&self) {
        wait_for(&self.state, "the call's keys", || {
            let calls = self.state.voice.state();
            let users = calls.users_in_channel(self.id);
            let Some(group) = calls.groups.get(&self.id) else {
                return users.is_empty().then_some(());
            };
            let settled = users.iter().all(|user| group.is_settled_for(*user));
            settled.then_some(())
        })
        .await;
    }

    /// Waits until the call's group has reached this epoch, and has settled.
    pub async fn wait_for_encryption_epoch(&self, epoch: u64) {
        wait_for(&self.state, "the call's keys to change", || {
            (self.encryption_epoch_and_size().0 >= epoch).then_some(())
        })
        .await;
        self.wait_until_encryption_settled().await;
    }

    /// The epoch of the call's group, and how many belong to it.
    pub fn encryption_epoch_and_size(&self) -> (u64, usize) {
        let calls = self.state.voice.state();
        let group = calls.groups.get(&self.id);
        group.map_or((0, 0), super::dave_group::DaveGroup::epoch_and_size)
    }
}
