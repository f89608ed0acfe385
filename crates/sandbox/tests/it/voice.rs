//! Voice, as songbird's own driver sees it.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use sandbox::{Channel, Discord, Guild, Sandbox, TestUser, VoiceConnectionInfo, VoiceNetwork};
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
fn run_story(name: &str, story: impl Future<Output = ()>) {
    sandbox::run_in_subprocess(&format!("voice::{name}"), story);
}

/// A sandbox whose authority this process trusts, with a server and a voice channel.
async fn start() -> (Sandbox, Discord, Guild, Channel) {
    let sandbox = Sandbox::start().await;
    let discord = sandbox.discord();
    discord.trust_authority();
    let guild = discord.add_guild("Garden");
    let lounge = guild.add_voice_channel("Lounge");
    (sandbox, discord, guild, lounge)
}

/// What songbird tells.
#[derive(Debug)]
enum DriverEvent {
    Packet(u32, u16, Bytes),
    Speaker(u64, u32),
    Reconnected,
    Disconnected(String),
}

struct SongbirdEventForwarder(mpsc::UnboundedSender<DriverEvent>);

#[async_trait]
impl EventHandler for SongbirdEventForwarder {
    async fn act(&self, context: &EventContext<'_>) -> Option<Event> {
        let told = match context {
            EventContext::RtpPacket(data) => {
                let rtp = data.rtp();
                let payload = rtp.payload();
                let end = payload.len().checked_sub(data.payload_end_pad)?;
                let payload = payload.get(data.payload_offset..end)?;
                let sequence = rtp.get_sequence().0.0;
                DriverEvent::Packet(rtp.get_ssrc(), sequence, Bytes::copy_from_slice(payload))
            }
            EventContext::SpeakingStateUpdate(speaking) => {
                DriverEvent::Speaker(speaking.user_id?.0, speaking.ssrc)
            }
            EventContext::DriverReconnect(_) => DriverEvent::Reconnected,
            EventContext::DriverDisconnect(data) => {
                DriverEvent::Disconnected(format!("{:?}", data.reason))
            }
            _ => return None,
        };
        // Nobody listens any more at the end of a story.
        let _ = self.0.send(told);
        None
    }
}

/// Somebody with songbird's driver.
struct DriverListener {
    driver: Driver,
    events: mpsc::UnboundedReceiver<DriverEvent>,
    user: u64,
    packets: BTreeMap<u32, Vec<(u16, Bytes)>>,
}

