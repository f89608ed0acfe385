//! How jobs end that don't go well.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::sync::Notify;

use super::access::Standing;
use super::admission::Admission;
use super::consent::Consents;
use super::desk::{Carried, Desk, Request, Taken};
use super::front::{DeliveryError, FetchError, Front, JobReply, Outcome};
use super::memory::Conversation;
use super::order::{Attachment, Note, Order, Via, Wish};
use super::paid::{PaidModel, PaidTranscriber};
use super::queue::QueueLimits;
use super::rules::{Caps, Prices, Rules};
use super::server::ServerSettings;
use super::suspects::Suspects;
use super::work::Workshop;
use super::{Pipeline, Reply, Stage};
use crate::chat::{
    AnswerStream, ChatError, ChatModel, Conversation as Asked, End, EndReason, ModelCard, Piece,
    Probe,
};
use crate::speech::{Capabilities, Hints, Input, Observer, SpeechError, Transcriber, Transcript};
use crate::store::{Job, JobId, JobState, Store, StoreError, Timestamp, Turn};
use audio::{Clip, Limits, Recording};
use net::Cause;

/// Longer than a job rests.
const A_WHILE: Duration = Duration::from_secs(16);

/// What a delivery comes to.
enum Delivery {
    Later,
    Panics,
}

#[derive(Default)]
struct Channel {
    next: Mutex<VecDeque<Delivery>>,
    shown: Mutex<Vec<String>>,
    tried: AtomicUsize,
    changed: Notify,
}

impl Channel {
    async fn until(&self, what: &str, fits: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !fits(self) {
                self.changed.notified().await;
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        assert!(found.is_ok(), "waited in vain for {what}");
    }

    fn shown(&self) -> Vec<String> {
        self.shown.lock().expect("not poisoned").clone()
    }
}

struct Shown(Arc<Channel>);

impl Reply for Shown {
    fn take_back(&self) {}

    fn stage(&self, _: Stage) {}
}

#[async_trait]
impl JobReply for Shown {
    async fn stands(&self) -> Result<(), DeliveryError> {
        Ok(())
    }

    async fn lost(&self) -> Cause {
        std::future::pending().await
    }

    fn smaller_engines(&self) {}

    fn noted(&self, _: &[Note]) {}

    async fn deliver(&self, outcome: &Outcome) -> Result<Option<u64>, DeliveryError> {
        let next = self.0.next.lock().expect("not poisoned").pop_front();
        self.0.tried.fetch_add(1, Ordering::Relaxed);
        self.0.changed.notify_one();
        match next {
            Some(Delivery::Later) => Err(DeliveryError::Later("an outage".into())),
            panics => {
                assert!(panics.is_none(), "a delivery panics");
                let name = match outcome {
                    Outcome::Answered { answer, .. } => answer.0.clone(),
                    Outcome::Failed { failure, .. } => failure.to_string(),
                    other => format!("{other:?}"),
                };
                self.0.shown.lock().expect("not poisoned").push(name);
                self.0.changed.notify_one();
                Ok(Some(1))
            }
        }
    }

    fn anew(&self) {}

    async fn take_away(&self) {}

    async fn abandon(&self) {}

    async fn settle(&self) -> Result<(), DeliveryError> {
        Ok(())
    }
}

struct Place(Arc<Channel>);

#[async_trait]
impl Front for Place {
    async fn fetch(&self, _: &Job, _: &Attachment, _: u64) -> Result<Recording, FetchError> {
        Err(FetchError::Gone)
    }

    async fn earlier(&self, _: &Job, _: u64) -> Vec<Turn> {
        Vec::new()
    }

    fn closes_in(&self, _: u64, _: &Order) -> Option<Duration> {
        None
    }

    async fn take_away(&self, _: &Job, _: &Order) {}

    async fn reply(&self, _: &Job, _: &Order, _: bool) -> Result<Arc<dyn JobReply>, StoreError> {
        Ok(Arc::new(Shown(Arc::clone(&self.0))))
    }
}

struct Deaf(Capabilities);

#[async_trait]
impl Transcriber for Deaf {
    fn capabilities(&self) -> &Capabilities {
        &self.0
    }

