//! A call with people who talk, and one who listens to them.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sandbox::{Channel, Discord, Guild, Person, Sandbox, VoiceNetwork};
use voice_receive::Counts;

use super::listener::{Kind, Listener};
use super::log::Tally;
use super::{Outcome, own, said};

/// The longest that a listener may take to be connected, and to have its keys.
const JOIN: Duration = Duration::from_secs(15);

/// The longest that a change of keys may take: a listener that does not take part in it is waited
/// for five seconds.
const KEYS: Duration = Duration::from_secs(12);

/// After the last packet, until nothing more is heard of it.
const REST: Duration = Duration::from_secs(1);

/// More than anybody says.
const ENDLESS: u32 = 6_000;

/// Between two looks at the voice server.
const LOOK: Duration = Duration::from_millis(2);

/// Panics in threads of listeners.
pub(crate) static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Where calls take place.
pub(crate) struct Place {
    pub(crate) discord: Discord,
    pub(crate) guild: Guild,
    pub(crate) kinds: Vec<Kind>,
    /// Stops the servers when it is dropped.
    _sandbox: Sandbox,
}

/// One call.
pub(crate) struct Call {
    pub(crate) discord: Discord,
    guild: Guild,
    pub(crate) lounge: Channel,
    pub(crate) people: Vec<Person>,
    /// Whom the listener is in the call as.
    pub(crate) eve: Person,
    pub(crate) listener: Listener,
    said: Cell<u32>,
    since: Option<Instant>,
    before: Counts,
    panics: usize,
}

impl Place {
    /// Servers whose authority this process trusts: it has been told of a file that is only now
    /// written.
    pub(crate) async fn new(kinds: Vec<Kind>) -> Outcome<Self> {
        let sandbox = Sandbox::start().await;
        let discord = sandbox.discord();
        let file = std::env::var_os("SSL_CERT_FILE").ok_or("no file for the authority")?;
        std::fs::write(file, discord.authority_pem())?;
        // songbird's threads are shared, and end with the runtime they were first needed on.
        let _ = songbird::Config::default().get_scheduler();
        let guild = discord.guild("Garden");
        Ok(Self {
            discord,
            guild,
            kinds,
            _sandbox: sandbox,
        })
    }

    /// A call with so many people in it, and one who does not listen yet.
    pub(crate) fn call(&self, kind: Kind, people: usize, encrypted: bool) -> Outcome<Call> {
        let lounge = self.guild.voice_channel("Lounge");
        if !encrypted {
            lounge.encrypts(false);
        }
        self.discord.voice_network(VoiceNetwork::perfect());
        Ok(Call {
            discord: self.discord.clone(),
            guild: self.guild.clone(),
            lounge,
            people: (0..people).map(|it| self.person(it)).collect(),
            eve: self.guild.member("Eve"),
            listener: Listener::new(kind)?,
            said: Cell::new(0),
            since: None,
            before: Counts::default(),
            panics: PANICS.load(Ordering::Relaxed),
        })
    }

    fn person(&self, number: usize) -> Person {
        self.guild.member(&format!("Person {number}"))
    }
}

impl Call {
    /// Everybody but the listener joins.
    pub(crate) async fn gathers(&self) -> Outcome<()> {
        for person in &self.people {
            self.enters(person).await?;
        }
        Ok(())
    }

    /// Somebody joins, and has their keys.
    pub(crate) async fn enters(&self, person: &Person) -> Outcome<()> {
        person.begins_to_join_voice(&self.lounge);
        self.until_keys(person.id()).await
    }

    /// Somebody new.
    pub(crate) fn guest(&self) -> Person {
        self.guild.member("Guest")
    }

    /// Waits until somebody has the keys in use. A deaf listener must not hold up all.
    pub(crate) async fn until_keys(&self, user: u64) -> Outcome<()> {
        let here = self.lounge.id();
        self.until("keys", KEYS, || {
            let all = self.discord.voice_clients();
            let mut all = all.iter().filter(|it| it.channel_id == here);
            all.any(|it| it.user_id == user && it.connected && it.hears)
        })
        .await
    }

