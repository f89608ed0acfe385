//! Discord, as an unmodified library for bots sees it.

use std::sync::Arc;
use std::time::Duration;

use sandbox::{Discord, DiscordEndpoint, Fault, Sandbox};
use serde_json::json;
use serenity::all::{
    ChannelId, Context, CreateAllowedMentions, CreateAttachment, CreateCommand,
    CreateInteractionResponse, CreateInteractionResponseMessage, CreateMessage,
    EditInteractionResponse, EditMessage, EventHandler, GatewayIntents, Http, HttpBuilder,
    Interaction, Message, MessageId, Nonce, Reaction, TypingStartEvent, VoiceState,
};
use serenity::async_trait;
use serenity::client::ClientBuilder;
use tokio::sync::mpsc;

/// What the bot hears.
#[derive(Debug)]
enum Heard {
    Message(Box<Message>),
    Deleted(MessageId),
    Interaction(Box<Interaction>),
    Reaction(String),
    Typing,
    /// Who is in voice and who is a member, as far as one is told.
    Guild(Vec<u64>, Vec<u64>),
    /// Who is where in voice.
    Voice(u64, Option<u64>),
}

struct Ears(mpsc::Sender<Heard>);

#[async_trait]
impl EventHandler for Ears {
    async fn message(&self, _: Context, message: Message) {
        let _ = self.0.send(Heard::Message(Box::new(message))).await;
    }

    async fn message_delete(
        &self,
        _: Context,
        _: ChannelId,
        id: MessageId,
        _: Option<serenity::all::GuildId>,
    ) {
        let _ = self.0.send(Heard::Deleted(id)).await;
    }

    async fn interaction_create(&self, _: Context, interaction: Interaction) {
        let _ = self.0.send(Heard::Interaction(Box::new(interaction))).await;
    }

    async fn reaction_add(&self, _: Context, reaction: Reaction) {
        let emoji = reaction.emoji.to_string();
        let _ = self.0.send(Heard::Reaction(emoji)).await;
    }

    async fn guild_create(&self, _: Context, guild: serenity::all::Guild, _: Option<bool>) {
        let talking = guild.voice_states.keys().map(|it| it.get()).collect();
        let members = guild.members.keys().map(|it| it.get()).collect();
        let _ = self.0.send(Heard::Guild(talking, members)).await;
    }

    async fn voice_state_update(&self, _: Context, _: Option<VoiceState>, new: VoiceState) {
        let channel = new.channel_id.map(ChannelId::get);
        let told = Heard::Voice(new.user_id.get(), channel);
        let _ = self.0.send(told).await;
    }

    async fn typing_start(&self, _: Context, _: TypingStartEvent) {
        let _ = self.0.send(Heard::Typing).await;
    }
}

/// A bot on serenity whose HTTP client takes the sandbox for discord.com.
struct Bot {
    http: Arc<Http>,
    heard: mpsc::Receiver<Heard>,
    running: tokio::task::JoinHandle<()>,
}

impl Drop for Bot {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Bot {
    async fn start(discord: &Discord, intents: GatewayIntents) -> Self {
        let (ears, heard) = mpsc::channel(1_000);
        let client = ClientBuilder::new_with_http(rest(discord), intents);
        let client = client.event_handler(Ears(ears)).await;
        let mut client = client.expect("a client");
        let http = Arc::clone(&client.http);
        let running = tokio::spawn(async move {
            // It ends with the test.
            let _ = client.start_autosharded().await;
        });
        discord.until_connected(1).await;
        Self {
            http,
            heard,
            running,
        }
    }

    async fn hears(&mut self) -> Heard {
        let heard = tokio::time::timeout(sandbox::MAX_WAIT, self.heard.recv());
        heard.await.expect("an event in time").expect("it runs")
    }

