//! Voice, as songbird's own driver sees it.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use sandbox::{Channel, Discord, Guild, Person, Sandbox, VoiceInvitation, VoiceNetwork};
use serde_json::{Value, json};
use serenity::all::GatewayIntents;
use serenity::async_trait;
use serenity::client::ClientBuilder;
use songbird::driver::{CryptoMode, DecodeMode};
use songbird::events::{CoreEvent, Event, EventContext, EventHandler};
use songbird::id::{ChannelId, GuildId, UserId};
use songbird::packet::Packet;
use songbird::{Config, ConnectionInfo, Driver, Songbird};
use tokio::sync::mpsc;
use tokio_tungstenite_026::tungstenite::Message as Frame;

use crate::support::QUESTION;

/// What songbird trusts is a process's business.
fn story(name: &str, story: impl Future<Output = ()>) {
    sandbox::alone(&format!("voice::{name}"), story);
}

/// A sandbox whose authority this process trusts, with a server and a voice channel.
async fn start() -> (Sandbox, Discord, Guild, Channel) {
    let sandbox = Sandbox::start().await;
    let discord = sandbox.discord();
    discord.is_trusted();
    let guild = discord.guild("Garden");
    let lounge = guild.voice_channel("Lounge");
    (sandbox, discord, guild, lounge)
}

/// What songbird tells.
#[derive(Debug)]
enum Told {
    Packet(u32, u16, Bytes),
    Speaker(u64, u32),
    Again,
    Gone(String),
}

struct Ears(mpsc::UnboundedSender<Told>);

#[async_trait]
impl EventHandler for Ears {
    async fn act(&self, context: &EventContext<'_>) -> Option<Event> {
        let told = match context {
            EventContext::RtpPacket(data) => {
                let rtp = data.rtp();
                let payload = rtp.payload();
                let end = payload.len().checked_sub(data.payload_end_pad)?;
                let payload = payload.get(data.payload_offset..end)?;
                let sequence = rtp.get_sequence().0.0;
                Told::Packet(rtp.get_ssrc(), sequence, Bytes::copy_from_slice(payload))
            }
            EventContext::SpeakingStateUpdate(speaking) => {
                Told::Speaker(speaking.user_id?.0, speaking.ssrc)
            }
            EventContext::DriverReconnect(_) => Told::Again,
            EventContext::DriverDisconnect(data) => Told::Gone(format!("{:?}", data.reason)),
            _ => return None,
        };
        // Nobody listens any more at the end of a story.
        let _ = self.0.send(told);
        None
    }
}

/// Somebody with songbird's driver.
struct Listener {
    driver: Driver,
    told: mpsc::UnboundedReceiver<Told>,
    user: u64,
    heard: BTreeMap<u32, Vec<(u16, Bytes)>>,
}

fn info(invited: &VoiceInvitation) -> ConnectionInfo {
    let id = |id: u64| NonZeroU64::new(id).expect("an id");
    ConnectionInfo {
        channel_id: ChannelId(id(invited.channel_id)),
        endpoint: invited.endpoint.clone(),
        guild_id: GuildId(id(invited.guild_id)),
        session_id: invited.session_id.clone(),
        token: invited.token.clone(),
        user_id: UserId(id(invited.user_id)),
    }
}

fn config() -> Config {
    Config::default().decode_mode(DecodeMode::Decrypt)
}

fn with_ears(driver: &mut Driver) -> mpsc::UnboundedReceiver<Told> {
    let (tell, told) = mpsc::unbounded_channel();
    for event in [
        CoreEvent::RtpPacket,
        CoreEvent::SpeakingStateUpdate,
        CoreEvent::DriverReconnect,
        CoreEvent::DriverDisconnect,
    ] {
        driver.add_global_event(event.into(), Ears(tell.clone()));
    }
    told
}

impl Listener {
    async fn joins(discord: &Discord, guild: &Guild, lounge: &Channel, config: Config) -> Self {
        let eve = guild.member("Eve");
        let mut driver = Driver::new(config);
        let told = with_ears(&mut driver);
        let connected = driver.connect(info(&eve.invited_to_voice(lounge)));
        connected.await.expect("connected");
        discord.until_hears(eve.id(), lounge).await;
        Self {
            driver,
            told,
            user: eve.id(),
            heard: BTreeMap::new(),
        }
    }

