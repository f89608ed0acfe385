//! A process with a session, and how things happen to it.

use std::sync::Arc;
use std::time::Duration;

use audio::{AudioLimits, SpeakerEvent, SpeakerReceiverSettings, Utterance};
use sqlx::Executor;
use talkback::chat::ModelCard;
use talkback::flow::Pipeline;
use talkback::flow::admission::Admission;
use talkback::flow::consent::{ConsentRegistry, ConsentRule};
use talkback::flow::fair_queue::QueueLimits;
use talkback::flow::guild_settings::GuildSettings;
use talkback::flow::job_runner::JobRunner;
use talkback::flow::job_scheduler::JobScheduler;
use talkback::flow::paid_providers::{PaidModel, PaidTranscriber};
use talkback::flow::poison_jobs::PoisonJobIsolator;
use talkback::flow::session::actor::{SessionActor, SessionLimits, SessionMessage, SessionParts};
use talkback::flow::session::audio_worker::{self, AudioInput, SpeakerAudioEvent};
use talkback::flow::session::clock::{SessionClock, session_elapsed};
use talkback::flow::session::wake_word::BotNames;
use talkback::flow::session::{AnswerMode, SessionEndReason, SessionSetup, session_end};
use talkback::flow::usage_rules::{DailyCaps, Prices, UsageRules};
use talkback::speech::Hints;
use talkback::store::{Consent, SessionDetails, SessionRecord, Store, Timestamp};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::ConsentEvent;
use super::fake_services::{CheckingChatModel, CheckingTranscriber, SharedServices, display_name};

const GUILD: u64 = 5;
const TEXT: u64 = 7;

/// Who is who in the ledger.
fn id(person: usize) -> u64 {
    100 + person as u64
}

/// One process.
struct SimulatedProcess {
    store: Store,
    job_scheduler: Arc<JobScheduler>,
    clock: SessionClock,
    _microphone: AudioInput,
    voice_events: Option<mpsc::Sender<SpeakerAudioEvent>>,
    commands: mpsc::Sender<SessionMessage>,
    session_task: JoinHandle<Option<SessionEndReason>>,
    /// Holds the clock: time passes only when the story says so.
    _still: std::sync::mpsc::Sender<()>,
}

pub(super) struct TestRun {
    shared: SharedServices,
    folder: TempDir,
    process: Option<(SimulatedProcess, Runtime)>,
    disk_full: bool,
    is_ending: bool,
    /// Everything has gone well so far, so nothing that may be kept is missing in the end.
    no_failures: bool,
}

impl TestRun {
    pub(super) fn begin(everybody: bool) -> Self {
        let shared = SharedServices::default();
        shared.lock().rule.default_consent = everybody;
        let mut run = Self {
            shared,
            folder: TempDir::new().expect("a folder"),
            process: None,
            disk_full: false,
            is_ending: false,
            no_failures: true,
        };
        run.start();
        for person in 0..3 {
            run.apply(ConsentEvent::Joins(person));
        }
        run
    }

    fn start(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let process = runtime.block_on(start_process(&self.shared, &self.folder));
        self.process = Some((process, runtime));
        self.settle();
    }

    fn process(&self) -> (&Runtime, &SimulatedProcess) {
        let (process, runtime) = self.process.as_ref().expect("it runs");
        (runtime, process)
    }

