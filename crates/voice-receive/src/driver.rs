//! The half that talks to the gateway: it gets a session, keeps it, and takes it up again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdSocket};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::ConnectionInfo;
use super::close::{self, During, Next};
use super::counts::Tallies;
use super::discovery;
use super::heard::Heard;
use super::heartbeat::{Due, Heartbeat};
use super::inbox::locked;
use super::keys::Keys;
use super::mouth::{Outlet, Way};
use super::receiver::{Life, Order};
use super::reconnect::Reconnects;
use super::socket::{Broken, Socket};
use super::transport::{self, Transport};
use super::wire::{Dave, Frame, Said};
use net::Cause;

/// How long it may take from an open connection to one that packets come on.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// How often our own address is asked for, and how long an answer may take each time.
const DISCOVERIES: (usize, Duration) = (10, Duration::from_millis(500));

/// Between two packets that keep the way open.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// Between two signs of life.
const TICK: Duration = Duration::from_millis(200);

/// Without a packet for this long, while there is no gateway either, nobody is heard.
const SILENT: Duration = Duration::from_secs(2);

/// The close code for a cipher that is not known.
const NO_CIPHER: u16 = 4_016;

/// What the system shall hold of datagrams that are not read yet: 4 MiB, of which most systems give
/// less. Hundreds of speakers send 25,000 in a second.
const SYSTEM_BUFFER: usize = 4 * 1024 * 1024;

/// The gateway's half of a connection to a call.
pub(super) struct Driver {
    pub(super) attempts: u32,
    pub(super) info: watch::Receiver<ConnectionInfo>,
    pub(super) heard: mpsc::Sender<Heard>,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) speaks: mpsc::Receiver<bool>,
    pub(super) outlet: Arc<Outlet>,
    pub(super) keys: Arc<Mutex<Keys>>,
    pub(super) tallies: Arc<Tallies>,
    pub(super) life: Arc<Life>,
    /// What can be taken up again.
    pub(super) session: Option<Session>,
    /// Nobody can be heard, and that was told.
    pub(super) deaf: bool,
    /// When the session was last begun or taken up.
    pub(super) connected: Option<Instant>,
}

/// A session with the voice server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    ssrc: u32,
    /// The number of the last frame that was seen.
    seen: Option<u16>,
}

/// Why a connection, or all of them, came to an end.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Nobody wants it any more.
    Left,
    /// It goes on elsewhere.
    Elsewhere,
    Broken(Option<u16>, During),
}

impl From<(Broken, During)> for End {
    fn from((Broken(code), during): (Broken, During)) -> Self {
        Self::Broken(code, during)
    }
}

/// One connection.
struct Connection {
    socket: Socket,
    during: During,
    heartbeat: Option<Heartbeat>,
    /// Where packets come from, until they do, and the cipher that was chosen.
    udp: Option<StdSocket>,
    session: Session,
    deadline: Instant,
}

impl Driver {
    /// Runs until the handle is dropped.
    pub(super) async fn run(mut self) {
        let life = Arc::clone(&self.life);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let work = self.work();
        tokio::pin!(work);
        loop {
            tokio::select! {
                () = &mut work => return,
                _ = tick.tick() => life.gateway(),
            }
        }
    }

    async fn work(&mut self) {
        loop {
            let broke = Instant::now();
            match self.live().await {
                End::Left => return,
                End::Elsewhere => self.deafen(broke).await,
                End::Broken(code, _) => {
                    self.deaf = true;
                    let since = self.silent_since(broke);
                    self.tell(Heard::Lost { since, code }).await;
                    if self.info.changed().await.is_err() {
                        return;
                    }
                }
            }
            self.session = None;
        }
    }

    /// Stays connected as long as that makes sense.
    async fn live(&mut self) -> End {
        let mut reconnects = Reconnects::new(self.attempts);
        loop {
            let ended = self.connection().await;
            let broke = Instant::now();
            let End::Broken(code, during) = ended else {
                return ended;
            };
            tracing::debug!(?code, ?during, "the voice gateway is gone");
            match close::next(code, during) {
                Next::End => return ended,
                Next::Identify => {
                    self.session = None;
                    self.deafen(broke).await;
                }
                Next::Resume => {}
            }
            let held = self.connected.take();
            let held = held.map(|since| broke.saturating_duration_since(since));
            let Some(wait) = reconnects.next_wait(held) else {
                return ended;
            };
            if wait.is_zero() {
                continue;
            }
            // Packets may come all the same: they have another way.
            if self.life.last_packet() + SILENT < broke {
                self.deafen(broke).await;
            }
            tokio::select! {
                () = sleep(wait) => {}
                changed = self.info.changed() => return after(changed.is_ok()),
            }
        }
    }