    async fn next(&mut self) -> Told {
        let told = tokio::time::timeout(sandbox::MAX_WAIT, self.told.recv());
        told.await.expect("an event in time").expect("it runs")
    }

    /// Waits until so many packets of a stream have come, and returns what was in them.
    async fn hears(&mut self, ssrc: u32, count: usize) -> Vec<Bytes> {
        while self.heard.get(&ssrc).map_or(0, Vec::len) < count {
            if let Told::Packet(ssrc, sequence, payload) = self.next().await {
                self.heard
                    .entry(ssrc)
                    .or_default()
                    .push((sequence, payload));
            }
        }
        let packets = &self.heard[&ssrc];
        packets.iter().map(|it| it.1.clone()).collect()
    }

    async fn reconnects(&mut self) {
        while !matches!(self.next().await, Told::Again) {}
    }

    async fn is_thrown_out(&mut self) -> String {
        loop {
            if let Told::Gone(reason) = self.next().await {
                return reason;
            }
        }
    }
}

/// What a listener hears of an utterance: its packets, and five of silence.
fn whole(ogg: &[u8]) -> Vec<Bytes> {
    let mut packets = sandbox::opus_packets(ogg);
    let silence = Bytes::from_static(&[0xf8, 0xff, 0xfe]);
    packets.extend(std::iter::repeat_n(silence, 5));
    packets
}

async fn is_heard(listener: &mut Listener, who: &Person) {
    let expected = whole(QUESTION);
    who.speaks_fast(QUESTION, 4.0).await;
    let heard = listener.hears(who.ssrc(), expected.len()).await;
    assert!(heard == expected, "not the same packets");
    listener.heard.clear();
}

#[test]
fn what_is_said_is_heard_bit_by_bit() {
    story("what_is_said_is_heard_bit_by_bit", async {
        let (_sandbox, discord, guild, lounge) = start().await;
        let ana = guild.member("Ana");
        ana.joins_voice(&lounge).await;
        let mut listener = Listener::joins(&discord, &guild, &lounge, config()).await;
        assert_eq!(lounge.encryption_group().1, 2);
        is_heard(&mut listener, &ana).await;
        ana.sends_rtp_extension();
        is_heard(&mut listener, &ana).await;
        let forwarded = discord.forwarded(ana.id(), listener.user);
        assert_eq!(forwarded, 2 * whole(QUESTION).len());
    });
}

#[test]
fn either_cipher_will_do_and_no_encryption_between_people() {
    story(
        "either_cipher_will_do_and_no_encryption_between_people",
        async {
            let (_sandbox, discord, guild, lounge) = start().await;
            lounge.encrypts(false);
            let ana = guild.member("Ana");
            ana.joins_voice(&lounge).await;
            let cipher = CryptoMode::XChaCha20Poly1305;
            let config = config().crypto_mode(cipher);
            let mut listener = Listener::joins(&discord, &guild, &lounge, config).await;
            assert_eq!(lounge.encryption_group().1, 0);
            is_heard(&mut listener, &ana).await;
        },
    );
}

#[test]
fn people_come_and_go_while_others_talk() {
    story("people_come_and_go_while_others_talk", async {
        let (_sandbox, discord, guild, lounge) = start().await;
        let (ana, ben) = (guild.member("Ana"), guild.member("Ben"));
        ana.joins_voice(&lounge).await;
        ben.joins_voice(&lounge).await;
        let mut listener = Listener::joins(&discord, &guild, &lounge, config()).await;
        let expected = whole(QUESTION);
        let both = [ana.begins_to_speak(QUESTION), ben.begins_to_speak(QUESTION)];
        for name in ["Cleo", "Dan", "Emil"] {
            let guest = guild.member(name);
            guest.joins_voice(&lounge).await;
            guest.leaves_voice().await;
        }
        for speech in both {
            speech.ends().await;
        }
        lounge.until_encryption_settles().await;
        for who in [&ana, &ben] {
            let heard = listener.hears(who.ssrc(), expected.len() * 9 / 10).await;
            assert!(heard.iter().all(|it| expected.contains(it)));
        }
        let (epoch, members) = lounge.encryption_group();
        assert_eq!((epoch, members), (8, 3));
        // Not Ben again: songbird forgets who comes back within five seconds.
        let gus = guild.member("Gus");
        gus.joins_voice(&lounge).await;
        listener.heard.clear();
        is_heard(&mut listener, &gus).await;
    });
}

