//! Everybody who is connected to the voice server.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::dave_group::DaveGroup;
use super::frames::{ScheduledOutput, VoiceFrame, VoiceOutput, op, replays_on_resume};
use super::network::{LinkState, VoiceNetwork};
use super::simulated_client::SimulatedClient;
use super::test_controls::ForwardedPacket;
use super::transport_cipher::ClientCipher;
use super::udp::OutgoingDatagram;

/// Frames that a client can be told again.
const MAX_REPLAY: usize = 1_000;

/// What waits to go out on one connection.
pub(super) const MAX_QUEUED_FRAMES: usize = 10_000;

/// Clients of one voice server.
const MAX_CLIENTS: usize = 10_000;

/// How often clients shall send a heartbeat.
const HEARTBEAT: Duration = Duration::from_millis(13_750);

/// One client, from the moment it identified until it left for good.
#[derive(Debug)]
pub(super) struct ConnectedClient {
    pub(super) number: u64,
    pub(super) user_id: u64,
    pub(super) guild_id: u64,
    pub(super) channel_id: u64,
    pub(super) session_id: String,
    pub(super) token: String,
    pub(super) version: u64,
    /// One of the sandbox's own people, without sockets.
    pub(super) is_simulated: bool,
    /// Understands end-to-end encryption.
    pub(super) supports_dave: bool,
    pub(super) ssrc: u32,
    pub(super) outgoing: Option<mpsc::Sender<ScheduledOutput>>,
    sequence: u16,
    replay: VecDeque<(u16, VoiceFrame)>,
    /// Frames about encryption were lost while it had no connection.
    missed_dave_frames: bool,
    /// The handshake is done.
    pub(super) in_call: bool,
    /// What it last said of its microphone.
    pub(super) speaking: Option<u64>,
    /// Nobody hears it.
    pub(super) mute: bool,
    /// It gets no audio.
    pub(super) deaf: bool,
    pub(super) cipher: Option<ClientCipher>,
    pub(super) udp_address: Option<SocketAddr>,
    pub(super) nonce: u32,
    pub(super) link: LinkState,
    /// A packet that comes after the next one.
    pub(super) reordered_datagram: Option<OutgoingDatagram>,
}

/// What a new client is.
#[derive(Debug)]
pub(super) struct NewClient {
    pub(super) user_id: u64,
    pub(super) guild_id: u64,
    pub(super) channel_id: u64,
    pub(super) session_id: String,
    pub(super) token: String,
    pub(super) version: u64,
    pub(super) is_simulated: bool,
    pub(super) supports_dave: bool,
    pub(super) mute: bool,
    pub(super) deaf: bool,
    pub(super) outgoing: mpsc::Sender<ScheduledOutput>,
}

/// All calls.
#[derive(Debug)]
pub(super) struct VoiceServerState {
    pub(super) clients: BTreeMap<u64, ConnectedClient>,
    pub(super) groups: HashMap<u64, DaveGroup>,
    pub(super) simulated_clients: HashMap<u64, Arc<SimulatedClient>>,
    pub(super) random: fastrand::Rng,
    pub(super) network: VoiceNetwork,
    pub(super) gateway_lags: HashMap<u64, Duration>,
    /// Packets by who spoke and who was sent them.
    pub(super) forwarded_counts: HashMap<(u64, u64), usize>,
    /// The same one by one, if anybody wants to know.
    pub(super) forwarded_packets: Option<HashMap<(u64, u64), Vec<ForwardedPacket>>>,
    /// How many attempts to resume are refused from now on.
    pub(super) resumes_to_refuse: usize,
    pub(super) unreachable: bool,
    /// Whoever is let in is closed at once with this code.
    pub(super) close_on_join: Option<u16>,
    pub(super) heartbeat_interval: Duration,
    /// What the next client is told of it.
    pub(super) next_hello_interval: Option<Value>,
    pub(super) identifies: usize,
    pub(super) resumes: usize,
    pub(super) offered_modes: Vec<&'static str>,
    last_client: u64,
    last_ssrc: u32,
}

impl VoiceServerState {
    pub(super) fn new() -> Self {
        Self {
            clients: BTreeMap::new(),
            groups: HashMap::new(),
            simulated_clients: HashMap::new(),
            random: fastrand::Rng::with_seed(1),
            network: VoiceNetwork::perfect(),
            gateway_lags: HashMap::new(),
            forwarded_counts: HashMap::new(),
            forwarded_packets: None,
            resumes_to_refuse: 0,
            unreachable: false,
            close_on_join: None,
            heartbeat_interval: HEARTBEAT,
            next_hello_interval: None,
            identifies: 0,
            resumes: 0,
            offered_modes: super::transport_cipher::ENCRYPTION_MODES.to_vec(),
            last_client: 0,
            last_ssrc: 1_000,
        }
    }

