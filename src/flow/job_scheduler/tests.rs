//! Retries, panics and cancellation of jobs.

mod fakes;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use self::fakes::{
    FailingTranscriber, FakeChannel, FakeFrontend, PanickingChatModel, ScriptedDelivery,
};
use super::{CarriedOver, JobScheduler, JobSubmission, SubmitOutcome};
use crate::chat::ModelCard;
use crate::flow::Pipeline;
use crate::flow::access::MemberAccess;
use crate::flow::admission::Admission;
use crate::flow::consent::ConsentRegistry;
use crate::flow::conversation_history::ConversationRef;
use crate::flow::fair_queue::QueueLimits;
use crate::flow::guild_settings::GuildSettings;
use crate::flow::job_runner::JobRunner;
use crate::flow::job_spec::{JobSpec, OutputKind, ReplyTarget};
use crate::flow::paid_providers::{PaidModel, PaidTranscriber};
use crate::flow::poison_jobs::PoisonJobIsolator;
use crate::flow::usage_rules::{DailyCaps, Prices, UsageRules};
use crate::speech::{Capabilities, Hints, TranscriberInput};
use crate::store::{JobId, JobState, Store, Timestamp};
use audio::AudioLimits;

/// Longer than the scheduler's retry delay.
const PAST_RETRY_DELAY: Duration = Duration::from_secs(16);

fn capabilities() -> Capabilities {
    Capabilities {
        name: "nobody",
        input: TranscriberInput::Either,
        min_duration: Duration::ZERO,
        max_duration: Duration::MAX,
        word_timestamps: false,
        languages: &[],
    }
}

struct SchedulerScene {
    _folder: TempDir,
    store: Store,
    scheduler: Arc<JobScheduler>,
    channel: Arc<FakeChannel>,
    model: Arc<PanickingChatModel>,
}

impl SchedulerScene {
    async fn new(deliveries: Vec<ScriptedDelivery>, panics: usize) -> Self {
        let folder = TempDir::new().expect("a folder");
        let store = Store::open(folder.path(), None).await.expect("a ledger").0;
        let channel = Arc::new(FakeChannel::default());
        channel.deliveries.lock().expect("new").extend(deliveries);
        let model = Arc::new(PanickingChatModel {
            card: ModelCard {
                model: "test".to_owned(),
                host: "here".to_owned(),
                notice: None,
            },
            panics,
            requests: AtomicUsize::new(0),
        });
        let pipeline = Pipeline {
            limits: AudioLimits::default(),
            transcriber: PaidTranscriber::new(Arc::new(FailingTranscriber(capabilities()))),
            chat: PaidModel::new(Arc::clone(&model) as _),
            hints: Hints::default(),
            system_prompt: String::new(),
            answer_timeout: Duration::from_secs(60),
        };
        let free = DailyCaps {
            member: u64::MAX,
            guild: u64::MAX,
            global: u64::MAX,
        };
        let rules = UsageRules {
            max_duration: Duration::from_secs(60),
            cooldown: Duration::ZERO,
            audio_caps: free,
            money_caps: free,
            local_at_cap: false,
            prices: Prices::default(),
        };
        let admission = Admission::open(rules, store.clone(), Timestamp::now, false).await;
        let runner = JobRunner {
            pipeline,
            local_pipeline: None,
            admission: admission.expect("open"),
            store: store.clone(),
            consents: ConsentRegistry::default(),
            poison_jobs: PoisonJobIsolator::default(),
            frontend: Arc::new(FakeFrontend(Arc::clone(&channel))),
            clock: Timestamp::now,
        };
        let limits = QueueLimits {
            max_running: 2,
            max_running_per_tenant: 2,
            max_waiting_per_member: 5,
            max_waiting_per_tenant: 5,
            max_waiting: 5,
        };
        let scheduler = JobScheduler::new(runner, limits);
        scheduler.start().await.expect("open");
        Self {
            _folder: folder,
            store,
            scheduler,
            channel,
            model,
        }
    }

    async fn submit(&self, source: u64) -> JobId {
        let request = JobSubmission {
            source,
            guild: Some(1),
            channel: 2,
            author: 3,
            spec: JobSpec {
                output: OutputKind::Answer,
                requester_name: "Ana".to_owned(),
                recordings: Vec::new(),
                question: Some("What is the capital?".to_owned()),
                conversation: ConversationRef::New,
                referenced: None,
                reply_target: ReplyTarget::Message,
            },
            access: MemberAccess::default()
                .authorize(&GuildSettings::default())
                .expect("no role"),
            carried_over: CarriedOver::default(),
        };
        let grant = self.scheduler.runner().consents.current_grant(3);
        let submitted = self.scheduler.submit(grant.wrap(request)).await;
        let job = match submitted.expect("taken") {
            SubmitOutcome::Accepted(job, _) => Some(job),
            SubmitOutcome::Duplicate | SubmitOutcome::Withdrawn => None,
        };
        job.expect("accepted")
    }

