//! What a session meets: providers that take their time and fail, a board, a model. Each of them
//! looks at what it is given, and tells on whoever gives it what the rule forbids.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use audio::{Clip, Recording};
use futures_util::StreamExt;
use net::{ErrorCause, NetError};
use talkback::chat::{
    AnswerChunk, AnswerEnd, AnswerStream, ChatError, ChatModel, ChatProbe, Conversation,
    FinishReason, ModelCard,
};
use talkback::flow::access::MemberAccess;
use talkback::flow::consent::PersonalData;
use talkback::flow::frontend::{DeliveryError, FetchError, Frontend, JobOutcome, JobReply};
use talkback::flow::job_spec::{Attachment, JobSpec, RecordingTranscript};
use talkback::flow::session::transcript_view::{
    PartialTranscript, SessionNotice, SessionResult, TranscriptView,
};
use talkback::flow::{PipelineStage, Reply};
use talkback::speech::upload::LiveUploadLimits;
use talkback::speech::{
    Capabilities, Hints, LiveUpload, SpeechError, Transcriber, TranscriberInput, Transcript,
    TranscriptionObserver,
};
use talkback::store::{Job, StoreError, StoredTurn, TranscriptLine};
use tokio::sync::oneshot;

use super::rule::{ConsentOracle, Statement};

/// Everything that a run is about. One lock, so that the rule changes in one moment for all.
#[derive(Default)]
pub(super) struct FakeServices {
    pub(super) rule: ConsentOracle,
    pub(super) statements: Vec<Statement>,
    /// What was given to somebody against the rule.
    pub(super) violations: Vec<String>,
    /// Utterances and questions that wait for somebody to answer them.
    pub(super) pending_transcriptions: VecDeque<oneshot::Sender<bool>>,
    pub(super) pending_answers: VecDeque<oneshot::Sender<()>>,
    /// The transcript, once the end has been shown.
    pub(super) transcript_file: Option<String>,
    /// What a recognizer has understood.
    pub(super) transcribed: Vec<usize>,
    pub(super) requests: u64,
    /// Uploads that were begun, or refused.
    pub(super) uploads: u64,
}

#[derive(Clone, Default)]
pub(super) struct SharedServices(Arc<Mutex<FakeServices>>);

pub(super) fn display_name(person: usize) -> String {
    format!("Name{person}")
}

impl SharedServices {
    pub(super) fn lock(&self) -> MutexGuard<'_, FakeServices> {
        self.0.lock().expect("no panic while it is held")
    }

    /// Looks at something that `whom` is given.
    pub(super) fn check_text(&self, whom: &str, text: &str) {
        let mut world = self.lock();
        for number in numbers_after(text, "word") {
            if !world
                .statements
                .get(number)
                .is_some_and(|it| world.rule.is_usable(*it))
            {
                world.violations.push(format!("{whom}: word{number}"));
            }
        }
        for person in numbers_after(text, "Name") {
            if !world.rule.is_permitted(person) {
                world.violations.push(format!("{whom}: Name{person}"));
            }
        }
    }
}

impl SharedServices {
    /// The recognizer is given some of an utterance, and what helps to hear it right.
    fn check_recognizer_input(&self, number: usize, hints: &Hints) {
        self.check_text("recognizer", &format!("word{number}"));
        self.check_text("recognizer's terms", &hints.key_terms.join(" "));
        self.check_text("recognizer's context", &hints.context.join(" "));
    }
}

/// The numbers behind each `what`.
fn numbers_after<'a>(text: &'a str, what: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.split(what).skip(1).filter_map(|rest| {
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    })
}

pub(super) struct CheckingTranscriber(pub(super) SharedServices, pub(super) Capabilities);

impl CheckingTranscriber {
    pub(super) fn new(shared: SharedServices) -> Self {
        let capabilities = Capabilities {
            name: "scripted",
            input: TranscriberInput::Samples,
            min_duration: std::time::Duration::ZERO,
            max_duration: std::time::Duration::from_secs(120),
            word_timestamps: false,
            languages: &[],
        };
        Self(shared, capabilities)
    }
}