#[test]
fn a_broken_connection_is_resumed() {
    story("a_broken_connection_is_resumed", async {
        let (_sandbox, discord, guild, lounge) = start().await;
        let ana = guild.member("Ana");
        ana.joins_voice(&lounge).await;
        let (songbird, mut listener) = Listener::as_bot(&discord, &guild, &lounge).await;
        for broken in [
            |discord: &Discord| discord.closes_voice(4_015),
            |discord: &Discord| discord.resets_voice(),
        ] {
            broken(&discord);
            listener.reconnects().await;
            discord.until_bot_hears(&lounge).await;
            is_heard(&mut listener, &ana).await;
        }
        assert_eq!(discord.voice_logins(), (1, 2));
        // Keys change while nobody listens: the bot joins the group anew.
        discord.refuses_voice_resumes(1);
        discord.cuts_voice();
        listener.reconnects().await;
        discord.until_bot_hears(&lounge).await;
        assert_eq!(discord.voice_logins(), (2, 2));
        is_heard(&mut listener, &ana).await;
        discord.closes_voice(4_006);
        let reason = listener.is_thrown_out().await;
        assert!(reason.contains("SessionInvalid"), "{reason}");
        drop(songbird);
    });
}

#[test]
fn encryption_is_switched_on_and_off_during_a_call() {
    story("encryption_is_switched_on_and_off_during_a_call", async {
        let (_sandbox, discord, guild, lounge) = start().await;
        let ana = guild.member("Ana");
        ana.joins_voice(&lounge).await;
        let mut listener = Listener::joins(&discord, &guild, &lounge, config()).await;
        let expected = whole(QUESTION);
        let speech = ana.begins_to_speak(QUESTION);
        // Not from off to on: a driver without keys locks itself out when it is told to make some.
        for wanted in [false, true] {
            lounge.encrypts(wanted);
            lounge.until_encryption_settles().await;
            let members = if wanted { 2 } else { 0 };
            assert_eq!(lounge.encryption_group().1, members);
        }
        speech.ends().await;
        let heard = listener.hears(ana.ssrc(), expected.len()).await;
        // What is on its way when the keys go may be heard as it was sent.
        let right = heard.iter().filter(|it| expected.contains(it)).count();
        assert!(right + 5 > expected.len(), "{right} of {}", expected.len());
        listener.heard.clear();
        is_heard(&mut listener, &ana).await;
    });
}

#[test]
fn packets_are_lost_on_a_bad_network() {
    story("packets_are_lost_on_a_bad_network", async {
        let (_sandbox, discord, guild, lounge) = start().await;
        let ana = guild.member("Ana");
        ana.joins_voice(&lounge).await;
        let mut listener = Listener::joins(&discord, &guild, &lounge, config()).await;
        let all = whole(QUESTION).len();
        discord.voice_network(VoiceNetwork::perfect().loses(0.2).reorders(0.1));
        ana.speaks_fast(QUESTION, 4.0).await;
        let sent = discord.forwarded(ana.id(), listener.user);
        assert!((all / 2..all).contains(&sent), "{sent} of {all}");
        discord.voice_network(VoiceNetwork::perfect());
        ana.speaks_packets(vec![Bytes::from_static(b"\x08end")])
            .await;
        listener.hears(ana.ssrc(), sent + 6).await;
        let sequences: Vec<u16> = listener.heard[&ana.ssrc()].iter().map(|it| it.0).collect();
        let swapped = sequences.windows(2).filter(|it| it[1] < it[0]).count();
        assert!(swapped > 0, "nothing was reordered");
    });
}

