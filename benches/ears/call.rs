//! A call with users who talk and a listener that receives them.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sandbox::{Channel, Discord, Guild, Sandbox, TestUser, VoiceNetwork};
use voice_receive::ReceiveStats;

use super::listener::{BenchListener, ReceiverKind};
use super::receiver_log::PacketTally;
use super::{Outcome, marked_packets, own_receiver};

/// The time limit for a listener to be connected and to have its keys.
const JOIN_TIMEOUT: Duration = Duration::from_secs(15);

/// The time limit of a key change. The voice server waits 5 s for a listener that does not take
/// part in it.
const KEY_CHANGE_TIMEOUT: Duration = Duration::from_secs(12);

/// How long to wait for packets after the last one was sent.
const SETTLE_TIME: Duration = Duration::from_secs(1);

/// More packets than any case sends.
const MAX_SPEECH_PACKETS: u32 = 6_000;

/// How often the state of the voice server is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Panics in listeners' threads.
pub(crate) static LISTENER_PANICS: AtomicUsize = AtomicUsize::new(0);

/// The Discord of the sandbox, and the listeners to run.
pub(crate) struct BenchServer {
    pub(crate) discord: Discord,
    pub(crate) guild: Guild,
    pub(crate) kinds: Vec<ReceiverKind>,
    /// Stops the servers when it is dropped.
    _sandbox: Sandbox,
}

/// One call.
pub(crate) struct BenchCall {
    pub(crate) discord: Discord,
    guild: Guild,
    pub(crate) channel: Channel,
    pub(crate) people: Vec<TestUser>,
    /// The user as whom the listener joins.
    pub(crate) listening_user: TestUser,
    pub(crate) listener: BenchListener,
    packets_said: Cell<u32>,
    counted_since: Option<Instant>,
    stats_before: ReceiveStats,
    panics: usize,
}

impl BenchServer {
    /// Starts the servers. Their certificate authority is written to the file that `SSL_CERT_FILE`
    /// names, so that this process trusts them.
    pub(crate) async fn new(kinds: Vec<ReceiverKind>) -> Outcome<Self> {
        let sandbox = Sandbox::start().await;
        let discord = sandbox.discord();
        let file = std::env::var_os("SSL_CERT_FILE").ok_or("SSL_CERT_FILE is not set")?;
        std::fs::write(file, discord.authority_pem())?;
        // songbird's threads are shared, and end with the runtime that first uses them.
        let _ = songbird::Config::default().get_scheduler();
        let guild = discord.add_guild("Garden");
        Ok(Self {
            discord,
            guild,
            kinds,
            _sandbox: sandbox,
        })
    }

    /// A call with this many users, and a listener that has not joined yet.
    pub(crate) fn new_call(
        &self,
        kind: ReceiverKind,
        people: usize,
        encrypted: bool,
    ) -> Outcome<BenchCall> {
        let channel = self.guild.add_voice_channel("Lounge");
        if !encrypted {
            channel.encrypts(false);
        }
        self.discord.voice_network(VoiceNetwork::perfect());
        Ok(BenchCall {
            discord: self.discord.clone(),
            guild: self.guild.clone(),
            channel,
            people: (0..people).map(|it| self.add_person(it)).collect(),
            listening_user: self.guild.add_member("Eve"),
            listener: BenchListener::new(kind)?,
            packets_said: Cell::new(0),
            counted_since: None,
            stats_before: ReceiveStats::default(),
            panics: LISTENER_PANICS.load(Ordering::Relaxed),
        })
    }

    fn add_person(&self, index: usize) -> TestUser {
        self.guild.add_member(&format!("Person {index}"))
    }
}

impl BenchCall {
    /// All users but the listener join.
    pub(crate) async fn join_everybody(&self) -> Outcome<()> {
        for person in &self.people {
            self.join(person).await?;
        }
        Ok(())
    }

    /// A user joins, and this waits until they have their keys.
    pub(crate) async fn join(&self, person: &TestUser) -> Outcome<()> {
        person.start_joining_voice(&self.channel);
        self.wait_for_keys(person.id()).await
    }

    /// A further member of the guild, who is not in the call.
    pub(crate) fn add_guest(&self) -> TestUser {
        self.guild.add_member("Guest")
    }

    /// Waits until a user has the current keys. Others may not have them, such as a broken
    /// listener.
    pub(crate) async fn wait_for_keys(&self, user: u64) -> Outcome<()> {
        let here = self.channel.id();
        self.wait_until("keys", KEY_CHANGE_TIMEOUT, || {
            let all = self.discord.voice_clients();
            let mut all = all.iter().filter(|it| it.channel_id == here);
            all.any(|it| it.user_id == user && it.is_connected && it.is_receiving)
        })
        .await
    }

