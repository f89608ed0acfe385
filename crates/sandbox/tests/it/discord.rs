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
enum SerenityEvent {
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

struct SerenityEventForwarder(mpsc::Sender<SerenityEvent>);

#[async_trait]
impl EventHandler for SerenityEventForwarder {
    async fn message(&self, _: Context, message: Message) {
        let _ = self.0.send(SerenityEvent::Message(Box::new(message))).await;
    }

    async fn message_delete(
        &self,
        _: Context,
        _: ChannelId,
        id: MessageId,
        _: Option<serenity::all::GuildId>,
    ) {
        let _ = self.0.send(SerenityEvent::Deleted(id)).await;
    }

    async fn interaction_create(&self, _: Context, interaction: Interaction) {
        let _ = self
            .0
            .send(SerenityEvent::Interaction(Box::new(interaction)))
            .await;
    }

    async fn reaction_add(&self, _: Context, reaction: Reaction) {
        let emoji = reaction.emoji.to_string();
        let _ = self.0.send(SerenityEvent::Reaction(emoji)).await;
    }

    async fn guild_create(&self, _: Context, guild: serenity::all::Guild, _: Option<bool>) {
        let talking = guild.voice_states.keys().map(|it| it.get()).collect();
        let members = guild.members.keys().map(|it| it.get()).collect();
        let _ = self.0.send(SerenityEvent::Guild(talking, members)).await;
    }

    async fn voice_state_update(&self, _: Context, _: Option<VoiceState>, new: VoiceState) {
        let channel = new.channel_id.map(ChannelId::get);
        let told = SerenityEvent::Voice(new.user_id.get(), channel);
        let _ = self.0.send(told).await;
    }

    async fn typing_start(&self, _: Context, _: TypingStartEvent) {
        let _ = self.0.send(SerenityEvent::Typing).await;
    }
}

/// A bot on serenity whose HTTP client takes the sandbox for discord.com.
struct SerenityBot {
    http: Arc<Http>,
    heard: mpsc::Receiver<SerenityEvent>,
    running: tokio::task::JoinHandle<()>,
}

impl Drop for SerenityBot {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl SerenityBot {
    async fn start(discord: &Discord, intents: GatewayIntents) -> Self {
        let (ears, heard) = mpsc::channel(1_000);
        let client = ClientBuilder::new_with_http(rest_client(discord), intents);
        let client = client.event_handler(SerenityEventForwarder(ears)).await;
        let mut client = client.expect("a client");
        let http = Arc::clone(&client.http);
        let running = tokio::spawn(async move {
            // It ends with the test.
            let _ = client.start_autosharded().await;
        });
        discord.wait_until_connected(1).await;
        Self {
            http,
            heard,
            running,
        }
    }

    async fn next_event(&mut self) -> SerenityEvent {
        let heard = tokio::time::timeout(sandbox::MAX_WAIT, self.heard.recv());
        heard.await.expect("an event in time").expect("it runs")
    }