/// An Ogg Opus file in the one container that songbird reads without further features.
fn dca(ogg: &[u8]) -> Vec<u8> {
    let head = json!({
        "dca": {"version": 1, "tool": {"name": "sandbox", "version": "1"}},
        "opus": {"mode": "voip", "sample_rate": 48_000, "frame_size": 960, "vbr": true,
            "channels": 1},
    });
    let head = head.to_string();
    let mut file = b"DCA1".to_vec();
    file.extend((head.len() as u32).to_le_bytes());
    file.extend(head.as_bytes());
    for packet in sandbox::opus_packets(ogg) {
        file.extend((packet.len() as u16).to_le_bytes());
        file.extend(packet);
    }
    file
}

#[test]
fn songbird_is_heard_by_songbird() {
    story("songbird_is_heard_by_songbird", async {
        let (_sandbox, discord, guild, lounge) = start().await;
        let mut listener = Listener::joins(&discord, &guild, &lounge, config()).await;
        let talker = guild.member("Fay");
        let mut driver = Driver::new(Config::default());
        let connected = driver.connect(info(&talker.invited_to_voice(&lounge)));
        connected.await.expect("connected");
        discord.until_hears(talker.id(), &lounge).await;
        driver.play_input(dca(QUESTION).into());
        let (who, ssrc) = loop {
            if let Told::Speaker(who, ssrc) = listener.next().await {
                break (who, ssrc);
            }
        };
        assert_eq!(who, talker.id());
        let expected = sandbox::opus_packets(QUESTION);
        let heard = listener.hears(ssrc, expected.len()).await;
        let same = heard.iter().filter(|it| expected.contains(it)).count();
        assert!(same * 2 > expected.len(), "{same} of {}", expected.len());
        driver.leave();
        listener.driver.leave();
    });
}

/// A client without a library.
struct Raw {
    socket: tokio_tungstenite_026::WebSocketStream<
        tokio_tungstenite_026::MaybeTlsStream<tokio::net::TcpStream>,
    >,
}

impl Raw {
    async fn opens(endpoint: &str, version: u8) -> Self {
        let url = format!("wss://{endpoint}/?v={version}");
        let socket = tokio_tungstenite_026::connect_async(url).await;
        Self {
            socket: socket.expect("a connection").0,
        }
    }

    async fn says(&mut self, op: u8, data: Value) {
        let text = json!({"op": op, "d": data}).to_string();
        let sent = self.socket.send(Frame::text(text)).await;
        sent.expect("an open connection");
    }

    async fn hears(&mut self) -> Frame {
        let frame = tokio::time::timeout(sandbox::MAX_WAIT, self.socket.next()).await;
        let frame = frame.expect("in time").expect("a frame");
        frame.expect("a frame")
    }

    async fn hears_op(&mut self, op: u8) -> Value {
        loop {
            if let Frame::Text(text) = self.hears().await {
                let frame: Value = serde_json::from_str(&text).expect("JSON");
                if frame["op"] == op {
                    return frame;
                }
            }
        }
    }

    async fn is_closed_with(&mut self) -> u16 {
        loop {
            if let Frame::Close(frame) = self.hears().await {
                return frame.expect("a code").code.into();
            }
        }
    }

    async fn identifies(&mut self, invited: &VoiceInvitation, dave: u8) {
        let data = json!({
            "server_id": invited.guild_id.to_string(), "user_id": invited.user_id.to_string(),
            "session_id": invited.session_id, "token": invited.token,
            "max_dave_protocol_version": dave,
        });
        self.says(0, data).await;
    }
}

