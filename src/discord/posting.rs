//! The messages of one job's reply, each of them sent once.
//!
//! Before a message is created the ledger knows that it is going to be, and afterwards which one
//! it is, so that another process finds it. What Discord refuses goes down the ladder.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ladder::{Ladder, Part, Shape, Step, Way};
use super::parcel::{FIRST_WAIT, LONGEST_WAIT};
use super::reply::{Means, TOKEN_LIFE};
use super::snowflake::age;
use super::trouble::Trouble;
use super::wire::{Post, Wire};
use crate::flow::front::DeliveryError;
use crate::flow::order::Via;
use crate::store::{JobId, StoreError};
use crate::words::bot as words;

/// The number of the first message in the ledger that stands in the channel because a command's
/// response could no longer be changed.
pub(super) const LATE: u32 = 100;

/// What fits behind a nonce, in base 36.
const MAX_SUFFIX: u64 = 36 * 36 * 36;

/// How often it is tried to delete what is no longer true.
const MAX_DELETIONS: u32 = 8;

/// Whose messages these are, and where they go.
pub(super) struct Posting {
    pub(super) means: Arc<Means>,
    pub(super) job: JobId,
    pub(super) source: u64,
    /// Whose response is changed.
    pub(super) interaction: u64,
    pub(super) generation: u32,
    pub(super) guild: Option<u64>,
    pub(super) channel: u64,
    pub(super) author: u64,
    pub(super) via: Via,
}

/// The messages so far.
#[derive(Default)]
pub(super) struct Posts {
    /// By their number in the ledger; without an id: was about to be sent.
    pub(super) known: Vec<(u32, Option<u64>)>,
    /// What the first one shows.
    pub(super) shown: Option<Post>,
    /// The command's response can't be changed any more.
    pub(super) token_dead: bool,
    /// Nobody has tried to send the first one yet, although the ledger has its row.
    pub(super) untried: bool,
    /// The line for a server's first reply, once it has been asked for.
    pub(super) notice: Option<Option<String>>,
    /// What was being sent when nothing came back: it may be there.
    pub(super) unsure: Option<(u32, Post)>,
}

/// Something shown that says what is not true any more.
enum Stale {
    Message(u64),
    /// What took its place is elsewhere.
    Outdated(u64),
    /// By its token.
    Response(String),
}

/// Why a message is not where it belongs.
enum Miss {
    Discord(Trouble),
    Ledger(StoreError),
}

impl From<Trouble> for Miss {
    fn from(trouble: Trouble) -> Self {
        Self::Discord(trouble)
    }
}

impl From<StoreError> for Miss {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error)
    }
}

impl From<Miss> for DeliveryError {
    fn from(miss: Miss) -> Self {
        match miss {
            Miss::Ledger(error) => Self::Store(error),
            Miss::Discord(trouble) if trouble.is_final() => Self::Nowhere(trouble.cause()),
            Miss::Discord(trouble) => Self::Later(trouble.cause()),
        }
    }
}

impl Posting {
    pub(super) fn is_private(&self) -> bool {
        matches!(self.via, Via::Command { private: true, .. })
    }

    /// Whether nothing but the command's response can be written.
    fn is_alone(&self) -> bool {
        matches!(self.via, Via::Command { alone: true, .. })
    }

    fn wire(&self) -> &Wire {
        &self.means.wire
    }

    /// The number in the ledger of a part of the reply.
    fn number(posts: &Posts, part: u32) -> u32 {
        if posts.token_dead { LATE + part } else { part }
    }

    /// The best place for a part.
    fn way(&self, posts: &Posts, part: u32) -> Way {
        let is_response = matches!(self.via, Via::Command { .. }) && part == 0;
        let number = Self::number(posts, part);
        let known = posts.known.iter().find(|(known, _)| *known == number);
        match known {
            _ if is_response && !posts.token_dead => Way::Response,
            Some((_, Some(_))) => Way::Edit,
            _ => Way::Reply,
        }
    }

