//! The end of a session in its channel: told once, also if several processes do it one after the
//! other.
//!
//! Before a message is sent the ledger has a row for it, afterwards its id. Which one of them a
//! killed process has sent is looked for first, and the nonce is the same for every process.

use std::fmt::Write as _;
use std::time::Duration;

use super::super::parcel::Parcel;
use super::super::reply::Means;
use super::super::snowflake;
use super::super::text;
use super::super::trouble::Trouble;
use super::super::wire::{File, MAX_CHARS, Post};
use crate::flow::consent::Stamps;
use crate::flow::session::board::Remains;
use crate::flow::session::files;
use crate::speech::subtitles::Format;
use crate::store::{EndPost, SessionId, StoreError, Timestamp};
use crate::words::{session as said, voice as words};

/// How long a message is tried for before the rest is put off.
const PATIENCE: Duration = Duration::from_secs(120);

/// Messages that the end may take; the rest of it is in the files.
const MAX_LAST: usize = 4;

/// Discord's clock and ours differ by less.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// Where an end is told, and of what.
pub(super) struct End<'a> {
    pub(super) means: &'a Means,
    pub(super) session: SessionId,
    pub(super) channel: u64,
    pub(super) started: Timestamp,
    /// The longest session.
    pub(super) longest: Duration,
}

/// What became of a message.
enum Sent {
    Message(u64),
    /// Discord will never take it.
    Refused,
    /// Discord takes nothing for now.
    NotNow,
    /// Somebody has taken back something that is in it.
    TakenBack,
}

