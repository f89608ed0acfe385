//! Discord rejects the whole list of commands for one invalid name, so its rules are checked here.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

/// Locales that everything must be in, besides English.
const LOCALES: [&str; 7] = ["de", "es-419", "es-ES", "fr", "ja", "pt-BR", "zh-CN"];

/// Discord's limit for all names, descriptions and values of a command together, each counted in
/// its longest language.
const MAX_COMMAND_CHARS: usize = 8_000;

const CHAT_INPUT: u64 = 1;
const MESSAGE: u64 = 3;
const SUBCOMMAND: u64 = 1;

fn commands_as_json() -> Vec<Value> {
    commands()
        .iter()
        .map(|command| serde_json::to_value(command).expect("a command is JSON"))
        .collect()
}

fn array_field<'a>(of: &'a Value, field: &str) -> &'a [Value] {
    of[field].as_array().map_or(&[], Vec::as_slice)
}

fn is_subcommand(option: &Value) -> bool {
    option["type"].as_u64() == Some(SUBCOMMAND)
}

/// A field's English text, then its localizations.
fn texts_in_all_languages<'a>(of: &'a Value, field: &str) -> Vec<&'a str> {
    let english = of[field].as_str().expect("an English text");
    let others = of[format!("{field}_localizations")]
        .as_object()
        .expect("other languages");
    assert_eq!(
        others.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        BTreeSet::from(LOCALES),
        "{english}"
    );
    let others = others.values().map(|text| text.as_str().expect("a text"));
    std::iter::once(english).chain(others).collect()
}

/// The name in one locale.
fn name_in<'a>(of: &'a Value, locale: &str) -> &'a str {
    of["name_localizations"][locale]
        .as_str()
        .expect("a name in every language")
}

/// `^[-_\p{L}\p{N}]{1,32}$`, in lower case where the script has it.
fn assert_name(name: &str) {
    assert!((1..=32).contains(&name.chars().count()), "{name}");
    let fits = |c: char| c == '-' || c == '_' || c.is_alphanumeric();
    assert!(name.chars().all(fits), "{name}");
    assert_eq!(name, name.to_lowercase());
}

fn assert_description(description: &str) {
    let chars = description.chars().count();
    assert!((1..=100).contains(&chars), "{chars}: {description}");
}

fn assert_options(options: &[Value], of: &str) {
    assert!(options.len() <= 25, "{of}");
    let required: Vec<bool> = options
        .iter()
        .map(|option| option["required"].as_bool().unwrap_or(false))
        .collect();
    let sorted = required
        .iter()
        .is_sorted_by(|before, after| before >= after);
    assert!(sorted, "{of}: what is required comes first");
    assert_unique_names(options, of);
    for option in options {
        texts_in_all_languages(option, "name")
            .into_iter()
            .for_each(assert_name);
        for text in texts_in_all_languages(option, "description") {
            assert_description(text);
        }
        let choices = array_field(option, "choices");
        assert!(choices.len() <= 25, "{of}");
        assert_unique_names(choices, of);
        for choice in choices {
            texts_in_all_languages(choice, "name")
                .into_iter()
                .for_each(assert_description);
        }
        assert_options(array_field(option, "options"), &option["name"].to_string());
    }
}

/// No two names are equal in any language.
fn assert_unique_names(entries: &[Value], of: &str) {
    for locale in LOCALES {
        let names: BTreeSet<&str> = entries.iter().map(|entry| name_in(entry, locale)).collect();
        assert_eq!(names.len(), entries.len(), "{of} in {locale}");
    }
}

/// What counts towards [`MAX_COMMAND_CHARS`].
fn command_chars(of: &Value) -> usize {
    let longest = |field: &str| {
        let here = of[field].as_str().unwrap_or_default();
        let others = of[format!("{field}_localizations")].as_object();
        let others = others.into_iter().flat_map(|others| others.values());
        others
            .filter_map(Value::as_str)
            .chain([here])
            .map(|text| text.chars().count())
            .max()
            .unwrap_or_default()
    };
    let value = of["value"]
        .as_str()
        .map_or(0, |value| value.chars().count());
    let nested = array_field(of, "options")
        .iter()
        .chain(array_field(of, "choices"));
    longest("name") + longest("description") + value + nested.map(command_chars).sum::<usize>()
}

