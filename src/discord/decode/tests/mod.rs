//! Decodes each event and response that the bot reads, first intact, then with each field in turn
//! missing, null, of another type, out of range or of an unknown value. `ODD_FIELDS=all` tries every
//! invalid value for every field; `PROPTEST_CASES` sets the number of random mixtures.

mod cases;
mod examples;
mod json_paths;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{DecodedInteraction, guild_delete, interaction_create, message, parse_lenient};
use cases::DECODE_CASES;
use examples::{command, named_example, with_fields};
use json_paths::{
    JsonPath, collect_differences, collect_paths, invalid_values, is_within, path_in_model,
    replace_at,
};

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