    /// The process ends without a word.
    fn stop(&mut self) {
        if let Some((process, runtime)) = self.process.take() {
            let within = runtime.enter();
            drop(process);
            drop(within);
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }

    pub(super) fn apply(&mut self, event: ConsentEvent) {
        // Times in the ledger are milliseconds.
        std::thread::sleep(Duration::from_millis(3));
        match event {
            ConsentEvent::Joins(person) => self.send_message(SessionMessage::Joined {
                person: id(person),
                name: display_name(person),
            }),
            ConsentEvent::Leaves(person) => self.send_message(SessionMessage::Left(id(person))),
            ConsentEvent::Consents(person) => self.set_consent(person, Consent::Yes),
            ConsentEvent::Declines(person) => self.set_consent(person, Consent::No),
            ConsentEvent::IsForgotten(person) => self.forget(person),
            ConsentEvent::Speaks(person) => self.speak(person, false),
            ConsentEvent::Asks(person) => self.speak(person, true),
            ConsentEvent::TranscriptionSucceeds | ConsentEvent::TranscriptionFails => {
                let works = matches!(event, ConsentEvent::TranscriptionSucceeds);
                self.no_failures &= works;
                let waits = self.shared.lock().pending_transcriptions.pop_front();
                if let Some(waits) = waits {
                    let _ = waits.send(works);
                }
            }
            ConsentEvent::ModelAnswers => {
                let waits = self.shared.lock().pending_answers.pop_front();
                if let Some(waits) = waits {
                    let _ = waits.send(());
                }
            }
            ConsentEvent::DiskFull => self.set_disk_full(true),
            ConsentEvent::DiskFreed => self.set_disk_full(false),
            ConsentEvent::Crashes => self.crash(),
        }
        self.settle();
        self.check_ledger();
    }

    fn send_message(&self, message: SessionMessage) {
        let (_, process) = self.process();
        let _ = process.commands.try_send(message);
    }

    fn set_consent(&mut self, person: usize, consent: Consent) {
        let (runtime, process) = self.process();
        let workshop = process.job_scheduler.runner();
        let (store, consents) = (&workshop.store, &workshop.consents);
        if consent == Consent::No {
            self.shared.lock().rule.withdraw_consent(person);
        }
        let decided = runtime.block_on(async {
            let decided = consents
                .record_decision(store, (GUILD, id(person)), consent, Timestamp::now())
                .await;
            // In the same breath: nobody else runs in between.
            if decided.is_ok() && consent == Consent::Yes {
                self.shared.lock().rule.give_consent(person);
            }
            decided
        });
        assert_eq!(decided.is_ok(), !self.disk_full);
        self.send_message(SessionMessage::ConsentChanged(id(person)));
    }

    fn forget(&mut self, person: usize) {
        let (runtime, process) = self.process();
        let workshop = process.job_scheduler.runner();
        self.shared.lock().rule.forget(person);
        let now = Timestamp::now();
        let forgetting = workshop
            .consents
            .forget_user(&workshop.store, id(person), now);
        let forgotten = runtime.block_on(forgetting);
        assert_eq!(forgotten.is_ok(), !self.disk_full);
        self.send_message(SessionMessage::ConsentChanged(id(person)));
    }

    /// What the microphone does with what somebody says.
    fn speak(&mut self, person: usize, asks: bool) {
        let (_, process) = self.process();
        let Some(sound) = &process.voice_events else {
            return;
        };
        let book = process.job_scheduler.runner().consents.for_guild(GUILD);
        let heard = book
            .current_grant_with_start(id(person))
            .map(|(stamp, _)| stamp);
        let mut world = self.shared.lock();
        let said = world.rule.speak(person);
        assert_eq!(heard.is_some(), said.is_some(), "who is heard: {person}");
        let (Some(stamp), Some(said)) = (heard, said) else {
            return;
        };
        let number = world.statements.len();
        world.statements.push(said);
        drop(world);
        let mut samples = vec![0.0; 32_000];
        samples[0] = number as f32 / 32_768.0;
        samples[1] = if asks { 1.0 } else { 0.0 };
        // It has been coming all along.
        for part in samples.chunks(16_000) {
            let event = SpeakerEvent::Audio {
                at: process.clock.elapsed(),
                samples: part.to_vec(),
            };
            let _ = sound.try_send(stamp.wrap(event));
        }
        let utterance = Utterance {
            start: process.clock.elapsed(),
            samples,
            speech: Duration::from_secs(2),
            lost: Duration::ZERO,
            tail: Duration::ZERO,
            is_cut: false,
        };
        let _ = sound.try_send(stamp.wrap(SpeakerEvent::Utterance(utterance)));
    }

    /// A ledger that can't be written.
    fn set_disk_full(&mut self, full: bool) {
        if full == self.disk_full {
            return;
        }
        self.disk_full = full;
        self.no_failures &= !full;
        let path = self.folder.path().join("talkback.db");
        let (runtime, process) = self.process();
        let consents = &process.job_scheduler.runner().consents;
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
            self.run_until("it is written", |_| {
                runtime.block_on(tokio::time::advance(Duration::from_secs(60)));
                !consents.has_unwritten()
            });
        }
    }

