//! Packets: who a client's own address is, and speech from one to all others.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;

use super::super::rest_api::DiscordState;
use super::VoiceServer;
use super::network::PacketFate;
use super::server_state::VoiceServerState;
use super::test_controls::ForwardedPacket;

/// The largest datagram that is read.
const MAX_DATAGRAM: usize = 2_048;

/// A request to discover one's own address, and its answer.
const IP_DISCOVERY_LEN: usize = 74;

/// The head of an RTP packet without extensions.
const RTP_HEADER_LEN: usize = 12;

/// The second byte of an RTP packet with Opus.
const OPUS_PAYLOAD_TYPE: u8 = 0x78;

/// A datagram on its way.
#[derive(Clone, Debug)]
pub(super) struct OutgoingDatagram {
    pub(super) to: SocketAddr,
    pub(super) datagram: Vec<u8>,
    pub(super) delay: Duration,
}

/// Reads datagrams until dropped.
pub(super) async fn serve(socket: UdpSocket, state: Arc<DiscordState>) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        // Errors are those of earlier sends, to sockets that are closed by now.
        if let Ok((length, from)) = socket.recv_from(&mut buffer).await
            && !*state.voice.frozen.borrow()
        {
            state.handle_datagram(&buffer[..length], from);
        }
    }
}

impl DiscordState {
    fn handle_datagram(self: &Arc<Self>, datagram: &[u8], from: SocketAddr) {
        if datagram.len() == IP_DISCOVERY_LEN && datagram.starts_with(&[0, 1]) {
            let mut answer = datagram.to_vec();
            answer[1] = 2;
            let address = from.ip().to_string();
            answer[8..72].fill(0);
            answer[8..8 + address.len()].copy_from_slice(address.as_bytes());
            answer[72..].copy_from_slice(&from.port().to_be_bytes());
            let delay = Duration::ZERO;
            let datagram = answer;
            return self.send_datagrams(vec![OutgoingDatagram {
                to: from,
                datagram,
                delay,
            }]);
        }
        // Shorter ones keep the way open through somebody's router.
        let opened = self.voice.state().decrypt_packet(datagram, from);
        if let Some((number, header, body)) = opened {
            self.forward_packet(number, &header, &body);
        }
    }

    /// Passes one packet of a client on to everybody else in its channel.
    pub(super) fn forward_packet(self: &Arc<Self>, from: u64, header: &[u8], body: &[u8]) {
        let posts = self.voice.state().forwarded_datagrams(from, header, body);
        self.send_datagrams(posts);
    }

    /// Puts datagrams on the wire, now or later.
    pub(super) fn send_datagrams(self: &Arc<Self>, posts: Vec<OutgoingDatagram>) {
        for post in posts {
            if post.delay.is_zero() {
                self.voice.send_datagram(&post);
                continue;
            }
            let state = Arc::clone(self);
            self.voice.spawn(async move {
                tokio::time::sleep(post.delay).await;
                state.voice.send_datagram(&post);
            });
        }
    }
}

impl VoiceServer {
    fn send_datagram(&self, post: &OutgoingDatagram) {
        if let Some(udp) = self.udp.get() {
            // What a full buffer does not take is lost, as it is on any network.
            let _ = udp.send_to(&post.datagram, post.to);
        }
    }
}

/// Where the part of a packet begins that is encrypted: behind the extension's own head.
fn encrypted_offset(datagram: &[u8]) -> Option<usize> {
    if datagram.len() < RTP_HEADER_LEN
        || datagram[0] >> 6 != 2
        || datagram[1] & 0x7f != OPUS_PAYLOAD_TYPE
    {
        return None;
    }
    let sources = usize::from(datagram[0] & 0x0f) * 4;
    let extension = if datagram[0] & 0x10 != 0 { 4 } else { 0 };
    Some(RTP_HEADER_LEN + sources + extension).filter(|length| *length <= datagram.len())
}

/// What is remembered of a packet with this header.
fn forwarded_packet(header: &[u8]) -> Option<ForwardedPacket> {
    Some(ForwardedPacket {
        ssrc: u32::from_be_bytes(header.get(8..RTP_HEADER_LEN)?.try_into().ok()?),
        sequence: u16::from_be_bytes(header.get(2..4)?.try_into().ok()?),
        forwarded_at: Instant::now(),
    })
}

impl VoiceServerState {
    /// What a client has sent, if it is its own and in order.
    fn decrypt_packet(&self, datagram: &[u8], from: SocketAddr) -> Option<(u64, Vec<u8>, Vec<u8>)> {
        let length = encrypted_offset(datagram)?;
        let ssrc = u32::from_be_bytes(datagram[8..RTP_HEADER_LEN].try_into().ok()?);
        let mut all = self.clients.values();
        let client = all.find(|it| it.ssrc == ssrc && it.udp_address == Some(from))?;
        let body = client.cipher.as_ref()?.decrypt(datagram, length)?;
        Some((client.number, datagram[..length].to_vec(), body))
    }

    fn forwarded_datagrams(
        &mut self,
        from: u64,
        header: &[u8],
        body: &[u8],
    ) -> Vec<OutgoingDatagram> {
        let Some(sender) = self.clients.get(&from) else {
            return Vec::new();
        };
        if sender.mute || !sender.in_call {
            return Vec::new();
        }
        let (user, channel) = (sender.user_id, sender.channel_id);
        let others: Vec<u64> = self
            .clients_in_channel(channel)
            .filter(|it| *it != from)
            .collect();
        let mut posts = Vec::new();
        for other in others {
            self.deliver_to(other, user, header, body, &mut posts);
        }
        posts
    }

    fn deliver_to(
        &mut self,
        number: u64,
        from: u64,
        header: &[u8],
        body: &[u8],
        posts: &mut Vec<OutgoingDatagram>,
    ) {
        let Some(client) = self.clients.get_mut(&number) else {
            return;
        };
        if client.deaf {
            return;
        }
        if client.is_simulated {
            *self
                .forwarded_counts
                .entry((from, client.user_id))
                .or_default() += 1;
            return;
        }
        let fate = self
            .network
            .draw_packet_fate(&mut client.link, &mut self.random);
        if fate == PacketFate::Lost {
            return;
        }
        let Some(post) = client.encrypt_packet(header, body) else {
            return;
        };
        *self
            .forwarded_counts
            .entry((from, client.user_id))
            .or_default() += 1;
        if let (Some(passed), Some(passing)) =
            (&mut self.forwarded_packets, forwarded_packet(header))
        {
            passed
                .entry((from, client.user_id))
                .or_default()
                .push(passing);
        }
        let held = client.reordered_datagram.take();
        match fate {
            PacketFate::Reordered => client.reordered_datagram = Some(post),
            PacketFate::Delivered { copies, delay } => {
                let post = OutgoingDatagram { delay, ..post };
                posts.extend(std::iter::repeat_n(post, copies));
            }
            PacketFate::Lost => {}
        }
        posts.extend(held);
    }
}

impl super::server_state::ConnectedClient {
    /// A packet under the client's own key.
    pub(super) fn encrypt_packet(
        &mut self,
        header: &[u8],
        body: &[u8],
    ) -> Option<OutgoingDatagram> {
        let (cipher, to) = (self.cipher.as_ref()?, self.udp_address?);
        self.nonce = self.nonce.wrapping_add(1);
        Some(OutgoingDatagram {
            to,
            datagram: cipher.encrypt(header, body, self.nonce),
            delay: Duration::ZERO,
        })
    }
}
