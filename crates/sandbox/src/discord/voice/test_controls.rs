//! What a test sees of the voice server, and what goes wrong on its orders.

use std::ops::Range;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::{Channel, Discord, TestUser, wait_for};
use super::frames::{VoiceFrame, VoiceOutput, op};
use super::network::VoiceNetwork;
use super::server_state::{ConnectedClient, speaking_payload};
use super::udp::OutgoingDatagram;

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
    pub is_connected: bool,
    /// Their handshake is done.
    pub is_in_call: bool,
    /// They have the keys that are in use, or none are needed.
    pub is_receiving: bool,
}

/// A packet that has been sent on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ForwardedPacket {
    /// Its stream.
    pub ssrc: u32,
    /// Its number in the stream.
    pub sequence: u16,
    /// When.
    pub forwarded_at: Instant,
}

impl Discord {
    /// Everybody who has identified at the voice server and not left for good.
    pub fn voice_clients(&self) -> Vec<VoiceClient> {
        let calls = self.state.voice.state();
        let all = calls.clients.values().map(|client| {
            let group = calls.groups.get(&client.channel_id);
            let settled = group.is_some_and(|it| it.is_settled_for(client.user_id));
            VoiceClient {
                user_id: client.user_id,
                channel_id: client.channel_id,
                ssrc: client.ssrc,
                is_connected: client.outgoing.as_ref().is_some_and(|it| !it.is_closed()),
                is_in_call: client.in_call,
                is_receiving: client.in_call && settled && !client.deaf,
            }
        });
        all.collect()
    }

    /// Waits until somebody is connected to the voice server in this channel with current keys.
    pub async fn wait_until_receiving(&self, user_id: u64, channel: &Channel) {
        let what = format!("{user_id} to hear what is said");
        let id = channel.id;
        wait_for(&self.state, what, || {
            let all = self.voice_clients();
            let hears = |it: &VoiceClient| {
                it.user_id == user_id && it.channel_id == id && it.is_connected && it.is_receiving
            };
            all.iter().any(hears).then_some(())
        })
        .await;
    }

    /// Waits until the bot is connected to the voice server in this channel with current keys.
    pub async fn wait_until_bot_receiving(&self, channel: &Channel) {
        self.wait_until_receiving(self.bot_id(), channel).await;
    }

    /// Whether the bot has a connection to the voice server.
    pub fn is_bot_in_call(&self) -> bool {
        let bot = self.bot_id();
        let all = self.voice_clients();
        all.iter()
            .any(|it| it.user_id == bot && it.is_connected && it.is_in_call)
    }

    /// Waits until the bot has no connection to the voice server.
    pub async fn wait_until_bot_left_call(&self) {
        wait_for(&self.state, "the bot to leave the call", || {
            (!self.is_bot_in_call()).then_some(())
        })
        .await;
    }

    /// How many packets of a person have been sent on to the bot. What the network lost does not
    /// count.
    pub fn packets_forwarded_to_bot(&self, from: &TestUser) -> usize {
        self.packets_forwarded(from.id(), self.bot_id())
    }

    /// How many packets of one user have been sent on to another one.
    pub fn packets_forwarded(&self, from: u64, to: u64) -> usize {
        let calls = self.state.voice.state();
        calls
            .forwarded_counts
            .get(&(from, to))
            .copied()
            .unwrap_or(0)
    }

    /// Remembers from now on which packets are sent on to clients of somebody else's making.
    pub fn record_forwarded_packets(&self) {
        self.state
            .voice
            .state()
            .forwarded_packets
            .get_or_insert_default();
    }

    /// The packets of one user that have been sent on to another one since they are remembered, in
    /// order. Those that were sent twice stand there once.
    pub fn forwarded_packets(&self, from: u64, to: u64) -> Vec<ForwardedPacket> {
        let calls = self.state.voice.state();
        let all = calls.forwarded_packets.as_ref();
        all.and_then(|it| it.get(&(from, to)))
            .cloned()
            .unwrap_or_default()
    }

    /// Waits until so many packets of a person have been sent on to the bot.
    pub async fn wait_for_packets_forwarded_to_bot(&self, from: &TestUser, count: usize) {
        wait_for(&self.state, "packets for the bot", || {
            (self.packets_forwarded_to_bot(from) >= count).then_some(())
        })
        .await;
    }

    /// How often somebody identified at the voice server, and how often somebody resumed. People
    /// of the sandbox don't count.
    pub fn voice_identify_and_resume_counts(&self) -> (usize, usize) {
        let calls = self.state.voice.state();
        (calls.identifies, calls.resumes)
    }

