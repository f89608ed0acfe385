//! What a test sees of the voice server, and what goes wrong on its orders.

use std::ops::Range;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::{Channel, Discord, Person, wait};
use super::call::{Client, speaking};
use super::network::VoiceNetwork;
use super::udp::Post;
use super::wire::{Frame, Out, op};

/// Somebody who is connected to the voice server.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct VoiceClient {
    /// Who it is.
    pub user_id: u64,
    /// Where.
    pub channel_id: u64,
    /// Whose packets are theirs.
    pub ssrc: u32,
    /// Their socket is open.
    pub connected: bool,
    /// Their handshake is done.
    pub in_call: bool,
    /// They have the keys that are in use, or none are needed.
    pub hears: bool,
}

/// A packet that has been sent on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Passed {
    /// Its stream.
    pub ssrc: u32,
    /// Its number in the stream.
    pub sequence: u16,
    /// When.
    pub at: Instant,
}

impl Discord {
    /// Everybody who has identified at the voice server and not left for good.
    pub fn voice_clients(&self) -> Vec<VoiceClient> {
        let calls = self.state.voice.calls();
        let all = calls.clients.values().map(|client| {
            let group = calls.groups.get(&client.channel);
            let settled = group.is_some_and(|it| it.is_settled_for(client.user));
            VoiceClient {
                user_id: client.user,
                channel_id: client.channel,
                ssrc: client.ssrc,
                connected: client.out.as_ref().is_some_and(|it| !it.is_closed()),
                in_call: client.in_call,
                hears: client.in_call && settled && !client.deaf,
            }
        });
        all.collect()
    }

    /// Waits until somebody is connected to the voice server in this channel with current keys.
    pub async fn until_hears(&self, user_id: u64, channel: &Channel) {
        let what = format!("{user_id} to hear what is said");
        let id = channel.id;
        wait(&self.state, what, || {
            let all = self.voice_clients();
            let hears = |it: &VoiceClient| {
                it.user_id == user_id && it.channel_id == id && it.connected && it.hears
            };
            all.iter().any(hears).then_some(())
        })
        .await;
    }

    /// Waits until the bot is connected to the voice server in this channel with current keys.
    pub async fn until_bot_hears(&self, channel: &Channel) {
        self.until_hears(self.bot_id(), channel).await;
    }

    /// Whether the bot has a connection to the voice server.
    pub fn bot_in_call(&self) -> bool {
        let bot = self.bot_id();
        let all = self.voice_clients();
        all.iter()
            .any(|it| it.user_id == bot && it.connected && it.in_call)
    }

    /// Waits until the bot has no connection to the voice server.
    pub async fn until_bot_out_of_call(&self) {
        wait(&self.state, "the bot to leave the call", || {
            (!self.bot_in_call()).then_some(())
        })
        .await;
    }

    /// How many packets of a person have been sent on to the bot. What the network lost does not
    /// count.
    pub fn forwarded_to_bot(&self, from: &Person) -> usize {
        self.forwarded(from.id(), self.bot_id())
    }

    /// How many packets of one user have been sent on to another one.
    pub fn forwarded(&self, from: u64, to: u64) -> usize {
        let calls = self.state.voice.calls();
        calls.forwarded.get(&(from, to)).copied().unwrap_or(0)
    }

    /// Remembers from now on which packets are sent on to clients of somebody else's making.
    pub fn remembers_forwarded(&self) {
        self.state.voice.calls().passed.get_or_insert_default();
    }

    /// The packets of one user that have been sent on to another one since they are remembered, in
    /// order. Those that were sent twice stand there once.
    pub fn remembered(&self, from: u64, to: u64) -> Vec<Passed> {
        let calls = self.state.voice.calls();
        let all = calls.passed.as_ref();
        all.and_then(|it| it.get(&(from, to)))
            .cloned()
            .unwrap_or_default()
    }

    /// Waits until so many packets of a person have been sent on to the bot.
    pub async fn until_forwarded_to_bot(&self, from: &Person, count: usize) {
        wait(&self.state, "packets for the bot", || {
            (self.forwarded_to_bot(from) >= count).then_some(())
        })
        .await;
    }

    /// How often somebody identified at the voice server, and how often somebody resumed. People
    /// of the sandbox don't count.
    pub fn voice_logins(&self) -> (usize, usize) {
        let calls = self.state.voice.calls();
        (calls.identifies, calls.resumes)
    }

