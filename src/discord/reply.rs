//! A reply that grows: one message, edited in place, in the end whole.
//!
//! A task of its own shows what the flow reports, no oftener than the channel bears; another one
//! delivers the end. Neither is torn apart in the middle of a request.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use super::parcel::{FIRST_WAIT, LONGEST_WAIT};
use super::posting::{LATE, Posting, Posts};
use super::render::{self, View};
use super::servers::Servers;
use super::snowflake::age;
use super::wire::{Post, Wire};
use crate::flow::front::{DeliveryError, JobReply, Outcome};
use crate::flow::order::{Attachment, Note, Order, Via};
use crate::flow::{Notice, Reply, Stage};
use crate::speech::{Progress, Transcript};
use crate::store::{Job, Store, StoreError};
use crate::words::bot as words;
use net::Cause;

/// How long a final message is tried for before the job is put off.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long a command's response can be changed, with some time to spare:
/// <https://discord.com/developers/docs/interactions/receiving-and-responding>.
pub(super) const TOKEN_LIFE: Duration = Duration::from_secs(14 * 60 + 30);

/// The same without.
const TOKEN_END: Duration = Duration::from_secs(15 * 60);

/// What every reply needs.
pub(super) struct Means {
    pub(super) wire: Arc<Wire>,
    pub(super) pace: Pace,
    pub(super) store: Store,
    pub(super) servers: Servers,
    /// Who listens, for the notice in the first reply of a server.
    pub(super) practice: words::Practice,
}

/// The reply to one job.
pub(super) struct LiveReply {
    shared: Arc<Shared>,
    editor: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    posting: Posting,
    /// Whether a cap has left the work to the engines of this machine.
    smaller: AtomicBool,
    view: Mutex<View>,
    changed: Notify,
    standing: watch::Sender<Standing>,
    closing: CancellationToken,
    /// Ends the delivery that is going on.
    halt: Mutex<CancellationToken>,
    posts: tokio::sync::Mutex<Posts>,
}

/// Whether the reply has a place.
enum Standing {
    /// Nobody knows yet.
    Unknown,
    /// It stands there.
    Stands,
    /// It has none, and will have none.
    Lost(Cause),
    /// The ledger can't be written, so that nothing can be sent.
    Stuck,
}

impl LiveReply {
    /// Goes on with the reply to `job`, or begins it.
    pub(super) async fn open(
        means: Arc<Means>,
        job: &Job,
        order: &Order,
        fresh: bool,
    ) -> Result<Arc<Self>, StoreError> {
        let posts = means.store.posts(job.id).await?;
        let known: Vec<_> = posts.iter().map(|post| (post.part, post.message)).collect();
        let token_dead = match order.via {
            Via::Message | Via::Spoken => false,
            Via::Command { .. } => {
                age(order.interaction(job.order.source)) > TOKEN_END
                    || known.iter().any(|(part, _)| *part >= LATE)
            }
        };
        let shared = Arc::new(Shared {
            posting: Posting {
                means,
                job: job.id,
                source: job.order.source,
                interaction: order.interaction(job.order.source),
                generation: job.generation,
                guild: job.order.guild,
                channel: job.order.channel,
                author: job.order.author,
                via: order.via.clone(),
            },
            smaller: AtomicBool::new(false),
            view: Mutex::new(View {
                name: order.speaker().to_owned(),
                recordings: order.recordings.iter().map(Attachment::duration).collect(),
                spoken: match order.via {
                    Via::Spoken => order.question.clone(),
                    Via::Message | Via::Command { .. } => None,
                },
                ..View::default()
            }),
            changed: Notify::new(),
            standing: watch::Sender::new(Standing::Unknown),
            closing: CancellationToken::new(),
            halt: Mutex::default(),
            posts: tokio::sync::Mutex::new(Posts {
                known,
                token_dead,
                untried: fresh,
                ..Posts::default()
            }),
        });
        // The first message needs no report.
        shared.changed.notify_one();
        let editor = tokio::spawn(Arc::clone(&shared).edit_along());
        Ok(Arc::new(Self {
            shared,
            editor: Mutex::new(Some(editor)),
        }))
    }

    fn change(&self, change: impl FnOnce(&mut View)) {
        change(&mut self.shared.view());
        self.shared.changed.notify_one();
    }
}

impl Drop for LiveReply {
    fn drop(&mut self) {
        // The task ends by itself after what it is sending.
        self.shared.closing.cancel();
    }
}

