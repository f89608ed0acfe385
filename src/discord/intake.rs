//! Decides which messages are meant for the bot, and what they ask.

use serenity::all::{
    ApplicationId, Attachment as Attached, Message, MessageFlags, MessageId, MessageReferenceKind,
    MessageType, RoleId, User, UserId,
};

use super::channels::Place;
use crate::flow::memory::Conversation;
use crate::flow::order::{Attachment, Borrowed, Order, Via, Wish};
use crate::flow::server::ServerSettings;

/// Recordings of one message: as many as Discord lets a message have.
const MAX_RECORDINGS: usize = 10;

/// Names of files that hold sound and nothing else.
const SOUND: [&str; 14] = [
    "ogg", "oga", "opus", "mp3", "m4a", "m4b", "aac", "wav", "flac", "mka", "aif", "aiff", "caf",
    "weba",
];

/// Names of files that hold pictures too.
const VIDEO: [&str; 7] = ["webm", "mp4", "mkv", "mov", "m4v", "avi", "ogv"];

/// Who the bot is where a message was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Me {
    pub(super) user: UserId,
    pub(super) application: Option<ApplicationId>,
    /// The role that Discord has made for it in this server.
    pub(super) role: Option<RoleId>,
}

/// Who wrote a message.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Author {
    /// Somebody with an account.
    #[default]
    Person,
    /// A webhook. People who speak through a bot like PluralKit do so.
    Webhook,
}

/// What a message is to the bot.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Call {
    /// Who calls.
    pub(super) author: Author,
    /// It came as a direct message.
    pub(super) direct: bool,
    /// It names the bot, or the role that is the bot's own.
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

/// How `message` calls the bot. None for what nobody wrote who may call it.
pub(super) fn call(message: &Message, me: &Me) -> Option<Call> {
    let written = matches!(
        message.kind,
        MessageType::Regular | MessageType::InlineReply
    );
    let author = author(message, me).filter(|_| written)?;
    let replied_to = message.referenced_message.as_ref();
    Some(Call {
        author,
        direct: message.guild_id.is_none(),
        mentions: is_named(message, me),
        replies: parent(message).is_some()
            && replied_to.is_some_and(|parent| parent.author.id == me.user),
    })
}

/// Who wrote a message, if it is anybody whom the bot answers. It never answers itself, other
/// bots, what they respond to commands, or what another server announces: two bots that answer each
/// other never end.
fn author(message: &Message, me: &Me) -> Option<Author> {
    let ours = message.author.id == me.user
        || (message.application_id.is_some() && message.application_id == me.application);
    if ours || message.author.system {
        return None;
    }
    let Some(webhook) = message.webhook_id else {
        return (!message.author.bot).then_some(Author::Person);
    };
    // What a bot responds comes through a webhook too, the one of its application.
    let responds = message.interaction_metadata.is_some()
        || message.author.id.get() != webhook.get()
        || message
            .application_id
            .is_some_and(|application| application.get() == webhook.get());
    let announces = has(message.flags, MessageFlags::IS_CROSSPOST);
    (!responds && !announces).then_some(Author::Webhook)
}

/// A reply with its bell on counts the author of what it replies to among the mentioned, so only
/// what is typed counts.
fn is_named(message: &Message, me: &Me) -> bool {
    names(me).iter().any(|name| message.content.contains(name))
        // Without the right to read it, what is typed is missing.
        || me.role.is_some_and(|role| message.mention_roles.contains(&role))
}

/// The ways to name the bot.
fn names(me: &Me) -> Vec<String> {
    let mut names = vec![format!("<@{}>", me.user), format!("<@!{}>", me.user)];
    names.extend(me.role.map(|role| format!("<@&{role}>")));
    names
}

/// The message that this one replies to. What a message forwards, announces or pins is referred to
/// as well, and nothing that it goes on with.
pub(super) fn parent(message: &Message) -> Option<MessageId> {
    let reference = message.message_reference.as_ref()?;
    let replies =
        message.kind == MessageType::InlineReply && reference.kind == MessageReferenceKind::Default;
    reference.message_id.filter(|_| replies)
}

/// Whether a message forwards another one.
pub(super) fn is_forward(message: &Message) -> bool {
    let reference = message.message_reference.as_ref();
    reference.is_some_and(|it| it.kind == MessageReferenceKind::Forward)
}

/// Everything that hangs on a message, or on what it forwards, and whether it is a voice message.
pub(super) fn attached(message: &Message) -> impl Iterator<Item = (&Attached, bool)> {
    let own = message.attachments.iter().map(|it| (it, message.flags));
    let forwarded = message
        .message_snapshots
        .iter()
        .flat_map(|it| it.attachments.iter().map(|attached| (attached, it.flags)));
    own.chain(forwarded)
        .map(|(it, flags)| (it, has(flags, MessageFlags::IS_VOICE_MESSAGE)))
}

