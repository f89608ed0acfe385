//! A reply that grows: one message, edited in place, in the end whole.
//!
//! A task of its own shows what the flow reports, no oftener than the channel bears. Before a
//! message is created the ledger knows that it is going to be, and afterwards which one it is, so
//! that another process finds it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use super::render::{self, View};
use super::servers::Servers;
use super::snowflake::age;
use super::text;
use super::trouble::Trouble;
use super::wire::{MAX_CHARS, Post, Wire};
use crate::flow::front::{DeliveryError, JobReply, Outcome};
use crate::flow::order::{Attachment, Note, Order, Via};
use crate::flow::{Notice, Reply, Stage};
use crate::net::Cause;
use crate::speech::{Progress, Transcript};
use crate::store::{Job, JobId, Store, StoreError};
use crate::words::bot as words;

/// How long a final message is tried for before the job is put off.
const PATIENCE: Duration = Duration::from_secs(600);

/// The waits between tries, doubling from the first to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long a command's response can be changed, with some time to spare:
/// <https://discord.com/developers/docs/interactions/receiving-and-responding>.
const TOKEN_LIFE: Duration = Duration::from_secs(14 * 60 + 30);

/// The number of the first message in the ledger that stands in the channel because a command's
/// response could no longer be changed.
const LATE: u32 = 100;

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
    means: Arc<Means>,
    job: JobId,
    source: u64,
    generation: u32,
    guild: Option<u64>,
    channel: u64,
    author: u64,
    via: Via,
    /// Whether a cap has left the work to the engines of this machine.
    smaller: AtomicBool,
    view: Mutex<View>,
    changed: Notify,
    standing: watch::Sender<Standing>,
    closing: CancellationToken,
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

/// The messages so far.
#[derive(Default)]
struct Posts {
    /// By their number in the ledger; without an id: was about to be sent.
    known: Vec<(u32, Option<u64>)>,
    /// What the first one shows.
    shown: Option<Post>,
    /// The command's response can't be changed any more.
    token_dead: bool,
    /// Nobody has tried to send the first one yet, although the ledger has its row.
    untried: bool,
    /// The line for a server's first reply, once it has been asked for.
    notice: Option<Option<String>>,
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
                age(job.order.source) > TOKEN_LIFE || known.iter().any(|(part, _)| *part >= LATE)
            }
        };
        let shared = Arc::new(Shared {
            means,
            job: job.id,
            source: job.order.source,
            generation: job.generation,
            guild: job.order.guild,
            channel: job.order.channel,
            author: job.order.author,
            via: order.via.clone(),
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
        self.shared.deliver(outcome).await
    }

    fn anew(&self) {
        self.change(|view| view.partial.clear());
    }

    async fn take_away(&self) {
        self.shared.take_away().await;
    }

    async fn abandon(&self) {
        self.shared.closing.cancel();
        let editor = {
            let mut editor = self.editor.lock().unwrap_or_else(PoisonError::into_inner);
            editor.take()
        };
        if let Some(editor) = editor {
            // It fails only if it panicked, and then there is nothing to wait for.
            let _ = editor.await;
        }
    }
}

impl Shared {
    fn view(&self) -> std::sync::MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_private(&self) -> bool {
        matches!(self.via, Via::Command { private: true, .. })
    }

