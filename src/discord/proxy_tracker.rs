//! People who speak through a bot like PluralKit: it says again through a webhook what they have
//! said, and deletes the original a moment later. Both are the same words of the same person, and
//! only the second ones stay.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serenity::all::{Message, RoleId};

use super::message_parser;

/// How long after somebody a webhook may repeat them.
const MATCH_WINDOW: Duration = Duration::from_secs(15);

/// How long the words of somebody wait who has been repeated before. Otherwise they would be paid
/// for twice.
pub(super) const PROXY_WAIT: Duration = Duration::from_secs(2);

/// How long it is known that somebody is repeated.
const PROXIED_USER_TTL: Duration = Duration::from_secs(24 * 3_600);

/// Messages that are remembered.
const MAX_RECENT_MESSAGES: usize = 512;

/// People who are remembered.
const MAX_PROXIED_USERS: usize = 10_000;

/// What was said lately, and who is repeated.
#[derive(Default)]
pub(super) struct ProxyTracker {
    state: Mutex<ProxyTrackerState>,
}

#[derive(Default)]
struct ProxyTrackerState {
    recent_messages: VecDeque<(Instant, RecentMessage, bool)>,
    /// By server and person.
    proxied_users: HashMap<(u64, u64), Instant>,
}

/// What somebody said: enough to know it again.
struct RecentMessage {
    original: OriginalMessage,
    channel: u64,
    /// Names and sizes.
    files: Vec<(String, u32)>,
    text: String,
}

/// What a webhook has repeated.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct OriginalMessage {
    /// The message.
    pub(super) message_id: u64,
    /// Who wrote it.
    pub(super) author_id: u64,
    /// Their roles.
    pub(super) roles: Option<Vec<RoleId>>,
}

impl ProxyTracker {
    /// Somebody has said something.
    pub(super) fn record_message(&self, message: &Message) {
        let roles = message.member.as_ref().map(|it| it.roles.clone());
        let said = RecentMessage {
            original: OriginalMessage {
                message_id: message.id.get(),
                author_id: message.author.id.get(),
                roles,
            },
            channel: message.channel_id.get(),
            files: attachment_signature(message),
            text: message_parser::full_text(message),
        };
        let mut inner = self.lock_state();
        inner.recent_messages.retain(|(at, _, repeated)| {
            at.elapsed() < MATCH_WINDOW || *repeated && at.elapsed() < 4 * MATCH_WINDOW
        });
        if inner.recent_messages.len() >= MAX_RECENT_MESSAGES {
            inner.recent_messages.pop_front();
        }
        inner
            .recent_messages
            .push_back((Instant::now(), said, false));
    }

    /// Whether what this person says in this server is to wait for a moment.
    pub(super) fn is_proxied_user(&self, guild: u64, person: u64) -> bool {
        let inner = self.lock_state();
        let known = inner.proxied_users.get(&(guild, person));
        known.is_some_and(|at| at.elapsed() < PROXIED_USER_TTL)
    }

    /// The message that this one of a webhook repeats, if it is one. From now on it counts as
    /// repeated.
    pub(super) fn match_original(&self, repeated: &Message) -> Option<OriginalMessage> {
        let files = attachment_signature(repeated);
        let text = message_parser::full_text(repeated);
        let channel = repeated.channel_id.get();
        let mut inner = self.lock_state();
        let same = |said: &RecentMessage| {
            let same_words = match files.is_empty() {
                // What marks whose words they are is left out.
                true => said.files.is_empty() && !text.is_empty() && said.text.contains(&text),
                false => said.files == files,
            };
            said.channel == channel && same_words
        };
        let (_, said, done) = inner
            .recent_messages
            .iter_mut()
            .rev()
            .find(|(at, said, done)| !done && at.elapsed() < MATCH_WINDOW && same(said))?;
        *done = true;
        let original = said.original.clone();
        if let Some(guild) = repeated.guild_id {
            if inner.proxied_users.len() >= MAX_PROXIED_USERS {
                inner
                    .proxied_users
                    .retain(|_, at| at.elapsed() < PROXIED_USER_TTL);
            }
            if inner.proxied_users.len() < MAX_PROXIED_USERS {
                let person = (guild.get(), original.author_id);
                inner.proxied_users.insert(person, Instant::now());
            }
        }
        Some(original)
    }

    /// Nothing that this person said is known any more, nor that they are repeated.
    pub(super) fn forget_user(&self, person: u64) {
        let mut inner = self.lock_state();
        inner
            .recent_messages
            .retain(|(_, said, _)| said.original.author_id != person);
        inner.proxied_users.retain(|(_, known), _| *known != person);
    }

    /// Whether a webhook has repeated this message.
    pub(super) fn is_proxied(&self, message: u64) -> bool {
        let inner = self.lock_state();
        let mut said = inner.recent_messages.iter();
        said.any(|(_, said, done)| *done && said.original.message_id == message)
    }

    fn lock_state(&self) -> std::sync::MutexGuard<'_, ProxyTrackerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn attachment_signature(message: &Message) -> Vec<(String, u32)> {
    message_parser::attachments_with_voice_flag(message)
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
        let proxies = ProxyTracker::default();
        proxies.record_message(&message(10, 5, 3, "a: what is it?"));
        assert!(!proxies.is_proxied_user(1, 5));
        for other in [
            message(11, 9, 4, "what is it?"),
            message(11, 9, 3, "what is this?"),
            message(11, 9, 3, ""),
        ] {
            assert_eq!(proxies.match_original(&other), None);
        }
        assert!(!proxies.is_proxied(10));
        let found = proxies.match_original(&message(11, 9, 3, "what is it?"));
        assert_eq!(found.map(|it| (it.message_id, it.author_id)), Some((10, 5)));
        assert!(proxies.is_proxied(10) && proxies.is_proxied_user(1, 5));
        assert!(!proxies.is_proxied_user(2, 5));
        proxies.forget_user(5);
        assert!(!proxies.is_proxied(10) && !proxies.is_proxied_user(1, 5));
        assert_eq!(
            proxies.match_original(&message(12, 9, 3, "what is it?")),
            None
        );
    }

    #[test]
    fn memory_has_a_bound() {
        let proxies = ProxyTracker::default();
        for id in 1..2_000 {
            proxies.record_message(&message(id, 5, 3, "the same"));
        }
        assert!(proxies.lock_state().recent_messages.len() <= MAX_RECENT_MESSAGES);
    }
}
