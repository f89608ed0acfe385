//! What a bot sends becomes a message, or is refused.

use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;

use super::errors::DiscordError;
use super::world::{
    ATTACH_FILES, AttachmentData, EPHEMERAL, MessageData, READ_MESSAGE_HISTORY, SEND_MESSAGES,
    SEND_MESSAGES_IN_THREADS, VIEW_CHANNEL, World, parse_snowflake,
};

/// The most characters of a message.
const MAX_CONTENT_CHARS: usize = 2_000;

/// The largest file that a bot may send.
const MAX_FILE_BYTES: usize = 10 * 1024 * 1024;

/// A request's payload with its files.
#[derive(Debug, Default)]
pub(super) struct MessagePayload {
    pub(super) json: Value,
    pub(super) files: Vec<(String, Bytes)>,
}

/// Whether the bot may look into a channel.
pub(super) fn check_visible(world: &World, channel: u64) -> Result<(), DiscordError> {
    if !world.channels.contains_key(&channel) {
        return Err(DiscordError::unknown(10_003, "Channel"));
    }
    if world.bot_permissions(channel) & VIEW_CHANNEL == 0 {
        return Err(DiscordError::new(403, 50_001, "Missing Access"));
    }
    Ok(())
}

/// Creates a message of the bot. The bool is false if its nonce was there before.
pub(super) fn create(
    world: &mut World,
    channel: u64,
    payload: &MessagePayload,
) -> Result<(u64, bool), DiscordError> {
    check_visible(world, channel)?;
    let may = world.bot_permissions(channel);
    let thread = world.channels.get(&channel).is_some_and(|it| it.kind == 11);
    let needed = if thread {
        SEND_MESSAGES_IN_THREADS
    } else {
        SEND_MESSAGES
    };
    if may & needed == 0 || (!payload.files.is_empty() && may & ATTACH_FILES == 0) {
        return Err(DiscordError::forbidden());
    }
    if world.channels.get(&channel).is_some_and(|it| it.is_locked) {
        return Err(DiscordError::new(403, 160_005, "This thread is locked"));
    }
    let value = &payload.json;
    let nonce = value.get("nonce").filter(|it| !it.is_null()).cloned();
    if let Some(text) = nonce.as_ref().and_then(Value::as_str)
        && text.chars().count() > 25
    {
        let message = "Must be 25 or fewer in length.";
        return Err(DiscordError::invalid_form(
            "nonce",
            "BASE_TYPE_MAX_LENGTH",
            message,
        ));
    }
    let enforced = value["enforce_nonce"].as_bool().unwrap_or(false);
    let key = nonce.as_ref().filter(|_| enforced).map(ToString::to_string);
    if let Some(key) = &key
        && let Some((known, at)) = world.nonces.get(&(channel, key.clone()))
        && at.elapsed() < world.nonce_lifetime
    {
        return Ok((*known, false));
    }
    let reference = parse_snowflake(&value["message_reference"]["message_id"]);
    if let Some(reference) = reference {
        if may & READ_MESSAGE_HISTORY == 0 {
            let message = "Cannot reply without permission to read message history";
            return Err(DiscordError::new(403, 160_002, message));
        }
        let must_exist = value["message_reference"]["fail_if_not_exists"] != Value::Bool(false);
        let exists = world
            .message(reference)
            .is_some_and(|it| it.channel_id == channel);
        if !exists && must_exist {
            let message = "Unknown message";
            let code = "REPLIES_UNKNOWN_MESSAGE";
            return Err(DiscordError::invalid_form(
                "message_reference",
                code,
                message,
            ));
        }
    }
    let id = world.next_id();
    let mut message = MessageData::new(id, channel, world.bot_id, "");
    // A reply to what is gone is a message like any other.
    message.reference = reference.filter(|id| world.message(*id).is_some());
    message.kind = if message.reference.is_some() { 19 } else { 0 };
    message.nonce = nonce;
    apply_payload(world, &mut message, payload, true)?;
    message.versions = vec![(Instant::now(), message.content.clone())];
    message.is_edited = false;
    world.insert_message(message);
    // A new message opens a thread again.
    world.archived_threads.remove(&channel);
    if let Some(key) = key {
        world.nonces.insert((channel, key), (id, Instant::now()));
    }
    Ok((id, true))
}

/// Changes a message of the bot.
pub(super) fn edit(
    world: &mut World,
    id: u64,
    payload: &MessagePayload,
) -> Result<(), DiscordError> {
    let Some(mut message) = world.message(id).cloned() else {
        return Err(DiscordError::unknown(10_008, "Message"));
    };
    if message.author_id != world.bot_id {
        let text = "Cannot edit a message authored by another user";
        return Err(DiscordError::new(403, 50_005, text));
    }
    if world.archived_threads.contains(&message.channel_id) {
        return Err(archived_thread_error());
    }
    let may = world.bot_permissions(message.channel_id);
    if !payload.files.is_empty()
        && message.interaction_and_user.is_none()
        && may & ATTACH_FILES == 0
    {
        return Err(DiscordError::forbidden());
    }
    apply_payload(world, &mut message, payload, false)?;
    world.insert_message(message);
    Ok(())
}

