//! The voice receiver in calls of the sandbox, without a bot around it.

mod disconnects;
mod encryption;
mod hostile_input;
mod joining_and_leaving;
mod receiving;
mod sending;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use sandbox::{Channel, Discord, Guild, MAX_WAIT, Sandbox, TestUser, VoiceConnectionInfo};
use tokio::sync::mpsc;
use tokio::time::timeout;
use voice_receive::{ConnectOptions, ConnectionInfo, OpusPacket, VoiceEvent, VoiceHandle, connect};

/// What is said: 3 s of speech.
pub(crate) const QUESTION: &[u8] = include_bytes!("../../../samples/capital.ogg");

/// A packet of silence.
const SILENCE_FRAME: Bytes = Bytes::from_static(&[0xf8, 0xff, 0xfe]);

/// Runs a story in a process of its own, that trusts the sandbox.
macro_rules! story {
    ($(#[$meta:meta])* $name:ident, $body:expr) => {
        #[test]
        $(#[$meta])*
        fn $name() {
            let module = module_path!();
            let module = module.split_once("::").map_or("", |(_, module)| module);
            sandbox::run_in_subprocess(&format!("{module}::{}", stringify!($name)), $body);
        }
    };
}
use story;

/// A server with a voice channel.
struct CallFixture {
    _sandbox: Sandbox,
    discord: Discord,
    guild: Guild,
    voice_channel: Channel,
}

impl CallFixture {
    async fn new() -> Self {
        let sandbox = Sandbox::start().await;
        let discord = sandbox.discord();
        discord.trust_authority();
        let guild = discord.add_guild("Garden");
        let lounge = guild.add_voice_channel("Lounge");
        Self {
            _sandbox: sandbox,
            discord,
            guild,
            voice_channel: lounge,
        }
    }

    /// Somebody is in the call.
    async fn add_speaker(&self, name: &str) -> TestUser {
        let person = self.guild.add_member(name);
        person.join_voice(&self.voice_channel).await;
        person
    }

    /// A listener of ours is in the call, as the bot.
    async fn connect_receiver(&self) -> TestReceiver {
        let listener = self.start_receiver().await;
        self.discord
            .wait_until_bot_receiving(&self.voice_channel)
            .await;
        listener
    }

    /// A listener comes, and nobody waits until it has its keys.
    async fn start_receiver(&self) -> TestReceiver {
        let mut listener = TestReceiver::new(
            &self
                .discord
                .join_voice_externally_as_bot(&self.voice_channel),
        );
        listener.wait_until(|it| it.is_connected).await;
        listener
    }

    /// A listener of ours is in the call as a member.
    async fn connect_receiver_as(&self, name: &str) -> TestReceiver {
        let member = self.guild.add_member(name);
        let mut listener = TestReceiver::new(&member.join_voice_externally(&self.voice_channel));
        listener.wait_until(|it| it.is_connected).await;
        self.discord
            .wait_until_receiving(listener.user, &self.voice_channel)
            .await;
        listener
    }
}

/// The receiver, and what it has told.
struct TestReceiver {
    handle: VoiceHandle,
    events: mpsc::Receiver<VoiceEvent>,
    user: u64,
    packets: BTreeMap<u64, Vec<OpusPacket>>,
    is_connected: bool,
    is_deaf: bool,
    disconnect_code: Option<Option<u16>>,
    left_users: Vec<u64>,
    speaking_users: Vec<u64>,
}

fn connection_info(invited: &VoiceConnectionInfo) -> ConnectionInfo {
    ConnectionInfo {
        guild_id: invited.guild_id,
        channel_id: invited.channel_id,
        user_id: invited.user_id,
        session_id: invited.session_id.clone(),
        token: invited.token.clone().into(),
        endpoint: invited.endpoint.clone(),
    }
}

impl TestReceiver {
    fn new(invited: &VoiceConnectionInfo) -> Self {
        let (handle, told) = connect(connection_info(invited), ConnectOptions::default());
        Self::from_handle(handle, told, invited)
    }

    fn from_handle(
        handle: VoiceHandle,
        events: mpsc::Receiver<VoiceEvent>,
        invited: &VoiceConnectionInfo,
    ) -> Self {
        Self {
            handle,
            events,
            user: invited.user_id,
            packets: BTreeMap::new(),
            is_connected: false,
            is_deaf: false,
            disconnect_code: None,
            left_users: Vec::new(),
            speaking_users: Vec::new(),
        }
    }

    fn handle_event(&mut self, heard: VoiceEvent) {
        match heard {
            VoiceEvent::Connected => {
                self.is_connected = true;
                self.is_deaf = false;
                self.disconnect_code = None;
            }
            VoiceEvent::Packets(packets) => {
                for packet in packets {
                    self.packets.entry(packet.user_id).or_default().push(packet);
                }
            }
            VoiceEvent::Speaking { user_id: user } => self.speaking_users.push(user),
            VoiceEvent::UserLeft { user_id: user } => self.left_users.push(user),
            VoiceEvent::Interrupted { .. } => self.is_deaf = true,
            VoiceEvent::ConnectionLost {
                close_code: code, ..
            } => {
                self.is_connected = false;
                self.disconnect_code = Some(code);
            }
        }
    }

    /// Waits until something is so.
    async fn wait_until(&mut self, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            match timeout(MAX_WAIT, self.events.recv()).await {
                Ok(Some(heard)) => self.handle_event(heard),
                Ok(None) => panic!("the receiver is gone"),
                Err(_) => panic!("waited in vain: {:?}", self.handle.stats()),
            }
        }
    }

    /// Waits until something is so that nothing is told of.
    async fn wait_briefly_until(&mut self, is_so: impl Fn(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + MAX_WAIT;
        while !is_so(self) {
            // It is looked at again at the latest then.
            let soon = Duration::from_millis(10);
            if let Ok(Some(heard)) = timeout(soon, self.events.recv()).await {
                self.handle_event(heard);
            }
            let counts = self.handle.stats();
            assert!(
                tokio::time::Instant::now() < deadline,
                "in vain: {counts:?}"
            );
        }
    }

    /// Waits until all has come that somebody could send: while keys change, the sandbox's people
    /// may be without one, and then say nothing. The group grows by one member at a time, so what is
    /// said between two of them is under keys that the listener never gets.
    async fn assert_receives_sent(&mut self, who: &TestUser, said: &[Bytes]) {
        let (id, sent) = (who.id(), who.packets_sent());
        let before_it_joined = |it: &Self| usize::try_from(it.handle.stats().no_key).unwrap_or(0);
        let heard = |it: &Self| it.packets.get(&id).map_or(0, Vec::len);
        self.wait_briefly_until(|it| heard(it) + before_it_joined(it) >= sent)
            .await;
        let without_key = before_it_joined(self);
        assert!(
            without_key < sent / 4,
            "{without_key} of {sent} without a key"
        );
        let mut rest = said.iter();
        let heard = self.received_packets(who);
        assert!(
            heard.len() + without_key == sent && heard.iter().all(|it| rest.any(|said| said == it)),
            "{} of {sent} packets: {:?}",
            heard.len(),
            self.handle.stats()
        );
        self.packets.remove(&id);
    }

    /// What has come of somebody, in order and with every number once.
    fn received_packets(&self, who: &TestUser) -> Vec<Bytes> {
        let all = self.packets.get(&who.id());
        all.into_iter()
            .flatten()
            .map(|it| it.opus.clone())
            .collect()
    }

    /// Waits until all that somebody has sent in one stream has come, and nothing else.
    async fn assert_receives(&mut self, who: &TestUser, expected: &[Bytes]) {
        let id = who.id();
        self.wait_until(|it| it.packets.get(&id).map_or(0, Vec::len) >= expected.len())
            .await;
        let heard = self.received_packets(who);
        assert!(
            heard == expected,
            "{} of {} packets: {:?}",
            heard.len(),
            expected.len(),
            self.handle.stats()
        );
        self.packets.remove(&id);
    }

    /// Somebody says the question, and all of it is heard.
    async fn assert_receives_question(&mut self, who: &TestUser) {
        who.speak_fast(QUESTION, 4.0).await;
        self.assert_receives(who, &question_packets()).await;
    }
}

/// The question as it goes over the wire: five packets of silence follow.
fn question_packets() -> Vec<Bytes> {
    with_trailing_silence(&sandbox::opus_packets(QUESTION))
}

/// The question so many times in a row, without a pause.
fn repeated_packets(times: usize) -> Vec<Bytes> {
    let packets = sandbox::opus_packets(QUESTION);
    let all = packets.iter().cycle().take(packets.len() * times);
    all.cloned().collect()
}

/// The same as it goes over the wire.
fn with_trailing_silence(packets: &[Bytes]) -> Vec<Bytes> {
    let silence = std::iter::repeat_n(SILENCE_FRAME, 5);
    packets.iter().cloned().chain(silence).collect()
}