    /// One connection, from its beginning to its end.
    async fn connection(&mut self) -> End {
        let info = self.info.borrow_and_update().clone();
        let during = match self.session {
            Some(_) => During::Resume,
            None => During::Identify,
        };
        let opened = tokio::select! {
            opened = Socket::connect(&info.endpoint) => opened,
            changed = self.info.changed() => return after(changed.is_ok()),
        };
        let socket = match opened {
            Ok(socket) => socket,
            Err(broken) => return (broken, during).into(),
        };
        let mut connection = Connection {
            socket,
            during,
            heartbeat: None,
            udp: None,
            session: self.session.unwrap_or(Session {
                ssrc: 0,
                seen: None,
            }),
            deadline: Instant::now() + HANDSHAKE_LIMIT,
        };
        let ended = self.converse(&mut connection, &info).await;
        if self.session.is_some() || connection.during == During::Session {
            self.session = Some(connection.session);
        }
        if matches!(ended, End::Left | End::Elsewhere) {
            connection.socket.close().await;
        }
        ended
    }

    async fn converse(&mut self, connection: &mut Connection, info: &ConnectionInfo) -> End {
        let mut keepalive = interval(KEEPALIVE);
        keepalive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let during = connection.during;
            let beat = connection.heartbeat.as_ref().map(Heartbeat::at);
            let done = tokio::select! {
                changed = self.info.changed() => return after(changed.is_ok()),
                said = connection.socket.next() => match said {
                    Ok((number, frame)) => {
                        if number.is_some() {
                            connection.session.seen = number;
                        }
                        self.frame(connection, info, frame).await
                    }
                    Err(broken) => Err(broken),
                },
                () = until(beat) => connection.beat().await,
                () = sleep_until(connection.deadline.into()), if during != During::Session => {
                    Err(Broken(None))
                }
                _ = keepalive.tick() => {
                    self.outlet.keepalive();
                    Ok(())
                }
                Some(speaks) = self.speaks.recv(), if during == During::Session => {
                    let ssrc = connection.session.ssrc;
                    connection.socket.say(&Said::Speaking { speaks, ssrc }).await
                }
            };
            if let Err(broken) = done {
                return (broken, connection.during).into();
            }
        }
    }

    async fn frame(
        &mut self,
        connection: &mut Connection,
        info: &ConnectionInfo,
        frame: Frame,
    ) -> Result<(), Broken> {
        match frame {
            Frame::Hello { heartbeat } => {
                connection.heartbeat = Some(Heartbeat::new(heartbeat, Instant::now()));
                return connection.greet(info).await;
            }
            Frame::Ready {
                ssrc,
                ip,
                port,
                modes,
            } => {
                if connection.during != During::Identify {
                    return Ok(());
                }
                locked(&self.keys).forget_people();
                connection.session.ssrc = ssrc;
                let mode = transport::choose(&modes).ok_or(Broken(Some(NO_CIPHER)))?;
                let found = discover((ip, port).into(), ssrc).await;
                let (udp, address, port) = found.ok_or(Broken(None))?;
                connection.udp = Some(udp);
                let select = Said::SelectProtocol {
                    address,
                    port,
                    mode,
                };
                return connection.socket.say(&select).await;
            }
            Frame::Description { mode, key, dave } => {
                return self.described(connection, info, &mode, &key, dave).await;
            }
            Frame::Resumed => {
                connection.during = During::Session;
                self.connected = Some(Instant::now());
                self.tallies.resumed.fetch_add(1, Ordering::Relaxed);
                if std::mem::take(&mut self.deaf) {
                    self.tell(Heard::Connected).await;
                }
            }
            Frame::HeartbeatAck { nonce } => {
                if let Some(heartbeat) = &mut connection.heartbeat {
                    heartbeat.answered(nonce);
                }
            }
            Frame::Speaking { user, ssrc, speaks } => {
                if ssrc != 0 {
                    self.order(Order::Belongs { ssrc, user }).await;
                }
                if speaks {
                    // It is told again each time; what has no room is not missed.
                    let _ = self.heard.try_send(Heard::Speaks { user });
                }
            }
            Frame::Connected(people) => locked(&self.keys).come(people),
            Frame::Disconnected(user) => {
                locked(&self.keys).leave(user);
                self.order(Order::Left { user }).await;
                self.tell(Heard::Left { user }).await;
            }
            Frame::Dave(said) => return self.encryption(connection, said).await,
            Frame::Other(_) => {}
        }
        Ok(())
    }

    /// How packets are encrypted: from now on they can be heard.
    async fn described(
        &mut self,
        connection: &mut Connection,
        info: &ConnectionInfo,
        mode: &str,
        key: &[u8; 32],
        dave: u16,
    ) -> Result<(), Broken> {
        let Some(udp) = connection.udp.take() else {
            return Ok(());
        };
        let ways = (
            Transport::new(mode, key),
            Transport::new(mode, key),
            udp.try_clone(),
        );
        let (Some(inward), Some(outward), Ok(outlet)) = ways else {
            return Err(Broken(Some(NO_CIPHER)));
        };
        let ssrc = connection.session.ssrc;
        self.order(Order::Listen(udp, inward)).await;
        self.outlet.open(Way::new(outlet, outward, ssrc));
        let channel = info.channel;
        let answers = self.with_keys(move |keys| keys.begin(channel, dave)).await;
        for said in answers {
            connection.socket.say(&said).await?;
        }
        // Nobody may send packets who has not said first whose they are.
        let quiet = Said::Speaking {
            speaks: false,
            ssrc,
        };
        connection.socket.say(&quiet).await?;
        self.outlet.silence(&self.keys);
        connection.during = During::Session;
        self.connected = Some(Instant::now());
        self.deaf = false;
        self.tallies.identified.fetch_add(1, Ordering::Relaxed);
        self.tell(Heard::Connected).await;
        Ok(())
    }

    async fn encryption(&mut self, connection: &mut Connection, said: Dave) -> Result<(), Broken> {
        let now = Instant::now();
        let answers = self.with_keys(move |keys| keys.on(said, now)).await;
        for said in answers {
            connection.socket.say(&said).await?;
        }
        Ok(())
    }

    /// Does something with the keys. It is work, and takes milliseconds in a large group.
    async fn with_keys(
        &mut self,
        work: impl FnOnce(&mut Keys) -> Vec<Said> + Send + 'static,
    ) -> Vec<Said> {
        let keys = Arc::clone(&self.keys);
        let done = tokio::task::spawn_blocking(move || work(&mut locked(&keys))).await;
        let answers = done.unwrap_or_else(|error| {
            // A library has met with something that it did not expect.
            let cause = Cause::of(&error);
            tracing::error!(%cause, "the keys broke");
            locked(&self.keys).start_over()
        });
        {
            let keys = locked(&self.keys);
            self.tallies.epochs.store(keys.epochs(), Ordering::Relaxed);
            self.tallies.bad_keys.store(keys.bad(), Ordering::Relaxed);
        }
        self.order(Order::Keys).await;
        answers
    }

    /// Tells that nobody can be heard, if that is news.
    async fn deafen(&mut self, broke: Instant) {
        if !std::mem::replace(&mut self.deaf, true) {
            let since = self.silent_since(broke);
            self.tell(Heard::Deaf { since }).await;
        }
    }

    fn silent_since(&self, broke: Instant) -> Instant {
        broke.max(self.life.last_packet())
    }

    async fn tell(&self, heard: Heard) {
        // Nobody listens any more at the end.
        let _ = self.heard.send(heard).await;
    }

    async fn order(&self, order: Order) {
        // The receiver ends only after us.
        let _ = self.orders.send(order).await;
    }
}

