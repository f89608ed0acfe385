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

fn commands_as_json() -> Vec<Value> {
    commands()
        .iter()
        .map(|command| serde_json::to_value(command).expect("a command is JSON"))
        .collect()
}

fn array_field<'a>(of: &'a Value, field: &str) -> &'a [Value] {
    of[field].as_array().map_or(&[], Vec::as_slice)
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
fn discord_takes_every_name_in_every_language() {
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

#[test]
fn registered_commands() {
    insta::with_settings!({ sort_maps => true }, {
        insta::assert_json_snapshot!(commands());
    });
}
