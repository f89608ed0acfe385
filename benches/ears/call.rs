//! A call with people who talk, and one who listens to them.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sandbox::{Channel, Discord, Guild, Sandbox, TestUser, VoiceNetwork};
use voice_receive::ReceiveStats;

use super::listener::{BenchListener, ReceiverKind};
use super::receiver_log::PacketTally;
use super::{Outcome, own_receiver, said};

/// The longest that a listener may take to be connected, and to have its keys.
const JOIN_TIMEOUT: Duration = Duration::from_secs(15);

/// The longest that a change of keys may take: a listener that does not take part in it is waited
/// for five seconds.
const KEY_CHANGE_TIMEOUT: Duration = Duration::from_secs(12);

/// After the last packet, until nothing more is heard of it.
const SETTLE_TIME: Duration = Duration::from_secs(1);

/// More than anybody says.
const MAX_SPEECH_PACKETS: u32 = 6_000;

/// Between two looks at the voice server.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Panics in threads of listeners.
pub(crate) static LISTENER_PANICS: AtomicUsize = AtomicUsize::new(0);

/// Where calls take place.
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
    pub(crate) lounge: Channel,
    pub(crate) people: Vec<TestUser>,
    /// Whom the listener is in the call as.
    pub(crate) eve: TestUser,
    pub(crate) listener: BenchListener,
    packets_said: Cell<u32>,
    counted_since: Option<Instant>,
    stats_before: ReceiveStats,
    panics: usize,
}

impl BenchServer {
    /// Servers whose authority this process trusts: it has been told of a file that is only now
    /// written.
    pub(crate) async fn new(kinds: Vec<ReceiverKind>) -> Outcome<Self> {
        let sandbox = Sandbox::start().await;
        let discord = sandbox.discord();
        let file = std::env::var_os("SSL_CERT_FILE").ok_or("no file for the authority")?;
        std::fs::write(file, discord.authority_pem())?;
        // songbird's threads are shared, and end with the runtime they were first needed on.
        let _ = songbird::Config::default().get_scheduler();
        let guild = discord.add_guild("Garden");
        Ok(Self {
            discord,
            guild,
            kinds,
            _sandbox: sandbox,
        })
    }

    /// A call with so many people in it, and one who does not listen yet.
    pub(crate) fn call(
        &self,
        kind: ReceiverKind,
        people: usize,
        encrypted: bool,
    ) -> Outcome<BenchCall> {
        let lounge = self.guild.add_voice_channel("Lounge");
        if !encrypted {
            lounge.encrypts(false);
        }
        self.discord.voice_network(VoiceNetwork::perfect());
        Ok(BenchCall {
            discord: self.discord.clone(),
            guild: self.guild.clone(),
            lounge,
            people: (0..people).map(|it| self.new_person(it)).collect(),
            eve: self.guild.add_member("Eve"),
            listener: BenchListener::new(kind)?,
            packets_said: Cell::new(0),
            counted_since: None,
            stats_before: ReceiveStats::default(),
            panics: LISTENER_PANICS.load(Ordering::Relaxed),
        })
    }

    fn new_person(&self, number: usize) -> TestUser {
        self.guild.add_member(&format!("Person {number}"))
    }
}

impl BenchCall {
    /// Everybody but the listener joins.
    pub(crate) async fn join_everybody(&self) -> Outcome<()> {
        for person in &self.people {
            self.enters(person).await?;
        }
        Ok(())
    }

    /// Somebody joins, and has their keys.
    pub(crate) async fn enters(&self, person: &TestUser) -> Outcome<()> {
        person.start_joining_voice(&self.lounge);
        self.wait_for_keys(person.id()).await
    }

    /// Somebody new.
    pub(crate) fn guest(&self) -> TestUser {
        self.guild.add_member("Guest")
    }

    /// Waits until somebody has the keys in use. A deaf listener must not hold up all.
    pub(crate) async fn wait_for_keys(&self, user: u64) -> Outcome<()> {
        let here = self.lounge.id();
        self.wait_until("keys", KEY_CHANGE_TIMEOUT, || {
            let all = self.discord.voice_clients();
            let mut all = all.iter().filter(|it| it.channel_id == here);
            all.any(|it| it.user_id == user && it.is_connected && it.is_receiving)
        })
        .await
    }