impl Reply for LiveReply {
    fn stage(&self, stage: Stage) {
        self.change(|view| {
            view.stage = Some(stage);
            view.progress = None;
        });
    }

    fn notice(&self, notice: Notice<'_>) {
        if let Some(line) = words::notice(&notice) {
            self.change(|view| {
                if !view.remarks.contains(&line) {
                    view.remarks.push(line);
                }
            });
        }
    }

    fn progressed(&self, progress: Progress) {
        self.change(|view| view.progress = Some(progress));
    }

    fn heard(&self, _: &Transcript) {}

    fn partial(&self, text: &str) {
        self.change(|view| view.partial.push_str(text));
    }

    fn take_back(&self) {
        self.change(|view| view.partial.clear());
    }
}

#[async_trait]
impl JobReply for LiveReply {
    async fn stands(&self) -> Result<(), DeliveryError> {
        let mut standing = self.shared.standing.subscribe();
        let known = standing.wait_for(|it| !matches!(it, Standing::Unknown));
        let known = tokio::time::timeout(PATIENCE, known).await;
        match known {
            Ok(Ok(known)) => match &*known {
                Standing::Stands => Ok(()),
                Standing::Lost(why) => Err(DeliveryError::Nowhere(why.clone())),
                Standing::Unknown | Standing::Stuck => Err(not_shown()),
            },
            Ok(Err(_)) | Err(_) => Err(not_shown()),
        }
    }

    async fn lost(&self) -> Cause {
        let mut standing = self.shared.standing.subscribe();
        let lost = standing
            .wait_for(|it| matches!(it, Standing::Lost(_)))
            .await;
        let why = lost.ok().and_then(|lost| match &*lost {
            Standing::Lost(why) => Some(why.clone()),
            _ => None,
        });
        match why {
            Some(why) => why,
            None => std::future::pending().await,
        }
    }

    fn smaller_engines(&self) {
        self.shared.smaller.store(true, Ordering::Relaxed);
    }

    fn noted(&self, notes: &[Note]) {
        self.change(|view| view.notes = notes.to_vec());
    }

    async fn deliver(&self, outcome: &Outcome) -> Result<Option<u64>, DeliveryError> {
        self.abandon().await;
        let halt = CancellationToken::new();
        *self.shared.halt() = halt.clone();
        let posts = self.shared.parts(outcome).await?;
        // Whoever stops waiting for this stops it between two requests, not in the middle of one.
        let shared = Arc::clone(&self.shared);
        let delivery = tokio::spawn(async move { shared.deliver(&posts, &halt).await });
        match delivery.await {
            Ok(delivered) => delivered,
            Err(_) => Err(DeliveryError::Later("the delivery panicked".into())),
        }
    }

    fn anew(&self) {
        self.change(|view| view.partial.clear());
    }

    async fn take_away(&self) {
        self.shared.take_away().await;
    }

    async fn abandon(&self) {
        self.shared.closing.cancel();
        self.shared.halt().cancel();
        let editor = {
            let mut editor = self.editor.lock().unwrap_or_else(PoisonError::into_inner);
            editor.take()
        };
        if let Some(editor) = editor {
            // It fails only if it panicked, and then there is nothing to wait for.
            let _ = editor.await;
        }
        // Whoever delivers holds it.
        drop(self.shared.posts.lock().await);
    }

    async fn settle(&self) -> Result<(), DeliveryError> {
        let mut posts = self.shared.posts.lock().await;
        self.shared.posting.settle(&mut posts).await
    }
}

