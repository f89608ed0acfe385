//! Decides which messages are meant for the bot, and parses what they ask.

use serenity::all::{
    ApplicationId, Message, MessageFlags, MessageId, MessageReferenceKind, MessageType, RoleId,
    User, UserId,
};

use super::channel_cache::ChannelInfo;
use crate::flow::conversation_history::ConversationRef;
use crate::flow::guild_settings::GuildSettings;
use crate::flow::job_spec::{Attachment, JobSpec, OutputKind, ReferencedMessage, ReplyTarget};

/// Who the bot is in the server where a message was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct BotIdentity {
    pub(super) user_id: UserId,
    pub(super) application_id: Option<ApplicationId>,
    /// The role that Discord created for the bot in this server.
    pub(super) role_id: Option<RoleId>,
}

/// What kind of author wrote a message.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum AuthorKind {
    /// A user account.
    #[default]
    User,
    /// A webhook. Proxy bots such as PluralKit post through one for their users.
    Webhook,
}

/// How a message triggers the bot.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct MessageTrigger {
    pub(super) author_kind: AuthorKind,
    /// It is a direct message.
    pub(super) is_direct_message: bool,
    /// It mentions the bot, or the bot's own role.
    pub(super) mentions_bot: bool,
    /// It replies to one of the bot's messages.
    pub(super) replies_to_bot: bool,
}

impl MessageTrigger {
    /// Whether the message addresses the bot, regardless of its attachments.
    pub(super) fn is_addressed(&self) -> bool {
        self.is_direct_message || self.mentions_bot || self.replies_to_bot
    }
}

/// How `message` triggers the bot. `None` for system messages and authors the bot ignores.
pub(super) fn detect_trigger(message: &Message, bot: &BotIdentity) -> Option<MessageTrigger> {
    let is_user_message = matches!(
        message.kind,
        MessageType::Regular | MessageType::InlineReply
    );
    let author = author_kind(message, bot).filter(|_| is_user_message)?;
    let replied_to = message.referenced_message.as_ref();
    Some(MessageTrigger {
        author_kind: author,
        is_direct_message: message.guild_id.is_none(),
        mentions_bot: mentions_bot(message, bot),
        replies_to_bot: replied_to_id(message).is_some()
            && replied_to.is_some_and(|parent| parent.author.id == bot.user_id),
    })
}

/// The kind of author, if the bot answers it. It never answers itself, other bots, responses to
/// their commands, or crossposted announcements: two bots that answer each other never stop.
fn author_kind(message: &Message, bot: &BotIdentity) -> Option<AuthorKind> {
    let is_self = message.author.id == bot.user_id
        || (message.application_id.is_some() && message.application_id == bot.application_id);
    if is_self || message.author.system {
        return None;
    }
    let Some(webhook) = message.webhook_id else {
        return (!message.author.bot).then_some(AuthorKind::User);
    };
    // A bot's command responses come through its application's webhook as well.
    let is_response = message.interaction_metadata.is_some()
        || message.author.id.get() != webhook.get()
        || message
            .application_id
            .is_some_and(|application| application.get() == webhook.get());
    let is_crosspost = has_flag(message.flags, MessageFlags::IS_CROSSPOST);
    (!is_response && !is_crosspost).then_some(AuthorKind::Webhook)
}

/// Only typed mentions count: a reply that notifies its parent's author adds that author to the
/// message's list of mentions.
fn mentions_bot(message: &Message, bot: &BotIdentity) -> bool {
    mention_forms(bot).iter().any(|name| message.content.contains(name))
        // Without the message content intent, the content is empty.
        || bot.role_id.is_some_and(|role| message.mention_roles.contains(&role))
}

/// The ways to write a mention of the bot.
fn mention_forms(bot: &BotIdentity) -> Vec<String> {
    let mut names = vec![
        format!("<@{}>", bot.user_id),
        format!("<@!{}>", bot.user_id),
    ];
    names.extend(bot.role_id.map(|role| format!("<@&{role}>")));
    names
}

