//! What the command line says of itself to shells, to `man`, and to whoever watches over the bot.

use crate::support::TalkbackCommand;

#[tokio::test]
async fn shells_can_complete_it() {
    let talkback = TalkbackCommand::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let screen = talkback.run(&["completions", shell]).await;
        assert_eq!(screen.exit_code, Some(0), "{screen:?}");
        for word in ["transcribe", "web", "openai-model"] {
            assert!(screen.stdout.contains(word), "{shell}: {word}");
        }
    }
}

#[tokio::test]
async fn the_manual_has_every_command_and_setting() {
    let screen = TalkbackCommand::new().run(&["man"]).await;
    assert_eq!(screen.exit_code, Some(0), "{screen:?}");
    let page = screen.stdout.replace('\\', "");
    assert!(page.contains(".TH talkback 1"), "{page}");
    for command in ["run", "web", "ask", "transcribe", "doctor", "models", "man"] {
        assert!(
            page.contains(&format!(".SH \"TALKBACK {}\"", command.to_uppercase())),
            "{command}"
        );
    }
    for setting in talkback::config::SETTINGS.iter().filter(|it| !it.secret) {
        let flag = format!("--{}", setting.flag_name());
        // In the synopsis and among the options of the whole program, and nowhere else.
        assert_eq!(page.matches(&format!("{flag}fR")).count(), 2, "{flag}");
    }
}

#[tokio::test]
async fn health_needs_to_know_where_to_ask() {
    let mut talkback = TalkbackCommand::new();
    let screen = talkback.run(&["health"]).await;
    assert_eq!(screen.exit_code, Some(2));
    insta::assert_snapshot!(screen.stderr);

    // Nothing listens on port 1.
    talkback.set("TALKBACK_HTTP", "127.0.0.1:1");
    let screen = talkback.run(&["health"]).await;
    assert_eq!(screen.exit_code, Some(1));
    insta::assert_snapshot!(screen.stderr);
}
