//! Nobody is written down against their will.

use serde_json::json;

use super::super::running::recording;
use super::{Lounge, with_songbird_too};

/// Where the model is.
fn host(lounge: &Lounge) -> String {
    let url = lounge.sandbox.openai().url();
    let host = url.trim_start_matches("http://").split('/').next();
    host.unwrap_or_default().to_owned()
}

with_songbird_too!(nobody_is_written_down_before_saying_yes,);

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_written_down_before_saying_yes() {
    let mut lounge = Lounge::new().await;
    let _bot = lounge.start().await;
    lounge.ben.joins_voice(&lounge.lounge).await;
    lounge.begins().await;
    insta::assert_snapshot!(
        lounge
            .notice()
            .await
            .text()
            .replace(&lounge.lounge.id().to_string(), "LOUNGE")
            .replace(&host(&lounge), "HOST"),
        @r"
    **Ana asked me to listen in <#LOUNGE>.** I write down who says what, here, and answer what you ask me by name, or anything if you are alone.
    Nobody is written down before pressing **Transcribe me**; what others say is dropped unheard. You can change your mind at any time, and I remember it for this server.
    -# Voices go to AssemblyAI, and I keep no sound of them. Questions and the summary go to sandbox-1 at HOST. I keep the words for 30 days, encrypted. `/leave` ends this, `/privacy` tells more.
    "
    );
    lounge.sandbox.assemblyai().hears("This must not be heard.");
    lounge.ben.speaks(recording("meeting_b.ogg")).await;
    lounge
        .says(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    let shown = lounge.shown();
    assert!(
        !shown.contains("must not be heard") && !shown.contains("Ben"),
        "{shown}"
    );
    let report = lounge.answered("/session", json!({}), "Ana").await;
    assert!(!report.text().contains("Ben"), "{}", report.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_holds_at_once_and_in_the_next_session() {
    let (lounge, _bot) = Lounge::with_both().await;
    lounge
        .says(
            &lounge.ben,
            "meeting_b.ogg",
            "Somebody has to write the release notes.",
        )
        .await;
    let pressed = lounge.ben.presses(&lounge.notice().await, "Don't").await;
    pressed.answer_with("dropped unheard").await;
    lounge.sandbox.assemblyai().hears("This must not be heard.");
    lounge.ben.speaks(recording("meeting_c.ogg")).await;
    lounge
        .says(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    assert!(!lounge.shown().contains("must not be heard"));
    lounge.ends().await;

    lounge.ana.may_manage_server();
    let everybody = json!({"consent": "notice"});
    lounge
        .answered(
            "/settings voice",
            everybody,
            "everybody but who has declined",
        )
        .await;
    lounge.answered("/join", json!({}), "I am in").await;
    lounge.discord.until_bot_hears(&lounge.lounge).await;
    lounge.sandbox.assemblyai().hears("This must not be heard.");
    lounge.ben.speaks(recording("meeting_c.ogg")).await;
    lounge
        .says(&lounge.ana, "rust.ogg", "Three tips for Rust.")
        .await;
    assert!(!lounge.shown().contains("must not be heard"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_carries_a_mark_while_it_listens() {
    let (lounge, _bot) = Lounge::with_session().await;
    let nick = lounge.guild.bot_nick();
    assert!(
        nick.as_deref().is_some_and(|it| it.starts_with("🔴 ")),
        "{nick:?}"
    );
    lounge.ends().await;
    assert_eq!(lounge.guild.bot_nick(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn forget_me_takes_ones_lines_along() {
    let (lounge, _bot) = Lounge::with_both().await;
    lounge
        .says(
            &lounge.ben,
            "meeting_b.ogg",
            "Somebody has to write the release notes.",
        )
        .await;
    lounge
        .says(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    let response = lounge
        .ben
        .runs(&lounge.channel, "/forget-me", json!({}))
        .await;
    response.answer_with("1 pieces of conversation").await;
    let last = lounge.ends().await;
    let txt = super::file(&last, "transcript.txt");
    assert!(
        txt.contains("Thursday") && !txt.contains("release notes"),
        "{txt}"
    );
}