impl Shared {
    fn view(&self) -> std::sync::MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn halt(&self) -> std::sync::MutexGuard<'_, CancellationToken> {
        self.halt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the view whenever it changes, until somebody closes.
    async fn edit_along(self: Arc<Self>) {
        let Posting {
            means,
            job,
            interaction,
            channel,
            ..
        } = &self.posting;
        let mut wait = FIRST_WAIT;
        let mut last_word = match self.posting.via {
            Via::Command { .. } => TOKEN_LIFE.checked_sub(age(*interaction)),
            Via::Message | Via::Spoken => None,
        };
        let begun = Instant::now();
        loop {
            let runs_out = async {
                match last_word {
                    Some(left) => tokio::time::sleep_until(begun + left).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.closing.cancelled() => return,
                () = self.changed.notified() => {}
                () = runs_out => {
                    last_word = None;
                    // The response is to say that it is over, even if it could show nothing new.
                    self.posts.lock().await.shown = None;
                }
            }
            let first = self.posts.lock().await.shown.is_none();
            if !first {
                tokio::select! {
                    biased;
                    () = self.closing.cancelled() => return,
                    () = means.pace.wait(*channel) => {}
                }
            }
            let post = render::live(&self.view());
            let started = Instant::now();
            let mut posts = self.posts.lock().await;
            if posts.shown.as_ref() == Some(&post) {
                continue;
            }
            match self.posting.glimpse(&mut posts, &post).await {
                Ok(()) => {
                    posts.shown = Some(post);
                    self.standing.send_replace(Standing::Stands);
                    wait = FIRST_WAIT;
                    means.pace.took(*channel, started.elapsed());
                }
                Err(DeliveryError::Later(why)) => {
                    tracing::debug!(job = job.0, %why, "not shown");
                    drop(posts);
                    tokio::select! {
                        biased;
                        () = self.closing.cancelled() => return,
                        () = tokio::time::sleep(wait) => {}
                    }
                    wait = (wait * 2).min(LONGEST_WAIT);
                    self.changed.notify_one();
                }
                Err(DeliveryError::Nowhere(why)) => {
                    self.standing.send_replace(Standing::Lost(why));
                    return;
                }
                Err(DeliveryError::Withdrawn) => {
                    self.standing
                        .send_replace(Standing::Lost("the request is gone".into()));
                    return;
                }
                // The place is there; what is delivered in the end may be taken.
                Err(DeliveryError::Refused(_)) => {
                    self.standing.send_replace(Standing::Stands);
                    return;
                }
                // The one who delivers will meet the same, and say so.
                Err(DeliveryError::Store(_)) => {
                    self.standing.send_replace(Standing::Stuck);
                    return;
                }
            }
        }
    }

    /// The messages that show an outcome.
    async fn parts(&self, outcome: &Outcome) -> Result<Vec<Post>, StoreError> {
        let mut footers = Vec::new();
        if self.smaller.load(Ordering::Relaxed) && !matches!(outcome, Outcome::Failed { .. }) {
            footers.push(words::SMALLER_ENGINES.to_owned());
        }
        footers.extend(self.first_notice().await?);
        let single = match self.posting.via {
            Via::Message | Via::Spoken => false,
            Via::Command { private, alone, .. } => private || alone,
        };
        let buttons = (!self.posting.is_private()).then_some(self.posting.job);
        let view = self.view().clone();
        Ok(render::outcome(&view, outcome, buttons, &footers, single))
    }

    async fn deliver(
        &self,
        parts: &[Post],
        halt: &CancellationToken,
    ) -> Result<Option<u64>, DeliveryError> {
        let mut posts = self.posts.lock().await;
        let deadline = Instant::now() + PATIENCE;
        let alone = parts.len() == 1;
        let mut first = None;
        for part in (0_u32..).zip(parts) {
            if halt.is_cancelled() {
                return Err(DeliveryError::Later("stopped".into()));
            }
            let posting = &self.posting;
            let shown = posting.show(&mut posts, part, alone, deadline, halt).await;
            first = first.or(Some(shown?));
        }
        self.posting
            .remove_the_rest(&mut posts, parts.len())
            .await?;
        Ok(first)
    }

    /// Deletes all messages.
    async fn take_away(&self) {
        let mut posts = self.posts.lock().await;
        let known = std::mem::take(&mut posts.known);
        for message in known.into_iter().filter_map(|(_, message)| message) {
            let wire = &self.posting.means.wire;
            let deleted = match &self.posting.via {
                Via::Command { token, .. } if !posts.token_dead => {
                    wire.delete_response(token, message).await
                }
                _ => wire.delete(self.posting.channel, message).await,
            };
            if let Err(trouble) = deleted {
                tracing::warn!(job = self.posting.job.0, message, %trouble, "not deleted");
            }
        }
    }

    /// The line for the first reply in a server.
    async fn first_notice(&self) -> Result<Option<String>, StoreError> {
        let mut posts = self.posts.lock().await;
        if let Some(known) = &posts.notice {
            return Ok(known.clone());
        }
        let Means {
            practice, store, ..
        } = &*self.posting.means;
        let notice = match self.posting.guild {
            Some(guild) if store.claim_notice(guild).await? => {
                Some(words::first_reply(&practice.listeners, practice.days))
            }
            _ => None,
        };
        posts.notice = Some(notice.clone());
        Ok(notice)
    }
}

fn not_shown() -> DeliveryError {
    DeliveryError::Later("no message could be sent".into())
}