#[test]
fn the_gateway_refuses_what_discord_refuses() {
    story("the_gateway_refuses_what_discord_refuses", async {
        let (_sandbox, discord, guild, lounge) = start().await;
        discord.voice_heartbeat(Duration::from_millis(100));
        let joy = guild.member("Joy");
        let invited = joy.invited_to_voice(&lounge);
        let wrong_token = VoiceInvitation {
            token: "another".to_owned(),
            ..invited.clone()
        };
        let wrong_session = VoiceInvitation {
            session_id: "another".to_owned(),
            ..invited.clone()
        };
        for (invited, dave, code) in [
            (&wrong_token, 1, 4_004),
            (&wrong_session, 1, 4_006),
            (&invited, 0, 4_017),
            // No heartbeats.
            (&invited, 1, 4_009),
        ] {
            let mut raw = Raw::opens(&invited.endpoint, 8).await;
            raw.identifies(invited, dave).await;
            assert_eq!(raw.is_closed_with().await, code);
        }
        let mut raw = Raw::opens(&invited.endpoint, 8).await;
        raw.says(1, json!({"protocol": "udp"})).await;
        assert_eq!(raw.is_closed_with().await, 4_003);
        let mut raw = Raw::opens(&invited.endpoint, 8).await;
        raw.identifies(&invited, 1).await;
        raw.identifies(&invited, 1).await;
        assert_eq!(raw.is_closed_with().await, 4_005);
        let mut raw = Raw::opens(&invited.endpoint, 3).await;
        assert_eq!(raw.is_closed_with().await, 4_020);
    });
}

#[test]
fn a_numbered_session_is_told_again_what_it_missed() {
    story("a_numbered_session_is_told_again_what_it_missed", async {
        let (_sandbox, _discord, guild, lounge) = start().await;
        lounge.encrypts(false);
        let invited = guild.member("Joy").invited_to_voice(&lounge);
        let mut raw = Raw::opens(&invited.endpoint, 8).await;
        raw.identifies(&invited, 1).await;
        raw.hears_op(2).await;
        let data = json!({"address": "127.0.0.1", "port": 9,
            "mode": "aead_aes256_gcm_rtpsize"});
        raw.says(1, json!({"protocol": "udp", "data": data})).await;
        let seen = raw.hears_op(4).await["seq"].clone();
        raw.says(3, json!({"t": 7, "seq_ack": seen})).await;
        assert_eq!(raw.hears_op(6).await["d"]["t"], 7);
        drop(raw);
        let ana = guild.member("Ana");
        ana.joins_voice(&lounge).await;
        let mut raw = Raw::opens(&invited.endpoint, 8).await;
        let data = json!({"server_id": invited.guild_id.to_string(),
            "session_id": invited.session_id, "token": invited.token, "seq_ack": seen});
        raw.says(7, data).await;
        let missed = raw.hears_op(11).await;
        assert_eq!(missed["d"]["user_ids"], json!([ana.id().to_string()]));
        raw.hears_op(9).await;
    });
}

#[test]
fn the_group_goes_on_without_who_is_away() {
    story("the_group_goes_on_without_who_is_away", async {
        let (_sandbox, discord, guild, lounge) = start().await;
        let ana = guild.member("Ana");
        ana.joins_voice(&lounge).await;
        let (_songbird, mut listener) = Listener::as_bot(&discord, &guild, &lounge).await;
        discord.voice_unreachable(true);
        discord.cuts_voice();
        discord.until_bot_out_of_call().await;
        let ben = guild.member("Ben");
        ben.begins_to_join_voice(&lounge);
        discord.voice_unreachable(false);
        listener.reconnects().await;
        discord.until_bot_hears(&lounge).await;
        lounge.until_encryption_settles().await;
        is_heard(&mut listener, &ana).await;
        is_heard(&mut listener, &ben).await;
    });
}

#[test]
fn who_is_deaf_or_late_hears_less() {
    story("who_is_deaf_or_late_hears_less", async {
        let (_sandbox, discord, guild, lounge) = start().await;
        let ana = guild.member("Ana");
        ana.joins_voice(&lounge).await;
        let (songbird, mut listener) = Listener::as_bot(&discord, &guild, &lounge).await;
        is_heard(&mut listener, &ana).await;
        let server = GuildId(NonZeroU64::new(guild.id()).expect("an id"));
        let call = songbird.get(server).expect("a call");
        let before = discord.forwarded_to_bot(&ana);
        call.lock().await.deafen(true).await.expect("told");
        guild.until_bot_deaf(true).await;
        ana.speaks_fast(QUESTION, 10.0).await;
        assert_eq!(discord.forwarded_to_bot(&ana), before);
        call.lock().await.deafen(false).await.expect("told");
        guild.until_bot_deaf(false).await;
        is_heard(&mut listener, &ana).await;

        // The bot learns late who speaks, and cannot decrypt until then.
        discord.lags_voice(Duration::from_millis(300));
        let ben = guild.member("Ben");
        ben.joins_voice(&lounge).await;
        discord.until_bot_hears(&lounge).await;
        ben.speaks(QUESTION).await;
        let all = whole(QUESTION);
        let heard = listener.hears(ben.ssrc(), all.len() - 40).await;
        assert!(heard.iter().all(|it| all.contains(it)));
        assert!(!heard.contains(&all[0]));
    });
}

