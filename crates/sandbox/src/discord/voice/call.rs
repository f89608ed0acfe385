//! Everybody who is connected to the voice server.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::cipher::Cipher;
use super::faults::Passed;
use super::group::Group;
use super::member::Mouth;
use super::network::{VoiceNetwork, Way};
use super::udp::Post;
use super::wire::{Frame, Out, Outgoing, is_replayed, op};

/// Frames that a client can be told again.
const MAX_REPLAY: usize = 1_000;

/// What waits to go out on one connection.
pub(super) const MAX_OUT: usize = 10_000;

/// Clients of one voice server.
const MAX_CLIENTS: usize = 10_000;

/// How often clients shall send a heartbeat.
const HEARTBEAT: Duration = Duration::from_millis(13_750);

/// One client, from the moment it identified until it left for good.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) number: u64,
    pub(super) user: u64,
    pub(super) guild: u64,
    pub(super) channel: u64,
    pub(super) session: String,
    pub(super) token: String,
    pub(super) version: u64,
    /// One of the sandbox's own people, without sockets.
    pub(super) inside: bool,
    /// Understands end-to-end encryption.
    pub(super) dave: bool,
    pub(super) ssrc: u32,
    pub(super) out: Option<mpsc::Sender<Outgoing>>,
    sequence: u16,
    replay: VecDeque<(u16, Frame)>,
    /// Frames about encryption were lost while it had no connection.
    behind: bool,
    /// The handshake is done.
    pub(super) in_call: bool,
    /// What it last said of its microphone.
    pub(super) speaking: Option<u64>,
    /// Nobody hears it.
    pub(super) mute: bool,
    /// It gets no audio.
    pub(super) deaf: bool,
    pub(super) cipher: Option<Cipher>,
    pub(super) address: Option<SocketAddr>,
    pub(super) nonce: u32,
    pub(super) way: Way,
    /// A packet that comes after the next one.
    pub(super) held: Option<Post>,
}

/// What a new client is.
#[derive(Debug)]
pub(super) struct NewClient {
    pub(super) user: u64,
    pub(super) guild: u64,
    pub(super) channel: u64,
    pub(super) session: String,
    pub(super) token: String,
    pub(super) version: u64,
    pub(super) inside: bool,
    pub(super) dave: bool,
    pub(super) mute: bool,
    pub(super) deaf: bool,
    pub(super) out: mpsc::Sender<Outgoing>,
}

/// All calls.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) clients: BTreeMap<u64, Client>,
    pub(super) groups: HashMap<u64, Group>,
    pub(super) mouths: HashMap<u64, Arc<Mouth>>,
    pub(super) random: fastrand::Rng,
    pub(super) network: VoiceNetwork,
    pub(super) lags: HashMap<u64, Duration>,
    /// Packets by who spoke and who was sent them.
    pub(super) forwarded: HashMap<(u64, u64), usize>,
    /// The same one by one, if anybody wants to know.
    pub(super) passed: Option<HashMap<(u64, u64), Vec<Passed>>>,
    /// How many attempts to resume are refused from now on.
    pub(super) refuse_resumes: usize,
    pub(super) unreachable: bool,
    /// Whoever is let in is closed at once with this code.
    pub(super) closes_entered: Option<u16>,
    pub(super) heartbeat: Duration,
    /// What the next client is told of it.
    pub(super) false_heartbeat: Option<Value>,
    pub(super) identifies: usize,
    pub(super) resumes: usize,
    pub(super) modes: Vec<&'static str>,
    last_client: u64,
    last_ssrc: u32,
}

impl Calls {
    pub(super) fn new() -> Self {
        Self {
            clients: BTreeMap::new(),
            groups: HashMap::new(),
            mouths: HashMap::new(),
            random: fastrand::Rng::with_seed(1),
            network: VoiceNetwork::perfect(),
            lags: HashMap::new(),
            forwarded: HashMap::new(),
            passed: None,
            refuse_resumes: 0,
            unreachable: false,
            closes_entered: None,
            heartbeat: HEARTBEAT,
            false_heartbeat: None,
            identifies: 0,
            resumes: 0,
            modes: super::cipher::MODES.to_vec(),
            last_client: 0,
            last_ssrc: 1_000,
        }
    }