    /// Waits until so many have identified, and resumed, at the voice server.
    pub async fn until_voice_logins(&self, enough: impl Fn(usize, usize) -> bool) {
        wait(&self.state, "logins at the voice server", || {
            let (identifies, resumes) = self.voice_logins();
            enough(identifies, resumes).then_some(())
        })
        .await;
    }

    /// How good the way from the voice server to its clients is from now on.
    pub fn voice_network(&self, network: VoiceNetwork) {
        self.state.voice.calls().network = network;
    }

    /// What chance in the voice server follows.
    pub fn voice_seed(&self, seed: u64) {
        self.state.voice.calls().random.seed(seed);
    }

    /// Frames for the bot leave the voice gateway so much later from now on.
    pub fn lags_voice(&self, lag: Duration) {
        self.lags_voice_of(self.bot_id(), lag);
    }

    /// Frames for a user leave the voice gateway so much later from now on.
    pub fn lags_voice_of(&self, user_id: u64, lag: Duration) {
        self.state.voice.calls().lags.insert(user_id, lag);
    }

    /// How often clients of the voice server shall send a heartbeat. Who sends none for twice as
    /// long is closed with 4009. It counts for new connections.
    pub fn voice_heartbeat(&self, interval: Duration) {
        self.state.voice.calls().heartbeat = interval;
    }

