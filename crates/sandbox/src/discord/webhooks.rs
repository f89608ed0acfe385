//! Messages that no account wrote: <https://discord.com/developers/docs/resources/webhook>.

use std::sync::Arc;

use bytes::Bytes;

use super::handles::{Channel, Guild, Message};
use super::rest_api::DiscordState;
use super::world::{self, AttachmentData, IS_CROSSPOST};

/// A webhook, as bots that speak for people use them.
#[derive(Clone, Debug)]
pub struct Webhook {
    state: Arc<DiscordState>,
    id: u64,
    application_id: Option<u64>,
}

impl Guild {
    /// A webhook that a person made, or with an application the one that a bot made.
    pub fn add_webhook(&self, application: Option<u64>) -> Webhook {
        let id = self.state.world().next_id();
        Webhook {
            state: Arc::clone(&self.state),
            id,
            application_id: application,
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
    pub async fn repost(&self, original: &Message, name: &str) -> Message {
        let (channel, text, mut files) = {
            let world = self.state.world();
            let it = world.messages.get(&original.id()).expect("messages stay");
            (it.channel_id, it.content.clone(), it.attachments.clone())
        };
        for file in &mut files {
            // It is uploaded again, as a file like any other.
            file.id = self.state.world().next_id();
            file.duration_secs = None;
        }
        self.post(channel, name, &text, files, 0)
    }

    /// Says something, with a file if there are bytes.
    pub async fn says(
        &self,
        channel: &Channel,
        name: &str,
        text: &str,
        ogg: Option<Bytes>,
    ) -> Message {
        let files = self.make_attachments(ogg);
        self.post(channel.id, name, text, files, 0)
    }

    /// Passes on what another server has announced.
    pub async fn crosspost(&self, channel: &Channel, name: &str, ogg: Bytes) -> Message {
        let files = self.make_attachments(Some(ogg));
        self.post(channel.id, name, "", files, IS_CROSSPOST)
    }

    fn make_attachments(&self, ogg: Option<Bytes>) -> Vec<AttachmentData> {
        let file = ogg.map(|bytes| AttachmentData {
            id: self.state.world().next_id(),
            name: "note.ogg".to_owned(),
            bytes,
            duration_secs: None,
            content_type: Some("audio/ogg".to_owned()),
            links_expired_before: 0,
        });
        file.into_iter().collect()
    }

    fn post(
        &self,
        channel: u64,
        name: &str,
        text: &str,
        files: Vec<AttachmentData>,
        flags: u64,
    ) -> Message {
        let id = {
            let mut world = self.state.world();
            let id = world.next_id();
            let mut message = world::MessageData::new(id, channel, self.id, text);
            message.webhook = Some(world::WebhookData {
                name: name.to_owned(),
                application_id: self.application_id,
            });
            message.flags = flags;
            message.attachments = files;
            let named = world.users.keys().copied();
            let named = named.filter(|id| text.contains(&format!("<@{id}>")));
            message.mentions = named.collect();
            world.insert_message(message);
            id
        };
        self.state.dispatch_message("MESSAGE_CREATE", id);
        Message::new(&self.state, id)
    }
}
