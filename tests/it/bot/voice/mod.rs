//! Group voice sessions, as the people in a call meet them.
//!
//! All stories are told with our own receiver of calls. Those in which it matters who receives are
//! told with songbird's driver, too; all others can be: `VOICE_DRIVER=songbird cargo nextest run
//! bot::voice`.

mod consent;
mod consent_notice;
mod consent_withdrawal;
mod failures;
mod hostile_input;
mod joining;
mod live_uploads;
mod multiple_guilds;
mod no_audio;
#[cfg(feature = "local")]
mod real_speech;
mod session_end;
mod session_end_persistence;
mod status_page;
mod transcription_and_answers;
mod voice_cost_limits;

use std::cell::Cell;
use std::ops::Deref;

use sandbox::{Channel, InteractionResponse, Message, TestUser};
use serde_json::{Value, json};

use super::harness::{BotFixture, RunningBot, sample_bytes};

thread_local! {
    /// What receives calls in the stories of this thread, if it was chosen.
    static DRIVER: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Tells these stories of a module a second time, with songbird's driver.
macro_rules! with_songbird_too {
    ($($story:ident),+ $(,)?) => {
        mod songbird {
            $(
                #[test]
                fn $story() {
                    super::super::run_with_songbird(super::$story);
                }
            )+
        }
    };
}
use with_songbird_too;

fn run_with_songbird(story: fn()) {
    // A story's own part runs on the thread that it is begun on.
    DRIVER.set(Some("songbird"));
    story();
}

/// A scene with a voice channel.
pub(super) struct VoiceFixture {
    scene: BotFixture,
    pub(super) lounge: Channel,
}

impl Deref for VoiceFixture {
    type Target = BotFixture;

    fn deref(&self) -> &BotFixture {
        &self.scene
    }
}

impl VoiceFixture {
    pub(super) async fn new() -> Self {
        let mut scene = BotFixture::new().await;
        let lounge = scene.guild.add_voice_channel("Lounge");
        scene.set("VOICE_DRIVER", &driver_name());
        Self { scene, lounge }
    }

    pub(super) fn set(&mut self, variable: &str, value: &str) -> &mut Self {
        self.scene.set(variable, value);
        self
    }

    pub(super) fn launch(&mut self) -> RunningBot {
        self.scene.launch()
    }

    pub(super) async fn start(&mut self) -> RunningBot {
        self.scene.start().await
    }

    pub(super) fn launch_on_a_small_disk(&mut self) -> Option<RunningBot> {
        self.scene.launch_on_a_small_disk()
    }

    /// Ana is in the channel and has the bot come.
    pub(super) async fn new_with_session() -> (Self, RunningBot) {
        let mut lounge = Self::new().await;
        let bot = lounge.start().await;
        lounge.start_session().await;
        (lounge, bot)
    }

    /// Ana and Ben are in the channel, Ana has the bot come, and both agree to be written down.
    pub(super) async fn new_with_both_consenting() -> (Self, RunningBot) {
        let (lounge, bot) = Self::new_with_session().await;
        lounge.ben.join_voice(&lounge.lounge).await;
        lounge.agrees(&lounge.ben).await;
        lounge
            .discord
            .wait_until_bot_receiving(&lounge.lounge)
            .await;
        (lounge, bot)
    }

    /// Ana goes into the channel, has the bot come, and agrees to be written down.
    pub(super) async fn start_session(&self) {
        self.ana.join_voice(&self.lounge).await;
        self.run_and_wait("/join", json!({}), "I'm in").await;
        self.discord.wait_until_bot_receiving(&self.lounge).await;
        self.agrees(&self.ana).await;
    }

    /// Ana uses a command, and reads these words.
    pub(super) async fn run_and_wait(&self, command: &str, options: Value, words: &str) -> Message {
        let response = self.run_command(command, options).await;
        response.wait_for_answer_containing(words).await
    }

    pub(super) async fn run_command(&self, command: &str, options: Value) -> InteractionResponse {
        self.ana.run_command(&self.channel, command, options).await
    }

    /// Somebody presses "Transcribe me".
    pub(super) async fn agrees(&self, person: &TestUser) {
        let pressed = person
            .press_button(&self.wait_for_notice().await, "Transcribe me")
            .await;
        pressed
            .wait_for_answer_containing("From now on I'll transcribe")
            .await;
    }

    pub(super) async fn wait_for_notice(&self) -> Message {
        self.ana
            .wait_for_message(&self.channel, "asked me to listen")
            .await
    }

    /// Somebody takes back that they may be heard.
    async fn withdraw_consent(&self, person: &TestUser) {
        let pressed = person
            .press_button(&self.wait_for_notice().await, "Don't")
            .await;
        pressed.wait_for_answer_containing("dropped unheard").await;
    }

    /// Who speaks is told that what they say costs more than a day allows.
    async fn wait_for_cap_message(&self, person: &TestUser) {
        let told = person
            .wait_for_message(&self.channel, "I've stopped transcribing")
            .await;
        assert!(
            told.text().contains("reached today's limit"),
            "{}",
            told.text()
        );
    }

    /// Somebody says something that AssemblyAI hears so.
    pub(super) async fn speak_and_wait(&self, person: &TestUser, sample: &str, heard: &str) {
        self.sandbox.assemblyai().set_transcript(heard);
        person.speak(sample_bytes(sample)).await;
        self.ana.wait_for_message(&self.channel, heard).await;
    }

    /// Everything that the bot shows to all in the channel.
    pub(super) fn transcript_text(&self) -> String {
        let texts = self.channel.messages().into_iter().map(|it| it.text());
        texts.collect::<Vec<_>>().join("\n")
    }

    /// The session is ended by Ana. Gives the last message.
    pub(super) async fn stop_session(&self) -> Message {
        self.run_and_wait("/leave", json!({}), "I've left").await;
        self.wait_for_session_end("").await
    }

    /// The session is over, and this is said of it.
    pub(super) async fn wait_for_session_end(&self, why: &str) -> Message {
        let words = format!("The session is over{why}");
        let end = self
            .ana
            .wait_for_message(&self.channel, "The session is over")
            .await;
        assert!(
            end.text().replace("**", "").contains(&words),
            "{}",
            end.text()
        );
        self.discord.wait_until_bot_left_call().await;
        end
    }
}

/// What receives calls in this story.
pub(super) fn driver_name() -> String {
    let chosen = DRIVER.get().map(ToOwned::to_owned);
    let chosen = chosen.or_else(|| std::env::var("VOICE_DRIVER").ok());
    chosen.unwrap_or_else(|| "talkback".to_owned())
}

/// A file of a message as text.
pub(super) fn attachment_text(message: &Message, name: &str) -> String {
    let files = message.attachments();
    let found = files.iter().find(|(known, _)| known == name);
    let (_, bytes) = found.expect("a file of this name");
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// Without the times, which are different every day.
pub(super) fn without_timestamps(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("<t:") {
        plain.push_str(&rest[..at]);
        plain.push_str("12:04");
        rest = rest[at..].split_once('>').map_or("", |(_, rest)| rest);
    }
    plain + rest
}