    pub(super) fn group(&mut self, channel: u64, encrypted: bool) -> &mut Group {
        let group = self.groups.entry(channel);
        group.or_insert_with(|| Group::new(channel, encrypted))
    }

    /// A client that has identified itself. One with the same session has had its time.
    pub(super) fn add(&mut self, new: NewClient) -> u64 {
        assert!(self.clients.len() < MAX_CLIENTS, "too many voice clients");
        let old = self.clients.values();
        let old = old.filter(|it| it.user == new.user && it.guild == new.guild);
        for number in old.map(|it| it.number).collect::<Vec<_>>() {
            self.remove(number, Some(4_006));
        }
        self.last_client += 1;
        self.last_ssrc += 1;
        let number = self.last_client;
        let client = Client {
            number,
            user: new.user,
            guild: new.guild,
            channel: new.channel,
            session: new.session,
            token: new.token,
            version: new.version,
            inside: new.inside,
            dave: new.dave,
            ssrc: self.last_ssrc,
            out: Some(new.out),
            sequence: 0,
            replay: VecDeque::new(),
            behind: false,
            in_call: false,
            speaking: None,
            mute: new.mute,
            deaf: new.deaf,
            cipher: None,
            address: None,
            nonce: self.random.u32(..),
            way: Way::default(),
            held: None,
        };
        self.clients.insert(number, client);
        number
    }

    /// The handshake is done: the client learns who is there, and the others of it.
    pub(super) fn enter(&mut self, number: u64, description: &Value) {
        let Some(client) = self.clients.get_mut(&number) else {
            return;
        };
        client.in_call = true;
        let (user, channel) = (client.user, client.channel);
        let everybody: Vec<String> = self
            .in_channel(channel)
            .map(|number| self.clients[&number].user.to_string())
            .collect();
        self.send(
            number,
            Frame::Json(op::CONNECTED, json!({"user_ids": everybody})),
        );
        self.send(number, Frame::Json(op::DESCRIPTION, description.clone()));
        let others: Vec<u64> = self
            .in_channel(channel)
            .filter(|it| *it != number)
            .collect();
        for other in &others {
            let other = &self.clients[other];
            if let Some(flags) = other.speaking {
                let data = speaking(other.user, other.ssrc, flags);
                self.send(number, Frame::Json(op::SPEAKING, data));
            }
        }
        let joined = json!({"user_ids": [user.to_string()]});
        for other in others {
            self.send(other, Frame::Json(op::CONNECTED, joined.clone()));
        }
        self.dave_entered(number);
    }

    /// A client is gone for good.
    pub(super) fn remove(&mut self, number: u64, code: Option<u16>) {
        let Some(client) = self.clients.remove(&number) else {
            return;
        };
        if let Some(out) = &client.out {
            let out_now = code.map_or(Out::Cut, Out::Close);
            let due = Instant::now() + self.lag(client.user);
            let _ = out.try_send(Outgoing { due, out: out_now });
        }
        if !client.in_call {
            return;
        }
        let left = json!({"user_id": client.user.to_string()});
        let others: Vec<u64> = self.in_channel(client.channel).collect();
        for other in others {
            self.send(other, Frame::Json(op::DISCONNECTED, left.clone()));
        }
        self.dave_left(client.channel, client.user);
    }

    /// The clients of a user in a server.
    pub(super) fn remove_user(&mut self, guild: u64, user: u64, code: Option<u16>) {
        let all = self.clients.values();
        let theirs = all.filter(|it| it.guild == guild && it.user == user);
        for number in theirs.map(|it| it.number).collect::<Vec<_>>() {
            self.remove(number, code);
        }
    }

    /// Those whose handshake is done.
    pub(super) fn in_channel(&self, channel: u64) -> impl Iterator<Item = u64> {
        let all = self.clients.values();
        let here = all.filter(move |it| it.channel == channel && it.in_call);
        here.map(|it| it.number).collect::<Vec<_>>().into_iter()
    }

    /// The client of a user in a channel, if their handshake is done.
    pub(super) fn client_of(&self, channel: u64, user: u64) -> Option<&Client> {
        let mut all = self.clients.values();
        all.find(|it| it.channel == channel && it.user == user && it.in_call)
    }

