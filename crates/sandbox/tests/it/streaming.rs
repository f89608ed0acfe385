//! Live sessions over a WebSocket.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use sandbox::{AssemblyAi, AssemblyAiEndpoint, Fault, Gate, StreamingSessionEnd};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::{client, pcm, send_json, start};

const VALID_QUERY: &str =
    "speech_model=universal-3-5-pro&sample_rate=16000&encoding=pcm_s16le&inactivity_timeout=30";

struct StreamingClient(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// How a socket ended: the close code, or nothing if it broke.
type CloseCode = Option<u16>;

impl StreamingClient {
    async fn connect(stt: &AssemblyAi, query: &str, key: Option<&str>) -> Result<Self, Error> {
        let url = format!("{}/v3/ws?{query}", stt.streaming_url());
        let mut request = url.into_client_request().expect("a URL");
        if let Some(key) = key {
            let key = key.parse().expect("a header value");
            request.headers_mut().insert("Authorization", key);
        }
        connect_async(request).await.map(|(socket, _)| Self(socket))
    }

    async fn connect_and_begin(stt: &AssemblyAi) -> Self {
        let mut live = Self::connect(stt, VALID_QUERY, Some(&stt.key()))
            .await
            .expect("a session");
        let begin = live.next_message().await.expect("a message");
        assert_eq!(begin["type"], "Begin");
        assert!(begin["id"].is_string() && begin["expires_at"].is_u64());
        assert_eq!(begin["configuration"]["model"], "universal-3-5-pro");
        live
    }

    async fn next_message(&mut self) -> Result<Value, CloseCode> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => {
                    return Ok(serde_json::from_str(&text).unwrap_or_else(|_| json!(text.as_str())));
                }
                Some(Ok(Message::Close(frame))) => {
                    return Err(frame.map(|frame| frame.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// Everything up to the end.
    async fn read_to_end(&mut self) -> (Vec<Value>, CloseCode) {
        let mut messages = Vec::new();
        loop {
            match self.next_message().await {
                Ok(message) => messages.push(message),
                Err(end) => return (messages, end),
            }
        }
    }

    async fn send_audio(&mut self, chunk: Vec<u8>) {
        self.0
            .send(Message::Binary(chunk.into()))
            .await
            .expect("sent");
    }

    async fn send_json(&mut self, message: Value) {
        let text = message.to_string();
        self.0.send(Message::Text(text.into())).await.expect("sent");
    }
}

fn silence(milliseconds: usize) -> Vec<u8> {
    vec![0; 32 * milliseconds]
}

#[tokio::test]
async fn words_come_while_somebody_talks() {
    let (_sandbox, stt, _) = start().await;
    stt.queue_transcripts(["Good morning.", "Bye."]);
    let mut live = StreamingClient::connect_and_begin(&stt).await;
    live.send_audio(silence(200)).await;
    for _ in 0..8 {
        live.send_audio(pcm(16_000, 100)).await;
    }
    live.send_audio(silence(1_000)).await;
    assert_eq!(
        live.next_message().await.expect("speech")["type"],
        "SpeechStarted"
    );
    let partial = live.next_message().await.expect("a partial");
    assert_eq!(
        (&partial["transcript"], &partial["end_of_turn"]),
        (&json!("Good morning."), &json!(false))
    );
    let end = live.next_message().await.expect("the turn");
    assert_eq!(
        (&end["turn_order"], &end["end_of_turn"]),
        (&json!(0), &json!(true))
    );
    assert_eq!(end["words"][1]["word_is_final"], true);

    live.send_audio(pcm(16_000, 100)).await;
    live.send_json(json!({"type": "KeepAlive"})).await;
    live.send_json(json!({"type": "ForceEndpoint"})).await;
    assert_eq!(
        live.next_message().await.expect("speech")["type"],
        "SpeechStarted"
    );
    let end = live.next_message().await.expect("the turn");
    assert_eq!(
        (&end["turn_order"], &end["transcript"]),
        (&json!(1), &json!("Bye."))
    );

    live.send_json(json!({"type": "Terminate"})).await;
    let (messages, code) = live.read_to_end().await;
    assert_eq!(messages[0]["type"], "Termination");
    assert_eq!(messages[0]["audio_duration_seconds"], 2);
    assert!(messages[0]["session_duration_seconds"].is_u64());
    assert_eq!(code, Some(1000));

    let sessions = stt
        .wait_for_streaming_sessions(|sessions| sessions[0].end.is_some())
        .await;
    assert_eq!(sessions[0].end, Some(StreamingSessionEnd::Terminated));
    assert_eq!(
        sessions[0].query_param("inactivity_timeout").as_deref(),
        Some("30")
    );
    assert_eq!(
        (sessions[0].audio_messages, sessions[0].audio.len()),
        (11, 32 * 2_100)
    );
    assert_eq!(
        sessions[0].text_messages.last(),
        Some(&json!({"type": "Terminate"}))
    );
    assert_eq!(stt.requests()[0].path, "/v3/ws");
}

#[tokio::test]
async fn terminating_gives_what_was_said_so_far() {
    let (_sandbox, stt, _) = start().await;
    stt.set_transcript("Half a sentence");
    let mut live = StreamingClient::connect_and_begin(&stt).await;
    live.send_audio(pcm(16_000, 300)).await;
    live.send_json(json!({"type": "Terminate"})).await;
    let (messages, _) = live.read_to_end().await;
    let kinds: Vec<_> = messages
        .iter()
        .map(|message| message["type"].clone())
        .collect();
    assert_eq!(kinds, ["SpeechStarted", "Turn", "Termination"]);
    assert_eq!(messages[1]["transcript"], "Half a sentence");
}

#[tokio::test]
async fn a_wrong_key_or_parameter_is_told_on_the_socket() {
    let (_sandbox, stt, _) = start().await;
    let key = stt.key();
    let table = [
        (VALID_QUERY, None, 1008),
        (VALID_QUERY, Some("wrong"), 1008),
        ("sample_rate=1", Some(key.as_str()), 3006),
        ("inactivity_timeout=2", Some(key.as_str()), 3006),
        ("speech_model=best", Some(key.as_str()), 3006),
    ];
    for (query, key, code) in table {
        let mut live = StreamingClient::connect(&stt, query, key)
            .await
            .expect("an open socket");
        let (messages, end) = live.read_to_end().await;
        assert_eq!(messages[0]["type"], "Error");
        assert_eq!(
            (&messages[0]["error_code"], end),
            (&json!(code), Some(code)),
            "{query}"
        );
    }
    let plain = client().get(format!(
        "{}/v3/ws",
        stt.streaming_url().replace("ws:", "http:")
    ));
    assert_eq!(send_json(plain).await.0, 400);
}

#[tokio::test]
async fn wrong_messages_end_the_session() {
    let (_sandbox, stt, _) = start().await;
    let table = [
        (Message::Binary(silence(49).into()), 3007),
        (Message::Binary(silence(1_001).into()), 3007),
        (Message::Text("{".into()), 3006),
        (Message::Text("[]".into()), 3006),
        (Message::Text(r#"{"type":"Sing"}"#.into()), 3006),
    ];
    for (message, code) in table {
        let mut live = StreamingClient::connect_and_begin(&stt).await;
        live.0.send(message).await.expect("sent");
        let (messages, end) = live.read_to_end().await;
        assert_eq!(
            (&messages[0]["error_code"], end),
            (&json!(code), Some(code))
        );
        assert!(messages[0]["error"].is_string());
    }
}

#[tokio::test]
async fn audio_ahead_of_the_clock_is_refused_where_that_is_checked() {
    let (_sandbox, stt, _) = start().await;
    stt.enforce_real_time();
    let mut live = StreamingClient::connect_and_begin(&stt).await;
    for _ in 0..100 {
        if live
            .0
            .send(Message::Binary(silence(1_000).into()))
            .await
            .is_err()
        {
            break;
        }
    }
    let (messages, end) = live.read_to_end().await;
    assert!(
        messages[0]["error"]
            .as_str()
            .is_some_and(|error| error.contains("Rate Exceeded"))
    );
    assert_eq!(end, Some(3007));
}

#[tokio::test]
async fn a_silent_client_is_sent_away() {
    let (_sandbox, stt, _) = start().await;
    stt.set_inactivity_timeout(Duration::from_millis(50));
    stt.set_heartbeat_interval(Duration::from_millis(20));
    let asked = format!("{VALID_QUERY}&session_heartbeat=True");
    let live = StreamingClient::connect(&stt, &asked, Some(&stt.key())).await;
    let (messages, end) = live.expect("a session").read_to_end().await;
    assert_eq!(messages[1]["type"], "Heartbeat");
    assert!(messages[1]["realtime_factor"].is_number());
    assert_eq!(messages.last().expect("an end")["type"], "Termination");
    assert_eq!(end, Some(1000));
    assert_eq!(
        stt.streaming_sessions()[0].end,
        Some(StreamingSessionEnd::Inactive)
    );
}

#[tokio::test]
async fn a_client_that_forgets_to_terminate_is_noticed() {
    let (_sandbox, stt, _) = start().await;
    let live = StreamingClient::connect_and_begin(&stt).await;
    drop(live);
    let sessions = stt
        .wait_for_streaming_sessions(|sessions| sessions[0].end.is_some())
        .await;
    assert_eq!(
        sessions[0].end,
        Some(StreamingSessionEnd::ClientDisconnected)
    );
}

#[tokio::test]
async fn every_close_code_can_be_had() {
    let (_sandbox, stt, _) = start().await;
    for code in [3005, 3006, 3007, 3008] {
        stt.add_fault(AssemblyAiEndpoint::Streaming, Fault::close_code(code));
        let mut live = StreamingClient::connect_and_begin(&stt).await;
        let (messages, end) = live.read_to_end().await;
        assert_eq!(
            (&messages[0]["error_code"], end),
            (&json!(code), Some(code))
        );
    }
    for code in [1008, 3009] {
        stt.add_fault(AssemblyAiEndpoint::Streaming, Fault::close_code(code));
        let mut live = StreamingClient::connect(&stt, VALID_QUERY, Some(&stt.key()))
            .await
            .expect("a socket");
        let (messages, end) = live.read_to_end().await;
        assert_eq!(
            (messages[0]["type"].as_str(), end),
            (Some("Error"), Some(code))
        );
    }
    let long = "x".repeat(200);
    stt.add_fault(
        AssemblyAiEndpoint::Streaming,
        Fault::close_with_reason(3005, &long),
    );
    let (messages, end) = StreamingClient::connect_and_begin(&stt)
        .await
        .read_to_end()
        .await;
    assert_eq!((&messages[0]["error"], end), (&json!(long), Some(3005)));
}

#[tokio::test]
async fn a_session_may_break_after_some_turns() {
    let (_sandbox, stt, _) = start().await;
    stt.set_transcript("Yes.");
    stt.add_fault(
        AssemblyAiEndpoint::Streaming,
        Fault::drop_socket().after_turns(2),
    );
    let mut live = StreamingClient::connect_and_begin(&stt).await;
    for _ in 0..2 {
        live.send_audio(pcm(16_000, 100)).await;
        live.send_json(json!({"type": "ForceEndpoint"})).await;
    }
    let (messages, end) = live.read_to_end().await;
    let turns = messages
        .iter()
        .filter(|message| message["type"] == "Turn")
        .count();
    assert_eq!((turns, end), (2, None));
    assert_eq!(
        stt.streaming_sessions()[0].end,
        Some(StreamingSessionEnd::Dropped)
    );
}

#[tokio::test]
async fn a_session_may_break_in_mid_turn() {
    let (_sandbox, stt, _) = start().await;
    stt.add_fault(
        AssemblyAiEndpoint::Streaming,
        Fault::drop_socket().after_audio(Duration::from_millis(200)),
    );
    let mut live = StreamingClient::connect_and_begin(&stt).await;
    for _ in 0..2 {
        live.send_audio(pcm(16_000, 100)).await;
    }
    assert_eq!(live.read_to_end().await.1, None);
    let session = stt.streaming_sessions().remove(0);
    assert_eq!(
        (session.end, session.audio_messages),
        (Some(StreamingSessionEnd::Dropped), 2)
    );
}

#[tokio::test]
async fn socket_faults() {
    let (sandbox, stt, _) = start().await;
    let warning = json!({"type": "Warning", "warning_code": 1, "warning": "hm"});
    let fault = Fault::socket_text(&warning.to_string()).and(Fault::socket_text("not json"));
    stt.add_fault(AssemblyAiEndpoint::Streaming, fault);
    let mut live = StreamingClient::connect_and_begin(&stt).await;
    assert_eq!(live.next_message().await, Ok(warning));
    assert_eq!(live.next_message().await, Ok(json!("not json")));
    live.send_json(json!({"type": "Terminate"})).await;
    assert_eq!(live.read_to_end().await.1, Some(1000));

    // The handshake itself can be refused, or held back.
    stt.add_fault(AssemblyAiEndpoint::Streaming, Fault::status(503));
    let refused = StreamingClient::connect(&stt, VALID_QUERY, Some(&stt.key())).await;
    assert!(matches!(refused, Err(Error::Http(response)) if response.status() == 503));
    let gate = Gate::new();
    stt.add_fault(AssemblyAiEndpoint::Streaming, Fault::gate(&gate));
    let (live, ()) = tokio::join!(StreamingClient::connect_and_begin(&stt), async {
        gate.wait_until_reached().await;
        gate.open();
    });
    drop(live);

    // A session that hangs ends with the sandbox.
    stt.add_fault(AssemblyAiEndpoint::Streaming, Fault::hang_socket());
    let mut live = StreamingClient::connect_and_begin(&stt).await;
    live.send_json(json!({"type": "Terminate"})).await;
    drop(sandbox);
    assert_eq!(live.read_to_end().await, (vec![], None));
}

#[tokio::test]
async fn a_token_is_good_for_one_session() {
    let (_sandbox, stt, _) = start().await;
    let token = |query: &str, key: &str| {
        let base = stt.streaming_url().replace("ws:", "http:");
        let request = client().get(format!("{base}/v3/token?{query}"));
        send_json(request.header("Authorization", key))
    };
    let key = stt.key();
    assert_eq!(token("expires_in_seconds=60", "wrong").await.0, 401);
    for query in ["", "expires_in_seconds=0", "expires_in_seconds=601"] {
        assert_eq!(token(query, &key).await.0, 400, "{query}");
    }
    let good = "expires_in_seconds=60&max_session_duration_seconds=60";
    let (status, body) = token(good, &key).await;
    let token = body["token"].as_str().expect("a token");
    assert_eq!(status, 200);
    let asked = format!("{VALID_QUERY}&token={token}");
    for expected in ["Begin", "Error"] {
        let live = StreamingClient::connect(&stt, &asked, None).await;
        let first = live
            .expect("a socket")
            .next_message()
            .await
            .expect("a message");
        assert_eq!(first["type"], expected);
    }
}

#[tokio::test]
async fn requested_options_produce_their_messages() {
    let (_sandbox, stt, _) = start().await;
    stt.set_speaker_transcript([("B", "Yes.")]);
    let asked =
        "speech_model=u3-pro&sample_rate=16000&acknowledge_silence=true&speaker_labels=true";
    let live = StreamingClient::connect(&stt, asked, Some(&stt.key())).await;
    let mut live = live.expect("a session");
    live.send_audio(silence(1_000)).await;
    live.send_audio(pcm(16_000, 300)).await;
    live.send_audio(silence(100)).await;
    live.send_json(
        json!({"type": "UpdateConfiguration", "agent_context": "Paris.", "language_codes": []}),
    )
    .await;
    live.send_json(json!({"type": "Terminate"})).await;
    let (messages, _) = live.read_to_end().await;
    let kinds: Vec<_> = messages
        .iter()
        .filter_map(|it| it["type"].as_str())
        .collect();
    assert_eq!(
        kinds,
        [
            "Begin",
            "Warning",
            "Silence",
            "SpeechStarted",
            "Turn",
            "SpeakerRevision",
            "Termination"
        ]
    );
    assert_eq!(messages[2]["end_ms"], 1_000);
    assert_eq!(messages[4]["speaker_label"], "A");
    assert_eq!(messages[5]["revisions"][0]["speaker_label"], "B");
}