    /// Only these transport ciphers are offered, by their names.
    pub fn offers_voice_modes(&self, modes: &[&'static str]) {
        self.state.voice.calls().modes = modes.to_vec();
    }

    fn acts_on(&self, user_id: u64, make: impl Fn() -> Out) {
        self.state.voice.calls().act(|it| it.user == user_id, make);
    }

    /// The voice gateway closes the bot's connection with this code.
    pub fn closes_voice(&self, code: u16) {
        self.closes_voice_of(self.bot_id(), code);
    }

    /// The voice gateway closes a user's connection with this code.
    pub fn closes_voice_of(&self, user_id: u64, code: u16) {
        self.acts_on(user_id, || Out::Close(code));
    }

    /// The bot's connection to the voice gateway is reset.
    pub fn resets_voice(&self) {
        self.resets_voice_of(self.bot_id());
    }

    /// A user's connection to the voice gateway is reset.
    pub fn resets_voice_of(&self, user_id: u64) {
        self.acts_on(user_id, || Out::Reset);
    }

    /// The bot's connection to the voice gateway ends without a word.
    pub fn cuts_voice(&self) {
        self.cuts_voice_of(self.bot_id());
    }

    /// A user's connection to the voice gateway ends without a word.
    pub fn cuts_voice_of(&self, user_id: u64) {
        self.acts_on(user_id, || Out::Cut);
    }

    /// The voice gateway neither reads nor writes, and no packets are read, but connections stay.
    pub fn freezes_voice(&self, frozen: bool) {
        self.state.voice.frozen.send_replace(frozen);
    }

    /// The voice server is gone, with all connections to it, or back. People stay in their calls.
    pub fn voice_unreachable(&self, gone: bool) {
        let mut calls = self.state.voice.calls();
        calls.unreachable = gone;
        if gone {
            calls.act(|it| !it.inside, || Out::Cut);
        }
    }

    /// The voice server lets everybody in, and closes them at once with this code; none: no more.
    pub fn closes_voice_at_once(&self, code: Option<u16>) {
        self.state.voice.calls().closes_entered = code;
    }

    /// The voice server starts anew: connections break, and nobody can resume.
    pub fn restarts_voice(&self) {
        let mut calls = self.state.voice.calls();
        let outside = calls.clients.values().filter(|it| !it.inside);
        for number in outside.map(|it| it.number).collect::<Vec<_>>() {
            calls.remove(number, None);
        }
    }

    /// So many attempts to resume at the voice gateway are refused from now on.
    pub fn refuses_voice_resumes(&self, times: usize) {
        self.state.voice.calls().refuse_resumes = times;
    }

    /// The next HELLO of the voice gateway has this in place of the heartbeat's interval.
    pub fn next_voice_heartbeat_reads(&self, value: Value) {
        self.state.voice.calls().false_heartbeat = Some(value);
    }

    /// Sends the bot these bytes from the voice server's address. True if it has an address.
    pub fn sends_bot_datagram(&self, bytes: &[u8]) -> bool {
        self.sends_datagram_to(self.bot_id(), bytes)
    }

    /// Sends a user these bytes from the voice server's address. True if they have an address.
    pub fn sends_datagram_to(&self, user_id: u64, bytes: &[u8]) -> bool {
        let datagram = bytes.to_vec();
        self.posts_to(user_id, |client| {
            let (to, delay) = (client.address?, Duration::ZERO);
            Some(Post {
                to,
                datagram,
                delay,
            })
        })
    }

    /// Sends the bot a packet in order as far as transport goes: what is behind the header is
    /// encrypted with the bot's own key.
    pub fn sends_bot_packet(&self, header: &[u8], body: &[u8]) -> bool {
        self.sends_packet_to(self.bot_id(), header, body)
    }

    /// Sends a user a packet in order as far as transport goes: what is behind the header is
    /// encrypted with the user's own key.
    pub fn sends_packet_to(&self, user_id: u64, header: &[u8], body: &[u8]) -> bool {
        self.posts_to(user_id, |client| client.sealed(header, body))
    }

    fn posts_to(&self, user: u64, make: impl FnOnce(&mut Client) -> Option<Post>) -> bool {
        let post = {
            let mut calls = self.state.voice.calls();
            let mut all = calls.clients.values_mut();
            let client = all.find(|it| it.user == user && it.in_call);
            client.and_then(make)
        };
        let sent = post.is_some();
        self.state.post(post.into_iter().collect());
        sent
    }

    /// Sends the bot packets of so many streams that nobody has announced.
    pub fn floods_bot_with_streams(&self, count: u32) {
        self.floods_with_streams_to(self.bot_id(), 0..count);
    }

    /// Sends a user a packet of each of these streams, by their number, that nobody has announced.
    pub fn floods_with_streams_to(&self, user_id: u64, streams: Range<u32>) {
        for stream in streams {
            let header = rtp_header(1, 960, FALSE_SSRC.wrapping_add(stream));
            self.sends_packet_to(user_id, &header, &[0xf8, 0xff, 0xfe]);
        }
    }

    /// Sends the bot a frame of the voice gateway.
    pub fn sends_bot_voice_frame(&self, opcode: u8, data: &Value) {
        self.sends_voice_frame_to(self.bot_id(), opcode, data);
    }

    /// Sends a user a frame of the voice gateway.
    pub fn sends_voice_frame_to(&self, user_id: u64, opcode: u8, data: &Value) {
        self.frames_to(user_id, &Frame::Json(opcode, data.clone()));
    }

    /// Sends the bot a binary frame of the voice gateway.
    pub fn sends_bot_voice_bytes(&self, opcode: u8, bytes: &[u8]) {
        self.sends_voice_bytes_to(self.bot_id(), opcode, bytes);
    }

    /// Sends a user a binary frame of the voice gateway, numbered if their version numbers them.
    pub fn sends_voice_bytes_to(&self, user_id: u64, opcode: u8, bytes: &[u8]) {
        self.frames_to(user_id, &Frame::Binary(opcode, bytes.to_vec()));
    }

    /// Sends a user text that need not be a frame of the voice gateway.
    pub fn sends_voice_text_to(&self, user_id: u64, text: &str) {
        self.frames_to(user_id, &Frame::Text(text.to_owned()));
    }

    /// Tells the bot that a user speaks with this SSRC, true or not.
    pub fn tells_bot_of_speaker(&self, user_id: u64, ssrc: u32) {
        self.tells_of_speaker(self.bot_id(), user_id, ssrc);
    }

    /// Tells a listener that a user speaks with this SSRC, true or not.
    pub fn tells_of_speaker(&self, listener: u64, user_id: u64, ssrc: u32) {
        let data = speaking(user_id, ssrc, 1);
        self.sends_voice_frame_to(listener, op::SPEAKING, &data);
    }

    fn frames_to(&self, user: u64, frame: &Frame) {
        let mut calls = self.state.voice.calls();
        let theirs = calls.clients.values().filter(|it| it.user == user);
        for number in theirs.map(|it| it.number).collect::<Vec<_>>() {
            calls.send(number, frame.clone());
        }
    }
}

/// The first SSRC of nobody.
const FALSE_SSRC: u32 = 0x8000_0000;

/// The head of an RTP packet with Opus.
fn rtp_header(sequence: u16, timestamp: u32, ssrc: u32) -> Vec<u8> {
    let mut header = vec![0x80, 0x78];
    header.extend(sequence.to_be_bytes());
    header.extend(timestamp.to_be_bytes());
    header.extend(ssrc.to_be_bytes());
    header
}
