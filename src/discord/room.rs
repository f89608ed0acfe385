//! What every event needs, and what is the same for all of them: taking an order and saying why
//! it is not taken.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serenity::all::{Message, MessageId};

use super::channels::Channels;
use super::intake;
use super::reply::Means;
use super::voice::Sessions;
use super::wire::Post;
use crate::flow::desk::{Desk, Refused, Request};
use crate::flow::memory::Conversation;
use crate::flow::server::ServerSettings;
use crate::flow::session::{Answers, Setup};
use crate::store::StoreError;
use crate::words::bot as words;

/// The least time before a person is told the same again in the same channel about why something
/// is not done: fifty notes at once need one sentence.
const SAY_AGAIN_AFTER: Duration = Duration::from_secs(20);

/// People and channels that are remembered for it.
const MAX_TOLD: usize = 10_000;

/// The bot in its server rooms.
pub(super) struct Room {
    pub(super) desk: Arc<Desk>,
    pub(super) means: Arc<Means>,
    pub(super) channels: Channels,
    /// Voice sessions.
    pub(super) sessions: Arc<Sessions>,
    /// Whether messages in servers come with their content.
    pub(super) reads_content: AtomicBool,
    /// Channel, person, and the beginning of what they were told.
    told: Mutex<HashMap<(u64, u64, String), Instant>>,
}

/// Why nothing is done about a message that calls the bot.
enum Unheard {
    Sentence(String),
    Ledger(StoreError),
}

impl From<StoreError> for Unheard {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error)
    }
}

impl Room {
    pub(super) fn new(desk: Arc<Desk>, means: Arc<Means>, sessions: Arc<Sessions>) -> Self {
        Self {
            desk,
            means,
            sessions,
            channels: Channels::default(),
            reads_content: AtomicBool::new(true),
            told: Mutex::new(HashMap::new()),
        }
    }

    /// Looks at a message, and does what it asks for if it is meant for the bot.
    pub(super) async fn message(&self, message: &Message) {
        let Some(call) = intake::call(message, self.means.wire.me) else {
            return;
        };
        let recordings = intake::recordings(message);
        if !call.is_explicit() && recordings.is_empty() {
            return;
        }
        let sentence = match self.consider(message, &call).await {
            Ok(()) => return,
            Err(Unheard::Sentence(sentence)) => sentence,
            Err(Unheard::Ledger(error)) => words::refused(&logged(error)),
        };
        self.say(message, &sentence).await;
    }

    async fn consider(&self, message: &Message, call: &intake::Call) -> Result<(), Unheard> {
        let guild = message.guild_id.map(serenity::all::GuildId::get);
        let channel = message.channel_id.get();
        let settings = ServerSettings::of(&self.means.store, guild).await?;
        let place = match guild {
            Some(_) => self.channels.place(&self.means.wire, channel).await,
            None => super::channels::Place::default(),
        };
        if !call.is_explicit() && !intake::notes_on(&settings, channel, place) {
            return Ok(());
        }
        if let Some(role) = settings.role
            && !self.has_role(message, role).await
        {
            // Whoever did not call needs no refusal.
            if !call.is_explicit() {
                return Ok(());
            }
            return Err(Unheard::Sentence(words::NO_ACCESS.to_owned()));
        }
        let recordings = if call.mentions {
            intake::recordings_meant(message)
        } else {
            intake::recordings(message)
        };
        let question = intake::typed(message, self.means.wire.me);
        if recordings.is_empty() && question.is_none() {
            let sentence = if message.attachments.is_empty() {
                words::NOTHING_ASKED
            } else {
                words::NO_RECORDING
            };
            return Err(Unheard::Sentence(sentence.to_owned()));
        }
        let parent = message
            .message_reference
            .as_ref()
            .and_then(|reference| reference.message_id)
            .map(MessageId::get);
        let parent = match parent {
            Some(parent) => Some(self.first_of(parent).await?),
            None => None,
        };
        let conversation = match self.call_in(guild, channel).await? {
            Some(call) => call,
            None => intake::conversation(channel, place, parent),
        };
        let order = intake::order(message, recordings, question, conversation);
        let request = Request {
            source: message.id.get(),
            guild,
            channel,
            author: message.author.id.get(),
            order,
        };
        match self.desk.take(request).await {
            Ok(_) => Ok(()),
            Err(Refused::Store(error)) => Err(Unheard::Ledger(error)),
            Err(refused) => Err(Unheard::Sentence(words::refused(&refused))),
        }
    }

