//! The JSON that older versions have put into the ledger is still understood, and is written the same way.

use serde_json::{Value, json};

use super::guild_settings::GuildSettings;
use super::job_spec::JobSpec;
use super::session::report::ReceptionReport;
use super::session::{SessionEndReason, SessionSetup};

fn assert_round_trip<T: serde::de::DeserializeOwned + serde::Serialize>(stored: &Value) {
    let read: T = serde_json::from_value(stored.clone()).expect("it is understood");
    assert_eq!(&serde_json::to_value(&read).expect("JSON"), stored);
}

#[test]
fn requests_keep_their_stored_format() {
    let stored = json!({
        "wish": "Answer",
        "name": "Ana",
        "recordings": [],
        "question": "What is it?",
        "conversation": {"Thread": 5},
        "via": {"Command": {"token": "t", "private": true, "alone": false, "pressed": 9}},
        "borrowed": {"message": 1, "author": 2, "name": "Ben", "text": null},
    });
    assert_round_trip::<JobSpec>(&stored);
}

#[test]
fn guild_settings_keep_their_stored_format() {
    let stored = serde_json::to_value(GuildSettings::default()).expect("JSON");
    let stored = stored.as_object().expect("an object");
    for name in [
        "notes",
        "languages",
        "terms",
        "prompt",
        "role",
        "private",
        "member_minutes",
        "server_minutes",
    ] {
        assert!(stored.contains_key(name), "{name}: {stored:?}");
    }
    let read: GuildSettings =
        serde_json::from_value(json!({"notes": [7], "role": 3, "server_minutes": 60}))
            .expect("understood");
    assert_eq!(read.note_channels, [7]);
    assert_eq!(
        (read.required_role, read.guild_minutes),
        (Some(3), Some(60))
    );
}

#[test]
fn reasons_for_an_end_keep_their_stored_names() {
    for name in [
        "asked",
        "alone",
        "too_long",
        "taken_out",
        "stage",
        "unseen",
        "no_notice",
        "unreachable",
        "interrupted",
    ] {
        assert_round_trip::<SessionEndReason>(&json!(name));
    }
}

#[test]
fn sessions_keep_their_stored_format() {
    let time = json!({"secs": 1, "nanos": 0});
    assert_round_trip::<ReceptionReport>(&json!({
        "speakers": [{
            "person": 1, "name": "Ana", "heard": time, "lost": time, "late": 3, "delays": [null, null],
        }],
        "deaf": time,
    }));
    assert_round_trip::<SessionSetup>(
        &json!({"answers": "name", "title": "Lounge", "languages": ["en"]}),
    );
}
