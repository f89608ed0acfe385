//! `talkback doctor --voice CHANNEL_ID`: whether a call could be heard.

use sandbox::Channel;

use super::lines_starting_with;
use crate::bot::harness::BotFixture;
use crate::support::CommandOutput;

const CONNECT: u64 = 1 << 20;

/// The line about voice, which is the only one.
async fn run_voice_check(scene: &BotFixture, channel: &Channel) -> (CommandOutput, String) {
    let id = channel.id().to_string();
    let screen = scene.run(&["doctor", "--voice", &id]).await;
    let all = screen.stdout.lines().filter(|it| it.contains("  voice: "));
    let all: Vec<String> = all.map(str::to_owned).collect();
    let [only] = all.as_slice() else {
        panic!("{screen:?}");
    };
    let only = only.clone();
    (screen, only)
}

#[tokio::test]
async fn a_call_is_joined_and_left() {
    let scene = BotFixture::new().await;
    let lounge = scene.guild.add_voice_channel("Lounge");
    scene.ana.join_voice(&lounge).await;

    let (screen, told) = run_voice_check(&scene, &lounge).await;

    assert_eq!(screen.exit_code, Some(0), "{screen:?}");
    assert!(
        told.starts_with("ok    voice: joined Lounge for a moment:"),
        "{told}"
    );
    assert!(
        told.ends_with(", and end-to-end encryption was set up"),
        "{told}"
    );
    scene.discord.wait_until_bot_left_call().await;
    assert_eq!(scene.guild.bot_voice_channel(), None);
    assert_eq!(scene.discord.identify_and_resume_counts(), (1, 0));
    scene.discord.wait_until_disconnected().await;
}

#[tokio::test]
async fn nobody_else_needs_to_be_there() {
    let scene = BotFixture::new().await;
    let lounge = scene.guild.add_voice_channel("Lounge");

    let (screen, told) = run_voice_check(&scene, &lounge).await;

    assert_eq!(screen.exit_code, Some(0), "{screen:?}");
    assert!(told.starts_with("ok    voice: joined Lounge"), "{told}");
    assert!(told.contains("nobody else there"), "{told}");
}

#[tokio::test]
async fn a_call_that_can_not_be_joined() {
    let scene = BotFixture::new().await;
    let closed = scene.guild.add_voice_channel("closed");
    closed.deny_bot(CONNECT);

    let (screen, told) = run_voice_check(&scene, &closed).await;
    assert_eq!(screen.exit_code, Some(1), "{screen:?}");
    assert!(told.contains("didn't let the bot into"), "{told}");

    let (screen, told) = run_voice_check(&scene, &scene.channel).await;
    assert_eq!(screen.exit_code, Some(1), "{screen:?}");
    assert!(told.contains("isn't a voice channel"), "{told}");

    let lounge = scene.guild.add_voice_channel("Lounge");
    scene.discord.set_voice_unreachable(true);
    let (screen, told) = run_voice_check(&scene, &lounge).await;
    assert_eq!(screen.exit_code, Some(1), "{screen:?}");
    assert!(told.contains("the voice server can't be reached"), "{told}");
    assert_eq!(lines_starting_with(&screen, "FAIL").len(), 1, "{screen:?}");
    scene.discord.wait_until_bot_left_call().await;
}

#[tokio::test]
async fn a_call_that_goes_on_is_left_alone() {
    let mut scene = BotFixture::new().await;
    let lounge = scene.guild.add_voice_channel("Lounge");
    let other = scene.guild.add_voice_channel("Other");
    let _bot = scene.start().await;
    scene.ana.join_voice(&lounge).await;
    let options = serde_json::json!({});
    let response = scene
        .ana
        .run_command(&scene.channel, "/join", options)
        .await;
    response.wait_for_answer_containing("I'm in").await;
    scene.discord.wait_until_bot_receiving(&lounge).await;

    let (screen, told) = run_voice_check(&scene, &other).await;

    assert_eq!(screen.exit_code, Some(0), "{screen:?}");
    assert!(
        told.starts_with("warn  voice: The bot is already in a call"),
        "{told}"
    );
    assert_eq!(scene.guild.bot_voice_channel(), Some(lounge.id()));
    assert!(scene.discord.is_bot_in_call());
}
