//! What is wrong with the bot, or with Discord.

use sandbox::Discord;
use talkback::flow::server::ServerSettings;
use talkback::store::Store;

use super::{assert_report, lines};
use crate::bot::running::Scene;
use crate::support::Screen;

const SEND_MESSAGES: u64 = 1 << 11;
const VIEW_CHANNEL: u64 = 1 << 10;
const ATTACH_FILES: u64 = 1 << 15;
const CONNECT: u64 = 1 << 20;

async fn doctor(scene: &Scene) -> Screen {
    scene.run(&["doctor"]).await
}

/// As `/settings notes` leaves it.
async fn notes_on_in(scene: &Scene, channels: &[u64]) {
    let (store, _) = Store::open(&scene.data(), None).await.expect("a ledger");
    let kept = ServerSettings::update(&store, scene.guild.id(), |settings| {
        settings.notes = channels.to_vec();
        Ok::<_, ()>(())
    });
    kept.await.expect("kept").expect("changed");
    store.close().await;
}

/// The only line that begins with this.
fn only<'a>(screen: &'a Screen, beginning: &str) -> &'a str {
    let found = lines(screen, beginning);
    assert_eq!(found.len(), 1, "{beginning}: {screen:?}");
    found[0]
}

fn questions(discord: &Discord) -> usize {
    discord.requests().len()
}

#[tokio::test]
async fn all_is_well() {
    let mut scene = Scene::new().await;
    let proxy = scene.discord.http_url();
    scene.set("HTTPS_PROXY", "").set("DISCORD_PROXY", &proxy);
    let mut bot = scene.start().await;
    scene.notes_on().await;
    bot.terminate();
    assert_eq!(bot.ends().await, Some(0));
    let logins = scene.discord.logins();

    let screen = doctor(&scene).await;

    assert_report!(screen, 0);
    assert!(!screen.out.contains(&scene.discord.token()), "{screen:?}");
    // Sessions are counted by Discord: none is begun.
    assert_eq!(scene.discord.logins(), logins);
}

#[tokio::test]
async fn while_the_bot_runs() {
    let mut scene = Scene::new().await;
    scene.set("TALKBACK_HTTP", "127.0.0.1:0");
    let mut bot = scene.start().await;
    scene.notes_on().await;
    bot.until_it_says("Status page: http://").await;
    let said = bot.out() + &bot.log();
    let (_, address) = said.split_once("Status page: http://").expect("said");
    let (address, _) = address.split_once('/').expect("an address");
    scene.set("TALKBACK_HTTP", address);

    let screen = doctor(&scene).await;

    assert_eq!(screen.code, Some(0), "{screen:?}");
    let ledger = only(&screen, "ok    ledger: ");
    assert!(ledger.contains("a bot works with it"), "{ledger}");
    let page = only(&screen, "ok    TALKBACK_HTTP: ");
    assert!(
        page.ends_with("is served by a Talkback that runs"),
        "{page}"
    );
    let permissions = only(&screen, "ok    permissions: ");
    assert!(permissions.contains("1 channel with"), "{permissions}");
    // And it goes on.
    bot.terminate();
    assert_eq!(bot.ends().await, Some(0));
}

#[tokio::test]
async fn a_token_that_is_refused() {
    let scene = Scene::new().await;
    scene.discord.resets_token();

    let screen = doctor(&scene).await;

    assert_report!(screen, 1);
    assert_eq!(questions(&scene.discord), 1);
}

#[tokio::test]
async fn discord_can_not_be_reached() {
    let mut scene = Scene::new().await;
    for (variable, way_out) in [
        ("HTTPS_PROXY", "FAIL  Discord: Discord can't be reached"),
        (
            "DISCORD_PROXY",
            "FAIL  Discord: Discord's REST API can't be reached through DISCORD_PROXY",
        ),
    ] {
        scene.set(variable, "http://127.0.0.1:9");

        let screen = doctor(&scene).await;

        assert_eq!(screen.code, Some(1), "{screen:?}");
        only(&screen, way_out);
        // One sentence, no cascade.
        only(&screen, "FAIL");
        assert!(lines(&screen, "warn").is_empty(), "{screen:?}");
    }
}

#[tokio::test]
async fn nothing_is_set_up_yet() {
    let scene = Scene::new().await;
    scene.discord.allows_message_content(false);
    scene.discord.starts_left(3);

    let screen = doctor(&scene).await;

    assert_report!(screen, 0);
}

#[tokio::test]
async fn permissions_that_are_missing() {
    let scene = Scene::new().await;
    let (hidden, gone) = (scene.guild.channel("secret"), scene.guild.channel("gone"));
    let (quiet, filed) = (scene.guild.channel("quiet"), scene.guild.channel("files"));
    let thread = quiet.thread("aside");
    let on = [
        scene.channel.id(),
        hidden.id(),
        gone.id(),
        quiet.id(),
        filed.id(),
        thread.id(),
    ];
    notes_on_in(&scene, &on).await;
    hidden.denies_bot(VIEW_CHANNEL);
    quiet.denies_bot(SEND_MESSAGES);
    filed.denies_bot(ATTACH_FILES);
    gone.delete();
    scene.guild.denies_bot(CONNECT);

    let screen = doctor(&scene).await;

    assert_report!(screen, 1);
}

#[tokio::test]
async fn a_clock_that_discord_does_not_share() {
    let scene = Scene::new().await;
    for (ahead, code, told) in [
        (10, 0, "ok    clock: right, as far as Discord tells"),
        (-90, 0, "warn  clock: This machine's clock is 1 min "),
        (
            -7_200,
            1,
            "FAIL  clock: This machine's clock is 2 h ahead of ",
        ),
    ] {
        scene.sandbox.clock_ahead_by(ahead);

        let screen = doctor(&scene).await;

        assert_eq!(screen.code, Some(code), "{screen:?}");
        only(&screen, told);
    }
}

#[tokio::test]
async fn commands_of_another_version() {
    let mut scene = Scene::new().await;
    let mut bot = scene.start().await;
    bot.terminate();
    assert_eq!(bot.ends().await, Some(0));
    scene.discord.has_other_commands();

    let screen = doctor(&scene).await;

    assert_eq!(screen.code, Some(0), "{screen:?}");
    let commands = only(&screen, "warn  commands: ");
    let told = "not registered: help; registered otherwise: ask; not of this version: old";
    assert!(commands.contains(told), "{commands}");
}
