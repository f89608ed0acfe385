//! People who speak through a bot like PluralKit: it says again through a webhook what they have
//! said, and deletes the original a moment later. Both are the same words of the same person, and
//! only the second ones stay.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serenity::all::{Message, RoleId};

use super::intake;

/// How long after somebody a webhook may repeat them.
const WITHIN: Duration = Duration::from_secs(15);

/// How long the words of somebody wait who has been repeated before. Otherwise they would be paid
/// for twice.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// How long it is known that somebody is repeated.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 3_600);

/// Messages that are remembered.
const MAX_MESSAGES: usize = 512;

/// People who are remembered.
const MAX_PEOPLE: usize = 10_000;

/// What was said lately, and who is repeated.
#[derive(Default)]
pub(super) struct Proxies {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    said: VecDeque<(Instant, Said, bool)>,
    /// By server and person.
    people: HashMap<(u64, u64), Instant>,
}

/// What somebody said: enough to know it again.
struct Said {
    original: Original,
    channel: u64,
    /// Names and sizes.
    files: Vec<(String, u32)>,
    text: String,
}

/// What a webhook has repeated.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Original {
    /// The message.
    pub(super) message: u64,
    /// Who wrote it.
    pub(super) author: u64,
    /// Their roles.
    pub(super) roles: Option<Vec<RoleId>>,
}

impl Proxies {
    /// Somebody has said something.
    pub(super) fn said(&self, message: &Message) {
        let roles = message.member.as_ref().map(|it| it.roles.clone());
        let said = Said {
            original: Original {
                message: message.id.get(),
                author: message.author.id.get(),
                roles,
            },
            channel: message.channel_id.get(),
            files: files(message),
            text: intake::words(message),
        };
        let mut inner = self.inner();
        inner.said.retain(|(at, _, repeated)| {
            at.elapsed() < WITHIN || *repeated && at.elapsed() < 4 * WITHIN
        });
        if inner.said.len() >= MAX_MESSAGES {
            inner.said.pop_front();
        }
        inner.said.push_back((Instant::now(), said, false));
    }

    /// Whether what this person says in this server is to wait for a moment.
    pub(super) fn may_be_repeated(&self, guild: u64, person: u64) -> bool {
        let inner = self.inner();
        let known = inner.people.get(&(guild, person));
        known.is_some_and(|at| at.elapsed() < KNOWN_FOR)
    }

    /// The message that this one of a webhook repeats, if it is one. From now on it counts as
    /// repeated.
    pub(super) fn original(&self, repeated: &Message) -> Option<Original> {
        let files = files(repeated);
        let text = intake::words(repeated);
        let channel = repeated.channel_id.get();
        let mut inner = self.inner();
        let same = |said: &Said| {
            let same_words = match files.is_empty() {
                // What marks whose words they are is left out.
                true => said.files.is_empty() && !text.is_empty() && said.text.contains(&text),
                false => said.files == files,
            };
            said.channel == channel && same_words
        };
        let (_, said, done) = inner
            .said
            .iter_mut()
            .rev()
            .find(|(at, said, done)| !done && at.elapsed() < WITHIN && same(said))?;
        *done = true;
        let original = said.original.clone();
        if let Some(guild) = repeated.guild_id {
            if inner.people.len() >= MAX_PEOPLE {
                inner.people.retain(|_, at| at.elapsed() < KNOWN_FOR);
            }
            if inner.people.len() < MAX_PEOPLE {
                let person = (guild.get(), original.author);
                inner.people.insert(person, Instant::now());
            }
        }
        Some(original)
    }

    /// Nothing that this person said is known any more, nor that they are repeated.
    pub(super) fn forget(&self, person: u64) {
        let mut inner = self.inner();
        inner
            .said
            .retain(|(_, said, _)| said.original.author != person);
        inner.people.retain(|(_, known), _| *known != person);
    }

    /// Whether a webhook has repeated this message.
    pub(super) fn is_repeated(&self, message: u64) -> bool {
        let inner = self.inner();
        let mut said = inner.said.iter();
        said.any(|(_, said, done)| *done && said.original.message == message)
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn files(message: &Message) -> Vec<(String, u32)> {
    intake::attached(message)
        .map(|(it, _)| (it.filename.clone(), it.size))
        .collect()
}

#[cfg(test)]
mod tests {
    use serenity::all::{ChannelId, GuildId, MessageId, UserId};

    use super::*;

    fn message(id: u64, author: u64, channel: u64, text: &str) -> Message {
        let mut message = Message::default();
        message.id = MessageId::new(id);
        message.author.id = UserId::new(author);
        message.channel_id = ChannelId::new(channel);
        message.guild_id = Some(GuildId::new(1));
        text.clone_into(&mut message.content);
        message
    }

    #[test]
    fn what_is_repeated_is_found_once_and_its_author_known() {
        let proxies = Proxies::default();
        proxies.said(&message(10, 5, 3, "a: what is it?"));
        assert!(!proxies.may_be_repeated(1, 5));
        for other in [
            message(11, 9, 4, "what is it?"),
            message(11, 9, 3, "what is this?"),
            message(11, 9, 3, ""),
        ] {
            assert_eq!(proxies.original(&other), None);
        }
        assert!(!proxies.is_repeated(10));
        let found = proxies.original(&message(11, 9, 3, "what is it?"));
        assert_eq!(found.map(|it| (it.message, it.author)), Some((10, 5)));
        assert!(proxies.is_repeated(10) && proxies.may_be_repeated(1, 5));
        assert!(!proxies.may_be_repeated(2, 5));
        proxies.forget(5);
        assert!(!proxies.is_repeated(10) && !proxies.may_be_repeated(1, 5));
        assert_eq!(proxies.original(&message(12, 9, 3, "what is it?")), None);
    }

    #[test]
    fn memory_has_a_bound() {
        let proxies = Proxies::default();
        for id in 1..2_000 {
            proxies.said(&message(id, 5, 3, "the same"));
        }
        assert!(proxies.inner().said.len() <= MAX_MESSAGES);
    }
}