fn has(flags: Option<MessageFlags>, flag: MessageFlags) -> bool {
    flags.is_some_and(|flags| flags.contains(flag))
}

/// The recordings that hang on a message or on what it forwards, videos among them.
pub(super) fn recordings(message: &Message) -> Vec<Attachment> {
    of_kinds(message, &[Kind::Sound, Kind::Video])
}

/// Those that are answered where nobody asks: a video is not made to be answered.
pub(super) fn notes(message: &Message) -> Vec<Attachment> {
    of_kinds(message, &[Kind::Sound])
}

fn of_kinds(message: &Message, kinds: &[Kind]) -> Vec<Attachment> {
    // Who wrote what is forwarded, Discord does not say.
    let author = (!is_forward(message)).then(|| message.author.id.get());
    attached(message)
        .filter(|(attached, voice)| {
            let kind = match voice {
                true => Some(Kind::Sound),
                false => kind(attached),
            };
            kind.is_some_and(|kind| kinds.contains(&kind))
        })
        .take(MAX_RECORDINGS)
        .map(|(attached, _)| recording(attached, Some(message.id.get()), author))
        .collect()
}

/// The recordings of a message that somebody points at: its own, or those it replies to.
pub(super) fn recordings_meant(message: &Message) -> Vec<Attachment> {
    let own = recordings(message);
    match &message.referenced_message {
        Some(replied_to) if own.is_empty() => recordings(replied_to),
        _ => own,
    }
}

/// A recording that hangs on `message` and was made by `author`, as far as that is known.
pub(super) fn recording(
    attached: &Attached,
    message: Option<u64>,
    author: Option<u64>,
) -> Attachment {
    Attachment {
        id: attached.id.get(),
        name: attached.filename.clone(),
        url: attached.url.clone(),
        bytes: attached.size.into(),
        seconds: attached.duration_secs,
        message,
        author,
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Sound,
    Video,
}

/// What a file is by its type and name. Containers that can hold either are called videos, also
/// where there is only sound in them, unless the name says so.
fn kind(attached: &Attached) -> Option<Kind> {
    let extension = attached.filename.rsplit_once('.').map(|(_, it)| it);
    let is_one_of = |list: &[&str]| {
        extension.is_some_and(|it| list.iter().any(|known| known.eq_ignore_ascii_case(it)))
    };
    let by_name = || match (is_one_of(&SOUND), is_one_of(&VIDEO)) {
        (true, _) => Some(Kind::Sound),
        (_, true) => Some(Kind::Video),
        _ => None,
    };
    let said = attached.content_type.as_deref().unwrap_or_default();
    let said = said.trim().to_ascii_lowercase();
    match said.split('/').next().unwrap_or_default() {
        "audio" => Some(Kind::Sound),
        "video" => Some(by_name().unwrap_or(Kind::Video)),
        "image" | "text" => None,
        // Only voice messages and sound come with a length.
        _ => by_name().or(attached.duration_secs.map(|_| Kind::Sound)),
    }
}

/// What is typed, without the call itself. What somebody forwards counts as theirs.
pub(super) fn typed(message: &Message, me: &Me) -> Option<String> {
    let mut text = words(message);
    for name in names(me) {
        text = text.replace(&name, "");
    }
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// All words of a message: its own, and those that it forwards.
pub(super) fn words(message: &Message) -> String {
    let forwarded = message.message_snapshots.iter().map(|it| &it.content);
    let all: Vec<&str> = std::iter::once(&message.content)
        .chain(forwarded)
        .map(|words| words.trim())
        .filter(|words| !words.is_empty())
        .collect();
    all.join("\n\n")
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
    // A forward is its sender's: Discord does not say whose it was, and keeps it when that is deleted.
    let borrowed = recordings
        .iter()
        .find_map(|it| it.message)
        .filter(|it| *it != message.id.get())
        .map(|from| match &message.referenced_message {
            Some(parent) if parent.id.get() == from => borrowed(parent, None),
            _ => Borrowed {
                message: from,
                author: 0,
                name: String::new(),
                text: None,
            },
        });
    Order {
        wish: Wish::Answer,
        name: name_of(&message.author, nickname),
        recordings,
        question,
        conversation,
        via: Via::Message,
        borrowed,
    }
}

/// What somebody points at in a message.
pub(super) fn borrowed(message: &Message, text: Option<String>) -> Borrowed {
    let nickname = message.member.as_ref().and_then(|it| it.nick.as_deref());
    Borrowed {
        message: message.id.get(),
        author: message.author.id.get(),
        name: name_of(&message.author, nickname),
        text,
    }
}

/// What people see as somebody's name.
pub(super) fn name_of(user: &User, nickname: Option<&str>) -> String {
    nickname
        .or(user.global_name.as_deref())
        .unwrap_or(&user.name)
        .to_owned()
}