    pub(super) fn group_or_insert(&mut self, channel: u64, encrypted: bool) -> &mut DaveGroup {
        let group = self.groups.entry(channel);
        group.or_insert_with(|| DaveGroup::new(channel, encrypted))
    }

    /// A client that has identified itself. One with the same session has had its time.
    pub(super) fn add_client(&mut self, new: NewClient) -> u64 {
        assert!(self.clients.len() < MAX_CLIENTS, "too many voice clients");
        let old = self.clients.values();
        let old = old.filter(|it| it.user_id == new.user_id && it.guild_id == new.guild_id);
        for number in old.map(|it| it.number).collect::<Vec<_>>() {
            self.remove_client(number, Some(4_006));
        }
        self.last_client += 1;
        self.last_ssrc += 1;
        let number = self.last_client;
        let client = ConnectedClient {
            number,
            user_id: new.user_id,
            guild_id: new.guild_id,
            channel_id: new.channel_id,
            session_id: new.session_id,
            token: new.token,
            version: new.version,
            is_simulated: new.is_simulated,
            supports_dave: new.supports_dave,
            ssrc: self.last_ssrc,
            outgoing: Some(new.outgoing),
            sequence: 0,
            replay: VecDeque::new(),
            missed_dave_frames: false,
            in_call: false,
            speaking: None,
            mute: new.mute,
            deaf: new.deaf,
            cipher: None,
            udp_address: None,
            nonce: self.random.u32(..),
            link: LinkState::default(),
            reordered_datagram: None,
        };
        self.clients.insert(number, client);
        number
    }

    /// The handshake is done: the client learns who is there, and the others of it.
    pub(super) fn complete_handshake(&mut self, number: u64, description: &Value) {
        let Some(client) = self.clients.get_mut(&number) else {
            return;
        };
        client.in_call = true;
        let (user, channel) = (client.user_id, client.channel_id);
        let everybody: Vec<String> = self
            .clients_in_channel(channel)
            .map(|number| self.clients[&number].user_id.to_string())
            .collect();
        self.send(
            number,
            VoiceFrame::Json(op::CLIENTS_CONNECT, json!({"user_ids": everybody})),
        );
        self.send(
            number,
            VoiceFrame::Json(op::SESSION_DESCRIPTION, description.clone()),
        );
        let others: Vec<u64> = self
            .clients_in_channel(channel)
            .filter(|it| *it != number)
            .collect();
        for other in &others {
            let other = &self.clients[other];
            if let Some(flags) = other.speaking {
                let data = speaking_payload(other.user_id, other.ssrc, flags);
                self.send(number, VoiceFrame::Json(op::SPEAKING, data));
            }
        }
        let joined = json!({"user_ids": [user.to_string()]});
        for other in others {
            self.send(other, VoiceFrame::Json(op::CLIENTS_CONNECT, joined.clone()));
        }
        self.dave_client_joined(number);
    }

    /// A client is gone for good.
    pub(super) fn remove_client(&mut self, number: u64, code: Option<u16>) {
        let Some(client) = self.clients.remove(&number) else {
            return;
        };
        if let Some(out) = &client.outgoing {
            let out_now = code.map_or(VoiceOutput::Drop, VoiceOutput::Close);
            let due = Instant::now() + self.user_lag(client.user_id);
            let _ = out.try_send(ScheduledOutput {
                due,
                output: out_now,
            });
        }
        if !client.in_call {
            return;
        }
        let left = json!({"user_id": client.user_id.to_string()});
        let others: Vec<u64> = self.clients_in_channel(client.channel_id).collect();
        for other in others {
            self.send(other, VoiceFrame::Json(op::CLIENT_DISCONNECT, left.clone()));
        }
        self.dave_client_left(client.channel_id, client.user_id);
    }

    /// The clients of a user in a server.
    pub(super) fn remove_user(&mut self, guild: u64, user: u64, code: Option<u16>) {
        let all = self.clients.values();
        let theirs = all.filter(|it| it.guild_id == guild && it.user_id == user);
        for number in theirs.map(|it| it.number).collect::<Vec<_>>() {
            self.remove_client(number, code);
        }
    }

    /// Those whose handshake is done.
    pub(super) fn clients_in_channel(&self, channel: u64) -> impl Iterator<Item = u64> {
        let all = self.clients.values();
        let here = all.filter(move |it| it.channel_id == channel && it.in_call);
        here.map(|it| it.number).collect::<Vec<_>>().into_iter()
    }

