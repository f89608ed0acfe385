//! `talkback doctor --voice CHANNEL_ID`: whether a call could be heard.

use sandbox::Channel;

use super::lines;
use crate::bot::running::Scene;
use crate::support::Screen;

const CONNECT: u64 = 1 << 20;

/// The line about voice, which is the only one.
async fn tried(scene: &Scene, channel: &Channel) -> (Screen, String) {
    let id = channel.id().to_string();
    let screen = scene.run(&["doctor", "--voice", &id]).await;
    let all = screen.out.lines().filter(|it| it.contains("  voice: "));
    let all: Vec<String> = all.map(str::to_owned).collect();
    let [only] = all.as_slice() else {
        panic!("{screen:?}");
    };
    let only = only.clone();
    (screen, only)
}

#[tokio::test]
async fn a_call_is_joined_and_left() {
    let scene = Scene::new().await;
    let lounge = scene.guild.voice_channel("Lounge");
    scene.ana.joins_voice(&lounge).await;

    let (screen, told) = tried(&scene, &lounge).await;

    assert_eq!(screen.code, Some(0), "{screen:?}");
    assert!(
        told.starts_with("ok    voice: joined Lounge for a moment:"),
        "{told}"
    );
    assert!(
        told.ends_with(", and end-to-end encryption was agreed on"),
        "{told}"
    );
    scene.discord.until_bot_out_of_call().await;
    assert_eq!(scene.guild.bot_in_voice(), None);
    assert_eq!(scene.discord.logins(), (1, 0));
    scene.discord.until_disconnected().await;
}

#[tokio::test]
async fn nobody_else_needs_to_be_there() {
    let scene = Scene::new().await;
    let lounge = scene.guild.voice_channel("Lounge");

    let (screen, told) = tried(&scene, &lounge).await;

    assert_eq!(screen.code, Some(0), "{screen:?}");
    assert!(told.starts_with("ok    voice: joined Lounge"), "{told}");
    assert!(told.contains("nobody else there"), "{told}");
}

#[tokio::test]
async fn a_call_that_can_not_be_joined() {
    let scene = Scene::new().await;
    let closed = scene.guild.voice_channel("closed");
    closed.denies_bot(CONNECT);

    let (screen, told) = tried(&scene, &closed).await;
    assert_eq!(screen.code, Some(1), "{screen:?}");
    assert!(told.contains("did not let the bot into"), "{told}");

    let (screen, told) = tried(&scene, &scene.channel).await;
    assert_eq!(screen.code, Some(1), "{screen:?}");
    assert!(told.contains("is no voice channel"), "{told}");

    let lounge = scene.guild.voice_channel("Lounge");
    scene.discord.voice_unreachable(true);
    let (screen, told) = tried(&scene, &lounge).await;
    assert_eq!(screen.code, Some(1), "{screen:?}");
    assert!(told.contains("the voice server can't be reached"), "{told}");
    assert_eq!(lines(&screen, "FAIL").len(), 1, "{screen:?}");
    scene.discord.until_bot_out_of_call().await;
}

#[tokio::test]
async fn a_call_that_goes_on_is_left_alone() {
    let mut scene = Scene::new().await;
    let lounge = scene.guild.voice_channel("Lounge");
    let other = scene.guild.voice_channel("Other");
    let _bot = scene.start().await;
    scene.ana.joins_voice(&lounge).await;
    let options = serde_json::json!({});
    let response = scene.ana.runs(&scene.channel, "/join", options).await;
    response.answer_with("I am in").await;
    scene.discord.until_bot_hears(&lounge).await;

    let (screen, told) = tried(&scene, &other).await;

    assert_eq!(screen.code, Some(0), "{screen:?}");
    assert!(
        told.starts_with("warn  voice: The bot is in a call"),
        "{told}"
    );
    assert_eq!(scene.guild.bot_in_voice(), Some(lounge.id()));
    assert!(scene.discord.bot_in_call());
}