    fn crash(&mut self) {
        // What is not written down is lost with the process; that is told, and no fault.
        let (_, process) = self.process();
        if self.disk_full
            || process.job_scheduler.runner().consents.has_unwritten()
            || self.is_ending
        {
            return;
        }
        self.no_failures = false;
        self.stop();
        {
            let mut world = self.shared.lock();
            world.pending_transcriptions.clear();
            world.pending_answers.clear();
        }
        self.start();
        for person in 0..3 {
            self.send_message(SessionMessage::Joined {
                person: id(person),
                name: display_name(person),
            });
        }
    }

    pub(super) fn end_session(&mut self) {
        self.is_ending = true;
        if let Some((process, _)) = &mut self.process {
            process.voice_events = None;
        }
        let (runtime, process) = self.process();
        let noted = runtime.block_on(async {
            let session = process.store.latest_session(GUILD).await.expect("read");
            let id = session.expect("a session").id;
            session_end::record_end(
                process.job_scheduler.runner(),
                id,
                SessionEndReason::Requested,
            )
            .await
        });
        self.send_message(SessionMessage::End(noted));
        self.settle();
    }

    /// Everybody answers whoever waits, until the end is shown.
    pub(super) fn run_to_end(&mut self) {
        self.apply(ConsentEvent::DiskFreed);
        let shared = self.shared.clone();
        let (runtime, process) = self.process();
        self.run_until("it is over", |_| {
            let mut world = shared.lock();
            while let Some(waits) = world.pending_transcriptions.pop_front() {
                let _ = waits.send(true);
            }
            while let Some(waits) = world.pending_answers.pop_front() {
                let _ = waits.send(());
            }
            drop(world);
            runtime.block_on(tokio::task::yield_now());
            process.session_task.is_finished() && process.job_scheduler.job_counts() == (0, 0)
        });
        self.check_ledger();
        let mut world = self.shared.lock();
        let file = world.transcript_file.take().expect("the end was shown");
        let missing: Vec<usize> = world
            .transcribed
            .iter()
            .copied()
            .filter(|number| world.rule.is_usable(world.statements[*number]))
            .filter(|number| !file.contains(&format!("word{number}")))
            .collect();
        if self.no_failures && !missing.is_empty() {
            world
                .violations
                .push(format!("missing: {missing:?} in {file}"));
        }
    }

