//! What kind of channel an id stands for: messages do not say it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serenity::all::{Channel, ChannelId, ChannelType};

use super::trouble::Trouble;
use super::wire::Wire;

/// Channels that are remembered.
const MAX_CHANNELS: usize = 20_000;

/// How often a channel is asked for, and the wait in between.
const TRIES: u32 = 3;
const WAIT: Duration = Duration::from_millis(500);

/// What matters about a channel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Place {
    /// Whether it is a thread, and so one conversation.
    pub(super) thread: bool,
    /// The channel that a thread is in.
    pub(super) parent: Option<u64>,
}

/// The channels that have been asked for.
#[derive(Default)]
pub(super) struct Channels {
    known: Mutex<HashMap<u64, Place>>,
}

impl Channels {
    /// What `channel` is. One that can't be read counts as an ordinary one.
    pub(super) async fn place(&self, wire: &Wire, channel: u64) -> Place {
        if let Some(place) = self.map().get(&channel) {
            return *place;
        }
        let mut tries = 1;
        let found = loop {
            match wire.channel(channel).await {
                // A note in a thread would go unanswered because of one bad moment.
                Err(Trouble::Later(why)) if tries < TRIES => {
                    tracing::debug!(channel, %why, "asked for once more");
                    tokio::time::sleep(WAIT * tries).await;
                    tries += 1;
                }
                found => break found,
            }
        };
        let place = match found {
            Ok(Channel::Guild(found)) => place(found.kind, found.parent_id.map(ChannelId::get)),
            Ok(_) => Place::default(),
            Err(trouble) => {
                tracing::debug!(channel, %trouble, "kind of channel unknown");
                return Place::default();
            }
        };
        self.keep(channel, place);
        place
    }

    /// The channel has changed or is gone.
    pub(super) fn forget(&self, channel: u64) {
        self.map().remove(&channel);
    }

    pub(super) fn keep(&self, channel: u64, place: Place) {
        let mut map = self.map();
        if map.len() >= MAX_CHANNELS {
            map.clear();
        }
        map.insert(channel, place);
    }

    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Place>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(kind: ChannelType, parent: Option<u64>) -> Place {
    let thread = matches!(
        kind,
        ChannelType::PublicThread | ChannelType::PrivateThread | ChannelType::NewsThread
    );
    Place {
        thread,
        parent: parent.filter(|_| thread),
    }
}
