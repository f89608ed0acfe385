//! Each event and answer that the bot reads, whole, and then with one field after the other missing,
//! null, of another type, out of range, or of a value that nobody knows. With `ODD_FIELDS=all`, each
//! field is everything that it could be; `PROPTEST_CASES` sets how many random mixtures are tried.
//!
//! The objects are made from Discord's own description of its API: `schemas.json` has the part of
//! <https://github.com/discord/discord-api-spec> that is read here. Events are not in it; they are
//! put together from what is.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::*;

/// What Discord says that its objects are.
static SCHEMAS: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("schemas.json")).expect("schemas"));

/// A whole object, with all that it can have.
fn sample(name: &str) -> Value {
    made(&json!({"$ref": name}))
}

fn made(schema: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        return made(&SCHEMAS[name]);
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
        // Also permissions, which are numbers.
        ("string", _) => json!("2048"),
        ("integer", _) => json!(3),
        ("number", _) => json!(1.5),
        ("boolean", _) => json!(true),
        ("array", _) => json!([made(&schema["items"])]),
        ("object", _) => {
            let fields = schema["properties"].as_object();
            let fields = fields.into_iter().flatten();
            Value::Object(
                fields
                    .map(|(name, schema)| (name.clone(), made(schema)))
                    .collect(),
            )
        }
        _ => Value::Null,
    }
}

/// An object with these fields instead of its own.
fn with(mut object: Value, fields: Value) -> Value {
    if let (Value::Object(object), Value::Object(fields)) = (&mut object, fields) {
        object.extend(fields);
    }
    object
}

/// A partial member, as messages have it.
fn partial_member() -> Value {
    let mut member = sample("GuildMemberResponse");
    if let Value::Object(member) = &mut member {
        member.remove("user");
    }
    member
}

/// A command with an option of each kind.
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
        "guild_id": "1234", "channel_id": "1234", "channel": sample("GuildChannelResponse"),
        "member": with(sample("GuildMemberResponse"), json!({"permissions": "2048"})),
        "app_permissions": "2048", "locale": "de", "guild_locale": "de",
        "entitlements": [{"id": "1234"}], "context": 0, "attachment_size_limit": 10_485_760,
        "authorizing_integration_owners": {"0": "1234", "1": "1234"},
        "data": {
            "id": "1234", "name": "ask", "type": 1, "guild_id": "1234", "target_id": "1234",
            "options": [{"name": "group", "type": 2, "options":
                [{"name": "sub", "type": 1, "options": options}]}],
            "resolved": {
                "users": {"1234": sample("UserResponse")},
                "members": {"1234": partial_member()},
                "roles": {"1234": sample("GuildRoleResponse")},
                "channels": {"1234": sample("GuildChannelResponse")},
                "messages": {"1234": sample("MessageResponse")},
                "attachments": {"1234": made(&json!({"$ref": "MessageAttachmentResponse"}))},
            },
        },
    })
}

fn component() -> Value {
    with(
        command(),
        json!({
            "type": 3,
            "data": {"custom_id": "again:1", "component_type": 2, "id": 1},
            "message": sample("MessageResponse"),
        }),
    )
}

/// How something is read, and what must be right in it.
struct Case {
    name: &'static str,
    whole: fn() -> Value,
    read: fn(&Value) -> Result<Value, Undecodable>,
    /// Without these there is nothing.
    whole_needs: &'static [&'static str],
    /// These may be missing, but not odd.
    exact: &'static [&'static str],
    /// What else changes with a field.
    follows: &'static [(&'static str, &'static str)],
}

fn shown<T: Serialize>(read: Result<T, Undecodable>) -> Result<Value, Undecodable> {
    read.map(|read| serde_json::to_value(read).expect("JSON"))
}

const NO: &[&str] = &[];