    /// Shows how it goes, in the best place that takes all of it. Never waits.
    pub(super) async fn glimpse(
        &self,
        posts: &mut Posts,
        post: &Post,
    ) -> Result<(), DeliveryError> {
        let closes = self.is_alone() || self.is_private();
        if closes && age(self.interaction) >= TOKEN_LIFE {
            return Err(DeliveryError::Refused("the interaction ends".into()));
        }
        self.last_word(posts).await;
        let shape = Shape {
            channel: !closes,
            ..Shape::default()
        };
        let mut ladder = Ladder::new(self.way(posts, 0), shape);
        loop {
            let way = ladder.rung().way;
            let trouble = match self.attempt(posts, 0, way, post).await {
                Ok(_) => return Ok(()),
                Err(Miss::Ledger(error)) => return Err(error.into()),
                Err(Miss::Discord(trouble)) => trouble,
            };
            let why = trouble.cause();
            // Whoever may not change what is theirs can't see the channel. Anything else against
            // that is mended once, in the end.
            match (way, &trouble) {
                (Way::Edit, Trouble::Forbidden(_)) => return Err(DeliveryError::Nowhere(why)),
                (Way::Edit, Trouble::Archived(_) | Trouble::Refused(..)) => {
                    return Err(DeliveryError::Refused(why));
                }
                _ => {}
            }
            match ladder.down(&trouble) {
                Step::Wait => return Err(DeliveryError::Later(why)),
                Step::Try(next) if next.part == Part::Whole => {
                    posts.token_dead |= way == Way::Response && next.way != way;
                }
                // The place is there; the end is another text.
                Step::Try(_) => return Err(DeliveryError::Refused(why)),
                Step::Deleted | Step::Closed => return Err(DeliveryError::Nowhere(why)),
            }
        }
    }