    async fn transcribe(
        &self,
        _: &Clip,
        _: &Hints,
        _: &dyn Observer,
    ) -> Result<Transcript, SpeechError> {
        Err(SpeechError::Unsuitable)
    }

    async fn probe(&self) -> Result<(), SpeechError> {
        Ok(())
    }
}

fn capabilities() -> Capabilities {
    Capabilities {
        name: "nobody",
        input: Input::Either,
        shortest: Duration::ZERO,
        longest: Duration::MAX,
        word_times: false,
        languages: &[],
    }
}

struct Model {
    card: ModelCard,
    panics: usize,
    asked: AtomicUsize,
}

#[async_trait]
impl ChatModel for Model {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    async fn answer(&self, _: &Asked) -> Result<AnswerStream, ChatError> {
        let before = self.asked.fetch_add(1, Ordering::Relaxed);
        assert!(before >= self.panics, "a model panics");
        let end = End {
            reason: EndReason::Complete,
            usage: None,
        };
        let pieces = [Ok(Piece::Text("Paris.".to_owned())), Ok(Piece::End(end))];
        Ok(Box::pin(futures_util::stream::iter(pieces)))
    }

    async fn probe(&self) -> Result<Probe, ChatError> {
        Ok(Probe::default())
    }
}

struct Scene {
    _folder: TempDir,
    store: Store,
    desk: Arc<Desk>,
    channel: Arc<Channel>,
    model: Arc<Model>,
}

impl Scene {
    async fn new(deliveries: Vec<Delivery>, panics: usize) -> Self {
        let folder = TempDir::new().expect("a folder");
        let store = Store::open(folder.path(), None).await.expect("a ledger").0;
        let channel = Arc::new(Channel::default());
        channel.next.lock().expect("new").extend(deliveries);
        let model = Arc::new(Model {
            card: ModelCard {
                model: "test".to_owned(),
                host: "here".to_owned(),
                notice: None,
            },
            panics,
            asked: AtomicUsize::new(0),
        });
        let pipeline = Pipeline {
            limits: Limits::default(),
            transcriber: PaidTranscriber::new(Arc::new(Deaf(capabilities()))),
            chat: PaidModel::new(Arc::clone(&model) as _),
            hints: Hints::default(),
            system_prompt: String::new(),
            answer_limit: Duration::from_secs(60),
        };
        let free = Caps {
            member: u64::MAX,
            server: u64::MAX,
            all: u64::MAX,
        };
        let rules = Rules {
            longest: Duration::from_secs(60),
            cooldown: Duration::ZERO,
            audio: free,
            money: free,
            local_at_cap: false,
            prices: Prices::default(),
        };
        let admission = Admission::open(rules, store.clone(), Timestamp::now, false).await;
        let workshop = Workshop {
            pipeline,
            local: None,
            admission: admission.expect("open"),
            store: store.clone(),
            consents: Consents::default(),
            suspects: Suspects::default(),
            front: Arc::new(Place(Arc::clone(&channel))),
            clock: Timestamp::now,
        };
        let limits = QueueLimits {
            running: 2,
            running_per_home: 2,
            waiting_per_member: 5,
            waiting_per_home: 5,
            waiting: 5,
        };
        let desk = Desk::new(workshop, limits);
        desk.open().await.expect("open");
        Self {
            _folder: folder,
            store,
            desk,
            channel,
            model,
        }
    }

    async fn asks(&self, source: u64) -> JobId {
        let request = Request {
            source,
            guild: Some(1),
            channel: 2,
            author: 3,
            order: Order {
                wish: Wish::Answer,
                name: "Ana".to_owned(),
                recordings: Vec::new(),
                question: Some("What is the capital?".to_owned()),
                conversation: Conversation::New,
                borrowed: None,
                via: Via::Message,
            },
            cleared: Standing::default()
                .clear(&ServerSettings::default())
                .expect("no role"),
            carried: Carried::default(),
        };
        let stamp = self.desk.workshop().consents.stamp(3);
        let taken = self.desk.take(stamp.on(request)).await;
        let job = match taken.expect("taken") {
            Taken::Accepted(job, _) => Some(job),
            Taken::Known | Taken::Withdrawn => None,
        };
        job.expect("accepted")
    }

