//! The fields that the bot reads, per object: <https://discord.com/developers/docs/resources>.
//!
//! Who needs one more adds a row here; what has no row reaches nobody.

use serde_json::{Map, Value, json};

use super::shape::Need::{Due, Else, Exact, Fixed, Free, Instead, Whole};
use super::shape::Shape::{
    Bits, Count, Flag, Id, Kind, List, Made, Map as ById, Object, Plain, Rights, Seconds, Text,
    Time,
};
use super::shape::{Field, Need, Notes, Shape, make};

const U16: u64 = u16::MAX as u64;
const U32: u64 = u32::MAX as u64;

/// Stands for a person of whom nothing is known.
const NOBODY: &str = r#"{"id": "1", "username": ""}"#;

/// Stands for a time that nobody knows: the first of Discord's.
const LONG_AGO: &str = r#""2015-01-01T00:00:00Z""#;

const fn field(name: &'static str, shape: &'static Shape, need: Need) -> Field {
    Field { name, shape, need }
}

/// A field that only the model wants.
const fn unread(name: &'static str, stand_in: &'static str) -> Field {
    field(name, &Text, Fixed(stand_in))
}

static IDS: Shape = List(&Id);
static TEXTS: Shape = List(&Text);

pub(super) static USER: Shape = Object(USER_FIELDS);
const USER_FIELDS: &[Field] = &[
    field("id", &Id, Whole),
    field("username", &Text, Due(r#""""#)),
    field("global_name", &Text, Free),
    field("bot", &Flag, Else("false")),
    field("system", &Flag, Else("false")),
];
static USERS: Shape = List(&USER);

/// A member as events and commands tell of one.
static PARTIAL_MEMBER: Shape = Object(&[
    field("user", &USER, Free),
    field("nick", &Text, Free),
    field("roles", &IDS, Due("[]")),
    field("permissions", &Rights, Free),
    field("joined_at", &Time, Free),
    field("deaf", &Flag, Else("false")),
    field("mute", &Flag, Else("false")),
]);

pub(super) static MEMBER: Shape = Object(&[
    field("user", &USER, Whole),
    field("nick", &Text, Free),
    field("roles", &IDS, Due("[]")),
    field("permissions", &Rights, Free),
    field("joined_at", &Time, Free),
    field("communication_disabled_until", &Time, Free),
    field("pending", &Flag, Else("false")),
    field("deaf", &Flag, Else("false")),
    field("mute", &Flag, Else("false")),
    unread("flags", "0"),
]);
static MEMBERS: Shape = List(&MEMBER);

static ATTACHMENT: Shape = Object(&[
    field("id", &Id, Whole),
    field("filename", &Text, Due(r#""""#)),
    field("size", &Count(U32), Due("0")),
    field("url", &Text, Whole),
    field("content_type", &Text, Free),
    field("duration_secs", &Seconds, Free),
    field("ephemeral", &Flag, Else("false")),
    unread("proxy_url", r#""""#),
]);
static ATTACHMENTS: Shape = List(&ATTACHMENT);

static REFERENCE: Shape = Object(&[
    field("type", &Kind, Else("0")),
    field("message_id", &Id, Free),
    // The model wants one, and nobody reads it.
    field("channel_id", &Id, Else(r#""1""#)),
    field("guild_id", &Id, Free),
]);

/// A forwarded message.
static SNAPSHOT: Shape = Object(&[field(
    "message",
    &Object(&[
        field("content", &Text, Else(r#""""#)),
        field("timestamp", &Time, Else(LONG_AGO)),
        field("edited_timestamp", &Time, Free),
        field("type", &Kind, Else("0")),
        field("attachments", &ATTACHMENTS, Due("[]")),
        field("mentions", &USERS, Else("[]")),
        field("mention_roles", &IDS, Else("[]")),
        field("flags", &Bits, Free),
        unread("embeds", "[]"),
    ]),
    Whole,
)]);
static SNAPSHOTS: Shape = List(&SNAPSHOT);

/// Of the command that a message answers. Other kinds have a shape of their own in the model, and
/// nobody reads them.
static INTERACTION_METADATA: Shape = Made(|value, notes| {
    let command = value.get("type").and_then(Value::as_u64) == Some(2);
    if !command {
        return Some(json!({"type": 0}));
    }
    COMMAND_METADATA.make(value, notes)
});
static COMMAND_METADATA: Shape = Object(&[
    field("type", &Kind, Whole),
    field("id", &Id, Else(r#""1""#)),
    field("user", &USER, Whole),
    unread("authorizing_integration_owners", "{}"),
]);

/// What a message replies to.
static PARENT: Shape = Made(|value, notes| MESSAGE.make(value, notes));

pub(super) static MESSAGE: Shape = Object(MESSAGE_FIELDS);
const MESSAGE_FIELDS: &[Field] = &[
    field("id", &Id, Whole),
    field("channel_id", &Id, Whole),
    // One without it is a direct message.
    field("guild_id", &Id, Exact),
    field("author", &USER, Whole),
    field("member", &PARTIAL_MEMBER, Free),
    field("content", &Text, Due(r#""""#)),
    field("timestamp", &Time, Due(LONG_AGO)),
    field("edited_timestamp", &Time, Free),
    field("type", &Kind, Due("0")),
    field("flags", &Bits, Free),
    field("attachments", &ATTACHMENTS, Due("[]")),
    field("mentions", &USERS, Due("[]")),
    field("mention_roles", &IDS, Else("[]")),
    field("mention_everyone", &Flag, Else("false")),
    // Whoever it is, it is no person.
    field("webhook_id", &Id, Instead(r#""1""#)),
    field("application_id", &Id, Free),
    field("nonce", &Plain, Free),
    field("message_reference", &REFERENCE, Free),
    field("referenced_message", &PARENT, Free),
    field("message_snapshots", &SNAPSHOTS, Else("[]")),
    field("interaction_metadata", &INTERACTION_METADATA, Free),
    unread("tts", "false"),
    unread("embeds", "[]"),
    unread("pinned", "false"),
];

static OVERWRITES: Shape = List(&Object(&[
    field("id", &Id, Whole),
    field("type", &Made(overwrite_kind), Whole),
    field("allow", &Rights, Due(r#""0""#)),
    field("deny", &Rights, Due(r#""0""#)),
]));

/// The model knows roles and members only.
fn overwrite_kind(value: &Value, notes: &mut Notes) -> Option<Value> {
    let kind = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    let kind = kind.filter(|kind| *kind <= 1);
    if kind.is_none() {
        notes.odd();
    }
    kind.map(Value::from)
}

static THREAD_METADATA: Shape = Object(&[
    field("archived", &Flag, Else("false")),
    field("locked", &Flag, Else("false")),
    field("archive_timestamp", &Time, Free),
    unread("auto_archive_duration", "1440"),
]);

/// A channel or thread of a server.
pub(super) static CHANNEL: Shape = Object(&[
    field("id", &Id, Whole),
    field("type", &Kind, Due("0")),
    field("guild_id", &Id, Free),
    field("name", &Text, Due(r#""""#)),
    field("parent_id", &Id, Free),
    field("owner_id", &Id, Free),
    field("permission_overwrites", &OVERWRITES, Else("[]")),
    field("topic", &Text, Free),
    field("user_limit", &Count(U32), Free),
    field("rate_limit_per_user", &Count(U16), Free),
    field("thread_metadata", &THREAD_METADATA, Free),
    field("last_message_id", &Id, Free),
    field("permissions", &Rights, Free),
    field("nsfw", &Flag, Else("false")),
    field("position", &Count(U16), Fixed("0")),
]);
pub(super) static CHANNELS: Shape = List(&CHANNEL);

/// A channel of two, or of a group.
pub(super) static PRIVATE_CHANNEL: Shape = Object(&[
    field("id", &Id, Whole),
    field("last_message_id", &Id, Free),
    unread("type", "1"),
    // The model takes exactly one.
    field(
        "recipients",
        &Made(recipient),
        Else(r#"[{"id": "1", "username": ""}]"#),
    ),
]);

fn recipient(value: &Value, notes: &mut Notes) -> Option<Value> {
    let first = value.as_array().and_then(|all| all.first());
    let first = first.and_then(|first| notes.at("[]", |notes| USER.make(first, notes)));
    if first.is_none() {
        notes.odd();
    }
    first.map(|first| json!([first]))
}

/// As it is in the options of a command.
static PARTIAL_CHANNEL: Shape = Object(&[
    field("id", &Id, Whole),
    field("type", &Kind, Due("0")),
    field("name", &Text, Free),
    field("permissions", &Rights, Free),
    field("parent_id", &Id, Free),
]);

pub(super) static ROLE: Shape = Object(&[
    field("id", &Id, Whole),
    field("name", &Text, Due(r#""""#)),
    field("permissions", &Rights, Due(r#""0""#)),
    field("managed", &Flag, Else("false")),
    field("mentionable", &Flag, Else("false")),
    field("position", &Count(U16), Fixed("0")),
    field("tags", &ROLE_TAGS, Else("{}")),
    unread("color", "0"),
    unread("colors", r#"{"primary_color": 0}"#),
    unread("hoist", "false"),
]);
static ROLES: Shape = List(&ROLE);

/// Whose role it is.
static ROLE_TAGS: Shape = Object(&[
    field("bot_id", &Id, Free),
    field("integration_id", &Id, Free),
]);

/// Somebody in a call. In a server's list the server is not said.
pub(super) static VOICE_STATE: Shape = Object(&[
    field("guild_id", &Id, Exact),
    field("user_id", &Id, Whole),
    // Whoever has none has left.
    field("channel_id", &Id, Exact),
    field("member", &MEMBER, Free),
    field("session_id", &Text, Due(r#""""#)),
    field("deaf", &Flag, Else("false")),
    field("mute", &Flag, Else("false")),
    field("self_deaf", &Flag, Else("false")),
    field("self_mute", &Flag, Else("false")),
    field("self_video", &Flag, Else("false")),
    field("self_stream", &Flag, Else("false")),
    field("suppress", &Flag, Else("false")),
    field("request_to_speak_timestamp", &Time, Free),
]);
/// In the list of a server, nobody needs to say which one it is.
static SEATED: Shape = Made(|value, notes| {
    let mut value = value.clone();
    if let Value::Object(state) = &mut value {
        state.remove("guild_id");
    }
    VOICE_STATE.make(&value, notes)
});
static VOICE_STATES: Shape = List(&SEATED);

pub(super) static VOICE_SERVER: Shape = Object(&[
    field("guild_id", &Id, Whole),
    field("token", &Text, Whole),
    field("endpoint", &Text, Free),
]);

/// What a server is, without what is in it.
const GUILD_FIELDS: &[Field] = &[
    field("id", &Id, Whole),
    field("name", &Text, Due(r#""""#)),
    field("owner_id", &Id, Due(r#""1""#)),
    field("roles", &ROLES, Due("[]")),
    field("features", &TEXTS, Else("[]")),
    field("preferred_locale", &Text, Else(r#""en-US""#)),
    unread("verification_level", "0"),
    unread("default_message_notifications", "0"),
    unread("explicit_content_filter", "0"),
    unread("mfa_level", "0"),
    unread("system_channel_flags", "0"),
    unread("premium_tier", "0"),
    unread("nsfw_level", "0"),
    unread("premium_progress_bar_enabled", "false"),
    unread("emojis", "[]"),
    unread("stickers", "[]"),
];
pub(super) static GUILD: Shape = Object(GUILD_FIELDS);

/// What is in a server when it comes into sight.
const GUILD_CONTENT: &[Field] = &[
    field("voice_states", &VOICE_STATES, Due("[]")),
    field("members", &MEMBERS, Due("[]")),
    field("channels", &CHANNELS, Due("[]")),
    field("threads", &CHANNELS, Else("[]")),
    field("member_count", &Count(u64::MAX), Else("0")),
    field("joined_at", &Time, Else(LONG_AGO)),
    field("unavailable", &Flag, Else("false")),
    unread("large", "false"),
    unread("presences", "[]"),
    unread("stage_instances", "[]"),
    unread("guild_scheduled_events", "[]"),
];

pub(super) static GUILD_CREATE: Shape = Made(|value, notes| {
    let Value::Object(object) = value else {
        notes.odd();
        return None;
    };
    let mut guild = make(object, GUILD_FIELDS, notes)?;
    let content = make(object, GUILD_CONTENT, notes)?;
    if let (Value::Object(guild), Value::Object(content)) = (&mut guild, content) {
        guild.extend(content);
    }
    Some(guild)
});

/// A server of which not more is known than that it is there, or not.
pub(super) static GUILD_DELETE: Shape = Object(&[
    field("id", &Id, Whole),
    // One that the bot was removed from is forgotten: that has to be sure.
    field("unavailable", &Flag, Instead("true")),
]);

pub(super) static READY: Shape = Object(&[
    field("session_id", &Text, Whole),
    field("resume_gateway_url", &Text, Free),
    field("user", &USER, Free),
    field(
        "guilds",
        &List(&Object(&[field("id", &Id, Whole)])),
        Due("[]"),
    ),
]);

/// Something of which only the id matters.
pub(super) static WITH_ID: Shape = Object(&[
    field("id", &Id, Whole),
    field("channel_id", &Id, Free),
    field("guild_id", &Id, Free),
]);

pub(super) static BULK: Shape = Object(&[field("ids", &IDS, Whole)]);

/// What the options of a command, or its message, stand for.
static RESOLVED: Shape = Object(&[
    field("users", &ById(&USER), Else("{}")),
    field("members", &ById(&PARTIAL_MEMBER), Else("{}")),
    field("roles", &ById(&ROLE), Else("{}")),
    field("channels", &ById(&PARTIAL_CHANNEL), Else("{}")),
    field("messages", &ById(&MESSAGE), Else("{}")),
    field("attachments", &ById(&ATTACHMENT), Else("{}")),
]);

static OPTIONS: Shape = List(&Made(option));
static OPTION: Shape = Object(&[field("name", &Text, Whole), field("type", &Kind, Whole)]);
static WHOLE: Shape = Made(whole);
static FINITE: Shape = Made(finite);

/// An option has the value that its type says.
fn option(value: &Value, notes: &mut Notes) -> Option<Value> {
    const SUB_COMMAND: u64 = 1;
    const GROUP: u64 = 2;
    let mut made = OPTION.make(value, notes)?;
    let kind = made["type"].as_u64().unwrap_or_default();
    let (part, inner): (&'static str, &Shape) = match kind {
        SUB_COMMAND | GROUP => ("options", &OPTIONS),
        3 => ("value", &Text),
        4 => ("value", &WHOLE),
        5 => ("value", &Flag),
        6..=9 | 11 => ("value", &Id),
        10 => ("value", &FINITE),
        _ => return Some(made),
    };
    let nothing = json!([]);
    let told = match value.get(part).filter(|told| !told.is_null()) {
        None if kind <= GROUP => &nothing,
        None => {
            notes.at(part, Notes::odd);
            return None;
        }
        Some(told) => told,
    };
    let inner = notes.at(part, |notes| inner.make(told, notes))?;
    if let Value::Object(made) = &mut made {
        made.insert(part.to_owned(), inner);
    }
    Some(made)
}

fn whole(value: &Value, notes: &mut Notes) -> Option<Value> {
    let whole = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    };
    if whole.is_none() {
        notes.odd();
    }
    whole.map(Value::from)
}

fn finite(value: &Value, notes: &mut Notes) -> Option<Value> {
    let finite = value.as_f64();
    if finite.is_none() {
        notes.odd();
    }
    finite.map(Value::from)
}

/// A command that lacks its name is answered as an unknown one.
const NO_COMMAND: &str = r#"{"id": "1", "name": "", "type": 1}"#;

static COMMAND_DATA: Shape = Object(&[
    field("id", &Id, Else(r#""1""#)),
    field("name", &Text, Due(r#""""#)),
    field("type", &Kind, Else("1")),
    field("resolved", &RESOLVED, Else("{}")),
    field("options", &OPTIONS, Else("[]")),
    field("target_id", &Id, Free),
]);

const NO_BUTTON: &str = r#"{"custom_id": "", "component_type": 2}"#;

static COMPONENT_DATA: Shape = Object(&[
    field("custom_id", &Text, Due(r#""""#)),
    // There are only buttons under our messages.
    field("component_type", &Text, Fixed("2")),
]);

/// The message that a button is under: it is ours, whatever else is known of it.
static PRESSED_MESSAGE: Shape = Made(|value, notes| {
    let Value::Object(object) = value else {
        notes.odd();
        return None;
    };
    let mut object = object.clone();
    let nobody: Value = serde_json::from_str(NOBODY).ok()?;
    let author = object.get("author").cloned().unwrap_or_default();
    let mut unknown = Notes::default();
    if USER.make(&author, &mut unknown).is_none() {
        notes.at("author", Notes::odd);
        object.insert("author".to_owned(), nobody);
    }
    make(&object, MESSAGE_FIELDS, notes)
});

/// Whose the interaction is, by the way that it was installed.
fn owners(value: &Value, notes: &mut Notes) -> Option<Value> {
    let Value::Object(all) = value else {
        notes.odd();
        return None;
    };
    let mut made = Map::new();
    for (key, owner) in all {
        // For a server that is none, in a direct message, it is 0.
        let nobody = key == "0" && (owner == "0" || *owner == 0);
        match (key.as_str(), nobody) {
            ("0", true) => {
                made.insert(key.clone(), "0".into());
            }
            ("0" | "1", _) => {
                if let Some(owner) = notes.at("[]", |notes| Id.make(owner, notes)) {
                    made.insert(key.clone(), owner);
                }
            }
            // A way of installing that is not known here.
            _ => {}
        }
    }
    Some(Value::Object(made))
}

/// The same for both kinds of interactions, after `data`.
const INTERACTION_FIELDS: &[Field] = &[
    field("id", &Id, Whole),
    field("token", &Text, Whole),
    field("type", &Kind, Whole),
    field("application_id", &Id, Else(r#""1""#)),
    // One without it is a direct message.
    field("guild_id", &Id, Exact),
    field("channel_id", &Id, Whole),
    field("locale", &Text, Else(r#""en-US""#)),
    field("guild_locale", &Text, Free),
    field("app_permissions", &Rights, Free),
    field("authorizing_integration_owners", &Made(owners), Else("{}")),
    field("context", &Kind, Free),
    field("attachment_size_limit", &Count(U32), Else("0")),
    unread("version", "1"),
    unread("entitlements", "[]"),
];

pub(super) static COMMAND: Shape = Made(|value, notes| {
    const DATA: &[Field] = &[field("data", &COMMAND_DATA, Due(NO_COMMAND))];
    interaction(value, DATA, notes)
});

pub(super) static COMPONENT: Shape = Made(|value, notes| {
    const DATA: &[Field] = &[
        field("data", &COMPONENT_DATA, Due(NO_BUTTON)),
        field("message", &PRESSED_MESSAGE, Whole),
    ];
    interaction(value, DATA, notes)
});

fn interaction(value: &Value, data: &[Field], notes: &mut Notes) -> Option<Value> {
    let Value::Object(object) = value else {
        notes.odd();
        return None;
    };
    let mut object = object.clone();
    if object.get("channel_id").is_none_or(Value::is_null)
        && let Some(id) = object.get("channel").and_then(|channel| channel.get("id"))
    {
        let id = id.clone();
        object.insert("channel_id".to_owned(), id);
    }
    let mut made = make(&object, INTERACTION_FIELDS, notes)?;
    let data = make(&object, data, notes)?;
    if let (Value::Object(made), Value::Object(data)) = (&mut made, data) {
        made.extend(data);
        person(&object, made, notes)?;
    }
    Some(made)
}

/// Who used it. In a server it is a member, and one of whom no roles and permissions can be read
/// has none: whatever asks for one then says no.
fn person(
    told: &Map<String, Value>,
    made: &mut Map<String, Value>,
    notes: &mut Notes,
) -> Option<()> {
    let member = told.get("member").filter(|member| !member.is_null());
    let user = told
        .get("user")
        .filter(|user| !user.is_null())
        .or_else(|| member?.get("user"));
    let user = notes.at("user", |notes| match user {
        Some(user) => USER.make(user, notes),
        None => {
            notes.odd();
            None
        }
    })?;
    if made.contains_key("guild_id") {
        let mut whole = match member {
            Some(Value::Object(member)) => member.clone(),
            _ => {
                notes.at("member", Notes::odd);
                Map::new()
            }
        };
        whole.insert("user".to_owned(), user.clone());
        let member = notes.at("member", |notes| MEMBER.make(&Value::Object(whole), notes))?;
        made.insert("member".to_owned(), member);
    }
    made.insert("user".to_owned(), user);
    Some(())
}

pub(super) static APPLICATION: Shape = Object(&[
    field("id", &Id, Whole),
    field("name", &Text, Due(r#""""#)),
    field("flags", &Bits, Else("0")),
]);

pub(super) static GATEWAY_BOT: Shape = Object(&[
    field("url", &Text, Whole),
    field("shards", &Count(U32), Due("1")),
    field(
        "session_start_limit",
        &START_LIMIT,
        Due("{\"total\": 1000, \"remaining\": 1000, \"reset_after\": 0, \"max_concurrency\": 1}"),
    ),
]);

static START_LIMIT: Shape = Object(&[
    field("total", &Count(U32), Due("1000")),
    field("remaining", &Count(U32), Due("1000")),
    field("reset_after", &Count(U32), Due("0")),
    field("max_concurrency", &Count(U32), Due("1")),
]);

/// A server in the list of one's own.
pub(super) static OWN_GUILD: Shape = Object(&[
    field("id", &Id, Whole),
    field("name", &Text, Due(r#""""#)),
    field("owner", &Flag, Else("false")),
    field("permissions", &Rights, Due(r#""0""#)),
    field("features", &TEXTS, Else("[]")),
]);