impl End<'_> {
    /// Tells what is not told yet. Returns false if something is to be told later.
    pub(super) async fn tell(&self, remains: &Remains) -> bool {
        let opening = text::answer(&words::ended(remains.ending, self.longest));
        let known = match self.means.store.end_posts(self.session).await {
            Ok(known) => known,
            Err(error) => {
                log(self.session, &error);
                Vec::new()
            }
        };
        let mut told: Vec<u64> = Vec::new();
        loop {
            let leave = remains.leave();
            let posts = self.posts(remains);
            for (index, post) in posts.iter().enumerate().skip(told.len()) {
                let part = u32::try_from(index).unwrap_or(u32::MAX);
                let opening = (part == 0).then_some(opening.as_str());
                match self.put(part, post, opening, (&known, &leave)).await {
                    Sent::Message(message) => {
                        told.push(message);
                        let store = &self.means.store;
                        if let Err(error) = store.sent_end(self.session, part, message).await {
                            log(self.session, &error);
                        }
                    }
                    Sent::Refused => told.push(0),
                    Sent::NotNow => return false,
                    Sent::TakenBack => break,
                }
            }
            if leave.hold() {
                return true;
            }
            // Somebody took something back while it was told: what stands there goes, and the rest
            // is told as it is now. Each time there are fewer of them.
            self.mend(&told, &self.posts(remains)).await;
        }
    }

    /// Makes messages show what they may show now.
    async fn mend(&self, told: &[u64], posts: &[Post]) {
        let wire = &self.means.wire;
        for (index, message) in told.iter().enumerate().filter(|(_, it)| **it != 0) {
            let mended = match posts.get(index) {
                Some(post) => wire.edit(self.channel, *message, post).await.map(|_| ()),
                None => wire.delete(self.channel, *message).await,
            };
            if let Err(trouble) = mended {
                let session = self.session.0;
                tracing::warn!(session, message, %trouble, "an end still shows what was taken back");
            }
        }
    }

    /// All messages of it. The last one has the files.
    fn posts(&self, remains: &Remains) -> Vec<Post> {
        let end = text::answer(&self.whole(remains));
        let split = text::split(&end, MAX_CHARS, MAX_CHARS, MAX_LAST);
        let mut files = files(remains);
        if split.rest {
            files.push(File {
                name: "summary.md".to_owned(),
                text: end,
            });
        }
        let mut posts: Vec<Post> = split.parts.into_iter().map(Post::text).collect();
        if let Some(last) = posts.last_mut() {
            last.files = files;
        }
        posts
    }

    fn whole(&self, remains: &Remains) -> String {
        let mut end = words::ended(remains.ending, self.longest);
        if remains.lines().is_empty() {
            return format!("{end} {}", words::NOTHING_LEFT);
        }
        if let Some(summary) = remains.summary() {
            let summary = words::summary(summary);
            let _ = write!(end, "\n\n{summary}");
        }
        let _ = write!(end, "\n\n{}", words::report(&remains.facts().report));
        end
    }

    /// Sends a part, unless it has been sent.
    async fn put(
        &self,
        part: u32,
        post: &Post,
        opening: Option<&str>,
        (known, leave): (&[EndPost], &Stamps),
    ) -> Sent {
        match known.iter().find(|it| it.part == part) {
            Some(EndPost {
                message: Some(message),
                ..
            }) => return Sent::Message(*message),
            Some(tried) => match self.find(post, opening, tried.at, known).await {
                Ok(Some(message)) => return Sent::Message(message),
                // Then the nonce has to do.
                Ok(None) | Err(Trouble::Forbidden(_)) => {}
                Err(trouble) if trouble.is_final() => return Sent::Refused,
                Err(_) => return Sent::NotNow,
            },
            None => {
                let store = &self.means.store;
                let noted = store
                    .sending_end(self.session, part, Timestamp::now())
                    .await;
                if let Err(error) = noted {
                    // Whoever waits for the end gets it all the same.
                    log(self.session, &error);
                }
            }
        }
        self.send(part, post, leave).await
    }

    /// A message that an earlier process was about to send: it may have.
    async fn find(
        &self,
        post: &Post,
        opening: Option<&str>,
        tried: Timestamp,
        known: &[EndPost],
    ) -> Result<Option<u64>, Trouble> {
        let ago = Timestamp::now().0.saturating_sub(tried.0);
        let ago = Duration::from_millis(u64::try_from(ago).unwrap_or(0));
        let since = snowflake::before(ago + CLOCKS_DIFFER);
        let found = self.means.wire.after(self.channel, since).await?;
        let mine = found.into_iter().find(|message| {
            let is_known = known.iter().any(|it| it.message == Some(message.id.get()));
            let is_it = message.content.trim() == post.content.trim()
                || opening.is_some_and(|it| message.content.starts_with(it));
            message.author.id == self.means.wire.me && !is_known && is_it
        });
        Ok(mine.map(|message| message.id.get()))
    }

    async fn send(&self, part: u32, post: &Post, leave: &Stamps) -> Sent {
        let nonce = format!(
            "e{}.{:x}.{part}",
            self.session.0,
            self.started.0 & 0xff_ffff
        );
        // Whoever brought the bot is told where nothing can be written.
        let session = self.means.store.session(self.session).await;
        let asked_by = session.ok().flatten().map(|it| it.of.asked_by);
        let parcel = Parcel {
            channel: self.channel,
            reply_to: None,
            person: asked_by.filter(|id| *id != 0),
            nonce: &nonce,
            post,
            no_files: words::NO_FILES,
            wanted: &|| leave.hold(),
        };
        match self.means.wire.bring(&parcel, PATIENCE).await {
            Ok(Some(message)) => Sent::Message(message),
            Ok(None) => Sent::Refused,
            Err(_) if !leave.hold() => Sent::TakenBack,
            Err(trouble) => {
                let session = self.session.0;
                tracing::warn!(session, %trouble, "a message was not delivered");
                match trouble.is_final() {
                    true => Sent::Refused,
                    false => Sent::NotNow,
                }
            }
        }
    }
}

/// The transcript in every form.
fn files(remains: &Remains) -> Vec<File> {
    let (facts, lines) = (remains.facts(), remains.lines());
    if lines.is_empty() {
        return Vec::new();
    }
    [Format::Text, Format::Vtt, Format::Srt, Format::Json]
        .into_iter()
        .map(|format| File {
            name: format!("transcript.{}", format.extension()),
            text: files::render(format, &facts, &lines, &said::WORDING),
        })
        .collect()
}

fn log(session: SessionId, error: &StoreError) {
    let error = error as &dyn std::error::Error;
    tracing::error!(session = session.0, error, "an end is not noted");
}