#[test]
fn a_server_that_starts_anew_or_talks_nonsense_is_survived() {
    story(
        "a_server_that_starts_anew_or_talks_nonsense_is_survived",
        async {
            let (_sandbox, discord, guild, lounge) = start().await;
            let ana = guild.member("Ana");
            ana.joins_voice(&lounge).await;
            let (_songbird, mut listener) = Listener::as_bot(&discord, &guild, &lounge).await;
            discord.restarts_voice();
            listener.reconnects().await;
            discord.until_bot_hears(&lounge).await;
            is_heard(&mut listener, &ana).await;
            discord.freezes_voice(true);
            let ben = guild.member("Ben");
            ben.begins_to_join_voice(&lounge);
            discord.freezes_voice(false);
            lounge.until_encryption_settles().await;
            is_heard(&mut listener, &ben).await;
            // Who can't use a commit joins the group anew: out, and in again.
            let (epoch, _) = lounge.encryption_group();
            discord.sends_bot_voice_bytes(29, b"\0\x63nonsense");
            lounge.until_encryption_epoch(epoch + 2).await;
            is_heard(&mut listener, &ana).await;
            lounge.resets_encryption();
            lounge.until_encryption_epoch(1).await;
            is_heard(&mut listener, &ben).await;
            assert!(discord.sends_bot_packet(b"\x80\x78\0\x01\0\0\0\x01\0\0\0\x63", b"\x08?"));
            assert_eq!(listener.hears(0x63, 1).await, ["\x08?"]);
        },
    );
}

#[test]
fn everybody_talks_at_once_and_one_never_stops() {
    story("everybody_talks_at_once_and_one_never_stops", async {
        let (_sandbox, discord, guild, lounge) = start().await;
        let crowd: Vec<Person> = (0..10)
            .map(|number| guild.member(&format!("Guest {number}")))
            .collect();
        for guest in &crowd {
            guest.begins_to_join_voice(&lounge);
        }
        let mut listener = Listener::joins(&discord, &guild, &lounge, config()).await;
        assert_eq!(lounge.encryption_group().1, 11);
        let mic = crowd[0].opens_mic();
        let all = crowd[1..].iter().map(|it| it.begins_to_speak(QUESTION));
        let all: Vec<_> = all.collect();
        mic.says(QUESTION).await;
        for speech in all {
            speech.ends().await;
        }
        mic.close();
        let sent = crowd[0].packets_sent();
        let expected = whole(QUESTION);
        for guest in &crowd[1..] {
            let heard = listener.hears(guest.ssrc(), expected.len()).await;
            assert!(heard == expected, "not the same packets");
        }
        let said = sandbox::opus_packets(QUESTION);
        let heard = listener.hears(crowd[0].ssrc(), sent).await;
        let silence: &[u8] = &[0xfc, 0xff, 0xfe];
        let words = heard.iter().filter(|it| *it != silence);
        assert!(words.eq(&said), "not the same packets");
    });
}