    /// What a command goes on with: the voice session or the thread it is used in, or nothing.
    pub(super) async fn conversation_in(
        &self,
        guild: Option<u64>,
        channel: u64,
    ) -> Result<Conversation, StoreError> {
        if guild.is_none() {
            return Ok(Conversation::New);
        }
        if let Some(call) = self.call_in(guild, channel).await? {
            return Ok(call);
        }
        let place = self.channels.place(&self.means.wire, channel).await;
        Ok(intake::conversation(channel, place, None))
    }

    /// The conversation of the voice session whose transcript goes to this channel, unless its
    /// words are to stay away from the model.
    async fn call_in(
        &self,
        guild: Option<u64>,
        channel: u64,
    ) -> Result<Option<Conversation>, StoreError> {
        let Some(running) = self.sessions.in_channel(guild, channel) else {
            return Ok(None);
        };
        let Some(session) = self.means.store.session(running).await? else {
            return Ok(None);
        };
        let setup: Setup =
            serde_json::from_str(&session.of.payload).map_err(|_| StoreError::Damaged)?;
        Ok(
            (setup.answers != Answers::Never).then_some(Conversation::Call {
                session: running.0,
                before: None,
            }),
        )
    }

    /// The message that stands for a reply in a conversation: its first one.
    pub(super) async fn first_of(&self, message: u64) -> Result<u64, StoreError> {
        let store = &self.means.store;
        let Some(job) = store.job_of_post(message).await? else {
            return Ok(message);
        };
        self.desk.until_done(job.id).await;
        let posts = store.posts(job.id).await?;
        let first = posts.iter().find_map(|post| post.message);
        Ok(first.unwrap_or(message))
    }

    /// Messages that are read back do not say which roles their author has.
    async fn has_role(&self, message: &Message, role: u64) -> bool {
        let has = |roles: &[serenity::all::RoleId]| roles.iter().any(|it| it.get() == role);
        if let Some(member) = &message.member {
            return has(&member.roles);
        }
        let Some(guild) = message.guild_id else {
            return false;
        };
        let roles = self.means.wire.roles(guild, message.author.id).await;
        roles.is_ok_and(|roles| has(&roles))
    }

    /// Replies with a sentence, not too often.
    async fn say(&self, message: &Message, sentence: &str) {
        let (channel, author) = (message.channel_id.get(), message.author.id.get());
        // What comes after the first full stop may be a time that runs out.
        let beginning = sentence.split('.').next().unwrap_or_default().to_owned();
        let about = (channel, author, beginning);
        {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() >= MAX_TOLD {
                told.retain(|_, at| at.elapsed() < SAY_AGAIN_AFTER);
            }
            let again = told.get(&about);
            if again.is_some_and(|at| at.elapsed() < SAY_AGAIN_AFTER) || told.len() >= MAX_TOLD {
                return;
            }
            told.insert(about, Instant::now());
        }
        let source = message.id.get();
        let post = Post::text(sentence);
        let nonce = format!("s{source}");
        let wire = &self.means.wire;
        if let Err(trouble) = wire.create(channel, Some(source), &nonce, &post).await {
            tracing::warn!(source, channel, %trouble, "a sentence was not delivered");
        }
    }

    /// Somebody deleted a message: what was done for it goes too.
    pub(super) async fn deleted(&self, message: u64) {
        if let Err(error) = self.desk.reply_deleted(message).await {
            logged(error);
        }
        match self.desk.withdraw(message).await {
            Ok(None) => {}
            Ok(Some((channel, posts))) => self.remove(channel, &posts).await,
            Err(error) => {
                logged(error);
            }
        }
    }

    /// Deletes messages of ours.
    pub(super) async fn remove(&self, channel: u64, posts: &[u64]) {
        for post in posts {
            if let Err(trouble) = self.means.wire.delete(channel, *post).await {
                tracing::warn!(channel, message = post, %trouble, "not deleted");
            }
        }
    }

    pub(super) fn reads_content(&self) -> bool {
        self.reads_content.load(Ordering::Relaxed)
    }
}

/// Writes the cause down, and gives back what is said about it.
pub(super) fn logged(error: StoreError) -> Refused {
    tracing::error!(error = &error as &dyn std::error::Error, "the ledger fails");
    Refused::Store(error)
}