    /// The next message that is not the bot's own.
    async fn hears_message(&mut self) -> Message {
        loop {
            if let Heard::Message(message) = self.hears().await
                && !message.author.bot
            {
                return *message;
            }
        }
    }
}

impl Bot {
    async fn hears_interaction(&mut self) -> Interaction {
        loop {
            if let Heard::Interaction(interaction) = self.hears().await {
                return *interaction;
            }
        }
    }
}

fn client_for(discord: &Discord) -> reqwest::Client {
    let authority = reqwest::Certificate::from_pem(discord.authority_pem().as_bytes());
    reqwest::Client::builder()
        .resolve("discord.com", discord.tls_addr())
        .resolve("cdn.discordapp.com", discord.tls_addr())
        .add_root_certificate(authority.expect("a certificate"))
        .build()
        .expect("a client")
}

pub(crate) fn rest(discord: &Discord) -> Http {
    HttpBuilder::new(discord.token())
        .client(client_for(discord))
        .build()
}

fn everything() -> GatewayIntents {
    GatewayIntents::all()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_sent_edited_deleted_and_reacted_to() {
    let sandbox = Sandbox::start().await;
    let discord = sandbox.discord();
    let guild = discord.guild("Garden");
    let channel = guild.channel("general");
    let ana = guild.member("Ana");
    let mut bot = Bot::start(&discord, everything()).await;

    let hello = ana.says(&channel, "Hello").await;
    let heard = bot.hears_message().await;
    assert_eq!(
        (heard.content.as_str(), heard.id.get()),
        ("Hello", hello.id())
    );
    let file = CreateAttachment::bytes(&b"words"[..], "words.txt");
    let answer = CreateMessage::new()
        .content(format!("Hi <@{}> @everyone", ana.id()))
        .reference_message(&heard)
        .allowed_mentions(CreateAllowedMentions::new())
        .add_file(file);
    let sent = heard.channel_id.send_message(&bot.http, answer).await;
    let sent = sent.expect("sent");
    let seen = ana.sees_reply_to(&hello).await;
    assert_eq!(seen.id(), sent.id.get());
    assert_eq!(seen.pinged(), (false, Vec::new()));
    assert_eq!(seen.files()[0].0, "words.txt");
    let file = client_for(&discord)
        .get(&sent.attachments[0].url)
        .send()
        .await;
    let file = file.expect("an answer").text().await.expect("text");
    assert_eq!(file, "words");

    let edit = EditMessage::new().content("Better");
    let edited = heard
        .channel_id
        .edit_message(&bot.http, sent.id, edit)
        .await;
    assert_eq!(edited.expect("edited").content, "Better");
    assert_eq!(seen.versions().len(), 2);
    heard.react(&bot.http, '🐦').await.expect("reacted");
    assert_eq!(hello.reactions(), [(discord.bot_id(), "🐦".to_owned())]);
    heard
        .channel_id
        .broadcast_typing(&bot.http)
        .await
        .expect("typing");
    assert!(channel.bot_types());

    ana.reacts(&seen, "👍").await;
    ana.types(&channel).await;
    hello.delete();
    let mut rest = Vec::new();
    while rest.len() < 3 {
        match bot.hears().await {
            Heard::Message(_) | Heard::Guild(..) | Heard::Voice(..) => {}
            Heard::Reaction(emoji) => rest.push(emoji),
            Heard::Typing => rest.push("typing".to_owned()),
            Heard::Deleted(id) => rest.push((id.get() == hello.id()).to_string()),
            Heard::Interaction(_) => rest.push("?".to_owned()),
        }
    }
    rest.sort();
    assert_eq!(rest, ["true", "typing", "👍"]);
    seen.delete();
    let gone = heard.channel_id.delete_message(&bot.http, sent.id).await;
    assert!(gone.is_err_and(|error| format!("{error}").contains("Unknown Message")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_the_headers_never_comes_too_soon() {
    let sandbox = Sandbox::start().await;
    let discord = sandbox.discord();
    let channel = discord.guild("Garden").channel("general");
    let http = rest(&discord);
    let to = ChannelId::new(channel.id());
    for number in 0..7 {
        to.say(&http, number.to_string()).await.expect("sent");
    }
    assert_eq!(discord.rate_limited(), 0);
    // Who does not read them is told.
    let plain = reqwest::Client::new();
    let mut refused = None;
    for _ in 0..7 {
        let answer = plain
            .post(format!(
                "{}/api/v10/channels/{to}/messages",
                discord.http_url()
            ))
            .header("authorization", format!("Bot {}", discord.token()))
            .json(&json!({"content": "again"}))
            .send()
            .await
            .expect("an answer");
        if answer.status() == 429 {
            assert!(answer.headers().contains_key("retry-after"));
            refused = Some(answer.json::<serde_json::Value>().await.expect("JSON"));
        }
    }
    assert!(refused.is_some_and(|body| body["retry_after"].as_f64() > Some(0.0)));
    assert!(discord.rate_limited() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_nonce_gives_the_same_message() {
    let sandbox = Sandbox::start().await;
    let discord = sandbox.discord();
    let channel = discord.guild("Garden").channel("general");
    let http = rest(&discord);
    let to = ChannelId::new(channel.id());
    let send = |text: &str| {
        let message = CreateMessage::new()
            .content(text)
            .nonce(Nonce::String("once".to_owned()))
            .enforce_nonce(true);
        to.send_message(&http, message)
    };
    let first = send("one").await.expect("sent");
    assert_eq!(send("two").await.expect("sent").id, first.id);
    discord.nonce_lifetime(Duration::ZERO);
    assert_ne!(send("three").await.expect("sent").id, first.id);
    assert_eq!(channel.messages().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_is_told_after_a_resume() {
    let sandbox = Sandbox::start().await;
    let discord = sandbox.discord();
    let guild = discord.guild("Garden");
    let channel = guild.channel("general");
    let ana = guild.member("Ana");
    let mut bot = Bot::start(&discord, everything()).await;
    discord.drops_gateway();
    discord.until_disconnected().await;
    ana.says(&channel, "Did you hear that?").await;
    assert_eq!(bot.hears_message().await.content, "Did you hear that?");
    discord.asks_reconnect();
    ana.says(&channel, "And that?").await;
    assert_eq!(bot.hears_message().await.content, "And that?");
    let (identified, resumed) = discord.logins();
    assert_eq!((identified, resumed), (1, 2));
    discord.invalidates_sessions();
    let again = async {
        while discord.logins().0 < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let again = tokio::time::timeout(sandbox::MAX_WAIT, again).await;
    again.expect("a second identify");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_intent_content_is_withheld() {
    let sandbox = Sandbox::start().await;
    let discord = sandbox.discord();
    let guild = discord.guild("Garden");
    let channel = guild.channel("general");
    let ana = guild.member("Ana");
    let intents = everything() - GatewayIntents::MESSAGE_CONTENT;
    let mut bot = Bot::start(&discord, intents).await;
    ana.sends_voice_note(&channel, &b"OggS"[..]).await;
    let note = bot.hears_message().await;
    assert!(note.attachments.is_empty());
    ana.says(&channel, "a secret").await;
    assert_eq!(bot.hears_message().await.content, "");
    ana.calls_bot(&channel, "for you").await;
    assert!(bot.hears_message().await.content.ends_with("for you"));
    ana.says(&ana.direct(), "also for you").await;
    assert_eq!(bot.hears_message().await.content, "also for you");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interaction_is_deferred_in_time_and_its_response_private() {
    let sandbox = Sandbox::start().await;
    let discord = sandbox.discord();
    let guild = discord.guild("Garden");
    let channel = guild.channel("general");
    let (ana, ben) = (guild.member("Ana"), guild.member("Ben"));
    let mut bot = Bot::start(&discord, everything()).await;
    bot.http.set_application_id(discord.bot_id().into());
    let commands = [CreateCommand::new("ask").description("Asks")];
    bot.http
        .create_global_commands(&commands)
        .await
        .expect("registered");
    let bad = [CreateCommand::new("Not A Name").description("")];
    assert!(bot.http.create_global_commands(&bad).await.is_err());

    let response = ana
        .runs(&channel, "/ask", json!({"question": "Why?"}))
        .await;
    let heard = bot.hears_interaction().await;
    let command = heard.command().expect("a command");
    let defer = || {
        let message = CreateInteractionResponseMessage::new().ephemeral(true);
        CreateInteractionResponse::Defer(message)
    };
    command
        .create_response(&bot.http, defer())
        .await
        .expect("deferred");
    response.until_acknowledged().await;
    assert!(command.create_response(&bot.http, defer()).await.is_err());
    let edit = EditInteractionResponse::new().content("Because.");
    command
        .edit_response(&bot.http, edit)
        .await
        .expect("edited");
    let answer = response.answer_with("Because.").await;
    assert!(answer.is_private() && response.is_private());
    assert_eq!(ana.sees_in(&channel).len(), 1);
    assert!(ben.sees_in(&channel).is_empty() && channel.messages().is_empty());
    discord.token_lifetime(Duration::ZERO);
    let edit = EditInteractionResponse::new().content("Too late.");
    assert!(command.edit_response(&bot.http, edit).await.is_err());

    discord.interaction_limit(Duration::ZERO);
    ana.runs(&channel, "/ask", json!({})).await;
    let late = bot.hears_interaction().await;
    let late = late.command().expect("a command");
    let refused = late.create_response(&bot.http, defer()).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("Unknown interaction")));
}

#[tokio::test(flavor = "multi_thread")]
async fn links_expire_and_faults_strike() {
    let sandbox = Sandbox::start().await;
    let discord = sandbox.discord();
    let guild = discord.guild("Garden");
    let channel = guild.channel("general");
    let ana = guild.member("Ana");
    let http = rest(&discord);
    let note = ana.sends_voice_note(&channel, &b"OggS and more"[..]).await;
    let read = || http.get_message(ChannelId::new(channel.id()), MessageId::new(note.id()));
    let client = client_for(&discord);
    let old = read().await.expect("a message").attachments[0].url.clone();
    assert_eq!(
        client.get(&old).send().await.expect("an answer").status(),
        200
    );
    discord.expires_links();
    assert_eq!(
        client.get(&old).send().await.expect("an answer").status(),
        404
    );
    let fresh = read().await.expect("a message").attachments[0].url.clone();
    assert_eq!(
        client.get(&fresh).send().await.expect("an answer").status(),
        200
    );
    let forged = fresh.replace("hm=", "hm=0");
    assert_eq!(
        client
            .get(&forged)
            .send()
            .await
            .expect("an answer")
            .status(),
        404
    );
    discord.fault(DiscordEndpoint::Message, Fault::status(503));
    assert!(read().await.is_err());
    assert!(read().await.is_ok());
    let quiet = guild.channel("quiet");
    quiet.denies_bot(1 << 11);
    let refused = ChannelId::new(quiet.id()).say(&http, "hello").await;
    assert!(refused.is_err_and(|error| error.to_string().contains("Missing Permissions")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_has_a_name_of_its_own_where_it_may() {
    let sandbox = Sandbox::start().await;
    let discord = sandbox.discord();
    let guild = discord.guild("Garden");
    let lounge = guild.voice_channel("Lounge");
    let http = rest(&discord);
    let id = guild.id().into();
    let named = http.edit_nickname(id, Some("Listening"), None).await;
    named.expect("named");
    assert_eq!(guild.bot_nick().as_deref(), Some("Listening"));
    let reset = http.edit_nickname(id, None, None).await;
    reset.expect("reset");
    assert_eq!(guild.bot_nick(), None);
    guild.denies_bot(1 << 26);
    let refused = http.edit_nickname(id, Some("Listening"), None).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("Missing Permissions")));
    // A voice channel can be looked at and written in.
    let channel = ChannelId::new(lounge.id());
    let found = channel.to_channel(&http).await.expect("a channel");
    assert_eq!(
        found.guild().map(|it| it.kind),
        Some(serenity::all::ChannelType::Voice)
    );
    channel.say(&http, "Hello").await.expect("sent");
    assert_eq!(lounge.messages().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_voice_is_told() {
    let sandbox = Sandbox::start().await;
    let discord = sandbox.discord();
    let guild = discord.guild("Garden");
    let lounge = guild.voice_channel("Lounge");
    lounge.denies_bot(1 << 20);
    let (ana, ben) = (guild.member("Ana"), guild.member("Ben"));
    ana.joins_voice(&lounge).await;
    let mut bot = Bot::start(&discord, everything()).await;
    loop {
        if let Heard::Guild(talking, members) = bot.hears().await {
            assert_eq!(talking, [ana.id()]);
            assert!(members.contains(&ana.id()) && members.contains(&discord.bot_id()));
            break;
        }
    }
    ben.joins_voice(&lounge).await;
    ana.leaves_voice().await;
    let mut told = Vec::new();
    while told.len() < 2 {
        if let Heard::Voice(who, channel) = bot.hears().await {
            told.push((who, channel));
        }
    }
    assert_eq!(told, [(ben.id(), Some(lounge.id())), (ana.id(), None)]);
}