    async fn job_state(&self, job: JobId) -> JobState {
        let job = self.store.job(job).await.expect("read").expect("there");
        job.state
    }

    async fn wait_for_delivery_attempts(&self, times: usize) {
        let tried = |channel: &FakeChannel| channel.attempts.load(Ordering::Relaxed) >= times;
        self.channel.wait_until("a delivery", tried).await;
        // The job awaits its retry once it no longer runs.
        while self.scheduler.job_counts().1 > 0 {
            tokio::task::yield_now().await;
        }
    }

    async fn wait_for_shown(&self, count: usize) -> Vec<String> {
        let shown = |channel: &FakeChannel| channel.shown().len() >= count;
        self.channel.wait_until("an outcome", shown).await;
        self.channel.shown()
    }
}

async fn advance_past_retry_delay() {
    tokio::time::pause();
    tokio::time::advance(PAST_RETRY_DELAY).await;
    tokio::time::resume();
}

#[tokio::test]
async fn an_answer_outlives_any_number_of_failed_deliveries() {
    let outage = (0..15).map(|_| ScriptedDelivery::RetryLater).collect();
    let scene = SchedulerScene::new(outage, 0).await;
    let job = scene.submit(7).await;
    for tried in 1..=15 {
        scene.wait_for_delivery_attempts(tried).await;
        assert_eq!(scene.job_state(job).await, JobState::Waiting);
        advance_past_retry_delay().await;
    }
    assert_eq!(scene.wait_for_shown(1).await, ["Paris."]);
    assert_eq!(scene.model.requests.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_job_awaiting_retry_can_be_superseded() {
    let scene = SchedulerScene::new(vec![ScriptedDelivery::RetryLater], 0).await;
    let job = scene.submit(7).await;
    scene.wait_for_delivery_attempts(1).await;
    scene.scheduler.supersede(7).await.expect("superseded");
    assert_eq!(scene.channel.shown(), ["Superseded"]);
    assert_eq!(scene.job_state(job).await, JobState::Cancelled);
    advance_past_retry_delay().await;
    let next = scene.submit(8).await;
    assert_eq!(scene.wait_for_shown(2).await, ["Superseded", "Paris."]);
    assert_ne!(next, job);
}

#[tokio::test]
async fn a_job_awaiting_retry_can_be_withdrawn() {
    let scene = SchedulerScene::new(vec![ScriptedDelivery::RetryLater], 0).await;
    let job = scene.submit(7).await;
    scene.wait_for_delivery_attempts(1).await;
    scene.scheduler.withdraw(7).await.expect("withdrawn");
    assert!(scene.store.job(job).await.expect("read").is_none());
    advance_past_retry_delay().await;
    scene.submit(9).await;
    assert_eq!(scene.wait_for_shown(1).await, ["Paris."]);
}

#[tokio::test]
async fn a_panicking_job_is_retried_once() {
    let scene = SchedulerScene::new(Vec::new(), 1).await;
    let job = scene.submit(7).await;
    while scene.model.requests.load(Ordering::Relaxed) < 1 || scene.scheduler.job_counts().1 > 0 {
        tokio::task::yield_now().await;
    }
    advance_past_retry_delay().await;
    assert_eq!(scene.wait_for_shown(1).await, ["Paris."]);
    scene.scheduler.wait_until_done(job).await;
    assert_eq!(scene.job_state(job).await, JobState::Done);
}

#[tokio::test]
async fn a_job_that_panics_twice_fails_with_a_message() {
    let scene = SchedulerScene::new(Vec::new(), 100).await;
    let job = scene.submit(7).await;
    while scene.model.requests.load(Ordering::Relaxed) < 1 || scene.scheduler.job_counts().1 > 0 {
        tokio::task::yield_now().await;
    }
    advance_past_retry_delay().await;
    assert_eq!(scene.wait_for_shown(1).await, ["begun 2 times"]);
    assert_eq!(scene.job_state(job).await, JobState::Failed);
}

#[tokio::test]
async fn a_panicking_failure_message_still_fails_the_job() {
    let panics = vec![
        ScriptedDelivery::Panics,
        ScriptedDelivery::Panics,
        ScriptedDelivery::Panics,
    ];
    let scene = SchedulerScene::new(panics, 0).await;
    let job = scene.submit(7).await;
    scene.wait_for_delivery_attempts(1).await;
    advance_past_retry_delay().await;
    scene.wait_for_delivery_attempts(3).await;
    assert_eq!(scene.job_state(job).await, JobState::Failed);
}
