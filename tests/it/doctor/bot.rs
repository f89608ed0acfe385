//! What is wrong with the bot, or with Discord.

use sandbox::Discord;
use talkback::flow::guild_settings::GuildSettings;
use talkback::store::Store;

use super::{assert_report, lines_starting_with};
use crate::bot::harness::BotFixture;
use crate::support::CommandOutput;

const SEND_MESSAGES: u64 = 1 << 11;
const VIEW_CHANNEL: u64 = 1 << 10;
const ATTACH_FILES: u64 = 1 << 15;
const CONNECT: u64 = 1 << 20;

async fn run_doctor(scene: &BotFixture) -> CommandOutput {
    scene.run(&["doctor"]).await
}

/// As `/settings notes` leaves it.
async fn enable_notes_in(scene: &BotFixture, channels: &[u64]) {
    let (store, _) = Store::open(&scene.data(), None).await.expect("a ledger");
    let kept = GuildSettings::update(&store, scene.guild.id(), |settings| {
        settings.note_channels = channels.to_vec();
        Ok::<_, ()>(())
    });
    kept.await.expect("kept").expect("changed");
    store.close().await;
}

/// The only line that begins with this.
fn single_line<'a>(screen: &'a CommandOutput, beginning: &str) -> &'a str {
    let found = lines_starting_with(screen, beginning);
    assert_eq!(found.len(), 1, "{beginning}: {screen:?}");
    found[0]
}

fn request_count(discord: &Discord) -> usize {
    discord.requests().len()
}

#[tokio::test]
async fn complete_setup_has_no_findings() {
    let mut scene = BotFixture::new().await;
    let proxy = scene.discord.http_url();
    scene.set("HTTPS_PROXY", "").set("DISCORD_PROXY", &proxy);
    let mut bot = scene.start().await;
    scene.enable_notes().await;
    bot.terminate();
    assert_eq!(bot.wait_for_exit().await, Some(0));
    let logins = scene.discord.identify_and_resume_counts();

    let screen = run_doctor(&scene).await;

    assert_report!(screen, 0);
    assert!(
        !screen.stdout.contains(&scene.discord.token()),
        "{screen:?}"
    );
    // Sessions are counted by Discord: none is begun.
    assert_eq!(scene.discord.identify_and_resume_counts(), logins);
}

#[tokio::test]
async fn doctor_works_while_the_bot_runs() {
    let mut scene = BotFixture::new().await;
    scene.set("TALKBACK_HTTP", "127.0.0.1:0");
    let mut bot = scene.start().await;
    scene.enable_notes().await;
    bot.wait_for_log("Status page: http://").await;
    let said = bot.stdout() + &bot.stderr();
    let (_, address) = said.split_once("Status page: http://").expect("said");
    let (address, _) = address.split_once('/').expect("an address");
    scene.set("TALKBACK_HTTP", address);

    let screen = run_doctor(&scene).await;

    assert_eq!(screen.exit_code, Some(0), "{screen:?}");
    let ledger = single_line(&screen, "ok    ledger: ");
    assert!(ledger.contains("a bot is using it"), "{ledger}");
    let page = single_line(&screen, "ok    TALKBACK_HTTP: ");
    assert!(page.ends_with("is in use by a running Talkback"), "{page}");
    let permissions = single_line(&screen, "ok    permissions: ");
    assert!(permissions.contains("1 channel with"), "{permissions}");
    // And it goes on.
    bot.terminate();
    assert_eq!(bot.wait_for_exit().await, Some(0));
}

#[tokio::test]
async fn a_token_that_is_refused() {
    let scene = BotFixture::new().await;
    scene.discord.reset_token();

    let screen = run_doctor(&scene).await;

    assert_report!(screen, 1);
    assert_eq!(request_count(&scene.discord), 1);
}

#[tokio::test]
async fn discord_can_not_be_reached() {
    let mut scene = BotFixture::new().await;
    for (variable, way_out) in [
        ("HTTPS_PROXY", "FAIL  Discord: Discord can't be reached"),
        (
            "DISCORD_PROXY",
            "FAIL  Discord: Discord's REST API can't be reached through DISCORD_PROXY",
        ),
    ] {
        scene.set(variable, "http://127.0.0.1:9");

        let screen = run_doctor(&scene).await;

        assert_eq!(screen.exit_code, Some(1), "{screen:?}");
        single_line(&screen, way_out);
        // One sentence, no cascade.
        single_line(&screen, "FAIL");
        assert!(
            lines_starting_with(&screen, "warn").is_empty(),
            "{screen:?}"
        );
    }
}

#[tokio::test]
async fn bot_without_any_setup_is_reported() {
    let scene = BotFixture::new().await;
    scene.discord.allow_message_content(false);
    scene.discord.set_session_starts_left(3);

    let screen = run_doctor(&scene).await;

    assert_report!(screen, 0);
}

#[tokio::test]
async fn permissions_that_are_missing() {
    let scene = BotFixture::new().await;
    let (hidden, gone) = (
        scene.guild.add_text_channel("secret"),
        scene.guild.add_text_channel("gone"),
    );
    let (quiet, filed) = (
        scene.guild.add_text_channel("quiet"),
        scene.guild.add_text_channel("files"),
    );
    let thread = quiet.add_thread("aside");
    let on = [
        scene.channel.id(),
        hidden.id(),
        gone.id(),
        quiet.id(),
        filed.id(),
        thread.id(),
    ];
    enable_notes_in(&scene, &on).await;
    hidden.deny_bot(VIEW_CHANNEL);
    quiet.deny_bot(SEND_MESSAGES);
    filed.deny_bot(ATTACH_FILES);
    gone.delete();
    scene.guild.deny_bot(CONNECT);

    let screen = run_doctor(&scene).await;

    assert_report!(screen, 1);
}

#[tokio::test]
async fn a_clock_that_discord_does_not_share() {
    let scene = BotFixture::new().await;
    for (ahead, code, told) in [
        (10, 0, "ok    clock: right, according to Discord"),
        (-90, 0, "warn  clock: This machine's clock is 1 min "),
        (
            -7_200,
            1,
            "FAIL  clock: This machine's clock is 2 h ahead of ",
        ),
    ] {
        scene.sandbox.set_clock_offset(ahead);

        let screen = run_doctor(&scene).await;

        assert_eq!(screen.exit_code, Some(code), "{screen:?}");
        single_line(&screen, told);
    }
}

#[tokio::test]
async fn commands_of_another_version() {
    let mut scene = BotFixture::new().await;
    let mut bot = scene.start().await;
    bot.terminate();
    assert_eq!(bot.wait_for_exit().await, Some(0));
    scene.discord.set_outdated_commands();

    let screen = run_doctor(&scene).await;

    assert_eq!(screen.exit_code, Some(0), "{screen:?}");
    let commands = single_line(&screen, "warn  commands: ");
    let told = "not registered: help; registered differently: ask; not of this version: old";
    assert!(commands.contains(told), "{commands}");
}
