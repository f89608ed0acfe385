//! Several servers at once: none waits for another one.

use sandbox::{DiscordEndpoint, Fault, Gate};
use serde_json::json;

use super::super::harness::sample_bytes;
use super::VoiceFixture;

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_holds_up_no_other_one() {
    let mut lounge = VoiceFixture::new().await;
    let park = lounge.discord.add_guild("Park");
    let (bench, talk) = (
        park.add_voice_channel("Bench"),
        park.add_text_channel("talk"),
    );
    let (cy, dee) = (park.add_member("Cy"), park.add_member("Dee"));
    lounge.discord.hide_voice_members();
    let _bot = lounge.start().await;
    lounge.start_session().await;
    cy.join_voice(&bench).await;
    let response = cy.run_command(&talk, "/join", json!({})).await;
    response.wait_for_answer_containing("I'm in <#").await;
    lounge.discord.wait_until_bot_receiving(&bench).await;
    let notice = cy.wait_for_message(&talk, "asked me to listen").await;
    let pressed = cy.press_button(&notice, "Transcribe me").await;
    pressed
        .wait_for_answer_containing("From now on I'll transcribe")
        .await;
    let stt = lounge.sandbox.assemblyai();
    stt.set_transcript("I think we should ship on Thursday.");
    cy.speak(sample_bytes("meeting_a.ogg")).await;
    cy.wait_for_message(&talk, "**Cy:** I think").await;
    // In one server Discord does not tell who Ben is.
    let gate = Gate::new();
    lounge
        .discord
        .add_fault(DiscordEndpoint::GetMember, Fault::gate(&gate));
    lounge.ben.start_joining_voice(&lounge.lounge);
    gate.wait_until_reached().await;
    // In the other one somebody comes, agrees and is written down by name.
    dee.join_voice(&bench).await;
    let pressed = dee.press_button(&notice, "Transcribe me").await;
    pressed
        .wait_for_answer_containing("From now on I'll transcribe")
        .await;
    lounge.discord.wait_until_bot_receiving(&bench).await;
    stt.set_transcript("Somebody has to write the release notes.");
    dee.speak(sample_bytes("meeting_b.ogg")).await;
    let line = dee.wait_for_message(&talk, "release notes").await;
    assert!(line.text().contains("**Dee:**"), "{}", line.text());
    // Whoever sends it away there is obeyed too, and so is who does here.
    park.disconnect_bot();
    dee.wait_for_message(&talk, "The session is over").await;
    lounge.guild.disconnect_bot();
    lounge
        .wait_for_session_end(": I was removed from the call")
        .await;
    gate.open();
}