#[test]
fn a_client_of_another_make_is_heard() {
    let modules = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/clients/discordjs/node_modules"
    );
    let here = std::path::Path::new(modules).is_dir().then_some(());
    let brings = "`script/bootstrap --with-browser` brings it";
    if sandbox::needs::or_skip(here, "discord.js", brings).is_none() {
        return;
    }
    story("a_client_of_another_make_is_heard", async {
        let (_sandbox, discord, guild, lounge) = start().await;
        let mut listener = Listener::joins(&discord, &guild, &lounge, config()).await;
        let talker = guild.member("Joy");
        let invited = talker.invited_to_voice(&lounge);
        let invitation = json!({
            "endpoint": invited.endpoint, "token": invited.token,
            "session_id": invited.session_id, "user_id": invited.user_id.to_string(),
            "guild_id": invited.guild_id.to_string(),
            "channel_id": invited.channel_id.to_string(),
        });
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/discordjs");
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples/question.ogg");
        let authority = std::env::var_os("SSL_CERT_FILE").expect("a story");
        let mut client = Command::new("node")
            .args(["talk.mjs", &invitation.to_string(), file])
            .env("NODE_EXTRA_CA_CERTS", authority)
            .current_dir(here)
            .spawn()
            .expect("node");
        discord.until_hears(talker.id(), &lounge).await;
        let clients = discord.voice_clients();
        let joy = clients.iter().find(|it| it.user_id == talker.id());
        let ssrc = joy.expect("just seen").ssrc;
        let expected = sandbox::opus_packets(QUESTION);
        let heard = listener.hears(ssrc, expected.len()).await;
        let same = heard.iter().filter(|it| expected.contains(it)).count();
        assert!(same + 5 > expected.len(), "{same} of {}", expected.len());
        assert!(client.wait().expect("it ends").success());
    });
}

impl Listener {
    /// The bot itself: serenity and songbird, through the main gateway.
    async fn as_bot(discord: &Discord, guild: &Guild, lounge: &Channel) -> (Arc<Songbird>, Self) {
        let songbird = Songbird::serenity_from_config(config());
        let intents = GatewayIntents::GUILDS | GatewayIntents::GUILD_VOICE_STATES;
        let client = ClientBuilder::new_with_http(crate::discord::rest(discord), intents)
            .voice_manager_arc(Arc::clone(&songbird) as Arc<_>)
            .await;
        let mut client = client.expect("a client");
        tokio::spawn(async move {
            // It ends with the story.
            let _ = client.start().await;
        });
        discord.until_connected(1).await;
        let id = |id: u64| NonZeroU64::new(id).expect("an id");
        let (server, channel) = (GuildId(id(guild.id())), ChannelId(id(lounge.id())));
        let call = songbird.join(server, channel).await.expect("joined");
        let told = with_ears(&mut *call.lock().await);
        discord.until_bot_hears(lounge).await;
        let listener = Self {
            driver: Driver::new(config()),
            told,
            user: discord.bot_id(),
            heard: BTreeMap::new(),
        };
        (songbird, listener)
    }
}

#[test]
fn the_bot_joins_is_moved_and_thrown_out() {
    story("the_bot_joins_is_moved_and_thrown_out", async {
        let (_sandbox, discord, guild, lounge) = start().await;
        let kitchen = guild.voice_channel("Kitchen");
        let ana = guild.member("Ana");
        ana.joins_voice(&lounge).await;
        let (songbird, mut listener) = Listener::as_bot(&discord, &guild, &lounge).await;
        assert_eq!(guild.bot_in_voice(), Some(lounge.id()));
        is_heard(&mut listener, &ana).await;
        guild.moves_bot(&kitchen);
        discord.until_bot_hears(&kitchen).await;
        ana.joins_voice(&kitchen).await;
        is_heard(&mut listener, &ana).await;
        guild.disconnects_bot();
        discord.until_bot_out_of_call().await;
        assert_eq!(guild.bot_in_voice(), None);

        let full = guild.voice_channel("Full");
        full.user_limit(1);
        ana.joins_voice(&full).await;
        let private = guild.voice_channel("Private");
        private.denies_bot(1 << 20);
        let id = |id: u64| NonZeroU64::new(id).expect("an id");
        let server = GuildId(id(guild.id()));
        if let Some(call) = songbird.get(server) {
            // serenity looks for what it shall send twice a second.
            let config = config().gateway_timeout(Some(Duration::from_millis(2_000)));
            call.lock().await.set_config(config);
        }
        for refused in [&full, &private] {
            let joined = songbird.join(server, ChannelId(id(refused.id()))).await;
            assert!(joined.is_err());
        }
        let stage = guild.stage_channel("Stage");
        let joined = songbird.join(server, ChannelId(id(stage.id()))).await;
        joined.expect("joined");
        discord.until_bot_hears(&stage).await;
        assert_eq!(stage.encryption_group().1, 0);
        stage.delete();
        discord.until_bot_out_of_call().await;
    });
}
