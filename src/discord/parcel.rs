//! A message that has to arrive: all of it, or what Discord takes of it, or a sentence instead.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::ladder::{Ladder, Part, Shape, Step, Way};
use super::text;
use super::trouble::{Objection, Trouble};
use super::wire::{MAX_CHARS, Post, Wire};
use crate::words::bot as words;

/// The waits between tries, doubling from the first to the longest.
pub(super) const FIRST_WAIT: Duration = Duration::from_millis(500);
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The least time before a person is told directly again that a channel is closed to the bot.
const ASIDE_AGAIN_AFTER: Duration = Duration::from_secs(3_600);

/// People and channels that are remembered for it.
const MAX_ASIDES: usize = 10_000;

/// A message for a channel of which the ledger knows nothing.
pub(super) struct Parcel<'a> {
    pub(super) channel: u64,
    /// What it replies to.
    pub(super) reply_to: Option<u64>,
    /// Who is told directly where nothing can be said in the channel.
    pub(super) person: Option<u64>,
    /// The same within some minutes gives the same message.
    pub(super) nonce: &'a str,
    pub(super) post: &'a Post,
    /// Said where its files may not be attached.
    pub(super) no_files: &'static str,
    /// Whether it may still be said.
    pub(super) wanted: &'a (dyn Fn() -> bool + Sync),
}

/// Who has lately been told directly about which channel.
#[derive(Default)]
pub(super) struct Asides(Mutex<HashMap<(u64, u64), Instant>>);

impl Asides {
    /// Whether it is not too early to tell this person about this channel.
    fn may(&self, person: u64, channel: u64) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MAX_ASIDES {
            told.retain(|_, at| at.elapsed() < ASIDE_AGAIN_AFTER);
        }
        let known = told.get(&(person, channel));
        if known.is_some_and(|at| at.elapsed() < ASIDE_AGAIN_AFTER) || told.len() >= MAX_ASIDES {
            return false;
        }
        told.insert((person, channel), Instant::now());
        true
    }
}

impl Wire {
    /// Sends a message, or what Discord takes of it. Gives its id, or none if somebody could only
    /// be told directly.
    pub(super) async fn bring(
        &self,
        parcel: &Parcel<'_>,
        patience: Duration,
    ) -> Result<Option<u64>, Trouble> {
        let deadline = Instant::now() + patience;
        let channel = parcel.channel;
        let mut ladder = Ladder::new(
            Way::Reply,
            Shape {
                files: !parcel.post.files.is_empty(),
                channel: true,
                aside: parcel.person.is_some(),
            },
        );
        let mut wait = FIRST_WAIT;
        loop {
            if !(parcel.wanted)() {
                return Err(Trouble::Gone("no longer wanted".into()));
            }
            let rung = ladder.rung();
            let post = parcel
                .post
                .as_far_as(rung.part, channel, true, parcel.no_files);
            let sent = match (rung.way, parcel.person) {
                (Way::Aside, Some(person)) => {
                    let told = self.aside(person, channel, parcel.nonce, &post).await;
                    told.map(|()| None)
                }
                (way, _) => {
                    let reply_to = parcel.reply_to.filter(|_| way == Way::Reply);
                    let sent = self.reply(channel, reply_to, parcel.nonce, &post).await;
                    sent.map(Some)
                }
            };
            let trouble = match sent {
                Ok(message) => return Ok(message),
                Err(trouble) => trouble,
            };
            match ladder.down(&trouble) {
                Step::Wait if Instant::now() + wait < deadline => {
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
                Step::Try(next) => {
                    tracing::warn!(channel, %trouble, ?next, "a message is refused");
                }
                Step::Wait | Step::Deleted | Step::Closed => return Err(trouble),
            }
        }
    }

    /// Sends a message that replies. What it replies to may be gone: that is no refused reply.
    pub(super) async fn reply(
        &self,
        channel: u64,
        reply_to: Option<u64>,
        nonce: &str,
        post: &Post,
    ) -> Result<u64, Trouble> {
        let sent = self.create(channel, reply_to, nonce, post).await;
        match (sent, reply_to) {
            (Err(trouble @ Trouble::Refused(Objection::Reference, _)), Some(parent)) => {
                match self.message(channel, parent).await {
                    Err(gone @ Trouble::Gone(_)) => Err(gone),
                    _ => Err(trouble),
                }
            }
            (sent, _) => sent,
        }
    }

    /// Tells a person directly about a channel, not too often.
    pub(super) async fn aside(
        &self,
        person: u64,
        channel: u64,
        nonce: &str,
        post: &Post,
    ) -> Result<(), Trouble> {
        if !self.asides.may(person, channel) {
            return Err(Trouble::Forbidden("told lately".into()));
        }
        let direct = self.direct(person).await?;
        let nonce: String = format!("a{nonce}").chars().take(25).collect();
        let post = Post::text(&*post.content);
        self.create(direct, None, &nonce, &post).await.map(|_| ())
    }
}

impl Post {
    /// What is shown of it in `channel`. With `alone`, it is all that is shown there.
    pub(super) fn as_far_as(
        &self,
        part: Part,
        channel: u64,
        alone: bool,
        no_files: &str,
    ) -> Cow<'_, Self> {
        match part {
            Part::Whole => Cow::Borrowed(self),
            Part::Bare { refused } => {
                let line = if refused {
                    words::FILES_REFUSED
                } else {
                    no_files
                };
                Cow::Owned(self.fileless(line))
            }
            Part::Sentence(why) => Cow::Owned(Self {
                content: match alone {
                    true => words::withheld(why, channel),
                    false => words::part_withheld(why).to_owned(),
                },
                files: Vec::new(),
                buttons: self.buttons,
            }),
        }
    }

    /// The same without its files, and saying so.
    fn fileless(&self, line: &str) -> Self {
        let room = MAX_CHARS - line.chars().count() - 1;
        let kept = text::split(&self.content, room, room, 1).parts;
        let kept = kept.first().map_or("", String::as_str);
        Self {
            content: format!("{kept}\n{line}").trim().to_owned(),
            files: Vec::new(),
            buttons: self.buttons,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discord::wire::File;
    use crate::words::bot::Withheld;

    #[test]
    fn less_and_less_is_shown() {
        let post = Post {
            content: "x".repeat(MAX_CHARS),
            files: vec![File {
                name: "answer.md".to_owned(),
                text: "All of it.".to_owned(),
            }],
            ..Post::default()
        };
        let shown = |part, alone| {
            let shown = post.as_far_as(part, 7, alone, words::NO_FILES).into_owned();
            assert!(shown.content.chars().count() <= MAX_CHARS);
            assert_eq!(shown.files.is_empty(), part != Part::Whole);
            shown.content.replace(&"x".repeat(1_800), "…")
        };
        let filtered = Part::Sentence(Withheld::Filtered);
        assert!(shown(Part::Bare { refused: false }, true).ends_with(words::NO_FILES));
        assert!(shown(Part::Bare { refused: true }, true).ends_with(words::FILES_REFUSED));
        assert_eq!(
            shown(filtered, true),
            words::withheld(Withheld::Filtered, 7)
        );
        assert_eq!(
            shown(filtered, false),
            words::part_withheld(Withheld::Filtered)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_told_directly_too_often() {
        let asides = Asides::default();
        assert!(asides.may(1, 7));
        assert!(!asides.may(1, 7));
        assert!(asides.may(2, 7) && asides.may(1, 8));
        tokio::time::advance(ASIDE_AGAIN_AFTER).await;
        assert!(asides.may(1, 7));
    }
}