#[test]
fn names_and_descriptions_meet_discords_limits() {
    for command in commands_as_json() {
        let name = command["name"].to_string();
        if command["type"].as_u64() == Some(CHAT_INPUT) {
            texts_in_all_languages(&command, "name")
                .into_iter()
                .for_each(assert_name);
            texts_in_all_languages(&command, "description")
                .into_iter()
                .for_each(assert_description);
        } else {
            // A menu entry may contain spaces and capitals, but has no description.
            for text in texts_in_all_languages(&command, "name") {
                assert!((1..=32).contains(&text.chars().count()), "{text}");
            }
            assert!(command["description"].is_null());
        }
        assert_options(array_field(&command, "options"), &name);
        assert!(command_chars(&command) <= MAX_COMMAND_CHARS, "{name}");
    }
}

/// At most 100 slash commands and 5 message commands; a subcommand contains options only, and a
/// command contains subcommands or options, not both.
#[test]
fn counts_and_nesting_meet_discords_limits() {
    let commands = commands_as_json();
    let of_type = |number| {
        let same_type = |command: &&Value| command["type"].as_u64() == Some(number);
        commands.iter().filter(same_type).count()
    };
    assert!(of_type(CHAT_INPUT) <= 100);
    assert!(of_type(MESSAGE) <= 5);
    assert_eq!(of_type(CHAT_INPUT) + of_type(MESSAGE), commands.len());
    for command in &commands {
        let options = array_field(command, "options");
        let (subcommands, plain): (Vec<&Value>, Vec<&Value>) =
            options.iter().partition(|it| is_subcommand(it));
        assert!(subcommands.is_empty() || plain.is_empty(), "{command}");
        for subcommand in subcommands {
            assert!(!array_field(subcommand, "options").iter().any(is_subcommand));
        }
        for option in plain {
            assert!(array_field(option, "options").is_empty(), "{option}");
        }
    }
}

/// Texts of at most 6,000 characters, choices of at most 100, and no choices beside a length.
#[test]
fn values_meet_discords_limits() {
    fn check(options: &[Value]) {
        for option in options {
            for limit in ["min_length", "max_length"] {
                assert!(option[limit].as_u64().unwrap_or(0) <= 6_000, "{option}");
            }
            let choices = array_field(option, "choices");
            let values: BTreeSet<&str> = choices
                .iter()
                .map(|choice| choice["value"].as_str().expect("a text"))
                .collect();
            assert_eq!(values.len(), choices.len(), "{option}");
            assert!(values.iter().all(|it| it.chars().count() <= 100));
            assert!(choices.is_empty() || option["max_length"].is_null());
            check(array_field(option, "options"));
        }
    }
    for command in commands_as_json() {
        check(array_field(&command, "options"));
    }
}

#[test]
fn command_names_are_unique_in_every_language() {
    let (slash, menus): (Vec<Value>, Vec<Value>) = commands_as_json()
        .into_iter()
        .partition(|command| command["type"].as_u64() == Some(CHAT_INPUT));
    assert_unique_names(&slash, "slash commands");
    assert_unique_names(&menus, "menus");
}

#[test]
fn every_command_says_where_it_can_be_used() {
    // Contexts: 0 servers, 1 direct messages with the bot, 2 private channels. Installed by: 0 a
    // server, 1 a user.
    let places: Vec<String> = commands_as_json()
        .iter()
        .map(|command| {
            let (name, added, contexts) = (
                command["name"].as_str().expect("a name"),
                &command["integration_types"],
                &command["contexts"],
            );
            let who = command["default_member_permissions"]
                .as_str()
                .unwrap_or("everybody");
            format!("{name}: {added} {contexts} {who}")
        })
        .collect();
    assert_eq!(
        places,
        [
            "ask: [0,1] [0,1,2] everybody",
            "transcribe: [0,1] [0,1,2] everybody",
            "Transcribe: [0,1] [0,1,2] everybody",
            "Answer this: [0,1] [0,1,2] everybody",
            "reset: [0,1] [0,1,2] everybody",
            // Manage Server is bit 5.
            "join: [0] [0] everybody",
            "leave: [0] [0] everybody",
            "session: [0] [0] everybody",
            "summary: [0] [0] everybody",
            "settings: [0] [0] 32",
            "usage: [0,1] [0,1,2] everybody",
            "privacy: [0,1] [0,1,2] everybody",
            "forget-me: [0,1] [0,1,2] everybody",
            "help: [0,1] [0,1,2] everybody",
        ]
    );
}