    /// The client of a user in a channel, if their handshake is done.
    pub(super) fn client_of(&self, channel: u64, user: u64) -> Option<&ConnectedClient> {
        let mut all = self.clients.values();
        all.find(|it| it.channel_id == channel && it.user_id == user && it.in_call)
    }

    pub(super) fn client_lag(&self, number: u64) -> Duration {
        let user = self.clients.get(&number).map_or(0, |it| it.user_id);
        self.user_lag(user)
    }

    fn user_lag(&self, user: u64) -> Duration {
        self.gateway_lags.get(&user).copied().unwrap_or_default()
    }

    /// Sends a client something that it can be told again.
    pub(super) fn send(&mut self, number: u64, frame: VoiceFrame) {
        let Some(client) = self.clients.get_mut(&number) else {
            return;
        };
        client.sequence = client.sequence.wrapping_add(1);
        let sequence = client.sequence;
        if client.replay.len() >= MAX_REPLAY {
            client.replay.pop_front();
        }
        client.replay.push_back((sequence, frame.clone()));
        self.queue_frame(number, frame, Some(sequence));
    }

    fn queue_frame(&mut self, number: u64, frame: VoiceFrame, sequence: Option<u16>) {
        let Some(client) = self.clients.get(&number) else {
            return;
        };
        let due = Instant::now() + self.user_lag(client.user_id);
        let is_dave = frame.is_dave();
        let out = VoiceOutput::Frame(frame, sequence);
        let sent = client
            .outgoing
            .as_ref()
            .is_some_and(|to| to.try_send(ScheduledOutput { due, output: out }).is_ok());
        if !sent
            && is_dave
            && let Some(client) = self.clients.get_mut(&number)
        {
            client.missed_dave_frames = true;
        }
    }

    /// Does something to the connections of those clients.
    pub(super) fn queue_output(
        &mut self,
        which: impl Fn(&ConnectedClient) -> bool,
        make: impl Fn() -> VoiceOutput,
    ) {
        for client in self.clients.values().filter(|it| which(it)) {
            if let Some(out) = &client.outgoing {
                let due = Instant::now() + self.user_lag(client.user_id);
                let _ = out.try_send(ScheduledOutput {
                    due,
                    output: make(),
                });
            }
        }
    }

    /// A connection is gone, perhaps with frames about encryption still in it. The client may
    /// resume.
    pub(super) fn handle_disconnect(
        &mut self,
        number: u64,
        was: &mpsc::Sender<ScheduledOutput>,
        behind: bool,
    ) {
        if let Some(client) = self.clients.get_mut(&number)
            && client
                .outgoing
                .as_ref()
                .is_some_and(|it| it.same_channel(was))
        {
            client.outgoing = None;
            client.missed_dave_frames |= behind;
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
        out: &mpsc::Sender<ScheduledOutput>,
    ) -> Option<u64> {
        if self.resumes_to_refuse > 0 {
            self.resumes_to_refuse -= 1;
            return None;
        }
        let mut all = self.clients.values_mut();
        let fits = |it: &&mut ConnectedClient| {
            it.session_id == session && it.token == token && !it.is_simulated
        };
        let client = all.find(fits)?;
        client.outgoing = Some(out.clone());
        client.version = version;
        let number = client.number;
        let behind = std::mem::take(&mut client.missed_dave_frames);
        let missed: Vec<(u16, VoiceFrame)> = match seen {
            Some(seen) if replays_on_resume(version) => {
                let all = client.replay.iter();
                all.filter(|it| u64::from(it.0) > seen).cloned().collect()
            }
            _ => Vec::new(),
        };
        let replayed = replays_on_resume(version);
        for (sequence, frame) in missed {
            self.queue_frame(number, frame, Some(sequence));
        }
        self.queue_frame(number, VoiceFrame::Json(op::RESUMED, Value::Null), None);
        self.resumes += 1;
        if let Some(code) = self.close_on_join {
            self.queue_output(|it| it.number == number, || VoiceOutput::Close(code));
        }
        if behind && !replayed {
            self.dave_client_missed_frames(number);
        }
        Some(number)
    }
}

/// Whose SSRC it is.
pub(super) fn speaking_payload(user: u64, ssrc: u32, flags: u64) -> Value {
    json!({"user_id": user.to_string(), "ssrc": ssrc, "speaking": flags, "delay": 0})
}

impl VoiceServerState {
    /// Who is connected more than once is a mistake of ours.
    pub(super) fn users_in_channel(&self, channel: u64) -> HashSet<u64> {
        let all = self.clients.values();
        let here = all.filter(|it| it.channel_id == channel && it.in_call);
        here.map(|it| it.user_id).collect()
    }
}