    /// Makes `post` the message of this part, once, or what Discord takes of it. With `alone`, it
    /// is the only one. Tries until `deadline`, or until it is `stopped`.
    pub(super) async fn show(
        &self,
        posts: &mut Posts,
        (part, post): (u32, &Post),
        alone: bool,
        deadline: Instant,
        stopped: &CancellationToken,
    ) -> Result<u64, DeliveryError> {
        if posts.token_dead && self.is_alone() {
            return Err(DeliveryError::Nowhere("the interaction is over".into()));
        }
        let shape = Shape {
            files: !post.files.is_empty(),
            channel: !self.is_alone(),
            aside: part == 0 && self.guild.is_some() && !self.is_alone(),
        };
        let mut ladder = Ladder::new(self.way(posts, part), shape);
        let mut wait = FIRST_WAIT;
        loop {
            let rung = ladder.rung();
            let shown = post.as_far_as(rung.part, self.channel, alone, words::NO_FILES);
            let trouble = match self.attempt(posts, part, rung.way, &shown).await {
                Ok(Some(message)) => return Ok(message),
                Ok(None) => return Err(DeliveryError::Nowhere("told directly".into())),
                Err(Miss::Ledger(error)) => return Err(error.into()),
                Err(Miss::Discord(trouble)) => trouble,
            };
            let job = self.job.0;
            let why = trouble.cause();
            match ladder.down(&trouble) {
                Step::Wait if Instant::now() + wait < deadline => {
                    tracing::warn!(job, %why, "tried again");
                    tokio::select! {
                        biased;
                        () = stopped.cancelled() => return Err(DeliveryError::Later(why)),
                        () = tokio::time::sleep(wait) => {}
                    }
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
                Step::Wait => return Err(DeliveryError::Later(why)),
                Step::Try(next) => {
                    tracing::warn!(job, %why, ?next, "a message is refused");
                    if rung.way == Way::Response && next.way != Way::Response {
                        posts.token_dead = true;
                    }
                }
                Step::Deleted if part == 0 && matches!(rung.way, Way::Reply) => {
                    return Err(DeliveryError::Withdrawn);
                }
                Step::Deleted | Step::Closed => {
                    // Whatever is there says that something is still to come.
                    self.clear(posts, part);
                    return Err(DeliveryError::Nowhere(why));
                }
            }
        }
    }

    /// Where the command's response can soon no longer be changed, it says so.
    async fn last_word(&self, posts: &mut Posts) {
        if let Via::Command { token, .. } = &self.via
            && !posts.token_dead
            && age(self.interaction) >= TOKEN_LIFE
        {
            let last = Post::text(words::LATER_HERE);
            if let Err(trouble) = self.wire().edit_response(token, &last).await {
                tracing::debug!(job = self.job.0, %trouble, "no last word");
            }
            posts.token_dead = true;
        }
    }

    /// One request, and what it takes to know of it. None: somebody was told directly.
    async fn attempt(
        &self,
        posts: &mut Posts,
        part: u32,
        way: Way,
        post: &Post,
    ) -> Result<Option<u64>, Miss> {
        if let (Way::Response, Via::Command { token, .. }) = (way, &self.via) {
            let message = self.wire().edit_response(token, post).await?;
            self.sent(posts, 0, message).await?;
            return Ok(Some(message));
        }
        let number = Self::number(posts, part);
        let late;
        let post = if posts.token_dead && self.is_private() {
            late = Post::text(format!("<@{}> {}", self.author, words::TOO_LATE));
            &late
        } else {
            post
        };
        let nonce = self.nonce(number);
        let known = posts.known.iter().find(|(known, _)| *known == number);
        let known = known.and_then(|(_, message)| *message);
        let message = match (way, known) {
            (Way::Aside, _) => {
                let wire = self.wire();
                wire.aside(self.author, self.channel, &nonce, post).await?;
                self.clear(posts, part);
                return Ok(None);
            }
            (Way::Edit, Some(message)) => self.wire().edit(self.channel, message, post).await?,
            (_, Some(old)) => {
                // In place of one that can't be changed any more: for each, another one.
                let nonce = format!("{nonce}n{}", base36(old % MAX_SUFFIX));
                let message = self.create(posts, number, way, &nonce, post).await?;
                self.take_away(Stale::Message(old));
                message
            }
            (_, None) => match self.begun(posts, number, post).await? {
                Some(message) => {
                    self.sent(posts, number, message).await?;
                    self.wire().edit(self.channel, message, post).await?
                }
                None => self.create(posts, number, way, &nonce, post).await?,
            },
        };
        Ok(Some(message))
    }

    /// The message of this number where it may be there already. Else the ledger knows from here
    /// on that it is going to be.
    async fn begun(
        &self,
        posts: &mut Posts,
        number: u32,
        post: &Post,
    ) -> Result<Option<u64>, Miss> {
        if !posts.known.iter().any(|(known, _)| *known == number) {
            self.means.store.sending(self.job, number).await?;
            posts.known.push((number, None));
            return Ok(None);
        }
        if number == 0 && posts.untried {
            posts.untried = false;
            return Ok(None);
        }
        self.find(posts, number, post).await
    }

    async fn create(
        &self,
        posts: &mut Posts,
        number: u32,
        way: Way,
        nonce: &str,
        post: &Post,
    ) -> Result<u64, Miss> {
        let reply_to = match way {
            Way::Reply => self.reply_to(posts, number),
            _ => None,
        };
        posts.unsure = Some((number, post.clone()));
        let wire = self.wire();
        let sent = match self.via {
            Via::Message => wire.reply(self.channel, reply_to, nonce, post).await,
            // A response may be there for one person only, and is then nothing to reply to.
            _ => wire.create(self.channel, reply_to, nonce, post).await,
        };
        if !matches!(sent, Err(Trouble::Later(_))) {
            posts.unsure = None;
        }
        let message = sent?;
        self.sent(posts, number, message).await?;
        // Only now is there something in place of the command's response.
        if number == LATE
            && let Via::Command { token, .. } = &self.via
        {
            self.replaced(posts, token).await?;
        }
        Ok(message)
    }

    /// There is a message in place of the command's response, which is not to say any more that
    /// something is still to come.
    async fn replaced(&self, posts: &mut Posts, token: &str) -> Result<(), StoreError> {
        if age(self.interaction) >= TOKEN_LIFE {
            // It has said its last word.
            return Ok(());
        }
        let known = posts.known.iter().find(|(part, _)| *part == 0);
        let shown = known.and_then(|(_, message)| *message);
        // Its deletion is ours, and not to be taken for somebody else's.
        self.means.store.unsent(self.job, 0).await?;
        posts.known.retain(|(part, _)| *part != 0);
        match (self.wire().delete_original(token).await, shown) {
            (Ok(()), _) | (Err(Trouble::TokenDead(_)), None) => {}
            // It can't be deleted, but changed like any message of ours.
            (Err(Trouble::TokenDead(_)), Some(_)) if self.is_private() => {}
            (Err(Trouble::TokenDead(_)), Some(shown)) => {
                self.sent(posts, 0, shown).await?;
                self.take_away(Stale::Outdated(shown));
            }
            (Err(_), _) => self.take_away(Stale::Response(token.to_owned())),
        }
        Ok(())
    }

    /// What keeps Discord from taking a message twice.
    fn nonce(&self, number: u32) -> String {
        let generation = self.generation % 1_000;
        format!("{}.{number}.{generation}", base36(self.source))
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

    /// A message that was about to be sent, by us or by an earlier process: it may have been.
    async fn find(&self, posts: &Posts, number: u32, post: &Post) -> Result<Option<u64>, Miss> {
        let found = match self.wire().after(self.channel, self.source).await {
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
            message.author.id == self.wire().me && !is_known && fits
        });
        Ok(mine.map(|message| message.id.get()))
    }

    /// What was being sent when somebody stopped us, and may be there: the ledger knows it, if it
    /// is.
    pub(super) async fn settle(&self, posts: &mut Posts) -> Result<(), DeliveryError> {
        if let Some((number, post)) = posts.unsure.take()
            && let Some(message) = self.find(posts, number, &post).await?
        {
            self.sent(posts, number, message).await?;
        }
        Ok(())
    }

    /// Takes a part away that says what is not true any more.
    fn clear(&self, posts: &Posts, part: u32) {
        for number in [part, LATE + part] {
            let known = posts.known.iter().find(|(known, _)| *known == number);
            let Some((_, Some(message))) = known.copied() else {
                continue;
            };
            match &self.via {
                Via::Command { token, .. } if number == 0 => {
                    self.take_away(Stale::Response(token.clone()));
                }
                _ => self.take_away(Stale::Message(message)),
            }
        }
    }

    /// Deletes what is no longer true, without waiting for it.
    fn take_away(&self, stale: Stale) {
        let (means, job, channel) = (Arc::clone(&self.means), self.job, self.channel);
        tokio::spawn(async move {
            let mut wait = FIRST_WAIT;
            for _ in 0..MAX_DELETIONS {
                let deleted = match &stale {
                    Stale::Message(message) => means.wire.delete(channel, *message).await,
                    Stale::Response(token) => means.wire.delete_original(token).await,
                    Stale::Outdated(message) => {
                        let last = Post::text(words::LATER_HERE);
                        let said = means.wire.edit(channel, *message, &last).await;
                        said.map(|_| ())
                    }
                };
                match deleted {
                    Ok(()) | Err(Trouble::TokenDead(_)) => return,
                    Err(trouble) => tracing::debug!(job = job.0, %trouble, "not deleted"),
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
            tracing::warn!(job = job.0, "something stays that is no longer true");
        });
    }

    /// What an earlier, longer answer left over.
    pub(super) async fn remove_the_rest(
        &self,
        posts: &mut Posts,
        parts: usize,
    ) -> Result<(), StoreError> {
        let base = Self::number(posts, 0);
        let end = base + u32::try_from(parts).unwrap_or(u32::MAX - base);
        let rest: Vec<(u32, Option<u64>)> = posts
            .known
            .iter()
            .copied()
            .filter(|(part, _)| *part >= end)
            .collect();
        for (part, message) in rest {
            if let Some(message) = message
                && let Err(trouble) = self.wire().delete(self.channel, message).await
            {
                tracing::warn!(job = self.job.0, message, %trouble, "not deleted");
                continue;
            }
            self.means.store.unsent(self.job, part).await?;
            posts.known.retain(|(known, _)| *known != part);
        }
        Ok(())
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