#[async_trait]
impl Transcriber for CheckingTranscriber {
    fn capabilities(&self) -> &Capabilities {
        &self.1
    }

    async fn transcribe(
        &self,
        clip: &Clip,
        hints: &Hints,
        _: &dyn TranscriptionObserver,
    ) -> Result<Transcript, SpeechError> {
        let pcm = clip.pcm().expect("samples").to_s16();
        let (number, asks) = decode_statement(&pcm);
        self.0.check_recognizer_input(number, hints);
        wait_for_transcription(self.0.clone(), number, asks).await
    }

    /// Every other one is taken.
    fn start_upload(&self, hints: &Hints) -> Option<LiveUpload> {
        let (shared, hints) = (self.0.clone(), hints.clone());
        let uploads = {
            let mut world = shared.lock();
            world.uploads += 1;
            world.uploads
        };
        if uploads % 2 == 0 {
            return None;
        }
        let limits = LiveUploadLimits {
            max_duration: self.1.max_duration,
            answer_timeout: std::time::Duration::from_secs(60),
        };
        Some(LiveUpload::start("scripted", limits, |body| async move {
            let mut first = None;
            while let Some(piece) = body
                .next_chunk(std::time::Duration::ZERO)
                .await
                .map_err(|_| SpeechError::UnsupportedClip)?
            {
                let pcm: Vec<i16> = piece
                    .chunks_exact(2)
                    .map(|it| i16::from_le_bytes([it[0], it[1]]))
                    .collect();
                let (number, _) = *first.get_or_insert_with(|| decode_statement(&pcm));
                shared.check_recognizer_input(number, &hints);
            }
            let (number, asks) = first.ok_or(SpeechError::UnsupportedClip)?;
            wait_for_transcription(shared, number, asks).await
        }))
    }

    fn supports_upload(&self) -> bool {
        true
    }

    async fn probe(&self) -> Result<(), SpeechError> {
        Ok(())
    }
}

/// The first sample of an utterance is its number, and the second says whether it is a question.
fn decode_statement(pcm: &[i16]) -> (usize, bool) {
    (pcm[0] as usize, pcm[1] > 0)
}

/// The words of an utterance, once the recognizer is through with it.
async fn wait_for_transcription(
    shared: SharedServices,
    number: usize,
    asks: bool,
) -> Result<Transcript, SpeechError> {
    let (sender, told) = oneshot::channel();
    shared.lock().pending_transcriptions.push_back(sender);
    if told.await != Ok(true) {
        return Err(SpeechError::Unavailable(NetError::Malformed {
            what: "scripted".into(),
        }));
    }
    shared.lock().transcribed.push(number);
    Ok(Transcript {
        text: match asks {
            true => format!("What is word{number}?"),
            false => format!("This is word{number}."),
        },
        segments: Vec::new(),
        words: Vec::new(),
        language: None,
        confidence: None,
        provider: "scripted",
    })
}

pub(super) struct CheckingChatModel(pub(super) SharedServices, pub(super) ModelCard);

#[async_trait]
impl ChatModel for CheckingChatModel {
    fn card(&self) -> &ModelCard {
        &self.1
    }

    async fn answer(&self, conversation: &Conversation) -> Result<AnswerStream, ChatError> {
        for turn in &conversation.turns {
            let speaker = turn.speaker_name.as_deref().unwrap_or_default();
            self.0
                .check_text("model", &format!("{speaker}: {}", turn.text));
        }
        let (sender, told) = oneshot::channel();
        self.0.lock().pending_answers.push_back(sender);
        let answer = async move {
            let _ = told.await;
            Ok(AnswerChunk::Text("Topics:\n- Something [1]\n".to_owned()))
        };
        let end = AnswerChunk::End(AnswerEnd {
            reason: FinishReason::Complete,
            usage: None,
        });
        let answer = futures_util::stream::once(answer);
        Ok(Box::pin(
            answer.chain(futures_util::stream::iter([Ok(end)])),
        ))
    }