    pub(super) fn violations(&self) -> Vec<String> {
        self.shared.lock().violations.clone()
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

    fn run_until(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        for _ in 0..4_000 {
            if done(self) {
                return;
            }
            self.settle();
        }
        panic!("never: {what}");
    }

    /// Nothing is kept against the rule, once it could be written.
    fn check_ledger(&mut self) {
        let (runtime, process) = self.process();
        if self.disk_full || process.job_scheduler.runner().consents.has_unwritten() {
            return;
        }
        let store = &process.store;
        let kept = runtime.block_on(async {
            let session = store.latest_session(GUILD).await.expect("read");
            let lines = match session.filter(|session| session.ended.is_none()) {
                Some(session) => store.lines(session.id).await.expect("read"),
                None => Vec::new(),
            };
            let lines = lines.iter().map(|it| format!("{}: {}\n", it.name, it.text));
            let lines: String = lines.collect();
            let turns = store.latest_turns(TEXT, 1_000).await.expect("read");
            let turns = turns.iter().map(|it| format!("{}: {}\n", it.name, it.text));
            lines + &turns.collect::<String>()
        });
        self.shared.check_text("ledger", &kept);
    }
}

impl Drop for TestRun {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn start_process(shared: &SharedServices, folder: &TempDir) -> SimulatedProcess {
    let (still, wait) = std::sync::mpsc::channel();
    tokio::task::spawn_blocking(move || wait.recv());
    let (store, _) = open_store(folder).await;
    let workshop = JobRunner {
        pipeline: pipeline(shared),
        local_pipeline: None,
        admission: Admission::open(rules(), store.clone(), Timestamp::now, false)
            .await
            .expect("opened"),
        store: store.clone(),
        consents: ConsentRegistry::default(),
        frontend: Arc::new(shared.clone()),
        poison_jobs: PoisonJobIsolator::default(),
        clock: Timestamp::now,
    };
    let writing = workshop.consents.clone();
    tokio::spawn(writing.run_write_retries(store.clone(), Timestamp::now));
    let limits = QueueLimits {
        max_running: 4,
        max_running_per_tenant: 4,
        max_waiting_per_member: 50,
        max_waiting_per_tenant: 50,
        max_waiting: 50,
    };
    let desk = JobScheduler::new(workshop, limits);
    let session = open_session(&store).await;
    let everybody = shared.lock().rule.default_consent;
    let rule = match everybody {
        true => ConsentRule::Notice,
        false => ConsentRule::Ask,
    };
    let chosen = GuildSettings::update(&store, GUILD, |settings| {
        settings.voice_consent = rule;
        Ok::<_, ()>(())
    });
    chosen.await.expect("written").expect("no objection");
    let book = desk
        .runner()
        .load_guild_consents(GUILD)
        .await
        .expect("read");
    book.set_rule(rule);
    desk.start().await.expect("opened");
    let now = Timestamp::now();
    let clock = SessionClock::starting_at(session_elapsed(&session, now));
    let (microphone, _) =
        audio_worker::spawn_audio_worker(SpeakerReceiverSettings::default(), clock, book.clone())
            .expect("a thread");
    let (heard, sounds) = mpsc::channel(1_000);
    let (inbox, messages) = mpsc::channel(1_000);
    let setup: SessionSetup = serde_json::from_str(&session.details.payload).expect("a setup");
    let (call, sounds) = SessionActor::open(SessionParts {
        session,
        setup,
        consents: book,
        scheduler: Arc::clone(&desk),
        view: Arc::new(shared.clone()),
        live_transcriber: None,
        bot_name: "Talkback".to_owned(),
        bot_names: BotNames::new(["Talkback"]),
        limits: SessionLimits {
            max_length: Duration::from_secs(1_000_000),
            alone_timeout: Duration::from_secs(1_000_000),
        },
        audio_input: microphone.clone(),
        audio_events: sounds,
        clock,
        listening_guard: CancellationToken::new().drop_guard(),
    })
    .await
    .expect("opened");
    SimulatedProcess {
        store,
        job_scheduler: desk,
        clock,
        _microphone: microphone,
        voice_events: Some(heard),
        commands: inbox,
        session_task: tokio::spawn(call.run(sounds, messages)),
        _still: still,
    }
}

/// The process before may still be letting go of it.
async fn open_store(folder: &TempDir) -> (Store, talkback::store::KeySource) {
    for _ in 0..500 {
        if let Ok(opened) = Store::open(folder.path(), None).await {
            return opened;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("nobody lets go of the ledger");
}

async fn open_session(store: &Store) -> SessionRecord {
    if let Some(session) = store.active_session(GUILD).await.expect("read") {
        return session;
    }
    let setup = SessionSetup {
        answers: AnswerMode::Always,
        title: "Lounge".to_owned(),
        languages: Vec::new(),
    };
    let new = SessionDetails {
        guild: GUILD,
        voice_channel: 6,
        text_channel: TEXT,
        requested_by: id(0),
        payload: serde_json::to_string(&setup).expect("JSON"),
    };
    let opened = store.open_session(&new, Timestamp::now()).await;
    opened.expect("written").expect("the only one");
    let session = store.active_session(GUILD).await.expect("read");
    session.expect("it is there")
}

fn pipeline(shared: &SharedServices) -> Pipeline {
    Pipeline {
        limits: AudioLimits::default(),
        transcriber: PaidTranscriber::new(Arc::new(CheckingTranscriber::new(shared.clone()))),
        chat: PaidModel::new(Arc::new(CheckingChatModel(
            shared.clone(),
            ModelCard {
                model: "scripted".to_owned(),
                host: "here".to_owned(),
                notice: None,
            },
        ))),
        hints: Hints::default(),
        system_prompt: String::new(),
        answer_timeout: Duration::from_secs(100_000),
    }
}

fn rules() -> UsageRules {
    let most = DailyCaps {
        member: u64::MAX / 4,
        guild: u64::MAX / 4,
        global: u64::MAX / 4,
    };
    UsageRules {
        max_duration: Duration::from_secs(1_000),
        cooldown: Duration::ZERO,
        audio_caps: most,
        money_caps: most,
        local_at_cap: false,
        prices: Prices::default(),
    }
}
