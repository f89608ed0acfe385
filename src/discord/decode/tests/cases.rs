//! One case per event and response that the bot reads.

use serde::Serialize;
use serde_json::{Value, json};

use super::super::{
    DecodedInteraction, Undecodable, application, channel_event, channel_object,
    current_user_guilds, gateway_bot, guild_create, guild_delete, interaction_create, member,
    message, message_create, message_delete, message_delete_bulk, message_id, messages,
    partial_guild, ready, threads, user, voice_server_update, voice_state_update,
};
use super::examples::{command, component, named_example, partial_member, with_fields};

/// How one event or response is decoded, and which of its fields matter.
pub(super) struct DecodeCase {
    pub(super) name: &'static str,
    pub(super) example: fn() -> Value,
    pub(super) decode: fn(&Value) -> Result<Value, Undecodable>,
    /// Paths without which the object is undecodable.
    pub(super) required: &'static [&'static str],
    /// Paths that may be missing but must not be invalid.
    pub(super) optional_strict: &'static [&'static str],
    /// Which other paths may change along with a field.
    pub(super) dependent_paths: &'static [(&'static str, &'static str)],
}

fn to_json<T: Serialize>(decoded: Result<T, Undecodable>) -> Result<Value, Undecodable> {
    decoded.map(|decoded| serde_json::to_value(decoded).expect("JSON"))
}

const NO_FIELDS: &[&str] = &[];

