//! Recognizes messages that a proxy bot such as PluralKit repeats through a webhook. It deletes the
//! user's original a moment later, so the bot must answer only the repeat.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serenity::all::{Message, RoleId};

use super::{attachments, message_parser};

/// How long after a message a webhook may repeat it.
const MATCH_WINDOW: Duration = Duration::from_secs(15);

/// How long a message waits for its repeat if the author is known to use a proxy bot. Without the
/// wait, both would be paid for.
pub(super) const PROXY_WAIT: Duration = Duration::from_secs(2);

/// How long a user counts as using a proxy bot.
const PROXIED_USER_TTL: Duration = Duration::from_secs(24 * 3_600);

/// Messages to remember.
const MAX_RECENT_MESSAGES: usize = 512;

/// Users to remember.
const MAX_PROXIED_USERS: usize = 10_000;

/// Recent messages, and users who use a proxy bot.
#[derive(Default)]
pub(super) struct ProxyTracker {
    state: Mutex<ProxyTrackerState>,
}

#[derive(Default)]
struct ProxyTrackerState {
    recent_messages: VecDeque<(Instant, RecentMessage, bool)>,
    /// By server and user.
    proxied_users: HashMap<(u64, u64), Instant>,
}

/// What identifies a message in its repeat.
struct RecentMessage {
    original: OriginalMessage,
    channel: u64,
    /// File names and sizes.
    files: Vec<(String, u32)>,
    text: String,
}

/// The message that a webhook repeated.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct OriginalMessage {
    pub(super) message_id: u64,
    pub(super) author_id: u64,
    /// The author's roles, if the event had them.
    pub(super) roles: Option<Vec<RoleId>>,
}

impl ProxyTracker {
    /// Remembers a user's message.
    pub(super) fn record_message(&self, message: &Message) {
        let roles = message.member.as_ref().map(|it| it.roles.clone());
        let recent = RecentMessage {
            original: OriginalMessage {
                message_id: message.id.get(),
                author_id: message.author.id.get(),
                roles,
            },
            channel: message.channel_id.get(),
            files: attachment_signature(message),
            text: message_parser::full_text(message),
        };
        let mut state = self.lock_state();
        state.recent_messages.retain(|(at, _, is_repeated)| {
            at.elapsed() < MATCH_WINDOW || *is_repeated && at.elapsed() < 4 * MATCH_WINDOW
        });
        if state.recent_messages.len() >= MAX_RECENT_MESSAGES {
            state.recent_messages.pop_front();
        }
        state
            .recent_messages
            .push_back((Instant::now(), recent, false));
    }

    /// Whether this user's messages in this server should wait for a repeat.
    pub(super) fn is_proxied_user(&self, guild: u64, user: u64) -> bool {
        let state = self.lock_state();
        let known = state.proxied_users.get(&(guild, user));
        known.is_some_and(|at| at.elapsed() < PROXIED_USER_TTL)
    }

    /// The message that this webhook message repeats, if any. Marks it as repeated.
    pub(super) fn match_original(&self, repeat: &Message) -> Option<OriginalMessage> {
        let files = attachment_signature(repeat);
        let text = message_parser::full_text(repeat);
        let channel = repeat.channel_id.get();
        let mut state = self.lock_state();
        let same = |recent: &RecentMessage| {
            let same_words = match files.is_empty() {
                // The proxy bot removes the tags that select a member.
                true => recent.files.is_empty() && !text.is_empty() && recent.text.contains(&text),
                false => recent.files == files,
            };
            recent.channel == channel && same_words
        };
        let (_, recent, is_repeated) =
            state
                .recent_messages
                .iter_mut()
                .rev()
                .find(|(at, recent, is_repeated)| {
                    !is_repeated && at.elapsed() < MATCH_WINDOW && same(recent)
                })?;
        *is_repeated = true;
        let original = recent.original.clone();
        if let Some(guild) = repeat.guild_id {
            if state.proxied_users.len() >= MAX_PROXIED_USERS {
                state
                    .proxied_users
                    .retain(|_, at| at.elapsed() < PROXIED_USER_TTL);
            }
            if state.proxied_users.len() < MAX_PROXIED_USERS {
                let user = (guild.get(), original.author_id);
                state.proxied_users.insert(user, Instant::now());
            }
        }
        Some(original)
    }

    /// Forgets this user's messages and that they use a proxy bot.
    pub(super) fn forget_user(&self, user: u64) {
        let mut state = self.lock_state();
        state
            .recent_messages
            .retain(|(_, recent, _)| recent.original.author_id != user);
        state.proxied_users.retain(|(_, known), _| *known != user);
    }

    /// Whether a webhook has repeated this message.
    pub(super) fn is_proxied(&self, message: u64) -> bool {
        let state = self.lock_state();
        state
            .recent_messages
            .iter()
            .any(|(_, recent, is_repeated)| *is_repeated && recent.original.message_id == message)
    }

    fn lock_state(&self) -> std::sync::MutexGuard<'_, ProxyTrackerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn attachment_signature(message: &Message) -> Vec<(String, u32)> {
    attachments::attachments_with_voice_flag(message)
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
    fn a_repeat_is_matched_once_and_marks_its_author() {
        let tracker = ProxyTracker::default();
        tracker.record_message(&message(10, 5, 3, "a: what is it?"));
        assert!(!tracker.is_proxied_user(1, 5));
        for other in [
            message(11, 9, 4, "what is it?"),
            message(11, 9, 3, "what is this?"),
            message(11, 9, 3, ""),
        ] {
            assert_eq!(tracker.match_original(&other), None);
        }
        assert!(!tracker.is_proxied(10));
        let found = tracker.match_original(&message(11, 9, 3, "what is it?"));
        assert_eq!(found.map(|it| (it.message_id, it.author_id)), Some((10, 5)));
        assert!(tracker.is_proxied(10) && tracker.is_proxied_user(1, 5));
        assert!(!tracker.is_proxied_user(2, 5));
        tracker.forget_user(5);
        assert!(!tracker.is_proxied(10) && !tracker.is_proxied_user(1, 5));
        assert_eq!(
            tracker.match_original(&message(12, 9, 3, "what is it?")),
            None
        );
    }

    #[test]
    fn recent_messages_are_limited() {
        let tracker = ProxyTracker::default();
        for id in 1..2_000 {
            tracker.record_message(&message(id, 5, 3, "the same"));
        }
        assert!(tracker.lock_state().recent_messages.len() <= MAX_RECENT_MESSAGES);
    }
}
