//! Group voice sessions, as the people in a call meet them.
//!
//! All stories are told with our own receiver of calls. Those in which it matters who receives are
//! told with songbird's driver, too; all others can be: `VOICE_DRIVER=songbird cargo nextest run
//! bot::voice`.

mod coming;
mod consent;
mod ended;
mod going;
mod hostile;
mod money;
mod noticed;
#[cfg(feature = "local")]
mod real_speech;
mod servers;
mod status;
mod taken_back;
mod talk;
mod trouble;
mod unheard;
mod uploading;

use std::cell::Cell;
use std::ops::Deref;

use sandbox::{Channel, Message, Person, Response};
use serde_json::{Value, json};

use super::running::{Bot, Scene, recording};

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
                    super::super::with_songbird(super::$story);
                }
            )+
        }
    };
}
use with_songbird_too;

fn with_songbird(story: fn()) {
    // A story's own part runs on the thread that it is begun on.
    DRIVER.set(Some("songbird"));
    story();
}

/// A scene with a voice channel.
pub(super) struct Lounge {
    scene: Scene,
    pub(super) lounge: Channel,
}

impl Deref for Lounge {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.scene
    }
}

impl Lounge {
    pub(super) async fn new() -> Self {
        let mut scene = Scene::new().await;
        let lounge = scene.guild.voice_channel("Lounge");
        scene.set("VOICE_DRIVER", &driver());
        Self { scene, lounge }
    }

    pub(super) fn set(&mut self, variable: &str, value: &str) -> &mut Self {
        self.scene.set(variable, value);
        self
    }

    pub(super) fn launch(&mut self) -> Bot {
        self.scene.launch()
    }

    pub(super) async fn start(&mut self) -> Bot {
        self.scene.start().await
    }

    pub(super) fn launch_on_a_small_disk(&mut self) -> Option<Bot> {
        self.scene.launch_on_a_small_disk()
    }

    /// Ana is in the channel and has the bot come.
    pub(super) async fn with_session() -> (Self, Bot) {
        let mut lounge = Self::new().await;
        let bot = lounge.start().await;
        lounge.begins().await;
        (lounge, bot)
    }

    /// Ana and Ben are in the channel, Ana has the bot come, and both agree to be written down.
    pub(super) async fn with_both() -> (Self, Bot) {
        let (lounge, bot) = Self::with_session().await;
        lounge.ben.joins_voice(&lounge.lounge).await;
        lounge.agrees(&lounge.ben).await;
        lounge.discord.until_bot_hears(&lounge.lounge).await;
        (lounge, bot)
    }

    /// Ana goes into the channel, has the bot come, and agrees to be written down.
    pub(super) async fn begins(&self) {
        self.ana.joins_voice(&self.lounge).await;
        self.answered("/join", json!({}), "I am in").await;
        self.discord.until_bot_hears(&self.lounge).await;
        self.agrees(&self.ana).await;
    }

    /// Ana uses a command, and reads these words.
    pub(super) async fn answered(&self, command: &str, options: Value, words: &str) -> Message {
        let response = self.runs(command, options).await;
        response.answer_with(words).await
    }

    pub(super) async fn runs(&self, command: &str, options: Value) -> Response {
        self.ana.runs(&self.channel, command, options).await
    }

    /// Somebody presses "Transcribe me".
    pub(super) async fn agrees(&self, person: &Person) {
        let pressed = person.presses(&self.notice().await, "Transcribe me").await;
        pressed.answer_with("From now on I write down").await;
    }

    pub(super) async fn notice(&self) -> Message {
        self.ana.sees(&self.channel, "asked me to listen").await
    }

    /// Somebody takes back that they may be heard.
    async fn says_no(&self, person: &Person) {
        let pressed = person.presses(&self.notice().await, "Don't").await;
        pressed.answer_with("dropped unheard").await;
    }

    /// Who speaks is told that what they say costs more than a day allows.
    async fn is_told_of_the_cap(&self, person: &Person) {
        let told = person
            .sees(&self.channel, "is no longer written down")
            .await;
        assert!(
            told.text().contains("used up what a day allows"),
            "{}",
            told.text()
        );
    }

    /// Somebody says something that AssemblyAI hears so.
    pub(super) async fn says(&self, person: &Person, sample: &str, heard: &str) {
        self.sandbox.assemblyai().hears(heard);
        person.speaks(recording(sample)).await;
        self.ana.sees(&self.channel, heard).await;
    }

    /// Everything that the bot shows to all in the channel.
    pub(super) fn shown(&self) -> String {
        let texts = self.channel.messages().into_iter().map(|it| it.text());
        texts.collect::<Vec<_>>().join("\n")
    }

    /// The session is ended by Ana. Gives the last message.
    pub(super) async fn ends(&self) -> Message {
        self.answered("/leave", json!({}), "I have left").await;
        self.is_over("").await
    }

    /// The session is over, and this is said of it.
    pub(super) async fn is_over(&self, why: &str) -> Message {
        let words = format!("The session is over{why}");
        let end = self.ana.sees(&self.channel, "The session is over").await;
        assert!(
            end.text().replace("**", "").contains(&words),
            "{}",
            end.text()
        );
        self.discord.until_bot_out_of_call().await;
        end
    }
}

/// What receives calls in this story.
pub(super) fn driver() -> String {
    let chosen = DRIVER.get().map(ToOwned::to_owned);
    let chosen = chosen.or_else(|| std::env::var("VOICE_DRIVER").ok());
    chosen.unwrap_or_else(|| "talkback".to_owned())
}

/// A file of a message as text.
pub(super) fn file(message: &Message, name: &str) -> String {
    let files = message.files();
    let found = files.iter().find(|(known, _)| known == name);
    let (_, bytes) = found.expect("a file of this name");
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// Without the times, which are different every day.
pub(super) fn timeless(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("<t:") {
        plain.push_str(&rest[..at]);
        plain.push_str("12:04");
        rest = rest[at..].split_once('>').map_or("", |(_, rest)| rest);
    }
    plain + rest
}