/// One line per command, option and choice: everything that Discord registers except the texts.
fn command_table(entries: &[Value], depth: usize) -> String {
    entries
        .iter()
        .map(|entry| {
            format!(
                "{:indent$}{}\n{}{}",
                "",
                table_line(entry),
                command_table(array_field(entry, "options"), depth + 1),
                command_table(array_field(entry, "choices"), depth + 1),
                indent = 2 * depth,
            )
        })
        .collect()
}

fn table_line(entry: &Value) -> String {
    let mut columns: Vec<String> = Vec::new();
    if !entry["contexts"].is_null() {
        let (contexts, owners) = ("contexts", "integration_types");
        columns.push(named(&entry["type"], &COMMAND_TYPES).to_owned());
        columns.push(all_named("contexts", entry, contexts, &CONTEXTS));
        columns.push(all_named("installed to", entry, owners, &INSTALLATIONS));
        let permissions = entry["default_member_permissions"].as_str();
        columns.extend(permissions.map(|bits| format!("permissions {bits}")));
    } else if !entry["value"].is_null() {
        columns.push(format!("choice {}", entry["value"]));
    } else {
        columns.push(named(&entry["type"], &OPTION_TYPES).to_owned());
        if !is_subcommand(entry) {
            let required = entry["required"].as_bool().expect("a boolean");
            columns.push(if required { "required" } else { "optional" }.to_owned());
        }
        for limit in ["min_value", "max_value", "min_length", "max_length"] {
            if !entry[limit].is_null() {
                columns.push(format!("{limit} {}", entry[limit]));
            }
        }
        if !array_field(entry, "channel_types").is_empty() {
            columns.push(all_named(
                "channels",
                entry,
                "channel_types",
                &CHANNEL_TYPES,
            ));
        }
    }
    for flag in ["nsfw", "autocomplete"] {
        if entry[flag].as_bool() == Some(true) {
            columns.push(flag.to_owned());
        }
    }
    for field in ["name", "description"] {
        if let Some(localizations) = entry[format!("{field}_localizations")].as_object() {
            columns.push(format!("{} {field}s", localizations.len()));
        }
    }
    let name = entry["name"].as_str().expect("a name");
    format!("{name}: {}", columns.join(" | "))
}

/// Discord's numbers and what they stand for.
type Names = [(u64, &'static str)];

const COMMAND_TYPES: [(u64, &str); 2] = [(1, "slash command"), (3, "message command")];
const CONTEXTS: [(u64, &str); 3] = [(0, "guild"), (1, "bot_dm"), (2, "private_channel")];
const INSTALLATIONS: [(u64, &str); 2] = [(0, "guild"), (1, "user")];
const OPTION_TYPES: [(u64, &str); 8] = [
    (1, "subcommand"),
    (3, "string"),
    (4, "integer"),
    (5, "boolean"),
    (6, "user"),
    (7, "channel"),
    (8, "role"),
    (11, "attachment"),
];
const CHANNEL_TYPES: [(u64, &str); 8] = [
    (0, "text"),
    (2, "voice"),
    (5, "announcement"),
    (10, "announcement_thread"),
    (11, "public_thread"),
    (12, "private_thread"),
    (13, "stage"),
    (15, "forum"),
];

fn named(number: &Value, names: &Names) -> &'static str {
    let known = names.iter().find(|(it, _)| number.as_u64() == Some(*it));
    known.map_or("unknown", |(_, name)| *name)
}

fn all_named(label: &str, entry: &Value, field: &str, names: &Names) -> String {
    let numbers = array_field(entry, field).iter();
    let found: Vec<&str> = numbers.map(|number| named(number, names)).collect();
    format!("{label} {}", found.join(" "))
}

#[test]
fn registered_commands() {
    insta::assert_snapshot!(command_table(&commands_as_json(), 0));
}