impl Connection {
    /// Says who we are, or goes on with a session.
    async fn greet(&mut self, info: &ConnectionInfo) -> Result<(), Broken> {
        let (session, token) = (info.session.clone(), info.token.expose_secret().to_owned());
        let said = match self.during {
            During::Identify => Said::Identify {
                guild: info.guild,
                user: info.user,
                session,
                token,
            },
            During::Resume => Said::Resume {
                guild: info.guild,
                session,
                token,
                seen: self.session.seen,
            },
            During::Session => return Ok(()),
        };
        self.socket.say(&said).await
    }

    async fn beat(&mut self) -> Result<(), Broken> {
        let due = self
            .heartbeat
            .as_mut()
            .and_then(|it| it.due(Instant::now()));
        match due {
            Some(Due::Beat(nonce)) => {
                let seen = self.session.seen;
                self.socket.say(&Said::Heartbeat { nonce, seen }).await
            }
            Some(Due::Dead) => Err(Broken(None)),
            None => Ok(()),
        }
    }
}

fn after(changed: bool) -> End {
    if changed { End::Elsewhere } else { End::Left }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// A socket to the voice server, and our address as Discord sees it.
async fn discover(server: SocketAddr, ssrc: u32) -> Option<(StdSocket, String, u16)> {
    let socket = bound(server).map_err(|error| {
        let cause = Cause::of(&error);
        tracing::warn!(%cause, "no socket for voice");
    });
    let socket = socket.ok()?;
    let asking = UdpSocket::from_std(socket.try_clone().ok()?).ok()?;
    let question = discovery::question(ssrc);
    for _ in 0..DISCOVERIES.0 {
        // Lost or refused: it is asked again.
        let _ = asking.send(&question).await;
        let answered = async {
            // One byte more, so that what is too long is no answer.
            let mut datagram = [0; discovery::LENGTH + 1];
            loop {
                let length = asking.recv(&mut datagram).await.ok()?;
                if let Some(answer) = discovery::answer(&datagram[..length], ssrc) {
                    return Some(answer);
                }
            }
        };
        match timeout(DISCOVERIES.1, answered).await {
            Ok(Some((address, port))) => return Some((socket, address, port)),
            Ok(None) => sleep(DISCOVERIES.1).await,
            Err(_) => {}
        }
    }
    tracing::warn!("the voice server does not answer over UDP");
    None
}

fn bound(server: SocketAddr) -> std::io::Result<StdSocket> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = StdSocket::bind((any, 0))?;
    // Nothing from elsewhere comes through.
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    // What the system does not give, we do without.
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(SYSTEM_BUFFER);
    Ok(socket)
}
