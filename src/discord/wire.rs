//! Sends, edits and deletes messages.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serenity::all::{
    Builder, ButtonStyle, Channel, ChannelId, CreateActionRow, CreateAllowedMentions,
    CreateAttachment, CreateButton, CreateMessage, EditAttachments, EditInteractionResponse,
    EditMessage, GuildChannel, GuildId, Http, LightMethod, Member, Message, MessageFlags,
    MessageId, MessageReference, MessageReferenceKind, Nonce, PartialGuild, Request, RoleId, Route,
    UserId,
};

use super::decode;
use super::parcel::Asides;
use super::rest::{ask, get};
use super::throttle::Throttle;
use super::trouble::{Trouble, unreadable};
use crate::store::JobId;
use crate::words::{bot as words, voice};

/// What Discord takes in one message, in characters.
pub(super) const MAX_CHARS: usize = 2_000;

/// The longest time for one request, waiting for a rate limit included.
const REQUEST_LIMIT: Duration = Duration::from_secs(120);

/// The beginning of what a button calls: try again.
pub(super) const AGAIN: &str = "again:";
/// The beginning of what a button calls: delete.
pub(super) const DELETE: &str = "delete:";
/// What a button calls: to be written down in calls of this server.
pub(super) const AGREE: &str = "voice:yes";
/// What a button calls: not to be.
pub(super) const DECLINE: &str = "voice:no";
/// What a button calls: can you hear me?
pub(super) const CHECK: &str = "voice:check";

/// A message to be sent, or to take the place of one.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Post {
    pub(super) content: String,
    pub(super) files: Vec<File>,
    /// What can be pressed under it.
    pub(super) buttons: Option<Buttons>,
}

/// Buttons under a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Buttons {
    /// Of an answer: try again, delete.
    Answer(JobId),
    /// Of the notice of a voice session: to be written down, or not.
    Consent,
    /// Of the report of a voice session: can you hear me?
    Hearing,
}

/// A file of text.
#[derive(Clone, PartialEq)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) text: String,
}

impl Post {
    pub(super) fn text(content: impl Into<String>) -> Self {
        Self {
            content: content.into(),
            ..Self::default()
        }
    }

    fn attachments(&self) -> Vec<CreateAttachment> {
        self.files
            .iter()
            .map(|file| CreateAttachment::bytes(file.text.clone().into_bytes(), file.name.clone()))
            .collect()
    }

    pub(super) fn components(&self) -> Vec<CreateActionRow> {
        let button = |id: String, label: &str| {
            CreateButton::new(id)
                .label(label)
                .style(ButtonStyle::Secondary)
        };
        let buttons = match self.buttons {
            None => return Vec::new(),
            Some(Buttons::Answer(JobId(job))) => vec![
                button(format!("{AGAIN}{job}"), words::TRY_AGAIN),
                button(format!("{DELETE}{job}"), words::DELETE),
            ],
            Some(Buttons::Consent) => vec![
                button(AGREE.to_owned(), voice::AGREE).style(ButtonStyle::Primary),
                button(DECLINE.to_owned(), voice::DECLINE),
            ],
            Some(Buttons::Hearing) => vec![button(CHECK.to_owned(), voice::CHECK)],
        };
        vec![CreateActionRow::Buttons(buttons)]
    }
}

/// Discord's REST API, as far as messages go. Nothing that is sent can ping anybody, and links in
/// it are not unfolded.
pub(super) struct Wire {
    pub(super) http: Arc<Http>,
    /// The bot itself.
    pub(super) me: UserId,
    /// All but responses to interactions pass here.
    pub(super) throttle: Throttle,
    pub(super) asides: Asides,
}

