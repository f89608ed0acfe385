//! Packets: who a client's own address is, and speech from one to all others.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;

use super::super::rest::State;
use super::Voice;
use super::call::Calls;
use super::faults::Passed;
use super::network::Fate;

/// The largest datagram that is read.
const MAX_DATAGRAM: usize = 2_048;

/// A request to discover one's own address, and its answer.
const DISCOVERY: usize = 74;

/// The head of an RTP packet without extensions.
const RTP: usize = 12;

/// The second byte of an RTP packet with Opus.
const OPUS: u8 = 0x78;

/// A datagram on its way.
#[derive(Clone, Debug)]
pub(super) struct Post {
    pub(super) to: SocketAddr,
    pub(super) datagram: Vec<u8>,
    pub(super) delay: Duration,
}

/// Reads datagrams until dropped.
pub(super) async fn serve(socket: UdpSocket, state: Arc<State>) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        // Errors are those of earlier sends, to sockets that are closed by now.
        if let Ok((length, from)) = socket.recv_from(&mut buffer).await
            && !*state.voice.frozen.borrow()
        {
            state.datagram(&buffer[..length], from);
        }
    }
}

impl State {
    fn datagram(self: &Arc<Self>, datagram: &[u8], from: SocketAddr) {
        if datagram.len() == DISCOVERY && datagram.starts_with(&[0, 1]) {
            let mut answer = datagram.to_vec();
            answer[1] = 2;
            let address = from.ip().to_string();
            answer[8..72].fill(0);
            answer[8..8 + address.len()].copy_from_slice(address.as_bytes());
            answer[72..].copy_from_slice(&from.port().to_be_bytes());
            let delay = Duration::ZERO;
            let datagram = answer;
            return self.post(vec![Post {
                to: from,
                datagram,
                delay,
            }]);
        }
        // Shorter ones keep the way open through somebody's router.
        let opened = self.voice.calls().open(datagram, from);
        if let Some((number, header, body)) = opened {
            self.forward(number, &header, &body);
        }
    }

    /// Passes one packet of a client on to everybody else in its channel.
    pub(super) fn forward(self: &Arc<Self>, from: u64, header: &[u8], body: &[u8]) {
        let posts = self.voice.calls().forward(from, header, body);
        self.post(posts);
    }

    /// Puts datagrams on the wire, now or later.
    pub(super) fn post(self: &Arc<Self>, posts: Vec<Post>) {
        for post in posts {
            if post.delay.is_zero() {
                self.voice.put(&post);
                continue;
            }
            let state = Arc::clone(self);
            self.voice.spawn(async move {
                tokio::time::sleep(post.delay).await;
                state.voice.put(&post);
            });
        }
    }
}

impl Voice {
    fn put(&self, post: &Post) {
        if let Some(udp) = self.udp.get() {
            // What a full buffer does not take is lost, as it is on any network.
            let _ = udp.send_to(&post.datagram, post.to);
        }
    }
}

/// Where the part of a packet begins that is encrypted: behind the extension's own head.
fn header_length(datagram: &[u8]) -> Option<usize> {
    if datagram.len() < RTP || datagram[0] >> 6 != 2 || datagram[1] & 0x7f != OPUS {
        return None;
    }
    let sources = usize::from(datagram[0] & 0x0f) * 4;
    let extension = if datagram[0] & 0x10 != 0 { 4 } else { 0 };
    Some(RTP + sources + extension).filter(|length| *length <= datagram.len())
}

/// What is remembered of a packet with this header.
fn passing(header: &[u8]) -> Option<Passed> {
    Some(Passed {
        ssrc: u32::from_be_bytes(header.get(8..RTP)?.try_into().ok()?),
        sequence: u16::from_be_bytes(header.get(2..4)?.try_into().ok()?),
        at: Instant::now(),
    })
}

impl Calls {
    /// What a client has sent, if it is its own and in order.
    fn open(&self, datagram: &[u8], from: SocketAddr) -> Option<(u64, Vec<u8>, Vec<u8>)> {
        let length = header_length(datagram)?;
        let ssrc = u32::from_be_bytes(datagram[8..RTP].try_into().ok()?);
        let mut all = self.clients.values();
        let client = all.find(|it| it.ssrc == ssrc && it.address == Some(from))?;
        let body = client.cipher.as_ref()?.open(datagram, length)?;
        Some((client.number, datagram[..length].to_vec(), body))
    }

    fn forward(&mut self, from: u64, header: &[u8], body: &[u8]) -> Vec<Post> {
        let Some(sender) = self.clients.get(&from) else {
            return Vec::new();
        };
        if sender.mute || !sender.in_call {
            return Vec::new();
        }
        let (user, channel) = (sender.user, sender.channel);
        let others: Vec<u64> = self.in_channel(channel).filter(|it| *it != from).collect();
        let mut posts = Vec::new();
        for other in others {
            self.deliver(other, user, header, body, &mut posts);
        }
        posts
    }

    fn deliver(
        &mut self,
        number: u64,
        from: u64,
        header: &[u8],
        body: &[u8],
        posts: &mut Vec<Post>,
    ) {
        let Some(client) = self.clients.get_mut(&number) else {
            return;
        };
        if client.deaf {
            return;
        }
        if client.inside {
            *self.forwarded.entry((from, client.user)).or_default() += 1;
            return;
        }
        let fate = self.network.fate(&mut client.way, &mut self.random);
        if fate == Fate::Lost {
            return;
        }
        let Some(post) = client.sealed(header, body) else {
            return;
        };
        *self.forwarded.entry((from, client.user)).or_default() += 1;
        if let (Some(passed), Some(passing)) = (&mut self.passed, passing(header)) {
            passed.entry((from, client.user)).or_default().push(passing);
        }
        let held = client.held.take();
        match fate {
            Fate::Swapped => client.held = Some(post),
            Fate::Sent { copies, delay } => {
                let post = Post { delay, ..post };
                posts.extend(std::iter::repeat_n(post, copies));
            }
            Fate::Lost => {}
        }
        posts.extend(held);
    }
}

impl super::call::Client {
    /// A packet under the client's own key.
    pub(super) fn sealed(&mut self, header: &[u8], body: &[u8]) -> Option<Post> {
        let (cipher, to) = (self.cipher.as_ref()?, self.address?);
        self.nonce = self.nonce.wrapping_add(1);
        Some(Post {
            to,
            datagram: cipher.seal(header, body, self.nonce),
            delay: Duration::ZERO,
        })
    }
}