    /// Waits until everybody has changed to what was ordered last.
    pub(crate) async fn until_all_settle(&self) -> Outcome<()> {
        let here = self.lounge.id();
        self.until("everybody's keys", KEYS, || {
            let all = self.discord.voice_clients();
            all.iter()
                .filter(|it| it.channel_id == here)
                .all(|it| it.hears)
        })
        .await
    }

    async fn until(&self, what: &str, limit: Duration, is: impl Fn() -> bool) -> Outcome<()> {
        let deadline = Instant::now() + limit;
        while !is() {
            if Instant::now() > deadline {
                return Err(format!("no {what} in time").into());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// The listener joins and has the keys. What is sent from then on counts.
    pub(crate) async fn listens(&mut self) -> Outcome<()> {
        self.connects().await?;
        self.until_keys(self.eve.id()).await?;
        self.counts_from_now();
        Ok(())
    }

    /// The listener joins, and that is all.
    pub(crate) async fn connects(&mut self) -> Outcome<()> {
        let invited = self.eve.invited_to_voice(&self.lounge);
        self.listener.joins(&invited, JOIN).await?;
        Ok(())
    }

    pub(crate) fn counts_from_now(&mut self) {
        self.since = Some(Instant::now());
        self.before = self.listener.counts().unwrap_or_default();
    }

    /// Somebody begins to talk, and does not end by themselves.
    pub(crate) fn talks(&self, person: &Person) {
        self.begins_to_say(person, ENDLESS);
    }

    fn begins_to_say(&self, person: &Person, count: u32) -> sandbox::Speech {
        let first = self.said.get();
        self.said.set(first + count);
        person.begins_to_speak_packets(said::packets(person.id(), first..first + count))
    }

    /// Somebody says so many packets, and all that can be heard of them has been.
    pub(crate) async fn says(&self, person: &Person, count: u32) {
        self.begins_to_say(person, count).ends().await;
        self.rests().await;
    }

    pub(crate) async fn rests(&self) {
        tokio::time::sleep(REST).await;
    }

    /// Everybody falls silent, and all that can be heard has been.
    pub(crate) async fn falls_silent(&self) {
        let talking = self.people.iter().filter(|it| it.can_speak());
        talking.for_each(Person::falls_silent);
        self.rests().await;
    }

    /// What became of what was sent to the listener: since it counts, and in all.
    pub(crate) fn tally(&self) -> (Tally, Tally) {
        let (mut counted, mut all) = (Tally::default(), Tally::default());
        for person in &self.people {
            let passed = self.discord.remembered(person.id(), self.eve.id());
            let first = passed
                .iter()
                .position(|it| self.since.is_some_and(|since| it.at >= since));
            counted += self
                .listener
                .log
                .tally(person.id(), &passed[first.unwrap_or(passed.len())..]);
            all += self.listener.log.tally(person.id(), &passed);
        }
        (counted, all)
    }

    /// Why packets were lost: what the listener says of them, where it says anything.
    pub(crate) fn causes(&self, tally: &Tally) -> String {
        let mut causes = tally.causes();
        if let Some(now) = self.listener.counts() {
            causes.extend(own::causes(&self.before, &now));
        }
        let panics = PANICS.load(Ordering::Relaxed) - self.panics;
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
    pub(crate) async fn ends(mut self) {
        self.listener.leaves();
        for person in self.people.iter().chain([&self.eve]) {
            person.leaves_voice().await;
        }
    }
}

/// What goes wrong in a call, to be told behind its line: nothing, if it takes place in this time.
pub(crate) async fn trouble(
    limit: Duration,
    happening: impl Future<Output = Outcome<()>>,
) -> String {
    match tokio::time::timeout(limit, happening).await {
        Ok(Ok(())) => String::new(),
        Ok(Err(error)) => format!("; {error}"),
        Err(_) => "; it takes too long".to_owned(),
    }
}