    /// Shows the view whenever it changes, until somebody closes.
    async fn edit_along(self: Arc<Self>) {
        let mut wait = FIRST_WAIT;
        loop {
            tokio::select! {
                biased;
                () = self.closing.cancelled() => return,
                () = self.changed.notified() => {}
            }
            let first = self.posts.lock().await.shown.is_none();
            if !first {
                tokio::select! {
                    biased;
                    () = self.closing.cancelled() => return,
                    () = self.means.pace.wait(self.channel) => {}
                }
            }
            let post = render::live(&self.view());
            let started = Instant::now();
            let mut posts = self.posts.lock().await;
            if posts.shown.as_ref() == Some(&post) {
                continue;
            }
            match self.put(&mut posts, 0, &post).await {
                Ok(_) => {
                    posts.shown = Some(post);
                    self.standing.send_replace(Standing::Stands);
                    wait = FIRST_WAIT;
                    self.means.pace.took(self.channel, started.elapsed());
                }
                Err(DeliveryError::Later(why)) => {
                    tracing::debug!(job = self.job.0, %why, "not shown");
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

    async fn deliver(&self, outcome: &Outcome) -> Result<Option<u64>, DeliveryError> {
        let mut posts = self.posts.lock().await;
        let mut footers = Vec::new();
        if self.smaller.load(Ordering::Relaxed) && !matches!(outcome, Outcome::Failed { .. }) {
            footers.push(words::SMALLER_ENGINES.to_owned());
        }
        if let Some(notice) = self.first_notice(&mut posts).await? {
            footers.push(notice);
        }
        let alone = match self.via {
            Via::Message | Via::Spoken => false,
            Via::Command { private, alone, .. } => private || alone,
        };
        let buttons = (!self.is_private()).then_some(self.job);
        let view = self.view().clone();
        let parts = render::outcome(&view, outcome, buttons, &footers, alone);
        let deadline = Instant::now() + PATIENCE;
        let mut first = None;
        for (part, post) in (0_u32..).zip(&parts) {
            let mut wait = FIRST_WAIT;
            let message = loop {
                match self.put(&mut posts, part, post).await {
                    Err(DeliveryError::Later(why)) if Instant::now() + wait < deadline => {
                        tracing::warn!(job = self.job.0, %why, "tried again");
                        tokio::time::sleep(wait).await;
                        wait = (wait * 2).min(LONGEST_WAIT);
                    }
                    other => break other?,
                }
            };
            first = first.or(Some(message));
        }
        self.remove_the_rest(&mut posts, parts.len()).await?;
        Ok(first)
    }

    /// Deletes all messages.
    async fn take_away(&self) {
        let mut posts = self.posts.lock().await;
        let known = std::mem::take(&mut posts.known);
        for message in known.into_iter().filter_map(|(_, message)| message) {
            let wire = &self.means.wire;
            let deleted = match &self.via {
                Via::Command { token, .. } if !posts.token_dead => {
                    wire.delete_response(token, message).await
                }
                _ => wire.delete(self.channel, message).await,
            };
            if let Err(trouble) = deleted {
                tracing::warn!(job = self.job.0, message, %trouble, "not deleted");
            }
        }
    }

    /// The line for the first reply in a server.
    async fn first_notice(&self, posts: &mut Posts) -> Result<Option<String>, StoreError> {
        if let Some(known) = &posts.notice {
            return Ok(known.clone());
        }
        let practice = &self.means.practice;
        let notice = match self.guild {
            Some(guild) if self.means.store.claim_notice(guild).await? => {
                Some(words::first_reply(&practice.listeners, practice.days))
            }
            _ => None,
        };
        posts.notice = Some(notice.clone());
        Ok(notice)
    }

    /// What an earlier, longer answer left over.
    async fn remove_the_rest(&self, posts: &mut Posts, parts: usize) -> Result<(), StoreError> {
        let base = if posts.token_dead { LATE } else { 0 };
        let end = base + u32::try_from(parts).unwrap_or(u32::MAX - base);
        let rest: Vec<(u32, Option<u64>)> = posts
            .known
            .iter()
            .copied()
            .filter(|(part, _)| *part >= end)
            .collect();
        for (part, message) in rest {
            if let Some(message) = message
                && let Err(trouble) = self.means.wire.delete(self.channel, message).await
            {
                tracing::warn!(job = self.job.0, message, %trouble, "not deleted");
                continue;
            }
            self.means.store.unsent(self.job, part).await?;
            posts.known.retain(|(known, _)| *known != part);
        }
        Ok(())
    }

    /// Makes `post` the message of this part, once. What can be mended at once is.
    async fn put(&self, posts: &mut Posts, part: u32, post: &Post) -> Result<u64, DeliveryError> {
        if let Via::Command { token, .. } = &self.via
            && !posts.token_dead
            && part == 0
        {
            if age(self.source) < TOKEN_LIFE {
                match self.means.wire.edit_response(token, post).await {
                    Ok(message) => {
                        self.sent(posts, 0, message).await?;
                        return Ok(message);
                    }
                    Err(Trouble::TokenDead(_)) => posts.token_dead = true,
                    Err(Trouble::Gone(why) | Trouble::Forbidden(why)) => {
                        return Err(DeliveryError::Nowhere(why));
                    }
                    Err(trouble) => return Err(trouble.into()),
                }
            } else {
                // A last word, for whoever still looks at it.
                let last = Post::text(words::LATER_HERE);
                let _ = self.means.wire.edit_response(token, &last).await;
                posts.token_dead = true;
            }
        }
        let number = if posts.token_dead { LATE + part } else { part };
        let late;
        let post = if posts.token_dead && self.is_private() {
            late = Post::text(format!("<@{}> {}", self.author, words::TOO_LATE));
            &late
        } else {
            post
        };
        let known = posts.known.iter().find(|(known, _)| *known == number);
        match known.copied() {
            Some((_, Some(message))) => {
                let wire = &self.means.wire;
                match wire.edit(self.channel, message, post).await {
                    Err(Trouble::Forbidden(_) | Trouble::Refused(_)) if !post.files.is_empty() => {
                        wire.edit(self.channel, message, &fileless(post)).await?;
                    }
                    other => {
                        other?;
                    }
                }
                Ok(message)
            }
            Some((0, None)) if posts.untried => {
                posts.untried = false;
                self.create(posts, number, post).await
            }
            Some((_, None)) => match self.find(posts, number, post).await? {
                Some(message) => {
                    self.sent(posts, number, message).await?;
                    self.means.wire.edit(self.channel, message, post).await?;
                    Ok(message)
                }
                None => self.create(posts, number, post).await,
            },
            None => {
                self.means.store.sending(self.job, number).await?;
                posts.known.push((number, None));
                self.create(posts, number, post).await
            }
        }
    }

    async fn create(
        &self,
        posts: &mut Posts,
        number: u32,
        post: &Post,
    ) -> Result<u64, DeliveryError> {
        let nonce = format!(
            "{}.{number}.{}",
            base36(self.source),
            self.generation % 1_000
        );
        let mut reply_to = self.reply_to(posts, number);
        let mut post = post.clone();
        let message = loop {
            let wire = &self.means.wire;
            match wire.create(self.channel, reply_to, &nonce, &post).await {
                // Replying needs the right to read what was said before, files need one of their
                // own; plain text may still be allowed.
                Err(Trouble::Forbidden(_) | Trouble::Refused(_)) if reply_to.is_some() => {
                    reply_to = None;
                }
                Err(Trouble::Forbidden(_) | Trouble::Refused(_)) if !post.files.is_empty() => {
                    post = fileless(&post);
                }
                other => break other?,
            }
        };
        self.sent(posts, number, message).await?;
        Ok(message)
    }

    /// The message that this part replies to: the request itself, or the command's response.
    fn reply_to(&self, posts: &Posts, number: u32) -> Option<u64> {
        match (number, &self.via) {
            (0, Via::Message) => Some(self.source),
            (LATE, Via::Command { .. }) => posts
                .known
                .iter()
                .find(|(part, _)| *part == 0)
                .and_then(|(_, message)| *message),
            _ => None,
        }
    }

    async fn sent(&self, posts: &mut Posts, number: u32, message: u64) -> Result<(), StoreError> {
        match posts.known.iter_mut().find(|(known, _)| *known == number) {
            Some((_, Some(known))) if *known == message => return Ok(()),
            Some((_, slot)) => *slot = Some(message),
            None => posts.known.push((number, Some(message))),
        }
        self.means.store.sent(self.job, number, message).await
    }

    /// A message that an earlier process was about to send: it may have.
    async fn find(
        &self,
        posts: &Posts,
        number: u32,
        post: &Post,
    ) -> Result<Option<u64>, DeliveryError> {
        let found = match self.means.wire.after(self.channel, self.source).await {
            Ok(found) => found,
            // Then the nonce has to do.
            Err(Trouble::Forbidden(_)) => return Ok(None),
            Err(trouble) => return Err(trouble.into()),
        };
        let expected = self.reply_to(posts, number);
        let mine = found.iter().find(|message| {
            let id = Some(message.id.get());
            let is_known = posts.known.iter().any(|(_, known)| *known == id);
            let replies_to = message
                .message_reference
                .as_ref()
                .and_then(|reference| reference.message_id)
                .map(serenity::all::MessageId::get);
            // What a message says while it grows is no sign: another one says the same.
            let fits = match expected {
                Some(_) => replies_to == expected,
                None => replies_to.is_none() && message.content == post.content,
            };
            message.author.id == self.means.wire.me && !is_known && fits
        });
        Ok(mine.map(|message| message.id.get()))
    }
}

impl From<Trouble> for DeliveryError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Later(why) | Trouble::TokenDead(why) => Self::Later(why),
            Trouble::Unauthorized => Self::Later("unauthorized".into()),
            Trouble::Forbidden(why) | Trouble::Gone(why) => Self::Nowhere(why),
            Trouble::Refused(why) => Self::Refused(why),
        }
    }
}

fn not_shown() -> DeliveryError {
    DeliveryError::Later("no message could be sent".into())
}

/// The same without its files, and saying so.
fn fileless(post: &Post) -> Post {
    let room = MAX_CHARS - words::NO_FILES.chars().count() - 1;
    let kept = text::split(&post.content, room, room, 1).parts;
    let kept = kept.first().map_or("", String::as_str);
    Post {
        content: format!("{kept}\n{}", words::NO_FILES).trim().to_owned(),
        files: Vec::new(),
        buttons: post.buttons,
    }
}

fn base36(mut number: u64) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut text = Vec::new();
    while number > 0 || text.is_empty() {
        text.push(char::from(DIGITS[(number % 36) as usize]));
        number /= 36;
    }
    text.iter().rev().collect()
}
