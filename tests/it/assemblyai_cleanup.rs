//! Nothing stays with AssemblyAI that nobody wants there.

use sandbox::{AssemblyAiEndpoint, Fault, Gate, Sandbox};
use talkback::speech::assemblyai::AssemblyAiSettings;
use talkback::speech::{Hints, Transcriber};

use crate::assemblyai::{
    LONG_TIMEOUT, SHORT_TIMEOUT, count_requests, error_kind, prerecorded, question, settings,
    upload_and_transcribe, utterance,
};

#[tokio::test]
async fn a_job_that_never_ends_is_given_up_and_deleted() {
    let sandbox = Sandbox::start().await;
    sandbox.assemblyai().set_polls_before_done(u32::MAX);
    let settings = AssemblyAiSettings {
        job_base_timeout: LONG_TIMEOUT,
        ..settings(&sandbox)
    };
    let error = upload_and_transcribe(&settings, &utterance())
        .await
        .expect_err("it takes for ever");
    assert_eq!(error_kind(&error, &sandbox.assemblyai().key()), "timed out");
    let requests = sandbox.assemblyai().requests();
    assert!(count_requests(&requests, "GET /v2/transcript/") > 1);
    assert_eq!(count_requests(&requests, "DELETE /v2/transcript/"), 1);
}

#[tokio::test]
async fn whoever_stops_waiting_leaves_nothing_behind() {
    let sandbox = Sandbox::start().await;
    let server = sandbox.assemblyai();
    let gate = Gate::new();
    server.add_fault(AssemblyAiEndpoint::Poll, Fault::gate(&gate));
    let transcriber = prerecorded(&settings(&sandbox));
    let clip = question();
    {
        let hints = Hints::default();
        let work = transcriber.transcribe(&clip, &hints, &());
        tokio::select! {
            _ = work => panic!("the poll is held back"),
            () = gate.wait_until_reached() => {}
        }
    }
    let requests = server
        .wait_until(|requests| count_requests(requests, "DELETE /v2/transcript/") == 1)
        .await;
    assert_eq!(count_requests(&requests, "DELETE /v2/transcript/"), 1);
}

#[tokio::test]
async fn a_job_created_after_nobody_waits_is_deleted_too() {
    let sandbox = Sandbox::start().await;
    let server = sandbox.assemblyai();
    let gate = Gate::new();
    server.add_fault(AssemblyAiEndpoint::Transcript, Fault::gate(&gate));
    let transcriber = prerecorded(&settings(&sandbox));
    let clip = question();
    {
        let hints = Hints::default();
        let work = transcriber.transcribe(&clip, &hints, &());
        tokio::select! {
            _ = work => panic!("the answer is held back"),
            () = gate.wait_until_reached() => {}
        }
    }
    gate.open();
    let requests = server
        .wait_until(|requests| count_requests(requests, "DELETE /v2/transcript/") == 1)
        .await;
    assert_eq!(count_requests(&requests, "DELETE /v2/transcript/"), 1);
}

#[tokio::test]
async fn a_transcript_that_cannot_be_deleted_is_still_one() {
    for fault in [
        Fault::status(500),
        Fault::status(401),
        Fault::hang(),
        Fault::close_connection(),
    ] {
        let sandbox = Sandbox::start().await;
        sandbox.assemblyai().set_transcript("Hello.");
        sandbox
            .assemblyai()
            .add_fault(AssemblyAiEndpoint::Delete, fault.always());
        let settings = AssemblyAiSettings {
            cleanup_timeout: SHORT_TIMEOUT,
            ..settings(&sandbox)
        };
        let transcript = upload_and_transcribe(&settings, &question())
            .await
            .expect("heard");
        assert_eq!(transcript.text, "Hello.");
    }
}

#[tokio::test]
async fn transcripts_are_kept_where_somebody_wants_that() {
    let sandbox = Sandbox::start().await;
    let settings = AssemblyAiSettings {
        keep_transcripts: true,
        ..settings(&sandbox)
    };
    upload_and_transcribe(&settings, &question())
        .await
        .expect("heard");
    let requests = sandbox.assemblyai().requests();
    assert_eq!(count_requests(&requests, "DELETE "), 0);
}
