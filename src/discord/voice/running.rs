//! A running session, as others reach it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::board::ChannelBoard;
use super::connection::Notice;
use crate::discord::health::SessionSeen;
use crate::flow::session::Ending;
use crate::flow::session::call::Message;
use crate::flow::session::ending;
use crate::flow::session::hearing::{Counting, Microphone};
use crate::flow::work::Workshop;
use crate::store::Session;

/// A running session, as others reach it.
#[derive(Clone)]
pub(in crate::discord) struct Running {
    pub(super) session: Session,
    /// The voice channel it is in now.
    pub(super) voice: u64,
    /// How often it was moved. The people in the call know of each move before they are heard.
    pub(super) moves: u64,
    pub(super) messages: mpsc::Sender<Message>,
    pub(super) notices: mpsc::Sender<Notice>,
    pub(super) board: Arc<ChannelBoard>,
    pub(super) microphone: Microphone,
    pub(super) heard: Counting,
    /// Nobody is listened to any more.
    pub(super) silent: CancellationToken,
    pub(super) over: CancellationToken,
    /// When people left.
    pub(super) left: HashMap<u64, Instant>,
}

impl Running {
    /// Ends it: in the ledger before anything else.
    pub(super) async fn end(&self, workshop: &Workshop, ending: Ending) {
        let noted = ending::begin(workshop, self.session.id, ending).await;
        let _ = self.messages.send(Message::End(noted)).await;
    }

    /// Stops it for the next process to go on with, and waits until it has stopped.
    pub(super) async fn pause(&self) {
        let _ = self.messages.send(Message::Restart).await;
        self.over.cancelled().await;
    }

    /// Asks it something. None if it is just ending.
    pub(super) async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> Message,
    ) -> Option<T> {
        let (sender, reply) = oneshot::channel();
        self.messages.send(message(sender)).await.ok()?;
        reply.await.ok()
    }

    pub(super) fn seen(&self) -> SessionSeen {
        let mut people: Vec<_> = self.heard.read().into_iter().collect();
        people.sort_by_key(|(person, _)| *person);
        SessionSeen {
            id: self.session.id.0,
            guild: self.session.of.guild,
            voice: self.voice,
            started: self.session.started,
            people,
        }
    }

    /// Whether it has left the call, and its end is being written.
    pub(super) fn is_ending(&self) -> bool {
        self.silent.is_cancelled()
    }

    /// The voice channel it is in now.
    pub(super) fn voice(&self) -> u64 {
        self.voice
    }
}