    /// Waits until all users have the current keys.
    pub(crate) async fn wait_until_settled(&self) -> Outcome<()> {
        let here = self.channel.id();
        self.wait_until("everybody's keys", KEY_CHANGE_TIMEOUT, || {
            let all = self.discord.voice_clients();
            all.iter()
                .filter(|it| it.channel_id == here)
                .all(|it| it.is_receiving)
        })
        .await
    }

    async fn wait_until(
        &self,
        what: &str,
        limit: Duration,
        condition: impl Fn() -> bool,
    ) -> Outcome<()> {
        let deadline = Instant::now() + limit;
        while !condition() {
            if Instant::now() > deadline {
                return Err(format!("no {what} in time").into());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    /// The listener joins, and this waits for its keys. Packets sent from then on are counted.
    pub(crate) async fn join_listener_with_keys(&mut self) -> Outcome<()> {
        self.connect_listener().await?;
        self.wait_for_keys(self.listening_user.id()).await?;
        self.reset_counts();
        Ok(())
    }

    /// The listener joins.
    pub(crate) async fn connect_listener(&mut self) -> Outcome<()> {
        let invited = self.listening_user.join_voice_externally(&self.channel);
        self.listener.join(&invited, JOIN_TIMEOUT).await?;
        Ok(())
    }

    pub(crate) fn reset_counts(&mut self) {
        self.counted_since = Some(Instant::now());
        self.stats_before = self.listener.stats().unwrap_or_default();
    }

    /// A user begins to talk and goes on until [`stop_all_talking`](Self::stop_all_talking).
    pub(crate) fn start_talking(&self, person: &TestUser) {
        self.start_saying(person, MAX_SPEECH_PACKETS);
    }

    fn start_saying(&self, person: &TestUser, count: u32) -> sandbox::OngoingSpeech {
        let first = self.packets_said.get();
        self.packets_said.set(first + count);
        person.start_speaking_packets(marked_packets::marked_packets(
            person.id(),
            first..first + count,
        ))
    }

    /// A user sends `count` packets, and this waits until they can have arrived.
    pub(crate) async fn say(&self, person: &TestUser, count: u32) {
        self.start_saying(person, count).wait_until_sent().await;
        self.wait_for_rest().await;
    }

    pub(crate) async fn wait_for_rest(&self) {
        tokio::time::sleep(SETTLE_TIME).await;
    }

    /// All users stop talking, and this waits until their packets can have arrived.
    pub(crate) async fn stop_all_talking(&self) {
        let talking = self.people.iter().filter(|it| it.can_speak());
        talking.for_each(TestUser::stop_all_talking);
        self.wait_for_rest().await;
    }

    /// What became of the packets sent to the listener: since counting began, and in all.
    pub(crate) fn packet_tally(&self) -> (PacketTally, PacketTally) {
        let (mut counted, mut all) = (PacketTally::default(), PacketTally::default());
        for person in &self.people {
            let passed = self
                .discord
                .forwarded_packets(person.id(), self.listening_user.id());
            let first = passed.iter().position(|it| {
                self.counted_since
                    .is_some_and(|since| it.forwarded_at >= since)
            });
            counted += self
                .listener
                .log
                .tally(person.id(), &passed[first.unwrap_or(passed.len())..]);
            all += self.listener.log.tally(person.id(), &passed);
        }
        (counted, all)
    }

    /// Why packets were lost, as far as the listener counts it.
    pub(crate) fn loss_causes(&self, tally: &PacketTally) -> String {
        let mut causes = tally.loss_causes();
        if let Some(now) = self.listener.stats() {
            causes.extend(own_receiver::loss_causes(&self.stats_before, &now));
        }
        let panics = LISTENER_PANICS.load(Ordering::Relaxed) - self.panics;
        causes.push(("panics", panics as u64));
        causes.retain(|(_, count)| *count > 0);
        let mut described: Vec<String> = causes
            .iter()
            .map(|(what, count)| format!("{what} {count}"))
            .collect();
        if let (_, Some(why)) = self.listener.log.state() {
            described.push(why);
        }
        described.join(", ")
    }

    /// All users leave.
    pub(crate) async fn leave_all(mut self) {
        self.listener.leave();
        for person in self.people.iter().chain([&self.listening_user]) {
            person.leave_voice().await;
        }
    }
}

/// Runs a case with a time limit. Returns its failure as the end of a printed line; empty if it
/// succeeds.
pub(crate) async fn run_and_describe(
    limit: Duration,
    case: impl Future<Output = Outcome<()>>,
) -> String {
    match tokio::time::timeout(limit, case).await {
        Ok(Ok(())) => String::new(),
        Ok(Err(error)) => format!("; {error}"),
        Err(_) => "; it takes too long".to_owned(),
    }
}