fn archived_thread_error() -> DiscordError {
    DiscordError::new(400, 50_083, "Thread is archived")
}

/// Puts a payload into a message. What is left out stays as it is.
pub(super) fn apply_payload(
    world: &mut World,
    message: &mut MessageData,
    payload: &MessagePayload,
    new: bool,
) -> Result<(), DiscordError> {
    let value = &payload.json;
    if let Some(content) = value.get("content") {
        let content = content.as_str().unwrap_or_default();
        if content.chars().count() > MAX_CONTENT_CHARS {
            let text = "Must be 2000 or fewer in length.";
            return Err(DiscordError::invalid_form(
                "content",
                "BASE_TYPE_MAX_LENGTH",
                text,
            ));
        }
        let guild = world.guild_id_of(message.channel_id);
        let blocks = |(filter, word): &(u64, String)| {
            Some(*filter) == guild && content.to_lowercase().contains(word)
        };
        if world.automod_words.iter().any(blocks) {
            let text = "Message was blocked by automatic moderation";
            return Err(DiscordError::new(400, 200_000, text));
        }
        message.set_content(content);
    }
    if let Some(flags) = value["flags"].as_u64() {
        message.set_flags(flags);
        if new && flags & EPHEMERAL != 0 && message.interaction_and_user.is_some() {
            message.flags |= EPHEMERAL;
        }
    }
    if let Some(components) = value["components"].as_array() {
        check_components(components)?;
        message.components.clone_from(components);
    }
    if let Some(kept) = value["attachments"].as_array() {
        let kept: Vec<u64> = kept
            .iter()
            .filter_map(|it| parse_snowflake(&it["id"]))
            .collect();
        message.attachments.retain(|it| kept.contains(&it.id));
    }
    for (name, bytes) in &payload.files {
        if bytes.len() > MAX_FILE_BYTES {
            return Err(DiscordError::new(413, 40_005, "Request entity too large"));
        }
        let attached = AttachmentData {
            id: world.next_id(),
            name: name.clone(),
            bytes: bytes.clone(),
            duration_secs: None,
            content_type: None,
            links_expired_before: 0,
        };
        message.attachments.push(attached);
    }
    if message.content.trim().is_empty() && message.attachments.is_empty() {
        return Err(DiscordError::new(
            400,
            50_006,
            "Cannot send an empty message",
        ));
    }
    resolve_mentions(world, message, &value["allowed_mentions"]);
    Ok(())
}

/// Who is pinged: those whom the text names, as far as that is allowed.
fn resolve_mentions(world: &World, message: &mut MessageData, allowed: &Value) {
    let parse = |what: &str| match allowed["parse"].as_array() {
        Some(parse) => parse.iter().any(|it| it == what),
        None => allowed.is_null(),
    };
    let text = &message.content;
    message.mention_everyone =
        parse("everyone") && (text.contains("@everyone") || text.contains("@here"));
    let named =
        |id: &u64| text.contains(&format!("<@{id}>")) || text.contains(&format!("<@!{id}>"));
    let listed = |id: &u64| {
        let users = allowed["users"].as_array();
        users.is_some_and(|users| users.iter().any(|it| parse_snowflake(it) == Some(*id)))
    };
    message.mentions = world
        .users
        .keys()
        .copied()
        .filter(|id| named(id) && (parse("users") || listed(id)))
        .collect();
    if let Some(parent) = message.reference.and_then(|id| world.message(id)) {
        let replied = allowed["replied_user"]
            .as_bool()
            .unwrap_or(allowed.is_null());
        if replied && !message.mentions.contains(&parent.author_id) {
            message.mentions.push(parent.author_id);
        }
    }
}

fn check_components(rows: &[Value]) -> Result<(), DiscordError> {
    let refuse = |text| {
        Err(DiscordError::invalid_form(
            "components",
            "BASE_TYPE_BAD_LENGTH",
            text,
        ))
    };
    if rows.len() > 5 {
        return refuse("Must be between 0 and 5 in length.");
    }
    for row in rows {
        let buttons = row["components"].as_array().map_or(&[][..], Vec::as_slice);
        if row["type"] != 1 || buttons.is_empty() || buttons.len() > 5 {
            return refuse("Must be between 1 and 5 in length.");
        }
        for button in buttons {
            let id = button["custom_id"].as_str().unwrap_or_default();
            let label = button["label"].as_str().unwrap_or_default();
            if id.is_empty() || id.len() > 100 || label.is_empty() || label.len() > 80 {
                return refuse("A button needs a custom_id and a label.");
            }
        }
    }
    Ok(())
}