/// The message that this one replies to. Forwards, crossposts and pin notices refer to a message as
/// well, but do not continue it.
pub(super) fn replied_to_id(message: &Message) -> Option<MessageId> {
    let reference = message.message_reference.as_ref()?;
    let replies =
        message.kind == MessageType::InlineReply && reference.kind == MessageReferenceKind::Default;
    reference.message_id.filter(|_| replies)
}

pub(super) fn is_forward(message: &Message) -> bool {
    let reference = message.message_reference.as_ref();
    reference.is_some_and(|it| it.kind == MessageReferenceKind::Forward)
}

pub(super) fn has_flag(flags: Option<MessageFlags>, flag: MessageFlags) -> bool {
    flags.is_some_and(|flags| flags.contains(flag))
}

/// The typed question without mentions of the bot. Forwarded text counts as the sender's.
pub(super) fn question_text(message: &Message, bot: &BotIdentity) -> Option<String> {
    let mut text = full_text(message);
    for name in mention_forms(bot) {
        text = text.replace(&name, "");
    }
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// All text of a message: its own, and what it forwards.
pub(super) fn full_text(message: &Message) -> String {
    let forwarded = message.message_snapshots.iter().map(|it| &it.content);
    let all: Vec<&str> = std::iter::once(&message.content)
        .chain(forwarded)
        .map(|words| words.trim())
        .filter(|words| !words.is_empty())
        .collect();
    all.join("\n\n")
}

/// Whether voice notes in this channel are answered without addressing the bot.
pub(super) fn voice_notes_enabled(
    settings: &GuildSettings,
    channel: u64,
    channel_info: ChannelInfo,
) -> bool {
    let on = |channel| settings.note_channels.contains(&channel);
    on(channel) || channel_info.parent_channel.is_some_and(on)
}

/// The conversation that a message continues: its thread, or the message it replies to.
pub(super) fn conversation_for(
    channel: u64,
    channel_info: ChannelInfo,
    parent: Option<u64>,
) -> ConversationRef {
    match (channel_info.is_thread, parent) {
        (true, _) => ConversationRef::Thread(channel),
        (false, Some(parent)) => ConversationRef::RepliesTo(parent),
        (false, None) => ConversationRef::New,
    }
}

/// Builds the job for a message.
pub(super) fn build_job_spec(
    message: &Message,
    recordings: Vec<Attachment>,
    question: Option<String>,
    conversation: ConversationRef,
) -> JobSpec {
    let nickname = message
        .member
        .as_ref()
        .and_then(|member| member.nick.as_deref());
    // A forward counts as its sender's: Discord does not name the original author, and keeps the
    // forward when the original is deleted.
    let referenced = recordings
        .iter()
        .find_map(|it| it.message)
        .filter(|it| *it != message.id.get())
        .map(|from| match &message.referenced_message {
            Some(parent) if parent.id.get() == from => to_referenced_message(parent, None),
            _ => ReferencedMessage {
                message: from,
                author: 0,
                name: String::new(),
                text: None,
            },
        });
    JobSpec {
        output: OutputKind::Answer,
        requester_name: display_name(&message.author, nickname),
        recordings,
        question,
        conversation,
        reply_target: ReplyTarget::Message,
        referenced,
    }
}

/// The part of a message that a job refers to.
pub(super) fn to_referenced_message(message: &Message, text: Option<String>) -> ReferencedMessage {
    let nickname = message.member.as_ref().and_then(|it| it.nick.as_deref());
    ReferencedMessage {
        message: message.id.get(),
        author: message.author.id.get(),
        name: display_name(&message.author, nickname),
        text,
    }
}

/// The name that other users see.
pub(super) fn display_name(user: &User, nickname: Option<&str>) -> String {
    nickname
        .or(user.global_name.as_deref())
        .unwrap_or(&user.name)
        .to_owned()
}