    /// The next message that is not the bot's own.
    async fn next_message(&mut self) -> Message {
        loop {
            if let SerenityEvent::Message(message) = self.next_event().await
                && !message.author.bot
            {
                return *message;
            }
        }
    }
}

impl SerenityBot {
    async fn next_interaction(&mut self) -> Interaction {
        loop {
            if let SerenityEvent::Interaction(interaction) = self.next_event().await {
                return *interaction;
            }
        }
    }
}

fn http_client(discord: &Discord) -> reqwest::Client {
    let authority = reqwest::Certificate::from_pem(discord.authority_pem().as_bytes());
    reqwest::Client::builder()
        .resolve("discord.com", discord.tls_addr())
        .resolve("cdn.discordapp.com", discord.tls_addr())
        .add_root_certificate(authority.expect("a certificate"))
        .build()
        .expect("a client")
}

pub(crate) fn rest_client(discord: &Discord) -> Http {
    HttpBuilder::new(discord.token())
        .client(http_client(discord))
        .build()
}

fn all_intents() -> GatewayIntents {
    GatewayIntents::all()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_sent_edited_deleted_and_reacted_to() {
    let sandbox = Sandbox::start().await;
    let discord = sandbox.discord();
    let guild = discord.add_guild("Garden");
    let channel = guild.add_text_channel("general");
    let ana = guild.add_member("Ana");
    let mut bot = SerenityBot::start(&discord, all_intents()).await;

    let hello = ana.says(&channel, "Hello").await;
    let heard = bot.next_message().await;
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
    let seen = ana.wait_for_reply(&hello).await;
    assert_eq!(seen.id(), sent.id.get());
    assert_eq!(seen.mentions(), (false, Vec::new()));
    assert_eq!(seen.attachments()[0].0, "words.txt");
    let file = http_client(&discord)
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
    assert!(channel.is_bot_typing());

    ana.add_reaction(&seen, "👍").await;
    ana.start_typing(&channel).await;
    hello.delete();
    let mut rest = Vec::new();
    while rest.len() < 3 {
        match bot.next_event().await {
            SerenityEvent::Message(_) | SerenityEvent::Guild(..) | SerenityEvent::Voice(..) => {}
            SerenityEvent::Reaction(emoji) => rest.push(emoji),
            SerenityEvent::Typing => rest.push("typing".to_owned()),
            SerenityEvent::Deleted(id) => rest.push((id.get() == hello.id()).to_string()),
            SerenityEvent::Interaction(_) => rest.push("?".to_owned()),
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
    let channel = discord.add_guild("Garden").add_text_channel("general");
    let http = rest_client(&discord);
    let to = ChannelId::new(channel.id());
    for number in 0..7 {
        to.say(&http, number.to_string()).await.expect("sent");
    }
    assert_eq!(discord.rate_limited_requests(), 0);
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
    assert!(discord.rate_limited_requests() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_nonce_gives_the_same_message() {
    let sandbox = Sandbox::start().await;
    let discord = sandbox.discord();
    let channel = discord.add_guild("Garden").add_text_channel("general");
    let http = rest_client(&discord);
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
    discord.set_nonce_lifetime(Duration::ZERO);
    assert_ne!(send("three").await.expect("sent").id, first.id);
    assert_eq!(channel.messages().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_is_told_after_a_resume() {
    let sandbox = Sandbox::start().await;
    let discord = sandbox.discord();
    let guild = discord.add_guild("Garden");
    let channel = guild.add_text_channel("general");
    let ana = guild.add_member("Ana");
    let mut bot = SerenityBot::start(&discord, all_intents()).await;
    discord.drop_gateway_connections();
    discord.wait_until_disconnected().await;
    ana.says(&channel, "Did you hear that?").await;
    assert_eq!(bot.next_message().await.content, "Did you hear that?");
    discord.request_reconnect();
    ana.says(&channel, "And that?").await;
    assert_eq!(bot.next_message().await.content, "And that?");
    let (identified, resumed) = discord.identify_and_resume_counts();
    assert_eq!((identified, resumed), (1, 2));
    discord.invalidate_sessions();
    let again = async {
        while discord.identify_and_resume_counts().0 < 2 {
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
    let guild = discord.add_guild("Garden");
    let channel = guild.add_text_channel("general");
    let ana = guild.add_member("Ana");
    let intents = all_intents() - GatewayIntents::MESSAGE_CONTENT;
    let mut bot = SerenityBot::start(&discord, intents).await;
    ana.send_voice_message(&channel, &b"OggS"[..]).await;
    let note = bot.next_message().await;
    assert!(note.attachments.is_empty());
    ana.says(&channel, "a secret").await;
    assert_eq!(bot.next_message().await.content, "");
    ana.mention_bot(&channel, "for you").await;
    assert!(bot.next_message().await.content.ends_with("for you"));
    ana.says(&ana.dm_channel(), "also for you").await;
    assert_eq!(bot.next_message().await.content, "also for you");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interaction_is_deferred_in_time_and_its_response_private() {
    let sandbox = Sandbox::start().await;
    let discord = sandbox.discord();
    let guild = discord.add_guild("Garden");
    let channel = guild.add_text_channel("general");
    let (ana, ben) = (guild.add_member("Ana"), guild.add_member("Ben"));
    let mut bot = SerenityBot::start(&discord, all_intents()).await;
    bot.http.set_application_id(discord.bot_id().into());
    let commands = [CreateCommand::new("ask").description("Asks")];
    bot.http
        .create_global_commands(&commands)
        .await
        .expect("registered");
    let bad = [CreateCommand::new("Not A Name").description("")];
    assert!(bot.http.create_global_commands(&bad).await.is_err());

    let response = ana
        .run_command(&channel, "/ask", json!({"question": "Why?"}))
        .await;
    let heard = bot.next_interaction().await;
    let command = heard.command().expect("a command");
    let defer = || {
        let message = CreateInteractionResponseMessage::new().ephemeral(true);
        CreateInteractionResponse::Defer(message)
    };
    command
        .create_response(&bot.http, defer())
        .await
        .expect("deferred");
    response.wait_until_acknowledged().await;
    assert!(command.create_response(&bot.http, defer()).await.is_err());
    let edit = EditInteractionResponse::new().content("Because.");
    command
        .edit_response(&bot.http, edit)
        .await
        .expect("edited");
    let answer = response.wait_for_answer_containing("Because.").await;
    assert!(answer.is_private() && response.is_private());
    assert_eq!(ana.visible_messages(&channel).len(), 1);
    assert!(ben.visible_messages(&channel).is_empty() && channel.messages().is_empty());
    discord.set_interaction_token_lifetime(Duration::ZERO);
    let edit = EditInteractionResponse::new().content("Too late.");
    assert!(command.edit_response(&bot.http, edit).await.is_err());

    discord.set_interaction_deadline(Duration::ZERO);
    ana.run_command(&channel, "/ask", json!({})).await;
    let late = bot.next_interaction().await;
    let late = late.command().expect("a command");
    let refused = late.create_response(&bot.http, defer()).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("Unknown interaction")));
}

#[tokio::test(flavor = "multi_thread")]
async fn links_expire_and_faults_strike() {
    let sandbox = Sandbox::start().await;
    let discord = sandbox.discord();
    let guild = discord.add_guild("Garden");
    let channel = guild.add_text_channel("general");
    let ana = guild.add_member("Ana");
    let http = rest_client(&discord);
    let note = ana
        .send_voice_message(&channel, &b"OggS and more"[..])
        .await;
    let read = || http.get_message(ChannelId::new(channel.id()), MessageId::new(note.id()));
    let client = http_client(&discord);
    let old = read().await.expect("a message").attachments[0].url.clone();
    assert_eq!(
        client.get(&old).send().await.expect("an answer").status(),
        200
    );
    discord.expire_links();
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
    discord.add_fault(DiscordEndpoint::GetMessage, Fault::status(503));
    assert!(read().await.is_err());
    assert!(read().await.is_ok());
    let quiet = guild.add_text_channel("quiet");
    quiet.deny_bot(1 << 11);
    let refused = ChannelId::new(quiet.id()).say(&http, "hello").await;
    assert!(refused.is_err_and(|error| error.to_string().contains("Missing Permissions")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_has_a_name_of_its_own_where_it_may() {
    let sandbox = Sandbox::start().await;
    let discord = sandbox.discord();
    let guild = discord.add_guild("Garden");
    let lounge = guild.add_voice_channel("Lounge");
    let http = rest_client(&discord);
    let id = guild.id().into();
    let named = http.edit_nickname(id, Some("Listening"), None).await;
    named.expect("named");
    assert_eq!(guild.bot_nick().as_deref(), Some("Listening"));
    let reset = http.edit_nickname(id, None, None).await;
    reset.expect("reset");
    assert_eq!(guild.bot_nick(), None);
    guild.deny_bot(1 << 26);
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
    let guild = discord.add_guild("Garden");
    let lounge = guild.add_voice_channel("Lounge");
    lounge.deny_bot(1 << 20);
    let (ana, ben) = (guild.add_member("Ana"), guild.add_member("Ben"));
    ana.join_voice(&lounge).await;
    let mut bot = SerenityBot::start(&discord, all_intents()).await;
    loop {
        if let SerenityEvent::Guild(talking, members) = bot.next_event().await {
            assert_eq!(talking, [ana.id()]);
            assert!(members.contains(&ana.id()) && members.contains(&discord.bot_id()));
            break;
        }
    }
    ben.join_voice(&lounge).await;
    ana.leave_voice().await;
    let mut told = Vec::new();
    while told.len() < 2 {
        if let SerenityEvent::Voice(who, channel) = bot.next_event().await {
            told.push((who, channel));
        }
    }
    assert_eq!(told, [(ben.id(), Some(lounge.id())), (ana.id(), None)]);
}
