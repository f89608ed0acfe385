//! Messages that no account wrote: <https://discord.com/developers/docs/resources/webhook>.

use std::sync::Arc;

use bytes::Bytes;

use super::people::{Channel, Guild, Message};
use super::rest::State;
use super::world::{self, Attached, CROSSPOST};

/// A webhook, as bots that speak for people use them.
#[derive(Clone, Debug)]
pub struct Webhook {
    state: Arc<State>,
    id: u64,
    application: Option<u64>,
}

impl Guild {
    /// A webhook that a person made, or with an application the one that a bot made.
    pub fn webhook(&self, application: Option<u64>) -> Webhook {
        let id = self.state.world().id();
        Webhook {
            state: Arc::clone(&self.state),
            id,
            application,
        }
    }
}

impl Webhook {
    /// Its id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Says under another name what somebody has said, with the files: PluralKit does so, and
    /// deletes the original afterwards.
    pub async fn repeats(&self, original: &Message, name: &str) -> Message {
        let (channel, text, mut files) = {
            let world = self.state.world();
            let it = world.messages.get(&original.id()).expect("messages stay");
            (it.channel, it.content.clone(), it.attachments.clone())
        };
        for file in &mut files {
            // It is uploaded again, as a file like any other.
            file.id = self.state.world().id();
            file.seconds = None;
        }
        self.posts(channel, name, &text, files, 0)
    }

    /// Says something, with a file if there are bytes.
    pub async fn says(
        &self,
        channel: &Channel,
        name: &str,
        text: &str,
        ogg: Option<Bytes>,
    ) -> Message {
        let files = self.file(ogg);
        self.posts(channel.id, name, text, files, 0)
    }

    /// Passes on what another server has announced.
    pub async fn crossposts(&self, channel: &Channel, name: &str, ogg: Bytes) -> Message {
        let files = self.file(Some(ogg));
        self.posts(channel.id, name, "", files, CROSSPOST)
    }

    fn file(&self, ogg: Option<Bytes>) -> Vec<Attached> {
        let file = ogg.map(|bytes| Attached {
            id: self.state.world().id(),
            name: "note.ogg".to_owned(),
            bytes,
            seconds: None,
            content_type: Some("audio/ogg".to_owned()),
            dead_before: 0,
        });
        file.into_iter().collect()
    }

    fn posts(
        &self,
        channel: u64,
        name: &str,
        text: &str,
        files: Vec<Attached>,
        flags: u64,
    ) -> Message {
        let id = {
            let mut world = self.state.world();
            let id = world.id();
            let mut message = world::Message::new(id, channel, self.id, text);
            message.webhook = Some(world::Webhook {
                name: name.to_owned(),
                application: self.application,
            });
            message.flags = flags;
            message.attachments = files;
            let named = world.users.keys().copied();
            let named = named.filter(|id| text.contains(&format!("<@{id}>")));
            message.mentions = named.collect();
            world.post(message);
            id
        };
        self.state.dispatch_message("MESSAGE_CREATE", id);
        Message::new(&self.state, id)
    }
}