    /// Waits until so many have identified, and resumed, at the voice server.
    pub async fn wait_for_voice_identify_and_resume(&self, enough: impl Fn(usize, usize) -> bool) {
        wait_for(&self.state, "logins at the voice server", || {
            let (identifies, resumes) = self.voice_identify_and_resume_counts();
            enough(identifies, resumes).then_some(())
        })
        .await;
    }

    /// How good the way from the voice server to its clients is from now on.
    pub fn voice_network(&self, network: VoiceNetwork) {
        self.state.voice.state().network = network;
    }

    /// What chance in the voice server follows.
    pub fn set_voice_network_seed(&self, seed: u64) {
        self.state.voice.state().random.seed(seed);
    }

    /// Frames for the bot leave the voice gateway so much later from now on.
    pub fn set_bot_voice_gateway_lag(&self, lag: Duration) {
        self.set_voice_gateway_lag_of(self.bot_id(), lag);
    }

    /// Frames for a user leave the voice gateway so much later from now on.
    pub fn set_voice_gateway_lag_of(&self, user_id: u64, lag: Duration) {
        self.state.voice.state().gateway_lags.insert(user_id, lag);
    }

    /// How often clients of the voice server shall send a heartbeat. Who sends none for twice as
    /// long is closed with 4009. It counts for new connections.
    pub fn set_voice_heartbeat_interval(&self, interval: Duration) {
        self.state.voice.state().heartbeat_interval = interval;
    }

