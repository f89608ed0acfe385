//! What a session meets: providers that take their time and fail, a board, a model. Each of them
//! looks at what it is given, and tells on whoever gives it what the rule forbids.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use audio::{Clip, Recording};
use futures_util::StreamExt;
use net::{Cause, NetError};
use talkback::chat::{
    AnswerStream, ChatError, ChatModel, Conversation, End, EndReason, ModelCard, Piece, Probe,
};
use talkback::flow::access::Standing;
use talkback::flow::consent::Stamped;
use talkback::flow::front::{DeliveryError, FetchError, Front, JobReply, Outcome};
use talkback::flow::order::{Attachment, Note, Order};
use talkback::flow::session::board::{Board, Partial, Remains, Remark};
use talkback::flow::{Reply, Stage};
use talkback::speech::upload::UploadLimits;
use talkback::speech::{
    Capabilities, Hints, Input, LiveUpload, Observer, SpeechError, Transcriber, Transcript,
};
use talkback::store::{Job, Line, StoreError, Turn};
use tokio::sync::oneshot;

use super::rule::{Rule, Said};

/// Everything that a run is about. One lock, so that the rule changes in one moment for all.
#[derive(Default)]
pub(super) struct World {
    pub(super) rule: Rule,
    pub(super) said: Vec<Said>,
    /// What was given to somebody against the rule.
    pub(super) broken: Vec<String>,
    /// Utterances and questions that wait for somebody to answer them.
    pub(super) hearing: VecDeque<oneshot::Sender<bool>>,
    pub(super) thinking: VecDeque<oneshot::Sender<()>>,
    /// The transcript, once the end has been shown.
    pub(super) file: Option<String>,
    /// What a recognizer has understood.
    pub(super) understood: Vec<usize>,
    pub(super) requests: u64,
    /// Uploads that were begun, or refused.
    pub(super) uploads: u64,
}

#[derive(Clone, Default)]
pub(super) struct Shared(Arc<Mutex<World>>);

pub(super) fn name(person: usize) -> String {
    format!("Name{person}")
}

impl Shared {
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("no panic while it is held")
    }

    /// Looks at something that `whom` is given.
    pub(super) fn look(&self, whom: &str, text: &str) {
        let mut world = self.world();
        for number in numbers(text, "word") {
            if !world
                .said
                .get(number)
                .is_some_and(|it| world.rule.allows(*it))
            {
                world.broken.push(format!("{whom}: word{number}"));
            }
        }
        for person in numbers(text, "Name") {
            if !world.rule.may(person) {
                world.broken.push(format!("{whom}: Name{person}"));
            }
        }
    }
}

impl Shared {
    /// The recognizer is given some of an utterance, and what helps to hear it right.
    fn given(&self, number: usize, hints: &Hints) {
        self.look("recognizer", &format!("word{number}"));
        self.look("recognizer's terms", &hints.key_terms.join(" "));
        self.look("recognizer's context", &hints.context.join(" "));
    }
}

/// The numbers behind each `what`.
fn numbers<'a>(text: &'a str, what: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.split(what).skip(1).filter_map(|rest| {
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    })
}

pub(super) struct Hearer(pub(super) Shared, pub(super) Capabilities);

impl Hearer {
    pub(super) fn new(shared: Shared) -> Self {
        let capabilities = Capabilities {
            name: "scripted",
            input: Input::Samples,
            shortest: std::time::Duration::ZERO,
            longest: std::time::Duration::from_secs(120),
            word_times: false,
            languages: &[],
        };
        Self(shared, capabilities)
    }
}

#[async_trait]
impl Transcriber for Hearer {
    fn capabilities(&self) -> &Capabilities {
        &self.1
    }

    async fn transcribe(
        &self,
        clip: &Clip,
        hints: &Hints,
        _: &dyn Observer,
    ) -> Result<Transcript, SpeechError> {
        let pcm = clip.pcm().expect("samples").to_s16();
        let (number, asks) = said(&pcm);
        self.0.given(number, hints);
        understood(self.0.clone(), number, asks).await
    }

    /// Every other one is taken.
    fn upload(&self, hints: &Hints) -> Option<LiveUpload> {
        let (shared, hints) = (self.0.clone(), hints.clone());
        let uploads = {
            let mut world = shared.world();
            world.uploads += 1;
            world.uploads
        };
        if uploads % 2 == 0 {
            return None;
        }
        let limits = UploadLimits {
            longest: self.1.longest,
            answer: std::time::Duration::from_secs(60),
        };
        Some(LiveUpload::begin("scripted", limits, |body| async move {
            let mut first = None;
            while let Some(piece) = body
                .next(std::time::Duration::ZERO)
                .await
                .map_err(|_| SpeechError::Unsuitable)?
            {
                let pcm: Vec<i16> = piece
                    .chunks_exact(2)
                    .map(|it| i16::from_le_bytes([it[0], it[1]]))
                    .collect();
                let (number, _) = *first.get_or_insert_with(|| said(&pcm));
                shared.given(number, &hints);
            }
            let (number, asks) = first.ok_or(SpeechError::Unsuitable)?;
            understood(shared, number, asks).await
        }))
    }