    async fn state(&self, job: JobId) -> JobState {
        let job = self.store.job(job).await.expect("read").expect("there");
        job.state
    }

    async fn until_tried(&self, times: usize) {
        let tried = |channel: &Channel| channel.tried.load(Ordering::Relaxed) >= times;
        self.channel.until("a delivery", tried).await;
        // The job rests once nobody works on it.
        while self.desk.load().1 > 0 {
            tokio::task::yield_now().await;
        }
    }

    async fn until_shown(&self, count: usize) -> Vec<String> {
        let shown = |channel: &Channel| channel.shown().len() >= count;
        self.channel.until("an outcome", shown).await;
        self.channel.shown()
    }
}

async fn a_while_passes() {
    tokio::time::pause();
    tokio::time::advance(A_WHILE).await;
    tokio::time::resume();
}

#[tokio::test]
async fn an_answer_outlives_any_number_of_failed_deliveries() {
    let outage = (0..15).map(|_| Delivery::Later).collect();
    let scene = Scene::new(outage, 0).await;
    let job = scene.asks(7).await;
    for tried in 1..=15 {
        scene.until_tried(tried).await;
        assert_eq!(scene.state(job).await, JobState::Waiting);
        a_while_passes().await;
    }
    assert_eq!(scene.until_shown(1).await, ["Paris."]);
    assert_eq!(scene.model.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_job_that_rests_can_be_superseded() {
    let scene = Scene::new(vec![Delivery::Later], 0).await;
    let job = scene.asks(7).await;
    scene.until_tried(1).await;
    scene.desk.supersede(7).await.expect("superseded");
    assert_eq!(scene.channel.shown(), ["Superseded"]);
    assert_eq!(scene.state(job).await, JobState::Cancelled);
    a_while_passes().await;
    let next = scene.asks(8).await;
    assert_eq!(scene.until_shown(2).await, ["Superseded", "Paris."]);
    assert_ne!(next, job);
}

#[tokio::test]
async fn a_job_that_rests_can_be_withdrawn() {
    let scene = Scene::new(vec![Delivery::Later], 0).await;
    let job = scene.asks(7).await;
    scene.until_tried(1).await;
    scene.desk.withdraw(7).await.expect("withdrawn");
    assert!(scene.store.job(job).await.expect("read").is_none());
    a_while_passes().await;
    scene.asks(9).await;
    assert_eq!(scene.until_shown(1).await, ["Paris."]);
}

#[tokio::test]
async fn a_job_that_panics_is_done_once_more() {
    let scene = Scene::new(Vec::new(), 1).await;
    let job = scene.asks(7).await;
    while scene.model.asked.load(Ordering::Relaxed) < 1 || scene.desk.load().1 > 0 {
        tokio::task::yield_now().await;
    }
    a_while_passes().await;
    assert_eq!(scene.until_shown(1).await, ["Paris."]);
    scene.desk.until_done(job).await;
    assert_eq!(scene.state(job).await, JobState::Done);
}

#[tokio::test]
async fn a_job_that_panics_again_ends_with_a_sentence() {
    let scene = Scene::new(Vec::new(), 100).await;
    let job = scene.asks(7).await;
    while scene.model.asked.load(Ordering::Relaxed) < 1 || scene.desk.load().1 > 0 {
        tokio::task::yield_now().await;
    }
    a_while_passes().await;
    assert_eq!(scene.until_shown(1).await, ["begun 2 times"]);
    assert_eq!(scene.state(job).await, JobState::Failed);
}

#[tokio::test]
async fn even_a_sentence_that_panics_is_an_end_in_the_ledger() {
    let panics = vec![Delivery::Panics, Delivery::Panics, Delivery::Panics];
    let scene = Scene::new(panics, 0).await;
    let job = scene.asks(7).await;
    scene.until_tried(1).await;
    a_while_passes().await;
    scene.until_tried(3).await;
    assert_eq!(scene.state(job).await, JobState::Failed);
}
