//! The voice receiver in calls of the sandbox, without a bot around it.

mod broken;
mod coming;
mod encryption;
mod hearing;
mod hostile;
mod speaking;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use sandbox::{Channel, Discord, Guild, MAX_WAIT, Person, Sandbox, VoiceInvitation};
use tokio::sync::mpsc;
use tokio::time::timeout;
use voice_receive::{ConnectionInfo, Handle, Heard, Options, Packet, connect};

/// What is said: 3 s of speech.
pub(crate) const QUESTION: &[u8] = include_bytes!("../../../samples/capital.ogg");

/// A packet of silence.
const SILENCE: Bytes = Bytes::from_static(&[0xf8, 0xff, 0xfe]);

/// Runs a story in a process of its own, that trusts the sandbox.
macro_rules! story {
    ($(#[$meta:meta])* $name:ident, $body:expr) => {
        #[test]
        $(#[$meta])*
        fn $name() {
            let module = module_path!();
            let module = module.split_once("::").map_or("", |(_, module)| module);
            sandbox::alone(&format!("{module}::{}", stringify!($name)), $body);
        }
    };
}
use story;

/// A server with a voice channel.
struct Scene {
    _sandbox: Sandbox,
    discord: Discord,
    guild: Guild,
    lounge: Channel,
}

impl Scene {
    async fn new() -> Self {
        let sandbox = Sandbox::start().await;
        let discord = sandbox.discord();
        discord.is_trusted();
        let guild = discord.guild("Garden");
        let lounge = guild.voice_channel("Lounge");
        Self {
            _sandbox: sandbox,
            discord,
            guild,
            lounge,
        }
    }

    /// Somebody is in the call.
    async fn joins(&self, name: &str) -> Person {
        let person = self.guild.member(name);
        person.joins_voice(&self.lounge).await;
        person
    }

    /// A listener of ours is in the call, as the bot.
    async fn listens(&self) -> Listener {
        let listener = self.begins_to_listen().await;
        self.discord.until_bot_hears(&self.lounge).await;
        listener
    }

    /// A listener comes, and nobody waits until it has its keys.
    async fn begins_to_listen(&self) -> Listener {
        let mut listener = Listener::new(&self.discord.bot_invited_to_voice(&self.lounge));
        listener.until(|it| it.connected).await;
        listener
    }

    /// A listener of ours is in the call as a member.
    async fn listens_as(&self, name: &str) -> Listener {
        let member = self.guild.member(name);
        let mut listener = Listener::new(&member.invited_to_voice(&self.lounge));
        listener.until(|it| it.connected).await;
        self.discord.until_hears(listener.user, &self.lounge).await;
        listener
    }
}

/// The receiver, and what it has told.
struct Listener {
    handle: Handle,
    told: mpsc::Receiver<Heard>,
    user: u64,
    packets: BTreeMap<u64, Vec<Packet>>,
    connected: bool,
    deaf: bool,
    lost: Option<Option<u16>>,
    left: Vec<u64>,
    speaks: Vec<u64>,
}

fn info(invited: &VoiceInvitation) -> ConnectionInfo {
    ConnectionInfo {
        guild: invited.guild_id,
        channel: invited.channel_id,
        user: invited.user_id,
        session: invited.session_id.clone(),
        token: invited.token.clone().into(),
        endpoint: invited.endpoint.clone(),
    }
}

impl Listener {
    fn new(invited: &VoiceInvitation) -> Self {
        let (handle, told) = connect(info(invited), Options::default());
        Self::of(handle, told, invited)
    }

    fn of(handle: Handle, told: mpsc::Receiver<Heard>, invited: &VoiceInvitation) -> Self {
        Self {
            handle,
            told,
            user: invited.user_id,
            packets: BTreeMap::new(),
            connected: false,
            deaf: false,
            lost: None,
            left: Vec::new(),
            speaks: Vec::new(),
        }
    }

    fn take(&mut self, heard: Heard) {
        match heard {
            Heard::Connected => {
                self.connected = true;
                self.deaf = false;
                self.lost = None;
            }
            Heard::Packets(packets) => {
                for packet in packets {
                    self.packets.entry(packet.user).or_default().push(packet);
                }
            }
            Heard::Speaks { user } => self.speaks.push(user),
            Heard::Left { user } => self.left.push(user),
            Heard::Deaf { .. } => self.deaf = true,
            Heard::Lost { code, .. } => {
                self.connected = false;
                self.lost = Some(code);
            }
        }
    }

    /// Waits until something is so.
    async fn until(&mut self, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            match timeout(MAX_WAIT, self.told.recv()).await {
                Ok(Some(heard)) => self.take(heard),
                Ok(None) => panic!("the receiver is gone"),
                Err(_) => panic!("waited in vain: {:?}", self.handle.counts()),
            }
        }
    }

    /// Waits until something is so that nothing is told of.
    async fn soon(&mut self, is_so: impl Fn(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + MAX_WAIT;
        while !is_so(self) {
            // It is looked at again at the latest then.
            let soon = Duration::from_millis(10);
            if let Ok(Some(heard)) = timeout(soon, self.told.recv()).await {
                self.take(heard);
            }
            let counts = self.handle.counts();
            assert!(
                tokio::time::Instant::now() < deadline,
                "in vain: {counts:?}"
            );
        }
    }

    /// Waits until all has come that somebody could send: while keys change, the sandbox's people
    /// may be without one, and then say nothing. The group grows by one member at a time, so what is
    /// said between two of them is under keys that the listener never gets.
    async fn hears_sent(&mut self, who: &Person, said: &[Bytes]) {
        let (id, sent) = (who.id(), who.packets_sent());
        let before_it_joined = |it: &Self| usize::try_from(it.handle.counts().no_key).unwrap_or(0);
        let heard = |it: &Self| it.packets.get(&id).map_or(0, Vec::len);
        self.soon(|it| heard(it) + before_it_joined(it) >= sent)
            .await;
        let without_key = before_it_joined(self);
        assert!(
            without_key < sent / 4,
            "{without_key} of {sent} without a key"
        );
        let mut rest = said.iter();
        let heard = self.heard(who);
        assert!(
            heard.len() + without_key == sent && heard.iter().all(|it| rest.any(|said| said == it)),
            "{} of {sent} packets: {:?}",
            heard.len(),
            self.handle.counts()
        );
        self.packets.remove(&id);
    }

    /// What has come of somebody, in order and with every number once.
    fn heard(&self, who: &Person) -> Vec<Bytes> {
        let all = self.packets.get(&who.id());
        all.into_iter()
            .flatten()
            .map(|it| it.opus.clone())
            .collect()
    }

    /// Waits until all that somebody has sent in one stream has come, and nothing else.
    async fn hears_all(&mut self, who: &Person, expected: &[Bytes]) {
        let id = who.id();
        self.until(|it| it.packets.get(&id).map_or(0, Vec::len) >= expected.len())
            .await;
        let heard = self.heard(who);
        assert!(
            heard == expected,
            "{} of {} packets: {:?}",
            heard.len(),
            expected.len(),
            self.handle.counts()
        );
        self.packets.remove(&id);
    }

    /// Somebody says the question, and all of it is heard.
    async fn hears_question(&mut self, who: &Person) {
        who.speaks_fast(QUESTION, 4.0).await;
        self.hears_all(who, &whole()).await;
    }
}

/// The question as it goes over the wire: five packets of silence follow.
fn whole() -> Vec<Bytes> {
    whole_of(&sandbox::opus_packets(QUESTION))
}

/// The question so many times in a row, without a pause.
fn long(times: usize) -> Vec<Bytes> {
    let packets = sandbox::opus_packets(QUESTION);
    let all = packets.iter().cycle().take(packets.len() * times);
    all.cloned().collect()
}

/// The same as it goes over the wire.
fn whole_of(packets: &[Bytes]) -> Vec<Bytes> {
    let silence = std::iter::repeat_n(SILENCE, 5);
    packets.iter().cloned().chain(silence).collect()
}