impl Wire {
    /// Sends a message once: the same nonce within some minutes gives the same message. It does
    /// not reply to what is gone.
    pub(super) async fn create(
        &self,
        channel: u64,
        reply_to: Option<u64>,
        nonce: &str,
        post: &Post,
    ) -> Result<u64, Trouble> {
        let mut message = CreateMessage::new()
            .content(&post.content)
            .components(post.components())
            .flags(MessageFlags::SUPPRESS_EMBEDS)
            .allowed_mentions(nobody())
            .nonce(Nonce::String(nonce.to_owned()))
            .enforce_nonce(true);
        if let Some(reply_to) = reply_to {
            message = message.reference_message(
                MessageReference::new(MessageReferenceKind::Default, ChannelId::new(channel))
                    .message_id(MessageId::new(reply_to))
                    .fail_if_not_exists(true),
            );
        }
        let channel_id = ChannelId::new(channel);
        self.throttle.pass().await;
        let bare = message.clone();
        if !post.files.is_empty() {
            let whole = message.files(post.attachments());
            match within(channel_id.send_message(&self.http, whole)).await {
                Ok(sent) => return Ok(sent.id.get()),
                // It was sent; asked for by its nonce, it comes again.
                Err(trouble) if trouble == unreadable() => {}
                Err(trouble) => return Err(trouble),
            }
        }
        let route = Route::ChannelMessages { channel_id };
        self.sent(route, LightMethod::Post, &bare).await
    }

    /// Sends a message without files, or what is to be different in one, and gives its id.
    async fn sent(
        &self,
        route: Route<'_>,
        method: LightMethod,
        message: &impl Serialize,
    ) -> Result<u64, Trouble> {
        let body = serde_json::to_vec(message).map_err(|_| unreadable())?;
        let request = Request::new(route, method).body(Some(body));
        let answer = within(ask(&self.http, request)).await?;
        Ok(decode::id_of(&answer)?.get())
    }

    /// Puts `post` in the place of a message of ours.
    pub(super) async fn edit(
        &self,
        channel: u64,
        message: u64,
        post: &Post,
    ) -> Result<u64, Trouble> {
        let edit = EditMessage::new()
            .content(&post.content)
            .components(post.components())
            .attachments(files(post))
            .flags(MessageFlags::SUPPRESS_EMBEDS)
            .allowed_mentions(nobody());
        let channel = ChannelId::new(channel);
        let id = MessageId::new(message);
        self.throttle.pass().await;
        match within(channel.edit_message(&self.http, id, edit)).await {
            Ok(edited) => Ok(edited.id.get()),
            // It was edited, whatever is odd in what was told of it.
            Err(trouble) if trouble == unreadable() => Ok(message),
            Err(trouble) => Err(trouble),
        }
    }

    /// Puts `post` in the place of a command's response. Returns the message.
    pub(super) async fn edit_response(&self, token: &str, post: &Post) -> Result<u64, Trouble> {
        let edit = EditInteractionResponse::new()
            .content(&post.content)
            .components(post.components())
            .attachments(files(post))
            .flags(MessageFlags::SUPPRESS_EMBEDS)
            .allowed_mentions(nobody());
        match within(edit.execute(&self.http, token)).await {
            Ok(edited) => Ok(edited.id.get()),
            // It was edited; which message it is can be asked.
            Err(trouble) if trouble == unreadable() => self.response(token).await,
            Err(trouble) => Err(trouble),
        }
    }

    /// The message that shows a command's response.
    async fn response(&self, token: &str) -> Result<u64, Trouble> {
        let application_id = self.http.application_id();
        let Some(application_id) = application_id else {
            return Err(unreadable());
        };
        let route = Route::WebhookOriginalInteractionResponse {
            application_id,
            token,
        };
        let answer = within(get(&self.http, route)).await?;
        Ok(decode::id_of(&answer)?.get())
    }

    /// Deletes the first response to an interaction. One that is gone already is no error.
    pub(super) async fn delete_original(&self, token: &str) -> Result<(), Trouble> {
        let deleted = within(self.http.delete_original_interaction_response(token)).await;
        match deleted {
            Err(Trouble::Gone(_)) => Ok(()),
            other => other,
        }
    }

    /// The channel of the direct messages with a person.
    pub(super) async fn direct(&self, person: u64) -> Result<u64, Trouble> {
        self.throttle.pass().await;
        let body = serde_json::json!({"recipient_id": person.to_string()}).to_string();
        let request = Request::new(Route::UserMeDmChannels, LightMethod::Post);
        let request = request.body(Some(body.into_bytes()));
        let channel = within(ask(&self.http, request)).await?;
        Ok(decode::id_of(&channel)?.get())
    }

