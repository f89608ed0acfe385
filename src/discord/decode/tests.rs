//! Decodes each event and response that the bot reads, first intact, then with each field in turn
//! missing, null, of another type, out of range or of an unknown value. `ODD_FIELDS=all` tries
//! every invalid value for every field; `PROPTEST_CASES` sets the number of random mixtures.
//!
//! Examples are generated from Discord's API description: `schemas.json` is the relevant part of
//! <https://github.com/discord/discord-api-spec>. It has no gateway events; those are assembled
//! from its objects.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::*;

/// Discord's descriptions of its objects.
static SCHEMAS: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("schemas.json")).expect("schemas"));

/// An example of a named object with all its fields.
fn named_example(name: &str) -> Value {
    example_from_schema(&json!({"$ref": name}))
}

fn example_from_schema(schema: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        return example_from_schema(&SCHEMAS[name]);
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| **kind != "null"),
        kind => Some(kind),
    };
    let kind = kind.and_then(Value::as_str).unwrap_or("null");
    match (kind, schema["format"].as_str().unwrap_or_default()) {
        ("string", "snowflake") => json!("1234"),
        ("string", "date-time") => json!("2026-01-01T00:00:00.000000+00:00"),
        // Also permissions, which are numbers in a string.
        ("string", _) => json!("2048"),
        ("integer", _) => json!(3),
        ("number", _) => json!(1.5),
        ("boolean", _) => json!(true),
        ("array", _) => json!([example_from_schema(&schema["items"])]),
        ("object", _) => {
            let fields = schema["properties"].as_object();
            let fields = fields.into_iter().flatten();
            Value::Object(
                fields
                    .map(|(name, schema)| (name.clone(), example_from_schema(schema)))
                    .collect(),
            )
        }
        _ => Value::Null,
    }
}

/// The object with some fields added or replaced.
fn with_fields(mut object: Value, fields: Value) -> Value {
    if let (Value::Object(object), Value::Object(fields)) = (&mut object, fields) {
        object.extend(fields);
    }
    object
}

/// A member without its user, as in messages.
fn partial_member() -> Value {
    let mut member = named_example("GuildMemberResponse");
    if let Value::Object(member) = &mut member {
        member.remove("user");
    }
    member
}

/// A command with an option of each type.
fn command() -> Value {
    let options: Vec<Value> = [
        (3, json!("words")),
        (4, json!(7)),
        (5, json!(true)),
        (6, json!("1234")),
        (7, json!("1234")),
        (8, json!("1234")),
        (10, json!(0.5)),
        (11, json!("1234")),
    ]
    .iter()
    .map(|(kind, value)| json!({"name": format!("option-{kind}"), "type": kind, "value": value}))
    .collect();
    json!({
        "id": "1234", "application_id": "1234", "type": 2, "token": "token", "version": 1,
        "guild_id": "1234", "channel_id": "1234", "channel": named_example("GuildChannelResponse"),
        "member": with_fields(named_example("GuildMemberResponse"), json!({"permissions": "2048"})),
        "app_permissions": "2048", "locale": "de", "guild_locale": "de",
        "entitlements": [{"id": "1234"}], "context": 0, "attachment_size_limit": 10_485_760,
        "authorizing_integration_owners": {"0": "1234", "1": "1234"},
        "data": {
            "id": "1234", "name": "ask", "type": 1, "guild_id": "1234", "target_id": "1234",
            "options": [{"name": "group", "type": 2, "options":
                [{"name": "sub", "type": 1, "options": options}]}],
            "resolved": {
                "users": {"1234": named_example("UserResponse")},
                "members": {"1234": partial_member()},
                "roles": {"1234": named_example("GuildRoleResponse")},
                "channels": {"1234": named_example("GuildChannelResponse")},
                "messages": {"1234": named_example("MessageResponse")},
                "attachments": {"1234": example_from_schema(&json!({"$ref": "MessageAttachmentResponse"}))},
            },
        },
    })
}

fn component() -> Value {
    with_fields(
        command(),
        json!({
            "type": 3,
            "data": {"custom_id": "again:1", "component_type": 2, "id": 1},
            "message": named_example("MessageResponse"),
        }),
    )
}

/// How one event or response is decoded, and which of its fields matter.
struct DecodeCase {
    name: &'static str,
    example: fn() -> Value,
    decode: fn(&Value) -> Result<Value, Undecodable>,
    /// Paths without which the object is undecodable.
    required: &'static [&'static str],
    /// Paths that may be missing but must not be invalid.
    optional_strict: &'static [&'static str],
    /// Which other paths may change along with a field.
    dependent_paths: &'static [(&'static str, &'static str)],
}

fn to_json<T: Serialize>(decoded: Result<T, Undecodable>) -> Result<Value, Undecodable> {
    decoded.map(|decoded| serde_json::to_value(decoded).expect("JSON"))
}

const NO_FIELDS: &[&str] = &[];