const CASES: &[Case] = &[
    Case {
        name: "MESSAGE_CREATE",
        whole: || {
            with(
                sample("MessageResponse"),
                json!({"guild_id": "1234", "member": partial_member()}),
            )
        },
        read: |told| shown(message_created(told)),
        whole_needs: &["id", "channel_id", "author", "author.id"],
        exact: &["guild_id"],
        follows: &[("interaction_metadata", "interaction_metadata")],
    },
    Case {
        name: "MESSAGE_DELETE",
        whole: || json!({"id": "1234", "channel_id": "1234", "guild_id": "1234"}),
        read: |told| deleted(told).map(|it| json!({"id": it.id})),
        whole_needs: &["id"],
        exact: NO,
        follows: &[],
    },
    Case {
        name: "MESSAGE_DELETE_BULK",
        whole: || json!({"ids": ["1234"], "channel_id": "1234", "guild_id": "1234"}),
        read: |told| bulk(told).map(|it| json!({"ids": it.ids})),
        whole_needs: &["ids"],
        exact: NO,
        follows: &[],
    },
    Case {
        name: "CHANNEL_UPDATE",
        whole: || sample("GuildChannelResponse"),
        read: |told| channel("CHANNEL_UPDATE", told).map(|it| json!({"id": it.id})),
        whole_needs: &["id"],
        exact: NO,
        follows: &[],
    },
    Case {
        name: "THREAD_DELETE",
        whole: || json!({"id": "1234", "guild_id": "1234", "parent_id": "1234", "type": 11}),
        read: |told| channel("THREAD_DELETE", told).map(|it| json!({"id": it.id})),
        whole_needs: &["id"],
        exact: NO,
        follows: &[],
    },
    Case {
        name: "GUILD_CREATE",
        whole: || {
            with(
                sample("GuildWithCountsResponse"),
                json!({
                    "joined_at": "2026-01-01T00:00:00+00:00", "large": true, "unavailable": false,
                    "member_count": 3, "voice_states": [sample("VoiceStateResponse")],
                    "members": [sample("GuildMemberResponse")],
                    "channels": [sample("GuildChannelResponse")],
                    "threads": [sample("ThreadResponse")],
                    "presences": [{}], "stage_instances": [{}],
                    "guild_scheduled_events": [{}], "soundboard_sounds": [{}],
                }),
            )
        },
        read: |told| shown(guild(told)),
        whole_needs: &["id"],
        exact: NO,
        follows: &[],
    },
    Case {
        name: "GUILD_DELETE",
        whole: || json!({"id": "1234", "unavailable": true}),
        read: |told| gone(told).map(|it| json!({"id": it.id, "unavailable": it.unavailable})),
        whole_needs: &["id"],
        exact: NO,
        follows: &[],
    },
    Case {
        name: "VOICE_STATE_UPDATE",
        whole: || with(sample("VoiceStateResponse"), json!({"guild_id": "1234"})),
        read: |told| shown(voice_state(told)),
        whole_needs: &["user_id"],
        exact: &["guild_id", "channel_id"],
        follows: &[("guild_id", "member")],
    },
    Case {
        name: "VOICE_SERVER_UPDATE",
        whole: || json!({"guild_id": "1234", "token": "token", "endpoint": "example.org"}),
        read: |told| {
            voice_server(told).map(
                |it| json!({"guild_id": it.guild_id, "token": it.token, "endpoint": it.endpoint}),
            )
        },
        whole_needs: &["guild_id", "token"],
        exact: NO,
        follows: &[],
    },
    Case {
        name: "READY",
        whole: || {
            json!({
                "v": 10, "user": sample("UserPIIResponse"), "session_id": "session",
                "guilds": [{"id": "1234", "unavailable": true}], "shard": [0, 1],
                "resume_gateway_url": "wss://example.org",
                "application": {"id": "1234", "flags": 3},
            })
        },
        read: |told| {
            ready(told).map(|it| {
                json!({
                    "session_id": it.session_id, "resume_gateway_url": it.resume_gateway_url,
                    "user": it.user, "guilds": it.guilds(),
                })
            })
        },
        whole_needs: &["session_id"],
        exact: NO,
        follows: &[],
    },
    Case {
        name: "INTERACTION_CREATE, a command",
        whole: command,
        read: read_interaction,
        whole_needs: &[
            "id",
            "token",
            "type",
            "member.user",
            "member.user.id",
            "member",
            "channel_id",
        ],
        exact: &["guild_id"],
        follows: &[
            ("guild_id", "member"),
            ("guild_id", "data"),
            ("member", "user"),
            // What an option stands for, and what its type makes of it.
            ("data", "data"),
        ],
    },
    Case {
        name: "INTERACTION_CREATE, a button",
        whole: component,
        read: read_interaction,
        whole_needs: &[
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
        exact: &["guild_id"],
        follows: &[
            ("guild_id", "member"),
            ("member", "user"),
            (
                "message.interaction_metadata",
                "message.interaction_metadata",
            ),
            // Whoever it is, it is somebody.
            ("message.author", "message.author"),
        ],
    },
    Case {
        name: "the application",
        whole: || sample("PrivateApplicationResponse"),
        read: |told| {
            application(told).map(|it| json!({"id": it.id, "name": it.name, "flags": it.flags}))
        },
        whole_needs: &["id"],
        exact: NO,
        follows: &[],
    },
    Case {
        name: "the bot's user",
        whole: || sample("UserPIIResponse"),
        read: |told| shown(user(told)),
        whole_needs: &["id"],
        exact: NO,
        follows: &[],
    },
    Case {
        name: "the gateway's address",
        whole: || sample("GatewayBotResponse"),
        read: |told| {
            gateway_bot(told).map(|it| {
                let limit = it.session_start_limit;
                json!({"url": it.url, "shards": it.shards, "session_start_limit": {
                    "total": limit.total, "remaining": limit.remaining,
                    "reset_after": limit.reset_after, "max_concurrency": limit.max_concurrency,
                }})
            })
        },
        whole_needs: &["url"],
        exact: NO,
        follows: &[],
    },
    Case {
        name: "a message",
        whole: || sample("MessageResponse"),
        read: |told| shown(message(told)),
        whole_needs: &["id", "channel_id", "author", "author.id"],
        exact: &["guild_id"],
        follows: &[("interaction_metadata", "interaction_metadata")],
    },
    Case {
        name: "a message of ours",
        whole: || sample("MessageResponse"),
        read: |told| id_of(told).map(|id| json!({"id": id})),
        whole_needs: &["id"],
        exact: NO,
        follows: &[],
    },
    Case {
        name: "a channel",
        whole: || sample("GuildChannelResponse"),
        read: |told| shown(channel_found(told)),
        whole_needs: &["id"],
        exact: NO,
        follows: &[],
    },
    Case {
        name: "a thread",
        whole: || sample("ThreadResponse"),
        read: |told| shown(channel_found(told)),
        whole_needs: &["id"],
        exact: NO,
        follows: &[],
    },
    Case {
        name: "a direct channel",
        whole: || sample("PrivateChannelResponse"),
        read: |told| shown(channel_found(told)),
        whole_needs: &["id"],
        exact: NO,
        // As one of a server; and whoever it is with, it is somebody.
        follows: &[("type", ""), ("recipients", "recipients")],
    },
    Case {
        name: "a member",
        whole: || sample("GuildMemberResponse"),
        read: |told| shown(member(told)),
        whole_needs: &["user", "user.id"],
        exact: NO,
        follows: &[],
    },
    Case {
        name: "a server",
        whole: || sample("GuildWithCountsResponse"),
        read: |told| shown(guild_found(told)),
        whole_needs: &["id"],
        exact: NO,
        follows: &[("id", "roles")],
    },
    Case {
        name: "a page of messages",
        whole: || json!([sample("MessageResponse"), sample("MessageResponse")]),
        read: |told| shown(messages(told)),
        whole_needs: &[""],
        exact: NO,
        // What can't be read keeps its place.
        follows: &[("0", "0"), ("1", "1")],
    },
    Case {
        name: "a page of servers",
        whole: || json!([sample("MyGuildResponse"), sample("MyGuildResponse")]),
        read: |told| shown(guilds(told).map(|(found, _)| found)),
        whole_needs: &[""],
        exact: NO,
        follows: &[],
    },
    Case {
        name: "threads",
        whole: || sample("ThreadsResponse"),
        read: |told| threads(told).map(|it| json!({"threads": it})),
        whole_needs: &["threads"],
        exact: NO,
        follows: &[],
    },
];

fn read_interaction(told: &Value) -> Result<Value, Undecodable> {
    match interaction(told)? {
        Interacted::Command(command) => shown(Ok(command)),
        Interacted::Component(component) => shown(Ok(component)),
        Interacted::Other => Ok(Value::Null),
    }
}

/// The place of a value in another: names and numbers.
type Path = Vec<String>;

/// All places in a value, itself first.
fn paths(value: &Value, here: &Path, all: &mut Vec<Path>) {
    all.push(here.clone());
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
        let mut there = here.clone();
        there.push(part);
        paths(value, &there, all);
    }
}