    async fn probe(&self) -> Result<ChatProbe, ChatError> {
        Ok(ChatProbe::default())
    }
}

#[async_trait]
impl TranscriptView for SharedServices {
    fn append_lines(&self, lines: Vec<PersonalData<TranscriptLine>>) {
        for line in lines.into_iter().filter_map(PersonalData::into_inner) {
            self.check_text("board", &format!("{}: {}", line.name, line.text));
        }
    }

    fn show_partial(&self, partial: PersonalData<PartialTranscript>) {
        if let Some(partial) = partial.into_inner().filter(|it| !it.text.is_empty()) {
            self.check_text(
                "board",
                &format!("{}: {}", partial.speaker_name, partial.text),
            );
        }
    }

    fn post_notice(&self, _: SessionNotice<'_>) {}

    fn is_available(&self) -> bool {
        true
    }

    async fn flush(&self) {
        tokio::task::yield_now().await;
    }

    fn next_request_id(&self) -> u64 {
        let mut world = self.lock();
        world.requests += 1;
        1_000 + world.requests
    }

    async fn member_access(&self, _: u64, _: u64) -> MemberAccess {
        MemberAccess::default()
    }

    async fn show_result(&self, remains: &SessionResult) -> bool {
        // Whatever happens before it is really shown.
        let (sender, told) = oneshot::channel();
        self.lock().pending_answers.push_back(sender);
        let _ = told.await;
        let facts = format!("{:?}", remains.session_info().report);
        self.check_text("report", &facts);
        let lines = remains.permitted_lines();
        let lines = lines.iter().map(|it| format!("{}: {}\n", it.name, it.text));
        let file: String = lines.collect();
        self.check_text("file", &file);
        self.lock().transcript_file = Some(file);
        true
    }
}

#[async_trait]
impl Frontend for SharedServices {
    async fn fetch_recording(
        &self,
        _: &Job,
        _: &Attachment,
        _: u64,
    ) -> Result<Recording, FetchError> {
        Err(FetchError::Gone)
    }

    async fn fetch_earlier_turns(&self, _: &Job, _: u64) -> Vec<StoredTurn> {
        Vec::new()
    }

    fn reply_expires_in(&self, _: u64, _: &JobSpec) -> Option<std::time::Duration> {
        None
    }

    async fn delete_reply(&self, _: &Job, _: &JobSpec) {}

    async fn open_reply(
        &self,
        _: &Job,
        order: &JobSpec,
        _: bool,
    ) -> Result<Arc<dyn JobReply>, StoreError> {
        let question = order.question.as_deref().unwrap_or_default();
        self.check_text("reply", &format!("{}: {question}", order.requester_name));
        Ok(Arc::new(self.clone()))
    }
}

impl Reply for SharedServices {
    fn retract_answer(&self) {}

    fn enter_stage(&self, _: PipelineStage) {}
}

#[async_trait]
impl JobReply for SharedServices {
    async fn wait_until_posted(&self) -> Result<(), DeliveryError> {
        Ok(())
    }

    async fn wait_until_lost(&self) -> ErrorCause {
        std::future::pending().await
    }

    fn notify_local_engines(&self) {}

    fn show_saved_transcripts(&self, _: &[RecordingTranscript]) {}

    async fn deliver(&self, _: &JobOutcome) -> Result<Option<u64>, DeliveryError> {
        let mut world = self.lock();
        world.requests += 1;
        Ok(Some(5_000 + world.requests))
    }

    fn restart_answer(&self) {}

    async fn delete_messages(&self) {}

    async fn stop_updates(&self) {}

    async fn reconcile_sends(&self) -> Result<(), DeliveryError> {
        Ok(())
    }
}