const DECODE_CASES: &[DecodeCase] = &[
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

/// Path of a value inside another: field names and indices.
type JsonPath = Vec<String>;

/// All paths in a value, starting with its own.
fn collect_paths(value: &Value, path: &JsonPath, all: &mut Vec<JsonPath>) {
    all.push(path.clone());
    let inside: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, it)| (name.clone(), it)).collect(),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .map(|(index, it)| (index.to_string(), it))
            .collect(),
        _ => Vec::new(),
    };
    for (part, value) in inside {
        let mut child = path.clone();
        child.push(part);
        collect_paths(value, &child, all);
    }
}

/// Replacements for a field. `None` removes it.
fn invalid_values() -> Vec<Option<Value>> {
    let mut all = vec![None];
    all.extend(
        [
            Value::Null,
            json!(true),
            json!(-1),
            json!(0),
            json!(255),
            json!(256),
            json!(70_000),
            json!(9_999),
            json!(1_u64 << 40),
            json!(u64::MAX),
            json!(1e300),
            json!(-2.5),
            json!(""),
            json!("strange"),
            json!("99999999999999999999999999"),
            json!([]),
            json!([null, "x", -7, {}]),
            json!({}),
            json!({"new": 1}),
        ]
        .map(Some),
    );
    all
}

fn replace_at(value: &mut Value, path: &[String], replacement: Option<Value>) {
    let [first, rest @ ..] = path else {
        if let Some(replacement) = replacement {
            *value = replacement;
        }
        return;
    };
    let inside = match value {
        Value::Object(fields) if rest.is_empty() && replacement.is_none() => {
            fields.remove(first);
            return;
        }
        Value::Object(fields) => fields.get_mut(first),
        Value::Array(list) => {
            let index = first
                .parse::<usize>()
                .ok()
                .filter(|index| *index < list.len());
            match index {
                Some(index) if rest.is_empty() && replacement.is_none() => {
                    list.remove(index);
                    return;
                }
                Some(index) => list.get_mut(index),
                None => None,
            }
        }
        _ => None,
    };
    if let Some(inside) = inside {
        replace_at(inside, rest, replacement);
    }
}

/// Paths at which two values differ.
fn collect_differences<'a>(a: &'a Value, b: &'a Value, path: &JsonPath, all: &mut Vec<JsonPath>) {
    let inside = |part: &String| {
        let mut child = path.clone();
        child.push(part.clone());
        child
    };
    static NOTHING: Value = Value::Null;
    match (a, b) {
        (a, b) if a == b => {}
        (Value::Object(a), Value::Object(b)) => {
            let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let part = |of: &'a Map<String, Value>| of.get(name).unwrap_or(&NOTHING);
                collect_differences(part(a), part(b), &inside(name), all);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                collect_differences(a, b, &inside(&index.to_string()), all);
            }
        }
        _ => all.push(path.clone()),
    }
}

/// Path in the model for a path in the JSON: serenity unwraps message snapshots.
fn path_in_model(path: &[String]) -> JsonPath {
    let mut decoded = JsonPath::new();
    for (index, part) in path.iter().enumerate() {
        let wrapping = part == "message" && index >= 2 && path[index - 2] == "message_snapshots";
        if !wrapping {
            decoded.push(part.clone());
        }
    }
    decoded
}

fn is_within(path: &[String], of: &str) -> bool {
    let dotted = path.join(".");
    of.is_empty() || dotted == of || dotted.starts_with(&format!("{of}."))
}

#[test]
fn valid_objects_decode_without_invalid_fields() {
    for case in DECODE_CASES {
        let intact = (case.example)();
        let decoded = (case.decode)(&intact);
        assert!(decoded.is_ok(), "{}: {decoded:?}", case.name);
    }
}

