//! A process with a session, and how things happen to it.

use std::sync::Arc;
use std::time::Duration;

use audio::{EarEvent, EarSettings, Limits as AudioLimits, Utterance};
use sqlx::Executor;
use talkback::chat::ModelCard;
use talkback::flow::Pipeline;
use talkback::flow::admission::Admission;
use talkback::flow::consent::Consents;
use talkback::flow::desk::Desk;
use talkback::flow::paid::{PaidModel, PaidTranscriber};
use talkback::flow::queue::QueueLimits;
use talkback::flow::rules::{Caps, Prices, Rules};
use talkback::flow::server::ServerSettings;
use talkback::flow::session::addressed::Names;
use talkback::flow::session::call::{Call, Limits, Message, Parts};
use talkback::flow::session::hearing::{self, Heard, Microphone, SessionClock};
use talkback::flow::session::{Answers, ConsentRule, Ending, Setup, ending};
use talkback::flow::suspects::Suspects;
use talkback::flow::work::Workshop;
use talkback::speech::Hints;
use talkback::store::{Consent, NewSession, Session, Store, Timestamp};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Event;
use super::world::{Hearer, Shared, Thinker, name};

const GUILD: u64 = 5;
const TEXT: u64 = 7;

/// Who is who in the ledger.
fn id(person: usize) -> u64 {
    100 + person as u64
}

/// One process.
struct Process {
    store: Store,
    desk: Arc<Desk>,
    clock: SessionClock,
    _microphone: Microphone,
    heard: Option<mpsc::Sender<Heard>>,
    inbox: mpsc::Sender<Message>,
    call: JoinHandle<Option<Ending>>,
    /// Holds the clock: time passes only when the story says so.
    _still: std::sync::mpsc::Sender<()>,
}

pub(super) struct Run {
    shared: Shared,
    folder: TempDir,
    process: Option<(Process, Runtime)>,
    full: bool,
    ending: bool,
    /// Everything has gone well so far, so nothing that may be kept is missing in the end.
    smooth: bool,
}

impl Run {
    pub(super) fn begin(everybody: bool) -> Self {
        let shared = Shared::default();
        shared.world().rule.everybody = everybody;
        let mut run = Self {
            shared,
            folder: TempDir::new().expect("a folder"),
            process: None,
            full: false,
            ending: false,
            smooth: true,
        };
        run.starts();
        for person in 0..3 {
            run.happens(Event::Joins(person));
        }
        run
    }

    fn starts(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let process = runtime.block_on(process(&self.shared, &self.folder));
        self.process = Some((process, runtime));
        self.settle();
    }

    fn process(&self) -> (&Runtime, &Process) {
        let (process, runtime) = self.process.as_ref().expect("it runs");
        (runtime, process)
    }

