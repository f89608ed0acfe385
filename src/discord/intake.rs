//! Decides which messages are meant for the bot, and what they ask.

use serenity::all::{Attachment as Attached, Message, MessageType, User, UserId};

use super::channels::Place;
use crate::flow::memory::Conversation;
use crate::flow::order::{Attachment, Order, Via, Wish};
use crate::flow::server::ServerSettings;

/// Recordings of one message: as many as Discord lets a message have.
const MAX_RECORDINGS: usize = 10;

/// Names of files that hold sound where Discord does not say so.
const SOUND: [&str; 18] = [
    "ogg", "oga", "opus", "mp3", "m4a", "m4b", "aac", "wav", "flac", "webm", "mp4", "mkv", "mka",
    "mov", "aif", "aiff", "caf", "weba",
];

/// What a message is to the bot.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Call {
    /// It came as a direct message.
    pub(super) direct: bool,
    /// It names the bot.
    pub(super) mentions: bool,
    /// It replies to a message of the bot.
    pub(super) replies: bool,
}

impl Call {
    /// Whether the message is to the bot, whatever is in it.
    pub(super) fn is_explicit(&self) -> bool {
        self.direct || self.mentions || self.replies
    }
}

/// How `message` calls the bot. None for what no person wrote.
pub(super) fn call(message: &Message, me: UserId) -> Option<Call> {
    let written = matches!(
        message.kind,
        MessageType::Regular | MessageType::InlineReply
    );
    if message.author.bot || message.webhook_id.is_some() || !written {
        return None;
    }
    let replied_to = message.referenced_message.as_ref();
    Some(Call {
        direct: message.guild_id.is_none(),
        // A reply with its bell on counts the author of what it replies to among the mentioned.
        mentions: mentions(me).iter().any(|it| message.content.contains(it)),
        replies: replied_to.is_some_and(|parent| parent.author.id == me),
    })
}

/// The recordings that hang on a message.
pub(super) fn recordings(message: &Message) -> Vec<Attachment> {
    message
        .attachments
        .iter()
        .filter(|attached| is_recording(attached))
        .take(MAX_RECORDINGS)
        .map(|attached| recording(attached, Some(message.id.get())))
        .collect()
}

/// The recordings of a message that somebody points at: its own, or those it replies to.
pub(super) fn recordings_meant(message: &Message) -> Vec<Attachment> {
    let own = recordings(message);
    match &message.referenced_message {
        Some(parent) if own.is_empty() => recordings(parent),
        _ => own,
    }
}

pub(super) fn recording(attached: &Attached, message: Option<u64>) -> Attachment {
    Attachment {
        id: attached.id.get(),
        name: attached.filename.clone(),
        url: attached.url.clone(),
        bytes: attached.size.into(),
        seconds: attached.duration_secs,
        message,
    }
}

fn is_recording(attached: &Attached) -> bool {
    if attached.duration_secs.is_some() {
        return true;
    }
    if let Some(kind) = &attached.content_type
        && (kind.starts_with("audio/") || kind.starts_with("video/"))
    {
        return true;
    }
    let extension = attached.filename.rsplit_once('.').map(|(_, it)| it);
    extension.is_some_and(|it| SOUND.iter().any(|sound| sound.eq_ignore_ascii_case(it)))
}

/// What is typed, without the call itself.
pub(super) fn typed(message: &Message, me: UserId) -> Option<String> {
    let mut text = message.content.clone();
    for mention in mentions(me) {
        text = text.replace(&mention, "");
    }
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn mentions(me: UserId) -> [String; 2] {
    [format!("<@{me}>"), format!("<@!{me}>")]
}

/// Whether recordings in this channel are answered without a call.
pub(super) fn notes_on(settings: &ServerSettings, channel: u64, place: Place) -> bool {
    let on = |channel| settings.notes.contains(&channel);
    on(channel) || place.parent.is_some_and(on)
}

/// What a message goes on with: its thread, or what it replies to.
pub(super) fn conversation(channel: u64, place: Place, parent: Option<u64>) -> Conversation {
    match (place.thread, parent) {
        (true, _) => Conversation::Thread(channel),
        (false, Some(parent)) => Conversation::RepliesTo(parent),
        (false, None) => Conversation::New,
    }
}

/// An order that came as a message.
pub(super) fn order(
    message: &Message,
    recordings: Vec<Attachment>,
    question: Option<String>,
    conversation: Conversation,
) -> Order {
    let nickname = message
        .member
        .as_ref()
        .and_then(|member| member.nick.as_deref());
    Order {
        wish: Wish::Answer,
        name: name_of(&message.author, nickname),
        recordings,
        question,
        conversation,
        via: Via::Message,
    }
}

/// What people see as somebody's name.
pub(super) fn name_of(user: &User, nickname: Option<&str>) -> String {
    nickname
        .or(user.global_name.as_deref())
        .unwrap_or(&user.name)
        .to_owned()
}
