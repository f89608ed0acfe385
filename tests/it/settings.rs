//! The settings: read, refused, and described in the same words everywhere.

use talkback::app::App;
#[cfg(feature = "local")]
use talkback::config::SpeechProvider;
use talkback::config::{ChatConfig, Config, RequiredFeatures, SETTINGS, SettingValues};

use crate::support::repository;

fn error_messages(values: &SettingValues) -> String {
    let faults = Config::read(values).expect_err("faulty settings");
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[cfg(feature = "local")]
#[test]
fn without_any_setting_everything_is_local() {
    let config = Config::read(&SettingValues::default()).expect("defaults are sound");
    assert_eq!(config.speech.providers, [SpeechProvider::Local]);
    assert!(matches!(config.chat, ChatConfig::Local(_)));
}

#[cfg(feature = "local")]
#[test]
fn a_key_chooses_its_provider_and_keeps_the_local_engine_behind_it() {
    let values = SettingValues::from([
        ("ASSEMBLYAI_API_KEY", "0123456789abcdef"),
        ("OPENAI_API_KEY", "sk-0123456789abcdef"),
    ]);
    let config = Config::read(&values).expect("sound");
    assert_eq!(
        config.speech.providers,
        [
            SpeechProvider::Sync,
            SpeechProvider::Prerecorded,
            SpeechProvider::Local
        ]
    );
    assert!(matches!(config.chat, ChatConfig::OpenAi(_)));
    let shown = format!("{config:?}");
    assert!(!shown.contains("0123456789abcdef"), "a key in {shown}");
}

#[cfg(feature = "local")]
#[test]
fn an_empty_value_is_no_value() {
    let values = SettingValues::from([("OPENAI_API_KEY", ""), ("MAX_AUDIO_SECONDS", "  ")]);
    let config = Config::read(&values).expect("sound");
    assert!(matches!(config.chat, ChatConfig::Local(_)));
}

#[test]
fn a_model_may_think_as_long_as_an_answer_may_take() {
    let of = |values: &[(&'static str, &'static str)]| {
        let mut all = SettingValues::from([
            ("ASSEMBLYAI_API_KEY", "0123456789abcdef"),
            ("OPENAI_API_KEY", "sk-0123456789abcdef"),
        ]);
        for (variable, value) in values {
            all.set(variable, *value);
        }
        match Config::read(&all).expect("sound").chat {
            ChatConfig::OpenAi(settings) => settings,
            other => panic!("{other:?}"),
        }
    };
    for (timeout, seconds) in [(&[][..], 120), (&[("CHAT_TIMEOUT", "300")], 300)] {
        let settings = of(timeout);
        assert_eq!(settings.first_token_timeout.as_secs(), seconds);
        assert_eq!(settings.total_timeout.as_secs(), seconds);
    }
    let base = "https://eu.api.openai.com/v1";
    let settings = of(&[("OPENAI_BASE_URL", base)]);
    assert_eq!(settings.reasoning_effort.as_deref(), Some("none"));
    let settings = of(&[
        ("OPENAI_BASE_URL", "http://localhost:11434/v1"),
        ("OPENAI_MODEL", "llama3"),
    ]);
    assert_eq!(settings.reasoning_effort, None);
}

#[test]
fn live_transcription_is_chosen_by_a_setting() {
    let key = ("ASSEMBLYAI_API_KEY", "0123456789abcdef");
    let config = Config::read(&SettingValues::from([key])).expect("sound");
    assert!(
        App::new(&config)
            .expect("an app")
            .live_transcriber
            .is_none()
    );

    let values = SettingValues::from([
        key,
        ("VOICE_TRANSCRIBER", "streaming"),
        ("VOICE_STREAM_INACTIVITY", "60"),
        ("ASSEMBLYAI_REGION", "eu"),
    ]);
    let config = Config::read(&values).expect("sound");
    let live = App::new(&config).expect("an app").live_transcriber;
    assert_eq!(live.map(|live| live.name()), Some("AssemblyAI streaming"));
    let settings = config.speech.assemblyai.expect("a key").streaming;
    assert_eq!(settings.base.as_str(), "wss://streaming.eu.assemblyai.com/");
    assert_eq!(settings.inactivity_timeout.as_secs(), 60);

    let values =
        SettingValues::from([key, ("ASSEMBLYAI_STREAMING_URL", "https://proxy.example/x")]);
    let config = Config::read(&values).expect("sound");
    let settings = config.speech.assemblyai.expect("a key").streaming;
    assert_eq!(settings.base.as_str(), "wss://proxy.example/x");
    assert_eq!(settings.inactivity_timeout.as_secs(), 10);
}

#[test]
fn models_and_regions_of_assemblyai_are_settings() {
    let read = |values: &[(&'static str, &str)]| {
        let mut all = SettingValues::from([("ASSEMBLYAI_API_KEY", "0123456789abcdef")]);
        for (variable, value) in values {
            all.set(variable, *value);
        }
        let speech = RequiredFeatures {
            speech: true,
            ..RequiredFeatures::NONE
        };
        let config = Config::read_for(&all, speech).expect("sound");
        config.speech.assemblyai.expect("a key")
    };
    let settings = read(&[]);
    assert_eq!(
        settings.prerecorded_models,
        ["assemblyai-stt-3-7", "universal-2"]
    );
    assert_eq!(settings.sync_model, "universal-3-5-pro");
    assert_eq!(settings.streaming.model, "universal-3-6-pro");

    let settings = read(&[
        ("ASSEMBLYAI_PRERECORDED_MODELS", "universal-2, "),
        ("ASSEMBLYAI_SYNC_MODEL", "universal-3-6-pro"),
        ("ASSEMBLYAI_STREAMING_MODEL", "whisper-rt"),
        ("ASSEMBLYAI_REGION", "us"),
    ]);
    assert_eq!(settings.prerecorded_models, ["universal-2"]);
    assert_eq!(settings.sync_model, "universal-3-6-pro");
    assert_eq!(settings.streaming.model, "whisper-rt");
    assert_eq!(
        settings.streaming.base.as_str(),
        "wss://streaming.us.assemblyai.com/"
    );
    assert_eq!(
        settings.sync_base.as_str(),
        "https://sync.us.assemblyai.com/"
    );
    assert_eq!(settings.api_base.as_str(), "https://api.assemblyai.com/");
}

#[test]
fn who_answers_follows_from_the_keys_unless_somebody_chooses() {
    let key = ("ASSEMBLYAI_API_KEY", "0123456789abcdef");
    let openai = ("OPENAI_API_KEY", "sk-0123456789abcdef");
    let gateway = "ASSEMBLYAI_CHAT_MODEL";
    let cases: [(&[(&'static str, &str)], &str); 7] = [
        (&[], "LOCAL_CHAT_MODEL"),
        (&[key], gateway),
        (&[key, openai], "OPENAI_MODEL"),
        (&[key, openai, ("CHAT_PROVIDER", "assemblyai")], gateway),
        (&[key, ("CHAT_PROVIDER", "local")], "LOCAL_CHAT_MODEL"),
        (&[key, ("LOCAL_CHAT_MODEL", "/a.gguf")], "LOCAL_CHAT_MODEL"),
        (&[key, ("SPEECH_PROVIDERS", "Local,")], "LOCAL_CHAT_MODEL"),
    ];
    for (settings, model) in cases {
        let mut values = SettingValues::default();
        for (variable, value) in settings {
            values.set(variable, *value);
        }
        // What this build lacks is no fault to somebody who needs nothing.
        let config = Config::read_for(&values, RequiredFeatures::NONE);
        match config {
            Ok(config) => assert_eq!(config.chat.model_setting(), model, "{settings:?}"),
            Err(faults) => assert!(faults.iter().all(|it| it.variable == "SPEECH_PROVIDERS")),
        }
    }
    let values = SettingValues::from([key, ("ASSEMBLYAI_REGION", "eu")]);
    let config = Config::read(&values).expect("sound");
    assert_eq!(config.bot.rules.prices.speech_per_hour, 300_000);
    let ChatConfig::AssemblyAi(settings) = config.chat else {
        panic!("another one answers");
    };
    let base = settings.base.as_str();
    assert_eq!(base, "https://llm-gateway.eu.assemblyai.com/v1");
}

#[test]
fn what_uploads_cost_follows_from_their_models() {
    for (models, price) in [
        ("universal-2", 150_000),
        ("universal-3-5-pro,universal-2", 210_000),
        ("assemblyai-stt-3-7", 300_000),
    ] {
        let values = SettingValues::from([
            ("ASSEMBLYAI_API_KEY", "0123456789abcdef"),
            ("SPEECH_PROVIDERS", "prerecorded"),
            ("ASSEMBLYAI_PRERECORDED_MODELS", models),
        ]);
        let config = Config::read(&values).expect("sound");
        assert_eq!(config.bot.rules.prices.speech_per_hour, price, "{models}");
    }
}

#[test]
fn live_transcription_says_what_it_lacks() {
    let values = SettingValues::from([
        ("SPEECH_PROVIDERS", "local"),
        ("VOICE_TRANSCRIBER", "streaming"),
        ("VOICE_STREAM_INACTIVITY", "4"),
        ("ASSEMBLYAI_STREAMING_URL", "ftp://example.org"),
    ]);
    insta::assert_snapshot!(error_messages(&values));
}

#[test]
fn every_fault_is_reported_at_once_by_name() {
    let values = SettingValues::from([
        ("ASSEMBLYAI_API_KEY", "\"quoted key\""),
        ("ASSEMBLYAI_REGION", "mars"),
        ("ASSEMBLYAI_API_URL", "api.assemblyai.com"),
        ("ASSEMBLYAI_SYNC_MODEL", "the newest"),
        ("ASSEMBLYAI_STREAMING_MODEL", "one,two"),
        ("SPEECH_PROVIDERS", "sync,whisper"),
        ("SPEECH_LANGUAGES", "english"),
        ("OPENAI_API_KEY", "sk-x"),
        ("OPENAI_BASE_URL", "https://user:pass@example.org/v1"),
        ("OPENAI_API", "gpt-3"),
        ("CHAT_MAX_TOKENS", "lots"),
        ("CHAT_TEMPERATURE", "hot"),
        ("CHAT_TIMEOUT", "0"),
        ("MAX_AUDIO_BYTES", "-1"),
        ("TALKBACK_LOG", "a=b=c"),
    ]);
    insta::assert_snapshot!(error_messages(&values));
}

#[test]
fn a_provider_without_its_key_says_where_to_get_one() {
    let values = SettingValues::from([("SPEECH_PROVIDERS", "sync"), ("CHAT_PROVIDER", "openai")]);
    insta::assert_snapshot!(error_messages(&values));
}

/// `.env.example` and the README's table are written by this test when `UPDATE_DOCS` is set.
fn assert_or_update_section(path: &str, expected: &str, current: &str, whole: &str) {
    if expected == current {
        return;
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(repository().join(path), whole).expect("written");
        return;
    }
    panic!(
        "{path} does not match the settings in the code. Run: \
         UPDATE_DOCS=1 cargo test --test it settings"
    );
}

#[test]
fn the_example_file_has_every_setting() {
    let mut example = String::from(
        "# Copy this file to .env and take the # away where you want something else.\n\
         # Talkback reads .env from the folder it is started in, or from one above.\n",
    );
    let mut group = "";
    for setting in SETTINGS {
        if setting.group != group {
            group = setting.group;
            example.push_str(&format!("\n## {group}\n"));
        }
        let help = format!("{}. Default: {}.", setting.help, setting.default);
        example.push('\n');
        for line in wrap(&help, 96) {
            example.push_str(&format!("# {line}\n"));
        }
        example.push_str(&format!("#{}=\n", setting.variable));
    }
    let current = std::fs::read_to_string(repository().join(".env.example")).unwrap_or_default();
    assert_or_update_section(".env.example", &example, &current, &example);
}

#[test]
fn the_readme_has_every_setting() {
    const BEGIN: &str = "<!-- settings: made from the code -->\n";
    const END: &str = "<!-- end of settings -->";
    let readme = std::fs::read_to_string(repository().join("README.md")).expect("a README");
    let (before, rest) = readme.split_once(BEGIN).expect("the mark before the table");
    let (current, after) = rest.split_once(END).expect("the mark after the table");
    let mut table = String::new();
    let mut group = "";
    for setting in SETTINGS {
        if setting.group != group {
            group = setting.group;
            table.push_str(&format!(
                "\n**{group}**\n\n| variable | what it does | default |\n| --- | --- | --- |\n"
            ));
        }
        let cell = |text: &str| text.replace('|', "\\|");
        table.push_str(&format!(
            "| `{}` | {} | {} |\n",
            setting.variable,
            cell(setting.help),
            cell(setting.default)
        ));
    }
    table.push('\n');
    let whole = format!("{before}{BEGIN}{table}{END}{after}");
    assert_or_update_section("README.md", &table, current, &whole);
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("one line at least");
        if !line.is_empty() && line.len() + 1 + word.len() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