    fn takes_uploads(&self) -> bool {
        true
    }

    async fn probe(&self) -> Result<(), SpeechError> {
        Ok(())
    }
}

/// The first sample of an utterance is its number, and the second says whether it is a question.
fn said(pcm: &[i16]) -> (usize, bool) {
    (pcm[0] as usize, pcm[1] > 0)
}

/// The words of an utterance, once the recognizer is through with it.
async fn understood(shared: Shared, number: usize, asks: bool) -> Result<Transcript, SpeechError> {
    let (sender, told) = oneshot::channel();
    shared.world().hearing.push_back(sender);
    if told.await != Ok(true) {
        return Err(SpeechError::Unavailable(NetError::Malformed {
            what: "scripted".into(),
        }));
    }
    shared.world().understood.push(number);
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

pub(super) struct Thinker(pub(super) Shared, pub(super) ModelCard);

#[async_trait]
impl ChatModel for Thinker {
    fn card(&self) -> &ModelCard {
        &self.1
    }

    async fn answer(&self, conversation: &Conversation) -> Result<AnswerStream, ChatError> {
        for turn in &conversation.turns {
            let speaker = turn.speaker.as_deref().unwrap_or_default();
            self.0.look("model", &format!("{speaker}: {}", turn.text));
        }
        let (sender, told) = oneshot::channel();
        self.0.world().thinking.push_back(sender);
        let answer = async move {
            let _ = told.await;
            Ok(Piece::Text("Topics:\n- Something [1]\n".to_owned()))
        };
        let end = Piece::End(End {
            reason: EndReason::Complete,
            usage: None,
        });
        let answer = futures_util::stream::once(answer);
        Ok(Box::pin(
            answer.chain(futures_util::stream::iter([Ok(end)])),
        ))
    }

    async fn probe(&self) -> Result<Probe, ChatError> {
        Ok(Probe::default())
    }
}

#[async_trait]
impl Board for Shared {
    fn lines(&self, lines: Vec<Stamped<Line>>) {
        for line in lines.into_iter().filter_map(Stamped::open) {
            self.look("board", &format!("{}: {}", line.name, line.text));
        }
    }

    fn partial(&self, partial: Stamped<Partial>) {
        if let Some(partial) = partial.open().filter(|it| !it.text.is_empty()) {
            self.look("board", &format!("{}: {}", partial.name, partial.text));
        }
    }

    fn remark(&self, _: Remark<'_>) {}

    fn stands(&self) -> bool {
        true
    }

    async fn settle(&self) {
        tokio::task::yield_now().await;
    }

    fn request_id(&self) -> u64 {
        let mut world = self.world();
        world.requests += 1;
        1_000 + world.requests
    }

    async fn standing(&self, _: u64, _: u64) -> Standing {
        Standing::default()
    }

    async fn close(&self, remains: &Remains) -> bool {
        // Whatever happens before it is really shown.
        let (sender, told) = oneshot::channel();
        self.world().thinking.push_back(sender);
        let _ = told.await;
        let facts = format!("{:?}", remains.facts().report);
        self.look("report", &facts);
        let lines = remains.lines();
        let lines = lines.iter().map(|it| format!("{}: {}\n", it.name, it.text));
        let file: String = lines.collect();
        self.look("file", &file);
        self.world().file = Some(file);
        true
    }
}

#[async_trait]
impl Front for Shared {
    async fn fetch(&self, _: &Job, _: &Attachment, _: u64) -> Result<Recording, FetchError> {
        Err(FetchError::Gone)
    }

    async fn earlier(&self, _: &Job, _: u64) -> Vec<Turn> {
        Vec::new()
    }

    fn closes_in(&self, _: u64, _: &Order) -> Option<std::time::Duration> {
        None
    }

    async fn take_away(&self, _: &Job, _: &Order) {}

    async fn reply(
        &self,
        _: &Job,
        order: &Order,
        _: bool,
    ) -> Result<Arc<dyn JobReply>, StoreError> {
        let question = order.question.as_deref().unwrap_or_default();
        self.look("reply", &format!("{}: {question}", order.name));
        Ok(Arc::new(self.clone()))
    }
}

impl Reply for Shared {
    fn take_back(&self) {}

    fn stage(&self, _: Stage) {}
}

#[async_trait]
impl JobReply for Shared {
    async fn stands(&self) -> Result<(), DeliveryError> {
        Ok(())
    }

    async fn lost(&self) -> Cause {
        std::future::pending().await
    }

    fn smaller_engines(&self) {}

    fn noted(&self, _: &[Note]) {}

    async fn deliver(&self, _: &Outcome) -> Result<Option<u64>, DeliveryError> {
        let mut world = self.world();
        world.requests += 1;
        Ok(Some(5_000 + world.requests))
    }

    fn anew(&self) {}

    async fn take_away(&self) {}

    async fn abandon(&self) {}

    async fn settle(&self) -> Result<(), DeliveryError> {
        Ok(())
    }
}
