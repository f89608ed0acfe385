//! Caches what kind of channel an id stands for: messages do not say.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serenity::all::{Channel, ChannelId, ChannelType};

use super::api_error::ApiError;
use super::discord_api::DiscordApi;

/// Channels to cache.
const MAX_CACHED_CHANNELS: usize = 20_000;

/// Attempts to fetch a channel, and the delay between them.
const MAX_ATTEMPTS: u32 = 3;
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// What matters about a channel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct ChannelInfo {
    /// Whether it is a thread. A thread is one conversation.
    pub(super) is_thread: bool,
    /// The parent channel of a thread.
    pub(super) parent_channel: Option<u64>,
}

#[derive(Default)]
pub(super) struct ChannelCache {
    entries: Mutex<HashMap<u64, ChannelInfo>>,
}

impl ChannelCache {
    /// Fetches what `channel` is. One that can't be fetched counts as an ordinary channel.
    pub(super) async fn channel_info(&self, api: &DiscordApi, channel: u64) -> ChannelInfo {
        if let Some(channel_info) = self.lock_entries().get(&channel) {
            return *channel_info;
        }
        let mut attempts = 1;
        let found = loop {
            match api.get_channel(channel).await {
                // Without the retry, one transient error would leave a voice note in a thread
                // unanswered.
                Err(ApiError::Transient(cause)) if attempts < MAX_ATTEMPTS => {
                    tracing::debug!(channel, why = %cause, "asked for once more");
                    tokio::time::sleep(RETRY_DELAY * attempts).await;
                    attempts += 1;
                }
                found => break found,
            }
        };
        let channel_info = match found {
            Ok(Channel::Guild(found)) => {
                channel_info_from_kind(found.kind, found.parent_id.map(ChannelId::get))
            }
            Ok(_) => ChannelInfo::default(),
            Err(error) => {
                tracing::debug!(channel, trouble = %error, "kind of channel unknown");
                return ChannelInfo::default();
            }
        };
        self.insert(channel, channel_info);
        channel_info
    }

    /// Removes a channel that was changed or deleted.
    pub(super) fn invalidate(&self, channel: u64) {
        self.lock_entries().remove(&channel);
    }

    pub(super) fn insert(&self, channel: u64, channel_info: ChannelInfo) {
        let mut map = self.lock_entries();
        if map.len() >= MAX_CACHED_CHANNELS {
            map.clear();
        }
        map.insert(channel, channel_info);
    }

    fn lock_entries(&self) -> std::sync::MutexGuard<'_, HashMap<u64, ChannelInfo>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn channel_info_from_kind(kind: ChannelType, parent: Option<u64>) -> ChannelInfo {
    let thread = matches!(
        kind,
        ChannelType::PublicThread | ChannelType::PrivateThread | ChannelType::NewsThread
    );
    ChannelInfo {
        is_thread: thread,
        parent_channel: parent.filter(|_| thread),
    }
}