    /// Only these transport ciphers are offered, by their names.
    pub fn set_voice_encryption_modes(&self, modes: &[&'static str]) {
        self.state.voice.state().offered_modes = modes.to_vec();
    }

    fn queue_output_for(&self, user_id: u64, make: impl Fn() -> VoiceOutput) {
        self.state
            .voice
            .state()
            .queue_output(|it| it.user_id == user_id, make);
    }

    /// The voice gateway closes the bot's connection with this code.
    pub fn close_bot_voice(&self, code: u16) {
        self.close_voice_of(self.bot_id(), code);
    }

    /// The voice gateway closes a user's connection with this code.
    pub fn close_voice_of(&self, user_id: u64, code: u16) {
        self.queue_output_for(user_id, || VoiceOutput::Close(code));
    }

    /// The bot's connection to the voice gateway is reset.
    pub fn reset_bot_voice(&self) {
        self.reset_voice_of(self.bot_id());
    }

    /// A user's connection to the voice gateway is reset.
    pub fn reset_voice_of(&self, user_id: u64) {
        self.queue_output_for(user_id, || VoiceOutput::Reset);
    }

    /// The bot's connection to the voice gateway ends without a word.
    pub fn drop_bot_voice(&self) {
        self.drop_voice_of(self.bot_id());
    }

    /// A user's connection to the voice gateway ends without a word.
    pub fn drop_voice_of(&self, user_id: u64) {
        self.queue_output_for(user_id, || VoiceOutput::Drop);
    }

    /// The voice gateway neither reads nor writes, and no packets are read, but connections stay.
    pub fn set_voice_frozen(&self, frozen: bool) {
        self.state.voice.frozen.send_replace(frozen);
    }

    /// The voice server is gone, with all connections to it, or back. People stay in their calls.
    pub fn set_voice_unreachable(&self, gone: bool) {
        let mut calls = self.state.voice.state();
        calls.unreachable = gone;
        if gone {
            calls.queue_output(|it| !it.is_simulated, || VoiceOutput::Drop);
        }
    }

    /// The voice server lets everybody in, and closes them at once with this code; none: no more.
    pub fn set_close_voice_on_join(&self, code: Option<u16>) {
        self.state.voice.state().close_on_join = code;
    }

    /// The voice server starts anew: connections break, and nobody can resume.
    pub fn restart_voice(&self) {
        let mut calls = self.state.voice.state();
        let outside = calls.clients.values().filter(|it| !it.is_simulated);
        for number in outside.map(|it| it.number).collect::<Vec<_>>() {
            calls.remove_client(number, None);
        }
    }

    /// So many attempts to resume at the voice gateway are refused from now on.
    pub fn refuse_voice_resumes(&self, times: usize) {
        self.state.voice.state().resumes_to_refuse = times;
    }

    /// The next HELLO of the voice gateway has this in place of the heartbeat's interval.
    pub fn set_next_voice_hello_interval(&self, value: Value) {
        self.state.voice.state().next_hello_interval = Some(value);
    }

    /// Sends the bot these bytes from the voice server's address. True if it has an address.
    pub fn send_datagram_to_bot(&self, bytes: &[u8]) -> bool {
        self.send_datagram_to(self.bot_id(), bytes)
    }

    /// Sends a user these bytes from the voice server's address. True if they have an address.
    pub fn send_datagram_to(&self, user_id: u64, bytes: &[u8]) -> bool {
        let datagram = bytes.to_vec();
        self.send_datagram_from(user_id, |client| {
            let (to, delay) = (client.udp_address?, Duration::ZERO);
            Some(OutgoingDatagram {
                to,
                datagram,
                delay,
            })
        })
    }

    /// Sends the bot a packet in order as far as transport goes: what is behind the header is
    /// encrypted with the bot's own key.
    pub fn send_packet_to_bot(&self, header: &[u8], body: &[u8]) -> bool {
        self.send_packet_to(self.bot_id(), header, body)
    }

    /// Sends a user a packet in order as far as transport goes: what is behind the header is
    /// encrypted with the user's own key.
    pub fn send_packet_to(&self, user_id: u64, header: &[u8], body: &[u8]) -> bool {
        self.send_datagram_from(user_id, |client| client.encrypt_packet(header, body))
    }

    fn send_datagram_from(
        &self,
        user: u64,
        make: impl FnOnce(&mut ConnectedClient) -> Option<OutgoingDatagram>,
    ) -> bool {
        let post = {
            let mut calls = self.state.voice.state();
            let mut all = calls.clients.values_mut();
            let client = all.find(|it| it.user_id == user && it.in_call);
            client.and_then(make)
        };
        let sent = post.is_some();
        self.state.send_datagrams(post.into_iter().collect());
        sent
    }

    /// Sends the bot packets of so many streams that nobody has announced.
    pub fn flood_bot_with_streams(&self, count: u32) {
        self.flood_with_streams(self.bot_id(), 0..count);
    }

    /// Sends a user a packet of each of these streams, by their number, that nobody has announced.
    pub fn flood_with_streams(&self, user_id: u64, streams: Range<u32>) {
        for stream in streams {
            let header = rtp_header(1, 960, FIRST_UNKNOWN_SSRC.wrapping_add(stream));
            self.send_packet_to(user_id, &header, &[0xf8, 0xff, 0xfe]);
        }
    }

    /// Sends the bot a frame of the voice gateway.
    pub fn send_voice_frame_to_bot(&self, opcode: u8, data: &Value) {
        self.send_voice_frame_to(self.bot_id(), opcode, data);
    }

    /// Sends a user a frame of the voice gateway.
    pub fn send_voice_frame_to(&self, user_id: u64, opcode: u8, data: &Value) {
        self.send_frame_to(user_id, &VoiceFrame::Json(opcode, data.clone()));
    }

    /// Sends the bot a binary frame of the voice gateway.
    pub fn send_voice_bytes_to_bot(&self, opcode: u8, bytes: &[u8]) {
        self.send_voice_bytes_to(self.bot_id(), opcode, bytes);
    }

    /// Sends a user a binary frame of the voice gateway, numbered if their version numbers them.
    pub fn send_voice_bytes_to(&self, user_id: u64, opcode: u8, bytes: &[u8]) {
        self.send_frame_to(user_id, &VoiceFrame::Binary(opcode, bytes.to_vec()));
    }

    /// Sends a user text that need not be a frame of the voice gateway.
    pub fn send_voice_text_to(&self, user_id: u64, text: &str) {
        self.send_frame_to(user_id, &VoiceFrame::Text(text.to_owned()));
    }

    /// Tells the bot that a user speaks with this SSRC, true or not.
    pub fn announce_speaker_to_bot(&self, user_id: u64, ssrc: u32) {
        self.announce_speaker_to(self.bot_id(), user_id, ssrc);
    }

    /// Tells a listener that a user speaks with this SSRC, true or not.
    pub fn announce_speaker_to(&self, listener: u64, user_id: u64, ssrc: u32) {
        let data = speaking_payload(user_id, ssrc, 1);
        self.send_voice_frame_to(listener, op::SPEAKING, &data);
    }

    fn send_frame_to(&self, user: u64, frame: &VoiceFrame) {
        let mut calls = self.state.voice.state();
        let theirs = calls.clients.values().filter(|it| it.user_id == user);
        for number in theirs.map(|it| it.number).collect::<Vec<_>>() {
            calls.send(number, frame.clone());
        }
    }
}

/// The first SSRC of nobody.
const FIRST_UNKNOWN_SSRC: u32 = 0x8000_0000;

/// The head of an RTP packet with Opus.
fn rtp_header(sequence: u16, timestamp: u32, ssrc: u32) -> Vec<u8> {
    let mut header = vec![0x80, 0x78];
    header.extend(sequence.to_be_bytes());
    header.extend(timestamp.to_be_bytes());
    header.extend(ssrc.to_be_bytes());
    header
}