    /// The process ends without a word.
    fn stops(&mut self) {
        if let Some((process, runtime)) = self.process.take() {
            let within = runtime.enter();
            drop(process);
            drop(within);
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }

    pub(super) fn happens(&mut self, event: Event) {
        // Times in the ledger are milliseconds.
        std::thread::sleep(Duration::from_millis(3));
        match event {
            Event::Joins(person) => self.tell(Message::Joined {
                person: id(person),
                name: name(person),
            }),
            Event::Leaves(person) => self.tell(Message::Left(id(person))),
            Event::SaysYes(person) => self.decides(person, Consent::Yes),
            Event::SaysNo(person) => self.decides(person, Consent::No),
            Event::IsForgotten(person) => self.is_forgotten(person),
            Event::Speaks(person) => self.speaks(person, false),
            Event::Asks(person) => self.speaks(person, true),
            Event::Heard | Event::HeardBadly => {
                let works = matches!(event, Event::Heard);
                self.smooth &= works;
                let waits = self.shared.world().hearing.pop_front();
                if let Some(waits) = waits {
                    let _ = waits.send(works);
                }
            }
            Event::Thought => {
                let waits = self.shared.world().thinking.pop_front();
                if let Some(waits) = waits {
                    let _ = waits.send(());
                }
            }
            Event::DiskFull => self.disk(true),
            Event::DiskEmptied => self.disk(false),
            Event::Dies => self.dies(),
        }
        self.settle();
        self.look_into_the_ledger();
    }

    fn tell(&self, message: Message) {
        let (_, process) = self.process();
        let _ = process.inbox.try_send(message);
    }

    fn decides(&mut self, person: usize, consent: Consent) {
        let (runtime, process) = self.process();
        let workshop = process.desk.workshop();
        let (store, consents) = (&workshop.store, &workshop.consents);
        if consent == Consent::No {
            self.shared.world().rule.no(person);
        }
        let decided = runtime.block_on(async {
            let decided = consents
                .decide(store, (GUILD, id(person)), consent, Timestamp::now())
                .await;
            // In the same breath: nobody else runs in between.
            if decided.is_ok() && consent == Consent::Yes {
                self.shared.world().rule.yes(person);
            }
            decided
        });
        assert_eq!(decided.is_ok(), !self.full);
        self.tell(Message::Decided(id(person)));
    }

    fn is_forgotten(&mut self, person: usize) {
        let (runtime, process) = self.process();
        let workshop = process.desk.workshop();
        self.shared.world().rule.forgets(person);
        let now = Timestamp::now();
        let forgetting = workshop.consents.forget(&workshop.store, id(person), now);
        let forgotten = runtime.block_on(forgetting);
        assert_eq!(forgotten.is_ok(), !self.full);
        self.tell(Message::Decided(id(person)));
    }

    /// What the microphone does with what somebody says.
    fn speaks(&mut self, person: usize, asks: bool) {
        let (_, process) = self.process();
        let Some(sound) = &process.heard else {
            return;
        };
        let book = process.desk.workshop().consents.book(GUILD);
        let heard = book.hears(id(person)).map(|(stamp, _)| stamp);
        let mut world = self.shared.world();
        let said = world.rule.says(person);
        assert_eq!(heard.is_some(), said.is_some(), "who is heard: {person}");
        let (Some(stamp), Some(said)) = (heard, said) else {
            return;
        };
        let number = world.said.len();
        world.said.push(said);
        drop(world);
        let mut samples = vec![0.0; 32_000];
        samples[0] = number as f32 / 32_768.0;
        samples[1] = if asks { 1.0 } else { 0.0 };
        // It has been coming all along.
        for part in samples.chunks(16_000) {
            let event = EarEvent::Audio {
                at: process.clock.now(),
                samples: part.to_vec(),
            };
            let _ = sound.try_send(stamp.on(event));
        }
        let utterance = Utterance {
            start: process.clock.now(),
            samples,
            speech: Duration::from_secs(2),
            lost: Duration::ZERO,
            tail: Duration::ZERO,
            cut: false,
        };
        let _ = sound.try_send(stamp.on(EarEvent::Utterance(utterance)));
    }

    /// A ledger that can't be written.
    fn disk(&mut self, full: bool) {
        if full == self.full {
            return;
        }
        self.full = full;
        self.smooth &= !full;
        let path = self.folder.path().join("talkback.db");
        let (runtime, process) = self.process();
        let consents = &process.desk.workshop().consents;
        runtime.block_on(async {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
            let pool = sqlx::SqlitePool::connect_with(options).await;
            let pool = pool.expect("the ledger");
            for (table, does) in [
                ("consent", "INSERT"),
                ("line", "INSERT"),
                ("forgotten", "INSERT"),
                ("job", "INSERT"),
                ("job", "UPDATE"),
            ] {
                let statement = match full {
                    true => format!(
                        "CREATE TRIGGER full_{table}_{does} BEFORE {does} ON {table}
                         BEGIN SELECT RAISE(ABORT, 'full'); END"
                    ),
                    false => format!("DROP TRIGGER full_{table}_{does}"),
                };
                pool.execute(sqlx::AssertSqlSafe(statement))
                    .await
                    .expect("done");
            }
            pool.close().await;
        });
        if !full {
            // What could not be written is written now.
            self.until("it is written", |_| {
                runtime.block_on(tokio::time::advance(Duration::from_secs(60)));
                !consents.is_behind()
            });
        }
    }

    fn dies(&mut self) {
        // What is not written down is lost with the process; that is told, and no fault.
        let (_, process) = self.process();
        if self.full || process.desk.workshop().consents.is_behind() || self.ending {
            return;
        }
        self.smooth = false;
        self.stops();
        {
            let mut world = self.shared.world();
            world.hearing.clear();
            world.thinking.clear();
        }
        self.starts();
        for person in 0..3 {
            self.tell(Message::Joined {
                person: id(person),
                name: name(person),
            });
        }
    }

    pub(super) fn ends(&mut self) {
        self.ending = true;
        if let Some((process, _)) = &mut self.process {
            process.heard = None;
        }
        let (runtime, process) = self.process();
        let noted = runtime.block_on(async {
            let session = process.store.last_session(GUILD).await.expect("read");
            let id = session.expect("a session").id;
            ending::begin(process.desk.workshop(), id, Ending::Asked).await
        });
        self.tell(Message::End(noted));
        self.settle();
    }

    /// Everybody answers whoever waits, until the end is shown.
    pub(super) fn is_over(&mut self) {
        self.happens(Event::DiskEmptied);
        let shared = self.shared.clone();
        let (runtime, process) = self.process();
        self.until("it is over", |_| {
            let mut world = shared.world();
            while let Some(waits) = world.hearing.pop_front() {
                let _ = waits.send(true);
            }
            while let Some(waits) = world.thinking.pop_front() {
                let _ = waits.send(());
            }
            drop(world);
            runtime.block_on(tokio::task::yield_now());
            process.call.is_finished() && process.desk.load() == (0, 0)
        });
        self.look_into_the_ledger();
        let mut world = self.shared.world();
        let file = world.file.take().expect("the end was shown");
        let missing: Vec<usize> = world
            .understood
            .iter()
            .copied()
            .filter(|number| world.rule.allows(world.said[*number]))
            .filter(|number| !file.contains(&format!("word{number}")))
            .collect();
        if self.smooth && !missing.is_empty() {
            world.broken.push(format!("missing: {missing:?} in {file}"));
        }
    }

    pub(super) fn broken(&self) -> Vec<String> {
        self.shared.world().broken.clone()
    }

    /// Lets everybody do what there is to be done. The ledger works on threads of its own.
    fn settle(&self) {
        let (runtime, _) = self.process();
        for _ in 0..12 {
            runtime.block_on(async {
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
            });
            std::thread::sleep(Duration::from_micros(400));
        }
    }

    fn until(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        for _ in 0..4_000 {
            if done(self) {
                return;
            }
            self.settle();
        }
        panic!("never: {what}");
    }

    /// Nothing is kept against the rule, once it could be written.
    fn look_into_the_ledger(&mut self) {
        let (runtime, process) = self.process();
        if self.full || process.desk.workshop().consents.is_behind() {
            return;
        }
        let store = &process.store;
        let kept = runtime.block_on(async {
            let session = store.last_session(GUILD).await.expect("read");
            let lines = match session.filter(|session| session.ended.is_none()) {
                Some(session) => store.lines(session.id).await.expect("read"),
                None => Vec::new(),
            };
            let lines = lines.iter().map(|it| format!("{}: {}\n", it.name, it.text));
            let lines: String = lines.collect();
            let turns = store.last_turns(TEXT, 1_000).await.expect("read");
            let turns = turns.iter().map(|it| format!("{}: {}\n", it.name, it.text));
            lines + &turns.collect::<String>()
        });
        self.shared.look("ledger", &kept);
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.stops();
    }
}

async fn process(shared: &Shared, folder: &TempDir) -> Process {
    let (still, wait) = std::sync::mpsc::channel();
    tokio::task::spawn_blocking(move || wait.recv());
    let (store, _) = opened(folder).await;
    let workshop = Workshop {
        pipeline: pipeline(shared),
        local: None,
        admission: Admission::open(rules(), store.clone(), Timestamp::now, false)
            .await
            .expect("opened"),
        store: store.clone(),
        consents: Consents::default(),
        front: Arc::new(shared.clone()),
        suspects: Suspects::default(),
        clock: Timestamp::now,
    };
    let writing = workshop.consents.clone();
    tokio::spawn(writing.keep_writing(store.clone(), Timestamp::now));
    let limits = QueueLimits {
        running: 4,
        running_per_home: 4,
        waiting_per_member: 50,
        waiting_per_home: 50,
        waiting: 50,
    };
    let desk = Desk::new(workshop, limits);
    let session = session(&store).await;
    let everybody = shared.world().rule.everybody;
    let rule = match everybody {
        true => ConsentRule::Notice,
        false => ConsentRule::Ask,
    };
    let chosen = ServerSettings::update(&store, GUILD, |settings| {
        settings.voice_consent = rule;
        Ok::<_, ()>(())
    });
    chosen.await.expect("written").expect("no objection");
    let book = desk.workshop().book(GUILD).await.expect("read");
    book.set_rule(rule);
    desk.open().await.expect("opened");
    let now = Timestamp::now();
    let clock = SessionClock::at(talkback::flow::session::call::age(&session, now));
    let (microphone, _) =
        hearing::listen(EarSettings::default(), clock, book.clone()).expect("a thread");
    let (heard, sounds) = mpsc::channel(1_000);
    let (inbox, messages) = mpsc::channel(1_000);
    let setup: Setup = serde_json::from_str(&session.of.payload).expect("a setup");
    let (call, sounds) = Call::open(Parts {
        session,
        setup,
        book,
        desk: Arc::clone(&desk),
        board: Arc::new(shared.clone()),
        live: None,
        bot: "Talkback".to_owned(),
        names: Names::new(["Talkback"]),
        limits: Limits {
            longest: Duration::from_secs(1_000_000),
            alone: Duration::from_secs(1_000_000),
        },
        microphone: microphone.clone(),
        heard: sounds,
        clock,
        listening: CancellationToken::new().drop_guard(),
    })
    .await
    .expect("opened");
    Process {
        store,
        desk,
        clock,
        _microphone: microphone,
        heard: Some(heard),
        inbox,
        call: tokio::spawn(call.run(sounds, messages)),
        _still: still,
    }
}

/// The process before may still be letting go of it.
async fn opened(folder: &TempDir) -> (Store, talkback::store::KeySource) {
    for _ in 0..500 {
        if let Ok(opened) = Store::open(folder.path(), None).await {
            return opened;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("nobody lets go of the ledger");
}

async fn session(store: &Store) -> Session {
    if let Some(session) = store.session_of(GUILD).await.expect("read") {
        return session;
    }
    let setup = Setup {
        answers: Answers::Always,
        title: "Lounge".to_owned(),
        languages: Vec::new(),
    };
    let new = NewSession {
        guild: GUILD,
        voice: 6,
        text: TEXT,
        asked_by: id(0),
        payload: serde_json::to_string(&setup).expect("JSON"),
    };
    let opened = store.open_session(&new, Timestamp::now()).await;
    opened.expect("written").expect("the only one");
    let session = store.session_of(GUILD).await.expect("read");
    session.expect("it is there")
}

fn pipeline(shared: &Shared) -> Pipeline {
    Pipeline {
        limits: AudioLimits::default(),
        transcriber: PaidTranscriber::new(Arc::new(Hearer::new(shared.clone()))),
        chat: PaidModel::new(Arc::new(Thinker(
            shared.clone(),
            ModelCard {
                model: "scripted".to_owned(),
                host: "here".to_owned(),
                notice: None,
            },
        ))),
        hints: Hints::default(),
        system_prompt: String::new(),
        answer_limit: Duration::from_secs(100_000),
    }
}

fn rules() -> Rules {
    let most = Caps {
        member: u64::MAX / 4,
        server: u64::MAX / 4,
        all: u64::MAX / 4,
    };
    Rules {
        longest: Duration::from_secs(1_000),
        cooldown: Duration::ZERO,
        audio: most,
        money: most,
        local_at_cap: false,
        prices: Prices::default(),
    }
}