/// What is put in the place of a value. None: it goes.
fn oddities() -> Vec<Option<Value>> {
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

fn put(value: &mut Value, path: &[String], odd: Option<Value>) {
    let [first, rest @ ..] = path else {
        if let Some(odd) = odd {
            *value = odd;
        }
        return;
    };
    let inside = match value {
        Value::Object(fields) if rest.is_empty() && odd.is_none() => {
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
                Some(index) if rest.is_empty() && odd.is_none() => {
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
        put(inside, rest, odd);
    }
}

/// The places in which two values differ.
fn differences<'a>(a: &'a Value, b: &'a Value, here: &Path, all: &mut Vec<Path>) {
    let inside = |part: &String| {
        let mut there = here.clone();
        there.push(part.clone());
        there
    };
    static NOTHING: Value = Value::Null;
    match (a, b) {
        (a, b) if a == b => {}
        (Value::Object(a), Value::Object(b)) => {
            let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let part = |of: &'a Map<String, Value>| of.get(name).unwrap_or(&NOTHING);
                differences(part(a), part(b), &inside(name), all);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                differences(a, b, &inside(&index.to_string()), all);
            }
        }
        _ => all.push(here.clone()),
    }
}

/// Where something that is told is in what is read: the model has a snapshot without its wrapping.
fn as_read(path: &[String]) -> Path {
    let mut read = Path::new();
    for (index, part) in path.iter().enumerate() {
        let wrapping = part == "message" && index >= 2 && path[index - 2] == "message_snapshots";
        if !wrapping {
            read.push(part.clone());
        }
    }
    read
}

fn is_within(path: &[String], of: &str) -> bool {
    let dotted = path.join(".");
    of.is_empty() || dotted == of || dotted.starts_with(&format!("{of}."))
}

#[test]
fn what_is_whole_is_read_and_nothing_in_it_is_odd() {
    for case in CASES {
        let whole = (case.whole)();
        let read = (case.read)(&whole);
        assert!(read.is_ok(), "{}: {read:?}", case.name);
    }
}

#[test]
fn an_odd_field_costs_nothing_but_itself() {
    const SHARE: usize = 5;
    let thorough = std::env::var_os("ODD_FIELDS").is_some();
    let oddities = oddities();
    for case in CASES {
        let whole = (case.whole)();
        let right = (case.read)(&whole).expect(case.name);
        let mut all = Vec::new();
        paths(&whole, &Path::new(), &mut all);
        for (number, path) in all.iter().enumerate() {
            for (index, odd) in oddities.iter().enumerate() {
                // Neighbours are of one kind mostly, so each gets a part of what could be odd.
                if index > 1 && index % SHARE != number % SHARE && !thorough {
                    continue;
                }
                let mut told = whole.clone();
                put(&mut told, path, odd.clone());
                let dotted = path.join(".");
                let about = format!("{}: {dotted} is {odd:?}", case.name);
                let missing = odd.as_ref().is_none_or(Value::is_null);
                match (case.read)(&told) {
                    Ok(read) => {
                        let mut differing = Vec::new();
                        differences(&right, &read, &Path::new(), &mut differing);
                        let path = &as_read(path);
                        for difference in differing {
                            let own = difference.starts_with(path)
                                || path.starts_with(&difference)
                                || case.follows.iter().any(|(of, what)| {
                                    is_within(path, of) && is_within(&difference, what)
                                });
                            assert!(own, "{about}: {} differs", difference.join("."));
                        }
                    }
                    Err(error) => {
                        let needed = path.is_empty()
                            || case.whole_needs.contains(&dotted.as_str())
                            || (case.exact.contains(&dotted.as_str()) && !missing);
                        assert!(needed, "{about}: {error}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_nothing_can_stand_for_is_missed_by_its_name() {
    for case in CASES {
        for needed in case.whole_needs.iter().filter(|it| !it.is_empty()) {
            let path: Path = needed.split('.').map(str::to_owned).collect();
            let mut told = (case.whole)();
            put(&mut told, &path, Some(json!({"secret": "words"})));
            if let Err(error) = (case.read)(&told) {
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
                // Ids are names there.
                if fields.keys().all(|name| name.parse::<u64>().is_err()) {
                    fields.insert("never_heard_of".to_owned(), json!({"new": [1, null]}));
                }
            }
            Value::Array(list) => list.iter_mut().for_each(grow),
            _ => {}
        }
    }
    for case in CASES {
        let mut whole = (case.whole)();
        let right = (case.read)(&whole);
        grow(&mut whole);
        assert_eq!((case.read)(&whole), right, "{}", case.name);
    }
}

#[test]
fn whoever_has_no_readable_roles_has_none_and_manages_nothing() {
    for odd in [
        json!("strange"),
        json!(null),
        json!({"roles": 1, "permissions": -1}),
    ] {
        let told = with(
            command(),
            json!({"member": odd, "user": sample("UserResponse")}),
        );
        let read = interaction(&told).expect("a command");
        let Interacted::Command(command) = read else {
            unreachable!("it is a command");
        };
        let member = command.member.expect("a member");
        assert!(member.roles.is_empty());
        assert_eq!(member.permissions, None);
        assert_eq!(command.user.id.get(), 1_234);
    }
}

#[test]
fn a_webhook_with_an_odd_id_is_no_person() {
    let told = with(sample("MessageResponse"), json!({"webhook_id": "strange"}));
    assert!(message(&told).expect("a message").webhook_id.is_some());
    // And one that does not say whether it is gone for good, is not forgotten.
    let told = json!({"id": "1234", "unavailable": "strange"});
    assert!(gone(&told).expect("a server").unavailable);
    assert!(!gone(&json!({"id": "1234"})).expect("a server").unavailable);
}

proptest! {
    /// Whatever is odd at the same time: nothing panics, and who must be there is all that is missed.
    #[test]
    fn any_mixture_is_read(
        case in 0..CASES.len(),
        odd in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..12),
    ) {
        let case = &CASES[case];
        let oddities = oddities();
        let mut told = (case.whole)();
        let mut touched = Vec::new();
        for (place, odd) in odd {
            let mut all = Vec::new();
            paths(&told, &Path::new(), &mut all);
            let path = place.get(&all).clone();
            put(&mut told, &path, odd.get(&oddities).clone());
            touched.push(path.join("."));
        }
        if (case.read)(&told).is_err() {
            let needs: Vec<&str> = case.whole_needs.iter().chain(case.exact).copied().collect();
            let why = touched.iter().any(|path| {
                path.is_empty() || needs.iter().any(|it| is_within(
                    &it.split('.').map(str::to_owned).collect::<Vec<_>>(), path,
                ))
            });
            prop_assert!(why, "{}: {:?}", case.name, touched);
        }
    }

    /// A frame of any bytes is read or is not, and that is all.
    #[test]
    fn any_text_is_json_or_is_not(text in "\\PC*", json in "[\\[\\]{}\",:0-9eE.+\\-\\\\u dtrufalsn]*") {
        for text in [text, json] {
            let read = parse(&text);
            if let Ok(right) = serde_json::from_str::<Value>(&text) {
                prop_assert_eq!(read, Ok(right));
            }
        }
    }
}