#[test]
fn an_invalid_field_affects_only_itself() {
    const SHARE: usize = 5;
    let thorough = std::env::var_os("ODD_FIELDS").is_some();
    let replacements = invalid_values();
    for case in DECODE_CASES {
        let intact = (case.example)();
        let expected = (case.decode)(&intact).expect(case.name);
        let mut all = Vec::new();
        collect_paths(&intact, &JsonPath::new(), &mut all);
        for (number, path) in all.iter().enumerate() {
            for (index, replacement) in replacements.iter().enumerate() {
                // Neighbouring fields have mostly the same type, so each tries only a share of the
                // invalid values.
                if index > 1 && index % SHARE != number % SHARE && !thorough {
                    continue;
                }
                let mut data = intact.clone();
                replace_at(&mut data, path, replacement.clone());
                let dotted = path.join(".");
                let about = format!("{}: {dotted} is {replacement:?}", case.name);
                let missing = replacement.as_ref().is_none_or(Value::is_null);
                match (case.decode)(&data) {
                    Ok(decoded) => {
                        let mut differing = Vec::new();
                        collect_differences(&expected, &decoded, &JsonPath::new(), &mut differing);
                        let path = &path_in_model(path);
                        for difference in differing {
                            let own = difference.starts_with(path)
                                || path.starts_with(&difference)
                                || case.dependent_paths.iter().any(|(of, what)| {
                                    is_within(path, of) && is_within(&difference, what)
                                });
                            assert!(own, "{about}: {} differs", difference.join("."));
                        }
                    }
                    Err(error) => {
                        let needed = path.is_empty()
                            || case.required.contains(&dotted.as_str())
                            || (case.optional_strict.contains(&dotted.as_str()) && !missing);
                        assert!(needed, "{about}: {error}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_missing_required_field_is_named_in_the_error() {
    for case in DECODE_CASES {
        for needed in case.required.iter().filter(|it| !it.is_empty()) {
            let path: JsonPath = needed.split('.').map(str::to_owned).collect();
            let mut data = (case.example)();
            replace_at(&mut data, &path, Some(json!({"secret": "words"})));
            if let Err(error) = (case.decode)(&data) {
                let said = format!("{error} {error:?}");
                assert!(
                    !said.contains("secret") && !said.contains("words"),
                    "{said}"
                );
                let field = path.first().expect("a field");
                let known = error.field.contains(field.as_str())
                    || error.field == "(whole)"
                    || error.field.starts_with("user");
                assert!(known, "{}: {needed}: {said}", case.name);
            }
        }
    }
}

#[test]
fn new_fields_change_nothing() {
    fn grow(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.values_mut().for_each(grow);
                // The keys of this object are IDs.
                if fields.keys().all(|name| name.parse::<u64>().is_err()) {
                    fields.insert("never_heard_of".to_owned(), json!({"new": [1, null]}));
                }
            }
            Value::Array(list) => list.iter_mut().for_each(grow),
            _ => {}
        }
    }
    for case in DECODE_CASES {
        let mut intact = (case.example)();
        let expected = (case.decode)(&intact);
        grow(&mut intact);
        assert_eq!((case.decode)(&intact), expected, "{}", case.name);
    }
}

#[test]
fn unreadable_roles_and_permissions_grant_nothing() {
    for replacement in [
        json!("strange"),
        json!(null),
        json!({"roles": 1, "permissions": -1}),
    ] {
        let data = with_fields(
            command(),
            json!({"member": replacement, "user": named_example("UserResponse")}),
        );
        let decoded = interaction_create(&data).expect("a command");
        let DecodedInteraction::Command(command) = decoded else {
            unreachable!("it is a command");
        };
        let member = command.member.expect("a member");
        assert!(member.roles.is_empty());
        assert_eq!(member.permissions, None);
        assert_eq!(command.user.id.get(), 1_234);
    }
}

#[test]
fn a_webhook_with_an_invalid_id_is_not_a_user() {
    let data = with_fields(
        named_example("MessageResponse"),
        json!({"webhook_id": "strange"}),
    );
    assert!(message(&data).expect("a message").webhook_id.is_some());
    // If it is unclear whether the bot was removed, its data is kept.
    let data = json!({"id": "1234", "unavailable": "strange"});
    assert!(guild_delete(&data).expect("a server").unavailable);
    assert!(
        !guild_delete(&json!({"id": "1234"}))
            .expect("a server")
            .unavailable
    );
}

proptest! {
    /// Any mixture of invalid fields: no panic, and decoding fails only for required fields.
    #[test]
    fn decoding_fails_only_for_required_fields(
        case in 0..DECODE_CASES.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..12),
    ) {
        let case = &DECODE_CASES[case];
        let replacements = invalid_values();
        let mut data = (case.example)();
        let mut touched = Vec::new();
        for (path, replacement) in changes {
            let mut all = Vec::new();
            collect_paths(&data, &JsonPath::new(), &mut all);
            let path = path.get(&all).clone();
            replace_at(&mut data, &path, replacement.get(&replacements).clone());
            touched.push(path.join("."));
        }
        if (case.decode)(&data).is_err() {
            let needs: Vec<&str> = case.required.iter().chain(case.optional_strict).copied().collect();
            let why = touched.iter().any(|path| {
                path.is_empty() || needs.iter().any(|it| is_within(
                    &it.split('.').map(str::to_owned).collect::<Vec<_>>(), path,
                ))
            });
            prop_assert!(why, "{}: {:?}", case.name, touched);
        }
    }

    /// Arbitrary text never panics, and valid JSON parses as serde_json parses it.
    #[test]
    fn lenient_parsing_agrees_with_serde_json(text in "\\PC*", json in "[\\[\\]{}\",:0-9eE.+\\-\\\\u dtrufalsn]*") {
        for text in [text, json] {
            let decoded = parse_lenient(&text);
            if let Ok(expected) = serde_json::from_str::<Value>(&text) {
                prop_assert_eq!(decoded, Ok(expected));
            }
        }
    }
}