    /// Deletes a message of ours. One that is gone already is no error.
    pub(super) async fn delete(&self, channel: u64, message: u64) -> Result<(), Trouble> {
        let channel = ChannelId::new(channel);
        self.throttle.pass().await;
        let deleted = within(channel.delete_message(&self.http, MessageId::new(message))).await;
        match deleted {
            Err(Trouble::Gone(_)) => Ok(()),
            other => other,
        }
    }

    /// Deletes a command's response. One that is gone already is no error.
    pub(super) async fn delete_response(&self, token: &str, message: u64) -> Result<(), Trouble> {
        let http = &self.http;
        let deleted = http.delete_followup_message(token, MessageId::new(message));
        match within(deleted).await {
            Err(Trouble::Gone(_)) => Ok(()),
            other => other,
        }
    }

    /// A message as it is now, with fresh links.
    pub(super) async fn message(&self, channel: u64, message: u64) -> Result<Message, Trouble> {
        let route = Route::ChannelMessage {
            channel_id: ChannelId::new(channel),
            message_id: MessageId::new(message),
        };
        self.throttle.pass().await;
        Ok(decode::message(&within(get(&self.http, route)).await?)?)
    }

    /// Up to 100 messages after this one, oldest first.
    pub(super) async fn after(&self, channel: u64, message: u64) -> Result<Vec<Message>, Trouble> {
        let route = Route::ChannelMessages {
            channel_id: ChannelId::new(channel),
        };
        let page = vec![("limit", 100.to_string()), ("after", message.to_string())];
        let request = Request::new(route, LightMethod::Get).params(Some(page));
        self.throttle.pass().await;
        let mut found = decode::messages(&within(ask(&self.http, request)).await?)?;
        found.sort_by_key(|message| message.id);
        Ok(found)
    }
}

impl Wire {
    /// What a channel is.
    pub(super) async fn channel(&self, channel: u64) -> Result<Channel, Trouble> {
        let channel_id = ChannelId::new(channel);
        self.throttle.pass().await;
        let answer = within(get(&self.http, Route::Channel { channel_id })).await?;
        Ok(decode::channel_found(&answer)?)
    }

    /// The roles of a member.
    pub(super) async fn roles(&self, guild: GuildId, user: UserId) -> Result<Vec<RoleId>, Trouble> {
        Ok(self.member(guild, user).await?.roles)
    }

    /// A member of a server.
    pub(super) async fn member(&self, guild: GuildId, user: UserId) -> Result<Member, Trouble> {
        let route = Route::GuildMember {
            guild_id: guild,
            user_id: user,
        };
        self.throttle.pass().await;
        Ok(decode::member(&within(get(&self.http, route)).await?)?)
    }

    /// A server, with its roles.
    pub(super) async fn guild(&self, guild: GuildId) -> Result<PartialGuild, Trouble> {
        let route = Route::Guild { guild_id: guild };
        self.throttle.pass().await;
        Ok(decode::guild_found(&within(get(&self.http, route)).await?)?)
    }

    /// Changes the bot's own nickname in a server; without one, it has none.
    pub(super) async fn nickname(&self, guild: GuildId, name: Option<&str>) -> Result<(), Trouble> {
        self.throttle.pass().await;
        within(self.http.edit_nickname(guild, name, None)).await
    }

    /// The threads of a server that are not archived.
    pub(super) async fn threads(&self, guild: GuildId) -> Result<Vec<GuildChannel>, Trouble> {
        let route = Route::GuildThreadsActive { guild_id: guild };
        self.throttle.pass().await;
        Ok(decode::threads(&within(get(&self.http, route)).await?)?)
    }
}

fn nobody() -> CreateAllowedMentions {
    CreateAllowedMentions::new()
}

/// All files that the message is to have: those it has already go, so that a second edit does not
/// attach them twice.
fn files(post: &Post) -> EditAttachments {
    post.attachments()
        .into_iter()
        .fold(EditAttachments::new(), EditAttachments::add)
}

pub(super) async fn within<T, E: Into<Trouble>>(
    request: impl Future<Output = Result<T, E>>,
) -> Result<T, Trouble> {
    match tokio::time::timeout(REQUEST_LIMIT, request).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(Trouble::Later("no answer in time".into())),
    }
}