pub(super) const DECODE_CASES: &[DecodeCase] = &[
    DecodeCase {
        name: "MESSAGE_CREATE",
        example: || {
            with_fields(
                named_example("MessageResponse"),
                json!({"guild_id": "1234", "member": partial_member()}),
            )
        },
        decode: |data| to_json(message_create(data)),
        required: &["id", "channel_id", "author", "author.id"],
        optional_strict: &["guild_id"],
        dependent_paths: &[("interaction_metadata", "interaction_metadata")],
    },
    DecodeCase {
        name: "MESSAGE_DELETE",
        example: || json!({"id": "1234", "channel_id": "1234", "guild_id": "1234"}),
        decode: |data| message_delete(data).map(|it| json!({"id": it.id})),
        required: &["id"],
        optional_strict: NO_FIELDS,
        dependent_paths: &[],
    },
    DecodeCase {
        name: "MESSAGE_DELETE_BULK",
        example: || json!({"ids": ["1234"], "channel_id": "1234", "guild_id": "1234"}),
        decode: |data| message_delete_bulk(data).map(|it| json!({"ids": it.ids})),
        required: &["ids"],
        optional_strict: NO_FIELDS,
        dependent_paths: &[],
    },
    DecodeCase {
        name: "CHANNEL_UPDATE",
        example: || named_example("GuildChannelResponse"),
        decode: |data| channel_event("CHANNEL_UPDATE", data).map(|it| json!({"id": it.id})),
        required: &["id"],
        optional_strict: NO_FIELDS,
        dependent_paths: &[],
    },
    DecodeCase {
        name: "THREAD_DELETE",
        example: || json!({"id": "1234", "guild_id": "1234", "parent_id": "1234", "type": 11}),
        decode: |data| channel_event("THREAD_DELETE", data).map(|it| json!({"id": it.id})),
        required: &["id"],
        optional_strict: NO_FIELDS,
        dependent_paths: &[],
    },
    DecodeCase {
        name: "GUILD_CREATE",
        example: || {
            with_fields(
                named_example("GuildWithCountsResponse"),
                json!({
                    "joined_at": "2026-01-01T00:00:00+00:00", "large": true, "unavailable": false,
                    "member_count": 3, "voice_states": [named_example("VoiceStateResponse")],
                    "members": [named_example("GuildMemberResponse")],
                    "channels": [named_example("GuildChannelResponse")],
                    "threads": [named_example("ThreadResponse")],
                    "presences": [{}], "stage_instances": [{}],
                    "guild_scheduled_events": [{}], "soundboard_sounds": [{}],
                }),
            )
        },
        decode: |data| to_json(guild_create(data)),
        required: &["id"],
        optional_strict: NO_FIELDS,
        dependent_paths: &[],
    },
    DecodeCase {
        name: "GUILD_DELETE",
        example: || json!({"id": "1234", "unavailable": true}),
        decode: |data| {
            guild_delete(data).map(|it| json!({"id": it.id, "unavailable": it.unavailable}))
        },
        required: &["id"],
        optional_strict: NO_FIELDS,
        dependent_paths: &[],
    },
    DecodeCase {
        name: "VOICE_STATE_UPDATE",
        example: || {
            with_fields(
                named_example("VoiceStateResponse"),
                json!({"guild_id": "1234"}),
            )
        },
        decode: |data| to_json(voice_state_update(data)),
        required: &["user_id"],
        optional_strict: &["guild_id", "channel_id"],
        dependent_paths: &[("guild_id", "member")],
    },
    DecodeCase {
        name: "VOICE_SERVER_UPDATE",
        example: || json!({"guild_id": "1234", "token": "token", "endpoint": "example.org"}),
        decode: |data| {
            voice_server_update(data).map(
                |it| json!({"guild_id": it.guild_id, "token": it.token, "endpoint": it.endpoint}),
            )
        },
        required: &["guild_id", "token"],
        optional_strict: NO_FIELDS,
        dependent_paths: &[],
    },
    DecodeCase {
        name: "READY",
        example: || {
            json!({
                "v": 10, "user": named_example("UserPIIResponse"), "session_id": "session",
                "guilds": [{"id": "1234", "unavailable": true}], "shard": [0, 1],
                "resume_gateway_url": "wss://example.org",
                "application": {"id": "1234", "flags": 3},
            })
        },
        decode: |data| {
            ready(data).map(|it| {
                json!({
                    "session_id": it.session_id, "resume_gateway_url": it.resume_gateway_url,
                    "user": it.user, "guilds": it.guild_ids(),
                })
            })
        },
        required: &["session_id"],
        optional_strict: NO_FIELDS,
        dependent_paths: &[],
    },
    DecodeCase {
        name: "INTERACTION_CREATE, a command",
        example: command,
        decode: decode_interaction,
        required: &[
            "id",
            "token",
            "type",
            "member.user",
            "member.user.id",
            "member",
            "channel_id",
        ],
        optional_strict: &["guild_id"],
        dependent_paths: &[
            ("guild_id", "member"),
            ("guild_id", "data"),
            ("member", "user"),
            // What an option refers to, and how its type changes its value.
            ("data", "data"),
        ],
    },
    DecodeCase {
        name: "INTERACTION_CREATE, a button",
        example: component,
        decode: decode_interaction,
        required: &[
            "id",
            "token",
            "type",
            "member.user",
            "member.user.id",
            "member",
            "channel_id",
            "message",
            "message.id",
            "message.channel_id",
        ],
        optional_strict: &["guild_id"],
        dependent_paths: &[
            ("guild_id", "member"),
            ("member", "user"),
            (
                "message.interaction_metadata",
                "message.interaction_metadata",
            ),
            // An invalid author is replaced by a placeholder.
            ("message.author", "message.author"),
        ],
    },
    DecodeCase {
        name: "the application",
        example: || named_example("PrivateApplicationResponse"),
        decode: |data| {
            application(data).map(|it| json!({"id": it.id, "name": it.name, "flags": it.flags}))
        },
        required: &["id"],
        optional_strict: NO_FIELDS,
        dependent_paths: &[],
    },
    DecodeCase {
        name: "the bot's user",
        example: || named_example("UserPIIResponse"),
        decode: |data| to_json(user(data)),
        required: &["id"],
        optional_strict: NO_FIELDS,
        dependent_paths: &[],
    },
    DecodeCase {
        name: "the gateway's address",
        example: || named_example("GatewayBotResponse"),
        decode: |data| {
            gateway_bot(data).map(|it| {
                let limit = it.session_start_limit;
                json!({"url": it.url, "shards": it.shards, "session_start_limit": {
                    "total": limit.total, "remaining": limit.remaining,
                    "reset_after": limit.reset_after, "max_concurrency": limit.max_concurrency,
                }})
            })
        },
        required: &["url"],
        optional_strict: NO_FIELDS,
        dependent_paths: &[],
    },
    DecodeCase {
        name: "a message",
        example: || named_example("MessageResponse"),
        decode: |data| to_json(message(data)),
        required: &["id", "channel_id", "author", "author.id"],
        optional_strict: &["guild_id"],
        dependent_paths: &[("interaction_metadata", "interaction_metadata")],
    },
    DecodeCase {
        name: "a message of ours",
        example: || named_example("MessageResponse"),
        decode: |data| message_id(data).map(|id| json!({"id": id})),
        required: &["id"],
        optional_strict: NO_FIELDS,
        dependent_paths: &[],
    },
    DecodeCase {
        name: "a channel",
        example: || named_example("GuildChannelResponse"),
        decode: |data| to_json(channel_object(data)),
        required: &["id"],
        optional_strict: NO_FIELDS,
        dependent_paths: &[],
    },
    DecodeCase {
        name: "a thread",
        example: || named_example("ThreadResponse"),
        decode: |data| to_json(channel_object(data)),
        required: &["id"],
        optional_strict: NO_FIELDS,
        dependent_paths: &[],
    },
    DecodeCase {
        name: "a direct channel",
        example: || named_example("PrivateChannelResponse"),
        decode: |data| to_json(channel_object(data)),
        required: &["id"],
        optional_strict: NO_FIELDS,
        // An invalid type makes it a server channel; an invalid recipient is replaced by a
        // placeholder.
        dependent_paths: &[("type", ""), ("recipients", "recipients")],
    },
    DecodeCase {
        name: "a member",
        example: || named_example("GuildMemberResponse"),
        decode: |data| to_json(member(data)),
        required: &["user", "user.id"],
        optional_strict: NO_FIELDS,
        dependent_paths: &[],
    },
    DecodeCase {
        name: "a server",
        example: || named_example("GuildWithCountsResponse"),
        decode: |data| to_json(partial_guild(data)),
        required: &["id"],
        optional_strict: NO_FIELDS,
        dependent_paths: &[("id", "roles")],
    },
    DecodeCase {
        name: "a page of messages",
        example: || {
            json!([
                named_example("MessageResponse"),
                named_example("MessageResponse")
            ])
        },
        decode: |data| to_json(messages(data)),
        required: &[""],
        optional_strict: NO_FIELDS,
        // An undecodable message is replaced by a placeholder.
        dependent_paths: &[("0", "0"), ("1", "1")],
    },
    DecodeCase {
        name: "a page of servers",
        example: || {
            json!([
                named_example("MyGuildResponse"),
                named_example("MyGuildResponse")
            ])
        },
        decode: |data| to_json(current_user_guilds(data).map(|(found, _)| found)),
        required: &[""],
        optional_strict: NO_FIELDS,
        dependent_paths: &[],
    },
    DecodeCase {
        name: "threads",
        example: || named_example("ThreadsResponse"),
        decode: |data| threads(data).map(|it| json!({"threads": it})),
        required: &["threads"],
        optional_strict: NO_FIELDS,
        dependent_paths: &[],
    },
];

fn decode_interaction(data: &Value) -> Result<Value, Undecodable> {
    match interaction_create(data)? {
        DecodedInteraction::Command(command) => to_json(Ok(command)),
        DecodedInteraction::Component(component) => to_json(Ok(component)),
        DecodedInteraction::Other => Ok(Value::Null),
    }
}
