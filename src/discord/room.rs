//! What every event needs, and what is the same for all of them: taking an order and saying why
//! it is not taken.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serenity::all::Message;

use super::channels::Channels;
use super::intake::{self, Author, Call, Me};
use super::parcel::{FIRST_WAIT, LONGEST_WAIT, Parcel};
use super::proxies::{self, Original, Proxies};
use super::reply::Means;
use super::servers::Member;
use super::snowflake;
use super::trouble::Trouble;
use super::voice::Sessions;
use super::wire::Post;
use crate::flow::access::Standing;
use crate::flow::desk::{Carried, Desk, Refused, Request};
use crate::flow::memory::Conversation;
use crate::flow::order::{Order, Via};
use crate::flow::server::ServerSettings;
use crate::flow::session::{Answers, Setup};
use crate::store::{Job, StoreError};
use crate::words::bot as words;

/// The least time before a person is told the same again in the same channel about why something
/// is not done: fifty notes at once need one sentence.
const SAY_AGAIN_AFTER: Duration = Duration::from_secs(20);

/// How long such a sentence is tried to be delivered.
const SAY_PATIENCE: Duration = Duration::from_secs(120);

/// Interactions that are remembered.
const MAX_INTERACTIONS: usize = 1_024;

/// How long a message is tried to be deleted.
const DELETE_PATIENCE: Duration = Duration::from_secs(3_600);

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
    /// People who speak through a bot.
    pub(super) proxies: Proxies,
    /// Channel, person, and the beginning of what they were told.
    told: Mutex<HashMap<(u64, u64, String), Instant>>,
    /// The latest interactions.
    interactions: Mutex<VecDeque<u64>>,
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
            proxies: Proxies::default(),
            reads_content: AtomicBool::new(true),
            told: Mutex::new(HashMap::new()),
            interactions: Mutex::default(),
        }
    }

    /// Whether nobody has told us of this interaction before.
    pub(super) fn is_new(&self, interaction: u64) -> bool {
        let mut known = self
            .interactions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if known.contains(&interaction) {
            return false;
        }
        if known.len() >= MAX_INTERACTIONS {
            known.pop_front();
        }
        known.push_back(interaction);
        true
    }

    /// Looks at a message, and does what it asks for if it is meant for the bot. Whether it may
    /// be.
    pub(super) async fn message(&self, message: &Message) -> bool {
        let me = self.me_in(message).await;
        let Some(call) = intake::call(message, &me) else {
            return false;
        };
        if !call.is_explicit() && intake::notes(message).is_empty() {
            return false;
        }
        if call.author == Author::Person && self.is_repeated(message).await {
            return false;
        }
        // Before anything that takes time: word of the original's deletion is about to come.
        let original = match call.author {
            Author::Person => None,
            Author::Webhook => self.proxies.original(message),
        };
        let considered = self.consider(message, &call, &me, original.as_ref()).await;
        if let Some(original) = original {
            self.withdraw(original.message).await;
        }
        let sentence = match considered {
            Ok(()) => return true,
            Err(Unheard::Sentence(sentence)) => sentence,
            Err(Unheard::Ledger(error)) => words::refused(&logged(error)),
        };
        self.say(message, &sentence).await;
        true
    }

    /// Who the bot is where this message was written.
    pub(super) async fn me_in(&self, message: &Message) -> Me {
        let wire = &self.means.wire;
        let role = match message.guild_id {
            // Nobody asks for a server's roles unless one of them is named.
            Some(guild) if !message.mention_roles.is_empty() => {
                self.means.servers.own_role(wire, guild).await
            }
            _ => None,
        };
        Me {
            user: wire.me,
            application: wire.http.application_id(),
            role,
        }
    }

    /// Whether a bot says this again for whoever wrote it: then that is answered. Waits for it
    /// where it is known to happen.
    async fn is_repeated(&self, message: &Message) -> bool {
        let Some(guild) = message.guild_id else {
            return false;
        };
        self.proxies.said(message);
        let author = message.author.id.get();
        if self.proxies.may_be_repeated(guild.get(), author) {
            let age = snowflake::age(message.id.get());
            tokio::time::sleep(proxies::PATIENCE.saturating_sub(age)).await;
        }
        self.proxies.is_repeated(message.id.get())
    }

    async fn consider(
        &self,
        message: &Message,
        call: &Call,
        me: &Me,
        original: Option<&Original>,
    ) -> Result<(), Unheard> {
        let consents = &self.desk.workshop().consents;
        let author = original.map_or(message.author.id.get(), |original| original.author);
        let stamp = consents.stamp(author);
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
        let standing = self.standing(message, call, original, &settings);
        let Some(cleared) = standing.await.clear(&settings) else {
            // Whoever did not call needs no refusal.
            if !call.is_explicit() {
                return Ok(());
            }
            let sentence = words::refused(&Refused::NoAccess);
            return Err(Unheard::Sentence(sentence));
        };
        let recordings = if call.mentions {
            intake::recordings_meant(message)
        } else if call.is_explicit() {
            intake::recordings(message)
        } else {
            intake::notes(message)
        };
        let question = intake::typed(message, me);
        if recordings.is_empty() && question.is_none() {
            let sentence = match intake::attached(message).next() {
                None => words::NOTHING_ASKED,
                Some(_) => words::NO_RECORDING,
            };
            return Err(Unheard::Sentence(sentence.to_owned()));
        }
        let parent = match intake::parent(message) {
            Some(parent) => Some(self.first_of(parent.get()).await?),
            None => None,
        };
        let conversation = match self.call_in(guild, channel).await? {
            Some(call) => call,
            None => intake::conversation(channel, place, parent),
        };
        let order = intake::order(message, recordings, question, conversation);
        let carried = match original {
            Some(original) => self.take_over(original).await?,
            None => Carried::default(),
        };
        let request = Request {
            source: message.id.get(),
            guild,
            channel,
            author,
            order,
            cleared,
            carried,
        };
        match self.desk.take(stamp.on(request)).await {
            Ok(_) => Ok(()),
            Err(Refused::Store(error)) => Err(Unheard::Ledger(error)),
            Err(refused) => Err(Unheard::Sentence(words::refused(&refused))),
        }
    }

    /// What whoever wrote a message is in its server. A webhook is nobody, unless it is known for
    /// whom it speaks.
    async fn standing(
        &self,
        message: &Message,
        call: &Call,
        original: Option<&Original>,
        settings: &ServerSettings,
    ) -> Standing {
        if settings.role.is_none() {
            // Nobody needs to be asked for.
            return Standing::default();
        }
        let member = match (call.author, original) {
            (_, Some(original)) => Member {
                user: original.author.into(),
                roles: original.roles.as_deref(),
                permissions: None,
            },
            (Author::Webhook, None) => Member {
                user: message.author.id,
                roles: Some(&[]),
                permissions: Some(serenity::all::Permissions::empty()),
            },
            // Messages that are read back do not say which roles their author has.
            (Author::Person, None) => Member {
                user: message.author.id,
                roles: message.member.as_ref().map(|it| it.roles.as_slice()),
                permissions: None,
            },
        };
        let means = &self.means;
        let standing = means
            .servers
            .standing(&means.wire, message.guild_id, member);
        standing.await
    }

    /// What there is of the answer to a message that goes on as another one. Nothing of it stays
    /// where it was.
    async fn take_over(&self, original: &Original) -> Result<Carried, StoreError> {
        let (carried, shown) = self.desk.hand_over(original.message).await?;
        if let Some((channel, posts)) = shown {
            self.remove(channel, &posts).await;
        }
        Ok(carried)
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
        let parcel = Parcel {
            channel,
            reply_to: Some(source),
            person: message.guild_id.map(|_| author),
            nonce: &format!("s{source}"),
            post: &post,
            no_files: words::NO_FILES,
            wanted: &|| true,
        };
        if let Err(trouble) = self.means.wire.bring(&parcel, SAY_PATIENCE).await {
            tracing::warn!(source, channel, %trouble, "a sentence was not delivered");
        }
    }

    /// Somebody deleted a message: what was done for it goes too, and what others had done with what
    /// stood in it.
    pub(super) async fn deleted(&self, message: u64) {
        if let Err(error) = self.desk.reply_deleted(message).await {
            logged(error);
        }
        if self.proxies.is_repeated(message) {
            // Whoever answers it in its new place takes back what stands in the old one.
            return;
        }
        self.withdraw(message).await;
    }

    /// Takes back what was done for a message, and for others with what stands in it.
    async fn withdraw(&self, message: u64) {
        if let Err(error) = self.take_back(message).await {
            logged(error);
        }
    }

    async fn take_back(&self, message: u64) -> Result<(), StoreError> {
        let store = &self.means.store;
        // The message itself first: from then on nothing new is begun about it.
        let own = store.job_of_source(message).await?;
        let withdrawn = self.desk.withdraw(message).await?;
        if let Some((job, (_, posts))) = own.zip(withdrawn) {
            self.remove_shown(&job, &posts).await;
        }
        for source in store.sources_about(message).await? {
            let job = store.job_of_source(source).await?;
            let withdrawn = self.desk.withdraw(source).await?;
            if let Some((job, (_, posts))) = job.zip(withdrawn) {
                self.remove_shown(&job, &posts).await;
            }
        }
        Ok(())
    }

    /// Deletes the messages that show the answer to a job. The private response to a command can be
    /// deleted only as long as its token lives.
    pub(super) async fn remove_shown(&self, job: &Job, posts: &[u64]) {
        let order = serde_json::from_str::<Order>(&job.order.payload);
        let mut posts = posts;
        if let Ok(Order {
            via: Via::Command { token, .. },
            ..
        }) = order
            && let [first, rest @ ..] = posts
        {
            match self.means.wire.delete_response(&token, *first).await {
                Ok(()) => posts = rest,
                Err(trouble) => {
                    tracing::debug!(job = job.id.0, %trouble, "a response is not deleted");
                }
            }
        }
        self.remove(job.order.channel, posts).await;
    }

    /// Deletes messages of ours. Those that can't be deleted at once are in a while.
    pub(super) async fn remove(&self, channel: u64, posts: &[u64]) {
        for message in posts.iter().copied() {
            let Err(trouble) = self.means.wire.delete(channel, message).await else {
                continue;
            };
            tracing::warn!(channel, message, %trouble, "not deleted");
            if let Trouble::Later(_) = trouble {
                let means = Arc::clone(&self.means);
                tokio::spawn(async move { keep_deleting(&means, channel, message).await });
            }
        }
    }

    pub(super) fn reads_content(&self) -> bool {
        self.reads_content.load(Ordering::Relaxed)
    }
}

/// Nobody knows of the message any more but we: it goes once Discord is back.
async fn keep_deleting(means: &Means, channel: u64, message: u64) {
    let begun = Instant::now();
    let mut wait = FIRST_WAIT;
    while begun.elapsed() < DELETE_PATIENCE {
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
        match means.wire.delete(channel, message).await {
            Err(Trouble::Later(_)) => {}
            Ok(()) => return,
            Err(trouble) => {
                tracing::warn!(channel, message, %trouble, "not deleted");
                return;
            }
        }
    }
    tracing::warn!(channel, message, "left where it is");
}

/// Writes the cause down, and gives back what is said about it.
pub(super) fn logged(error: StoreError) -> Refused {
    tracing::error!(error = &error as &dyn std::error::Error, "the ledger fails");
    Refused::Store(error)
}
