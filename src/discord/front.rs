//! What the flow sees of Discord.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serenity::all::Message;

use super::cdn;
use super::intake::{self, name_of};
use super::reply::{LiveReply, Means, TOKEN_LIFE};
use super::room::logged;
use super::snowflake;
use crate::flow::front::{FetchError, Front, JobReply};
use crate::flow::order::{Attachment, Order, Via};
use crate::store::{Job, Speaker, StoreError, Timestamp, Turn};
use audio::Recording;

/// Messages that are read back along replies where the ledger knows none of them.
const MAX_EARLIER: usize = 6;

/// Discord, as far as the flow needs it.
pub(super) struct DiscordFront {
    pub(super) means: Arc<Means>,
    /// For the content network. It follows no redirects.
    pub(super) downloads: reqwest::Client,
}

#[async_trait]
impl Front for DiscordFront {
    async fn fetch(
        &self,
        job: &Job,
        recording: &Attachment,
        limit: u64,
    ) -> Result<Recording, FetchError> {
        cdn::fetch(&self.downloads, &self.means.wire, job, recording, limit).await
    }

    async fn earlier(&self, job: &Job, message: u64) -> Vec<Turn> {
        let mut turns = Vec::new();
        let mut next = Some(message);
        while let Some(id) = next.filter(|_| turns.len() < MAX_EARLIER) {
            let message = match self.means.wire.message(job.order.channel, id).await {
                Ok(message) => message,
                Err(trouble) => {
                    tracing::debug!(job = job.id.0, %trouble, "an earlier message can't be read");
                    break;
                }
            };
            next = intake::parent(&message).map(serenity::all::MessageId::get);
            turns.extend(self.turn(job, &message));
        }
        turns.reverse();
        turns
    }

    fn closes_in(&self, source: u64, order: &Order) -> Option<Duration> {
        match order.via {
            // Only the response shows it, and only as long as its token lives.
            Via::Command { private, alone, .. } if private || alone => {
                Some(TOKEN_LIFE.saturating_sub(snowflake::age(order.interaction(source))))
            }
            _ => None,
        }
    }

    async fn take_away(&self, job: &Job, order: &Order) {
        let (store, wire) = (&self.means.store, &self.means.wire);
        if let Via::Command { token, .. } = &order.via
            && let Err(trouble) = wire.delete_original(token).await
        {
            tracing::debug!(job = job.id.0, %trouble, "a response is not deleted");
        }
        let posts = match store.posts(job.id).await {
            Ok(posts) => posts,
            Err(error) => {
                logged(error);
                return;
            }
        };
        for message in posts.iter().filter_map(|post| post.message) {
            if let Err(trouble) = wire.delete(job.order.channel, message).await {
                tracing::warn!(job = job.id.0, message, %trouble, "not deleted");
            }
        }
    }

    async fn reply(
        &self,
        job: &Job,
        order: &Order,
        fresh: bool,
    ) -> Result<Arc<dyn JobReply>, StoreError> {
        let reply = LiveReply::open(Arc::clone(&self.means), job, order, fresh).await?;
        Ok(reply)
    }
}

impl DiscordFront {
    /// A message as part of a conversation; none if it holds no words.
    fn turn(&self, job: &Job, message: &Message) -> Option<Turn> {
        let text = intake::words(message);
        if text.is_empty() {
            return None;
        }
        let mine = message.author.id == self.means.wire.me;
        Some(Turn {
            message: message.id.get(),
            parent: None,
            guild: job.order.guild,
            channel: job.order.channel,
            author: message.author.id.get(),
            role: if mine {
                Speaker::Assistant
            } else {
                Speaker::User
            },
            name: name_of(&message.author, None),
            text,
            at: Timestamp(snowflake::millis(message.id.get())),
        })
    }
}