fn connection_info(invited: &VoiceConnectionInfo) -> ConnectionInfo {
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

fn attach_event_handler(driver: &mut Driver) -> mpsc::UnboundedReceiver<DriverEvent> {
    let (tell, told) = mpsc::unbounded_channel();
    for event in [
        CoreEvent::RtpPacket,
        CoreEvent::SpeakingStateUpdate,
        CoreEvent::DriverReconnect,
        CoreEvent::DriverDisconnect,
    ] {
        driver.add_global_event(event.into(), SongbirdEventForwarder(tell.clone()));
    }
    told
}

impl DriverListener {
    async fn join(discord: &Discord, guild: &Guild, lounge: &Channel, config: Config) -> Self {
        let eve = guild.add_member("Eve");
        let mut driver = Driver::new(config);
        let told = attach_event_handler(&mut driver);
        let connected = driver.connect(connection_info(&eve.join_voice_externally(lounge)));
        connected.await.expect("connected");
        discord.wait_until_receiving(eve.id(), lounge).await;
        Self {
            driver,
            events: told,
            user: eve.id(),
            packets: BTreeMap::new(),
        }
    }

    async fn next_event(&mut self) -> DriverEvent {
        let told = tokio::time::timeout(sandbox::MAX_WAIT, self.events.recv());
        told.await.expect("an event in time").expect("it runs")
    }

    /// Waits until so many packets of a stream have come, and returns what was in them.
    async fn wait_for_packets(&mut self, ssrc: u32, count: usize) -> Vec<Bytes> {
        while self.packets.get(&ssrc).map_or(0, Vec::len) < count {
            if let DriverEvent::Packet(ssrc, sequence, payload) = self.next_event().await {
                self.packets
                    .entry(ssrc)
                    .or_default()
                    .push((sequence, payload));
            }
        }
        let packets = &self.packets[&ssrc];
        packets.iter().map(|it| it.1.clone()).collect()
    }

    async fn wait_for_reconnect(&mut self) {
        while !matches!(self.next_event().await, DriverEvent::Reconnected) {}
    }

    async fn wait_for_disconnect(&mut self) -> String {
        loop {
            if let DriverEvent::Disconnected(reason) = self.next_event().await {
                return reason;
            }
        }
    }
}

/// What a listener hears of an utterance: its packets, and five of silence.
fn packets_with_silence(ogg: &[u8]) -> Vec<Bytes> {
    let mut packets = sandbox::opus_packets(ogg);
    let silence = Bytes::from_static(&[0xf8, 0xff, 0xfe]);
    packets.extend(std::iter::repeat_n(silence, 5));
    packets
}

async fn assert_heard(listener: &mut DriverListener, who: &TestUser) {
    let expected = packets_with_silence(QUESTION);
    who.speak_fast(QUESTION, 4.0).await;
    let heard = listener.wait_for_packets(who.ssrc(), expected.len()).await;
    assert!(heard == expected, "not the same packets");
    listener.packets.clear();
}

#[test]
fn what_is_said_is_heard_bit_by_bit() {
    run_story("what_is_said_is_heard_bit_by_bit", async {
        let (_sandbox, discord, guild, lounge) = start().await;
        let ana = guild.add_member("Ana");
        ana.join_voice(&lounge).await;
        let mut listener = DriverListener::join(&discord, &guild, &lounge, config()).await;
        assert_eq!(lounge.encryption_epoch_and_size().1, 2);
        assert_heard(&mut listener, &ana).await;
        ana.enable_rtp_extension();
        assert_heard(&mut listener, &ana).await;
        let forwarded = discord.packets_forwarded(ana.id(), listener.user);
        assert_eq!(forwarded, 2 * packets_with_silence(QUESTION).len());
    });
}

#[test]
fn either_cipher_will_do_and_no_encryption_between_people() {
    run_story(
        "either_cipher_will_do_and_no_encryption_between_people",
        async {
            let (_sandbox, discord, guild, lounge) = start().await;
            lounge.encrypts(false);
            let ana = guild.add_member("Ana");
            ana.join_voice(&lounge).await;
            let cipher = CryptoMode::XChaCha20Poly1305;
            let config = config().crypto_mode(cipher);
            let mut listener = DriverListener::join(&discord, &guild, &lounge, config).await;
            assert_eq!(lounge.encryption_epoch_and_size().1, 0);
            assert_heard(&mut listener, &ana).await;
        },
    );
}

#[test]
fn people_come_and_go_while_others_talk() {
    run_story("people_come_and_go_while_others_talk", async {
        let (_sandbox, discord, guild, lounge) = start().await;
        let (ana, ben) = (guild.add_member("Ana"), guild.add_member("Ben"));
        ana.join_voice(&lounge).await;
        ben.join_voice(&lounge).await;
        let mut listener = DriverListener::join(&discord, &guild, &lounge, config()).await;
        let expected = packets_with_silence(QUESTION);
        let both = [ana.start_speaking(QUESTION), ben.start_speaking(QUESTION)];
        for name in ["Cleo", "Dan", "Emil"] {
            let guest = guild.add_member(name);
            guest.join_voice(&lounge).await;
            guest.leave_voice().await;
        }
        for speech in both {
            speech.wait_until_sent().await;
        }
        lounge.wait_until_encryption_settled().await;
        for who in [&ana, &ben] {
            let heard = listener
                .wait_for_packets(who.ssrc(), expected.len() * 9 / 10)
                .await;
            assert!(heard.iter().all(|it| expected.contains(it)));
        }
        let (epoch, members) = lounge.encryption_epoch_and_size();
        assert_eq!((epoch, members), (8, 3));
        // Not Ben again: songbird forgets who comes back within five seconds.
        let gus = guild.add_member("Gus");
        gus.join_voice(&lounge).await;
        listener.packets.clear();
        assert_heard(&mut listener, &gus).await;
    });
}

#[test]
fn a_broken_connection_is_resumed() {
    run_story("a_broken_connection_is_resumed", async {
        let (_sandbox, discord, guild, lounge) = start().await;
        let ana = guild.add_member("Ana");
        ana.join_voice(&lounge).await;
        let (songbird, mut listener) = DriverListener::as_bot(&discord, &guild, &lounge).await;
        for broken in [
            |discord: &Discord| discord.close_bot_voice(4_015),
            |discord: &Discord| discord.reset_bot_voice(),
        ] {
            broken(&discord);
            listener.wait_for_reconnect().await;
            discord.wait_until_bot_receiving(&lounge).await;
            assert_heard(&mut listener, &ana).await;
        }
        assert_eq!(discord.voice_identify_and_resume_counts(), (1, 2));
        // Keys change while nobody listens: the bot joins the group anew.
        discord.refuse_voice_resumes(1);
        discord.drop_bot_voice();
        listener.wait_for_reconnect().await;
        discord.wait_until_bot_receiving(&lounge).await;
        assert_eq!(discord.voice_identify_and_resume_counts(), (2, 2));
        assert_heard(&mut listener, &ana).await;
        discord.close_bot_voice(4_006);
        let reason = listener.wait_for_disconnect().await;
        assert!(reason.contains("SessionInvalid"), "{reason}");
        drop(songbird);
    });
}

#[test]
fn encryption_is_switched_on_and_off_during_a_call() {
    run_story("encryption_is_switched_on_and_off_during_a_call", async {
        let (_sandbox, discord, guild, lounge) = start().await;
        let ana = guild.add_member("Ana");
        ana.join_voice(&lounge).await;
        let mut listener = DriverListener::join(&discord, &guild, &lounge, config()).await;
        let expected = packets_with_silence(QUESTION);
        let speech = ana.start_speaking(QUESTION);
        // Not from off to on: a driver without keys locks itself out when it is told to make some.
        for wanted in [false, true] {
            lounge.encrypts(wanted);
            lounge.wait_until_encryption_settled().await;
            let members = if wanted { 2 } else { 0 };
            assert_eq!(lounge.encryption_epoch_and_size().1, members);
        }
        speech.wait_until_sent().await;
        let heard = listener.wait_for_packets(ana.ssrc(), expected.len()).await;
        // What is on its way when the keys go may be heard as it was sent.
        let right = heard.iter().filter(|it| expected.contains(it)).count();
        assert!(right + 5 > expected.len(), "{right} of {}", expected.len());
        listener.packets.clear();
        assert_heard(&mut listener, &ana).await;
    });
}

#[test]
fn packets_are_lost_on_a_bad_network() {
    run_story("packets_are_lost_on_a_bad_network", async {
        let (_sandbox, discord, guild, lounge) = start().await;
        let ana = guild.add_member("Ana");
        ana.join_voice(&lounge).await;
        let mut listener = DriverListener::join(&discord, &guild, &lounge, config()).await;
        let all = packets_with_silence(QUESTION).len();
        discord.voice_network(VoiceNetwork::perfect().with_loss(0.2).with_reordering(0.1));
        ana.speak_fast(QUESTION, 4.0).await;
        let sent = discord.packets_forwarded(ana.id(), listener.user);
        assert!((all / 2..all).contains(&sent), "{sent} of {all}");
        discord.voice_network(VoiceNetwork::perfect());
        ana.speak_packets(vec![Bytes::from_static(b"\x08end")])
            .await;
        listener.wait_for_packets(ana.ssrc(), sent + 6).await;
        let sequences: Vec<u16> = listener.packets[&ana.ssrc()]
            .iter()
            .map(|it| it.0)
            .collect();
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
    run_story("songbird_is_heard_by_songbird", async {
        let (_sandbox, discord, guild, lounge) = start().await;
        let mut listener = DriverListener::join(&discord, &guild, &lounge, config()).await;
        let talker = guild.add_member("Fay");
        let mut driver = Driver::new(Config::default());
        let connected = driver.connect(connection_info(&talker.join_voice_externally(&lounge)));
        connected.await.expect("connected");
        discord.wait_until_receiving(talker.id(), &lounge).await;
        driver.play_input(dca(QUESTION).into());
        let (who, ssrc) = loop {
            if let DriverEvent::Speaker(who, ssrc) = listener.next_event().await {
                break (who, ssrc);
            }
        };
        assert_eq!(who, talker.id());
        let expected = sandbox::opus_packets(QUESTION);
        let heard = listener.wait_for_packets(ssrc, expected.len()).await;
        let same = heard.iter().filter(|it| expected.contains(it)).count();
        assert!(same * 2 > expected.len(), "{same} of {}", expected.len());
        driver.leave();
        listener.driver.leave();
    });
}

/// A client without a library.
struct RawVoiceClient {
    websocket: tokio_tungstenite_026::WebSocketStream<
        tokio_tungstenite_026::MaybeTlsStream<tokio::net::TcpStream>,
    >,
}

impl RawVoiceClient {
    async fn connect(endpoint: &str, version: u8) -> Self {
        let url = format!("wss://{endpoint}/?v={version}");
        let socket = tokio_tungstenite_026::connect_async(url).await;
        Self {
            websocket: socket.expect("a connection").0,
        }
    }

    async fn send(&mut self, op: u8, data: Value) {
        let text = json!({"op": op, "d": data}).to_string();
        let sent = self.websocket.send(Frame::text(text)).await;
        sent.expect("an open connection");
    }

    async fn next_frame(&mut self) -> Frame {
        let frame = tokio::time::timeout(sandbox::MAX_WAIT, self.websocket.next()).await;
        let frame = frame.expect("in time").expect("a frame");
        frame.expect("a frame")
    }

    async fn wait_for_opcode(&mut self, op: u8) -> Value {
        loop {
            if let Frame::Text(text) = self.next_frame().await {
                let frame: Value = serde_json::from_str(&text).expect("JSON");
                if frame["op"] == op {
                    return frame;
                }
            }
        }
    }

    async fn wait_for_close(&mut self) -> u16 {
        loop {
            if let Frame::Close(frame) = self.next_frame().await {
                return frame.expect("a code").code.into();
            }
        }
    }

    async fn identify(&mut self, invited: &VoiceConnectionInfo, dave: u8) {
        let data = json!({
            "server_id": invited.guild_id.to_string(), "user_id": invited.user_id.to_string(),
            "session_id": invited.session_id, "token": invited.token,
            "max_dave_protocol_version": dave,
        });
        self.send(0, data).await;
    }
}

#[test]
fn the_gateway_refuses_what_discord_refuses() {
    run_story("the_gateway_refuses_what_discord_refuses", async {
        let (_sandbox, discord, guild, lounge) = start().await;
        discord.set_voice_heartbeat_interval(Duration::from_millis(100));
        let joy = guild.add_member("Joy");
        let invited = joy.join_voice_externally(&lounge);
        let wrong_token = VoiceConnectionInfo {
            token: "another".to_owned(),
            ..invited.clone()
        };
        let wrong_session = VoiceConnectionInfo {
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
            let mut raw = RawVoiceClient::connect(&invited.endpoint, 8).await;
            raw.identify(invited, dave).await;
            assert_eq!(raw.wait_for_close().await, code);
        }
        let mut raw = RawVoiceClient::connect(&invited.endpoint, 8).await;
        raw.send(1, json!({"protocol": "udp"})).await;
        assert_eq!(raw.wait_for_close().await, 4_003);
        let mut raw = RawVoiceClient::connect(&invited.endpoint, 8).await;
        raw.identify(&invited, 1).await;
        raw.identify(&invited, 1).await;
        assert_eq!(raw.wait_for_close().await, 4_005);
        let mut raw = RawVoiceClient::connect(&invited.endpoint, 3).await;
        assert_eq!(raw.wait_for_close().await, 4_020);
    });
}

#[test]
fn a_numbered_session_is_told_again_what_it_missed() {
    run_story("a_numbered_session_is_told_again_what_it_missed", async {
        let (_sandbox, _discord, guild, lounge) = start().await;
        lounge.encrypts(false);
        let invited = guild.add_member("Joy").join_voice_externally(&lounge);
        let mut raw = RawVoiceClient::connect(&invited.endpoint, 8).await;
        raw.identify(&invited, 1).await;
        raw.wait_for_opcode(2).await;
        let data = json!({"address": "127.0.0.1", "port": 9,
            "mode": "aead_aes256_gcm_rtpsize"});
        raw.send(1, json!({"protocol": "udp", "data": data})).await;
        let seen = raw.wait_for_opcode(4).await["seq"].clone();
        raw.send(3, json!({"t": 7, "seq_ack": seen})).await;
        assert_eq!(raw.wait_for_opcode(6).await["d"]["t"], 7);
        drop(raw);
        let ana = guild.add_member("Ana");
        ana.join_voice(&lounge).await;
        let mut raw = RawVoiceClient::connect(&invited.endpoint, 8).await;
        let data = json!({"server_id": invited.guild_id.to_string(),
            "session_id": invited.session_id, "token": invited.token, "seq_ack": seen});
        raw.send(7, data).await;
        let missed = raw.wait_for_opcode(11).await;
        assert_eq!(missed["d"]["user_ids"], json!([ana.id().to_string()]));
        raw.wait_for_opcode(9).await;
    });
}

#[test]
fn the_group_goes_on_without_who_is_away() {
    run_story("the_group_goes_on_without_who_is_away", async {
        let (_sandbox, discord, guild, lounge) = start().await;
        let ana = guild.add_member("Ana");
        ana.join_voice(&lounge).await;
        let (_songbird, mut listener) = DriverListener::as_bot(&discord, &guild, &lounge).await;
        discord.set_voice_unreachable(true);
        discord.drop_bot_voice();
        discord.wait_until_bot_left_call().await;
        let ben = guild.add_member("Ben");
        ben.start_joining_voice(&lounge);
        discord.set_voice_unreachable(false);
        listener.wait_for_reconnect().await;
        discord.wait_until_bot_receiving(&lounge).await;
        lounge.wait_until_encryption_settled().await;
        assert_heard(&mut listener, &ana).await;
        assert_heard(&mut listener, &ben).await;
    });
}

#[test]
fn who_is_deaf_or_late_hears_less() {
    run_story("who_is_deaf_or_late_hears_less", async {
        let (_sandbox, discord, guild, lounge) = start().await;
        let ana = guild.add_member("Ana");
        ana.join_voice(&lounge).await;
        let (songbird, mut listener) = DriverListener::as_bot(&discord, &guild, &lounge).await;
        assert_heard(&mut listener, &ana).await;
        let server = GuildId(NonZeroU64::new(guild.id()).expect("an id"));
        let call = songbird.get(server).expect("a call");
        let before = discord.packets_forwarded_to_bot(&ana);
        call.lock().await.deafen(true).await.expect("told");
        guild.wait_until_bot_self_deaf(true).await;
        ana.speak_fast(QUESTION, 10.0).await;
        assert_eq!(discord.packets_forwarded_to_bot(&ana), before);
        call.lock().await.deafen(false).await.expect("told");
        guild.wait_until_bot_self_deaf(false).await;
        assert_heard(&mut listener, &ana).await;

        // The bot learns late who speaks, and cannot decrypt until then.
        discord.set_bot_voice_gateway_lag(Duration::from_millis(300));
        let ben = guild.add_member("Ben");
        ben.join_voice(&lounge).await;
        discord.wait_until_bot_receiving(&lounge).await;
        ben.speak(QUESTION).await;
        let all = packets_with_silence(QUESTION);
        let heard = listener.wait_for_packets(ben.ssrc(), all.len() - 40).await;
        assert!(heard.iter().all(|it| all.contains(it)));
        assert!(!heard.contains(&all[0]));
    });
}

#[test]
fn a_server_that_starts_anew_or_talks_nonsense_is_survived() {
    run_story(
        "a_server_that_starts_anew_or_talks_nonsense_is_survived",
        async {
            let (_sandbox, discord, guild, lounge) = start().await;
            let ana = guild.add_member("Ana");
            ana.join_voice(&lounge).await;
            let (_songbird, mut listener) = DriverListener::as_bot(&discord, &guild, &lounge).await;
            discord.restart_voice();
            listener.wait_for_reconnect().await;
            discord.wait_until_bot_receiving(&lounge).await;
            assert_heard(&mut listener, &ana).await;
            discord.set_voice_frozen(true);
            let ben = guild.add_member("Ben");
            ben.start_joining_voice(&lounge);
            discord.set_voice_frozen(false);
            lounge.wait_until_encryption_settled().await;
            assert_heard(&mut listener, &ben).await;
            // Who can't use a commit joins the group anew: out, and in again.
            let (epoch, _) = lounge.encryption_epoch_and_size();
            discord.send_voice_bytes_to_bot(29, b"\0\x63nonsense");
            lounge.wait_for_encryption_epoch(epoch + 2).await;
            assert_heard(&mut listener, &ana).await;
            lounge.reset_encryption();
            lounge.wait_for_encryption_epoch(1).await;
            assert_heard(&mut listener, &ben).await;
            assert!(discord.send_packet_to_bot(b"\x80\x78\0\x01\0\0\0\x01\0\0\0\x63", b"\x08?"));
            assert_eq!(listener.wait_for_packets(0x63, 1).await, ["\x08?"]);
        },
    );
}

#[test]
fn everybody_talks_at_once_and_one_never_stops() {
    run_story("everybody_talks_at_once_and_one_never_stops", async {
        let (_sandbox, discord, guild, lounge) = start().await;
        let crowd: Vec<TestUser> = (0..10)
            .map(|number| guild.add_member(&format!("Guest {number}")))
            .collect();
        for guest in &crowd {
            guest.start_joining_voice(&lounge);
        }
        let mut listener = DriverListener::join(&discord, &guild, &lounge, config()).await;
        assert_eq!(lounge.encryption_epoch_and_size().1, 11);
        let mic = crowd[0].open_mic();
        let all = crowd[1..].iter().map(|it| it.start_speaking(QUESTION));
        let all: Vec<_> = all.collect();
        mic.says(QUESTION).await;
        for speech in all {
            speech.wait_until_sent().await;
        }
        mic.close();
        let sent = crowd[0].packets_sent();
        let expected = packets_with_silence(QUESTION);
        for guest in &crowd[1..] {
            let heard = listener
                .wait_for_packets(guest.ssrc(), expected.len())
                .await;
            assert!(heard == expected, "not the same packets");
        }
        let said = sandbox::opus_packets(QUESTION);
        let heard = listener.wait_for_packets(crowd[0].ssrc(), sent).await;
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
    if sandbox::requirements::or_skip(here, "discord.js", brings).is_none() {
        return;
    }
    run_story("a_client_of_another_make_is_heard", async {
        let (_sandbox, discord, guild, lounge) = start().await;
        let mut listener = DriverListener::join(&discord, &guild, &lounge, config()).await;
        let talker = guild.add_member("Joy");
        let invited = talker.join_voice_externally(&lounge);
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
        discord.wait_until_receiving(talker.id(), &lounge).await;
        let clients = discord.voice_clients();
        let joy = clients.iter().find(|it| it.user_id == talker.id());
        let ssrc = joy.expect("just seen").ssrc;
        let expected = sandbox::opus_packets(QUESTION);
        let heard = listener.wait_for_packets(ssrc, expected.len()).await;
        let same = heard.iter().filter(|it| expected.contains(it)).count();
        assert!(same + 5 > expected.len(), "{same} of {}", expected.len());
        assert!(client.wait().expect("it ends").success());
    });
}

impl DriverListener {
    /// The bot itself: serenity and songbird, through the main gateway.
    async fn as_bot(discord: &Discord, guild: &Guild, lounge: &Channel) -> (Arc<Songbird>, Self) {
        let songbird = Songbird::serenity_from_config(config());
        let intents = GatewayIntents::GUILDS | GatewayIntents::GUILD_VOICE_STATES;
        let client = ClientBuilder::new_with_http(crate::discord::rest_client(discord), intents)
            .voice_manager_arc(Arc::clone(&songbird) as Arc<_>)
            .await;
        let mut client = client.expect("a client");
        tokio::spawn(async move {
            // It ends with the story.
            let _ = client.start().await;
        });
        discord.wait_until_connected(1).await;
        let id = |id: u64| NonZeroU64::new(id).expect("an id");
        let (server, channel) = (GuildId(id(guild.id())), ChannelId(id(lounge.id())));
        let call = songbird.join(server, channel).await.expect("joined");
        let told = attach_event_handler(&mut *call.lock().await);
        discord.wait_until_bot_receiving(lounge).await;
        let listener = Self {
            driver: Driver::new(config()),
            events: told,
            user: discord.bot_id(),
            packets: BTreeMap::new(),
        };
        (songbird, listener)
    }
}

#[test]
fn the_bot_joins_is_moved_and_thrown_out() {
    run_story("the_bot_joins_is_moved_and_thrown_out", async {
        let (_sandbox, discord, guild, lounge) = start().await;
        let kitchen = guild.add_voice_channel("Kitchen");
        let ana = guild.add_member("Ana");
        ana.join_voice(&lounge).await;
        let (songbird, mut listener) = DriverListener::as_bot(&discord, &guild, &lounge).await;
        assert_eq!(guild.bot_voice_channel(), Some(lounge.id()));
        assert_heard(&mut listener, &ana).await;
        guild.move_bot(&kitchen);
        discord.wait_until_bot_receiving(&kitchen).await;
        ana.join_voice(&kitchen).await;
        assert_heard(&mut listener, &ana).await;
        guild.disconnect_bot();
        discord.wait_until_bot_left_call().await;
        assert_eq!(guild.bot_voice_channel(), None);

        let full = guild.add_voice_channel("Full");
        full.set_user_limit(1);
        ana.join_voice(&full).await;
        let private = guild.add_voice_channel("Private");
        private.deny_bot(1 << 20);
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
        let stage = guild.add_stage_channel("Stage");
        let joined = songbird.join(server, ChannelId(id(stage.id()))).await;
        joined.expect("joined");
        discord.wait_until_bot_receiving(&stage).await;
        assert_eq!(stage.encryption_epoch_and_size().1, 0);
        stage.delete();
        discord.wait_until_bot_left_call().await;
    });
}