    pub(super) fn lag_of(&self, number: u64) -> Duration {
        let user = self.clients.get(&number).map_or(0, |it| it.user);
        self.lag(user)
    }

    fn lag(&self, user: u64) -> Duration {
        self.lags.get(&user).copied().unwrap_or_default()
    }

    /// Sends a client something that it can be told again.
    pub(super) fn send(&mut self, number: u64, frame: Frame) {
        let Some(client) = self.clients.get_mut(&number) else {
            return;
        };
        client.sequence = client.sequence.wrapping_add(1);
        let sequence = client.sequence;
        if client.replay.len() >= MAX_REPLAY {
            client.replay.pop_front();
        }
        client.replay.push_back((sequence, frame.clone()));
        self.put(number, frame, Some(sequence));
    }

    fn put(&mut self, number: u64, frame: Frame, sequence: Option<u16>) {
        let Some(client) = self.clients.get(&number) else {
            return;
        };
        let due = Instant::now() + self.lag(client.user);
        let is_dave = frame.is_dave();
        let out = Out::Frame(frame, sequence);
        let sent = client
            .out
            .as_ref()
            .is_some_and(|to| to.try_send(Outgoing { due, out }).is_ok());
        if !sent
            && is_dave
            && let Some(client) = self.clients.get_mut(&number)
        {
            client.behind = true;
        }
    }

    /// Does something to the connections of those clients.
    pub(super) fn act(&mut self, which: impl Fn(&Client) -> bool, make: impl Fn() -> Out) {
        for client in self.clients.values().filter(|it| which(it)) {
            if let Some(out) = &client.out {
                let due = Instant::now() + self.lag(client.user);
                let _ = out.try_send(Outgoing { due, out: make() });
            }
        }
    }

    /// A connection is gone, perhaps with frames about encryption still in it. The client may
    /// resume.
    pub(super) fn disconnected(&mut self, number: u64, was: &mpsc::Sender<Outgoing>, behind: bool) {
        if let Some(client) = self.clients.get_mut(&number)
            && client.out.as_ref().is_some_and(|it| it.same_channel(was))
        {
            client.out = None;
            client.behind |= behind;
        }
    }

    /// A client comes back. What it missed is sent again if its version allows it; otherwise it
    /// has to join the group anew if that went on without it.
    pub(super) fn resume(
        &mut self,
        session: &str,
        token: &str,
        seen: Option<u64>,
        version: u64,
        out: &mpsc::Sender<Outgoing>,
    ) -> Option<u64> {
        if self.refuse_resumes > 0 {
            self.refuse_resumes -= 1;
            return None;
        }
        let mut all = self.clients.values_mut();
        let fits = |it: &&mut Client| it.session == session && it.token == token && !it.inside;
        let client = all.find(fits)?;
        client.out = Some(out.clone());
        client.version = version;
        let number = client.number;
        let behind = std::mem::take(&mut client.behind);
        let missed: Vec<(u16, Frame)> = match seen {
            Some(seen) if is_replayed(version) => {
                let all = client.replay.iter();
                all.filter(|it| u64::from(it.0) > seen).cloned().collect()
            }
            _ => Vec::new(),
        };
        let replayed = is_replayed(version);
        for (sequence, frame) in missed {
            self.put(number, frame, Some(sequence));
        }
        self.put(number, Frame::Json(op::RESUMED, Value::Null), None);
        self.resumes += 1;
        if let Some(code) = self.closes_entered {
            self.act(|it| it.number == number, || Out::Close(code));
        }
        if behind && !replayed {
            self.dave_behind(number);
        }
        Some(number)
    }
}

/// Whose SSRC it is.
pub(super) fn speaking(user: u64, ssrc: u32, flags: u64) -> Value {
    json!({"user_id": user.to_string(), "ssrc": ssrc, "speaking": flags, "delay": 0})
}

impl Calls {
    /// Who is connected more than once is a mistake of ours.
    pub(super) fn users(&self, channel: u64) -> HashSet<u64> {
        let all = self.clients.values();
        let here = all.filter(|it| it.channel == channel && it.in_call);
        here.map(|it| it.user).collect()
    }
}