    /// Waits until everybody has changed to what was ordered last.
    pub(crate) async fn wait_until_settled(&self) -> Outcome<()> {
        let here = self.lounge.id();
        self.wait_until("everybody's keys", KEY_CHANGE_TIMEOUT, || {
            let all = self.discord.voice_clients();
            all.iter()
                .filter(|it| it.channel_id == here)
                .all(|it| it.is_receiving)
        })
        .await
    }

    async fn wait_until(&self, what: &str, limit: Duration, is: impl Fn() -> bool) -> Outcome<()> {
        let deadline = Instant::now() + limit;
        while !is() {
            if Instant::now() > deadline {
                return Err(format!("no {what} in time").into());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    /// The listener joins and has the keys. What is sent from then on counts.
    pub(crate) async fn listens(&mut self) -> Outcome<()> {
        self.connect_listener().await?;
        self.wait_for_keys(self.eve.id()).await?;
        self.reset_counts();
        Ok(())
    }

    /// The listener joins, and that is all.
    pub(crate) async fn connect_listener(&mut self) -> Outcome<()> {
        let invited = self.eve.join_voice_externally(&self.lounge);
        self.listener.join(&invited, JOIN_TIMEOUT).await?;
        Ok(())
    }

    pub(crate) fn reset_counts(&mut self) {
        self.counted_since = Some(Instant::now());
        self.stats_before = self.listener.stats().unwrap_or_default();
    }

    /// Somebody begins to talk, and does not end by themselves.
    pub(crate) fn talks(&self, person: &TestUser) {
        self.start_saying(person, MAX_SPEECH_PACKETS);
    }

    fn start_saying(&self, person: &TestUser, count: u32) -> sandbox::OngoingSpeech {
        let first = self.packets_said.get();
        self.packets_said.set(first + count);
        person.start_speaking_packets(said::marked_packets(person.id(), first..first + count))
    }

    /// Somebody says so many packets, and all that can be heard of them has been.
    pub(crate) async fn says(&self, person: &TestUser, count: u32) {
        self.start_saying(person, count).wait_until_sent().await;
        self.wait_for_rest().await;
    }

    pub(crate) async fn wait_for_rest(&self) {
        tokio::time::sleep(SETTLE_TIME).await;
    }

    /// Everybody falls silent, and all that can be heard has been.
    pub(crate) async fn stop_all_talking(&self) {
        let talking = self.people.iter().filter(|it| it.can_speak());
        talking.for_each(TestUser::stop_all_talking);
        self.wait_for_rest().await;
    }

    /// What became of what was sent to the listener: since it counts, and in all.
    pub(crate) fn packet_tally(&self) -> (PacketTally, PacketTally) {
        let (mut counted, mut all) = (PacketTally::default(), PacketTally::default());
        for person in &self.people {
            let passed = self.discord.forwarded_packets(person.id(), self.eve.id());
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

    /// Why packets were lost: what the listener says of them, where it says anything.
    pub(crate) fn loss_causes(&self, tally: &PacketTally) -> String {
        let mut causes = tally.loss_causes();
        if let Some(now) = self.listener.stats() {
            causes.extend(own_receiver::loss_causes(&self.stats_before, &now));
        }
        let panics = LISTENER_PANICS.load(Ordering::Relaxed) - self.panics;
        causes.push(("panics", panics as u64));
        causes.retain(|(_, count)| *count > 0);
        let mut told: Vec<String> = causes
            .iter()
            .map(|(what, count)| format!("{what} {count}"))
            .collect();
        if let (_, Some(why)) = self.listener.log.state() {
            told.push(why);
        }
        told.join(", ")
    }

    /// Everybody leaves.
    pub(crate) async fn leave_all(mut self) {
        self.listener.leave();
        for person in self.people.iter().chain([&self.eve]) {
            person.leave_voice().await;
        }
    }
}

/// What goes wrong in a call, to be told behind its line: nothing, if it takes place in this time.
pub(crate) async fn run_and_describe(
    limit: Duration,
    happening: impl Future<Output = Outcome<()>>,
) -> String {
    match tokio::time::timeout(limit, happening).await {
        Ok(Ok(())) => String::new(),
        Ok(Err(error)) => format!("; {error}"),
        Err(_) => "; it takes too long".to_owned(),
    }
}
