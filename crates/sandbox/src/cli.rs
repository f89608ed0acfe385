//! The command line, and faults in short words.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use sandbox::{AssemblyAiEndpoint, Fault, OpenAiEndpoint};

/// AssemblyAI, OpenAI and Discord as servers on loopback, for trying clients out without a key.
///
/// Prints the URLs and the lines of an .env file that point a client here, then every request,
/// until Ctrl-C. With --talk, each line of standard input is sent to the bot as a direct message,
/// or as a voice message if it is the path of an Ogg file, and what the bot shows is printed; some
/// lines with a slash have people talk in a voice channel.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct SandboxArgs {
    /// Port of AssemblyAI, all three surfaces together. 0: a free port for each.
    #[arg(long, default_value_t = 0)]
    pub(crate) assemblyai_port: u16,
    /// Port of OpenAI. 0: any free one.
    #[arg(long, default_value_t = 0)]
    pub(crate) openai_port: u16,
    /// What is said in every clip.
    #[arg(long, default_value = "What is the capital of France?")]
    pub(crate) hears: String,
    /// What the model answers.
    #[arg(long, default_value = "Paris is the capital of France.")]
    pub(crate) says: String,
    /// The looks at a pre-recorded job that find it unfinished.
    #[arg(long, default_value_t = 0)]
    pub(crate) polls: u32,
    /// How long recognition takes, in milliseconds.
    #[arg(long, default_value_t = 0)]
    pub(crate) recognition_ms: u64,
    /// The time between two pieces of a streamed answer, in milliseconds.
    #[arg(long, default_value_t = 0)]
    pub(crate) piece_ms: u64,
    /// Be a person who talks to the bot in direct messages.
    #[arg(long)]
    pub(crate) talk: bool,
    /// Where the certificate of Discord's authority is written.
    #[arg(long, value_name = "FILE", default_value = "sandbox-authority.pem")]
    pub(crate) authority: PathBuf,
    /// Something that goes wrong: ENDPOINT:FAULT, then xN for N times or x* for always.
    ///
    /// Endpoints: sync, live, warm, upload, transcript, poll, delete, list, export, streaming, token; chat,
    /// completions, models, model, moderations. Faults: a status (429, or 429@2 with Retry-After
    /// of 2 s), quota, hang, hang-after-headers, close, reset, cut, slow, malformed, empty, html,
    /// endless, job-error; in streams no-done, cut-stream, stream-error, comments, crlf,
    /// split-utf8, refusal, length, no-usage, bom, json-lines, unstreamed, blank, tool, repeats,
    /// gzip; on the socket drop and close-3005 and the like.
    /// Example: --fault sync:503x2 --fault chat:no-done
    #[arg(long = "fault", value_name = "FAULT", value_parser = parse_fault)]
    pub(crate) faults: Vec<FaultSpec>,
}

/// A fault and where it strikes.
#[derive(Clone, Debug)]
pub(crate) struct FaultSpec {
    pub(crate) target: FaultTarget,
    pub(crate) fault: Fault,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FaultTarget {
    AssemblyAi(AssemblyAiEndpoint),
    OpenAi(OpenAiEndpoint),
}

fn parse_fault(text: &str) -> Result<FaultSpec, String> {
    let (place, rest) = text
        .split_once(':')
        .ok_or("expected ENDPOINT:FAULT, such as sync:503x2")?;
    let place = parse_target(place).ok_or_else(|| format!("no endpoint is called {place:?}"))?;
    let (kind, times) = match rest.rsplit_once('x') {
        Some((kind, "*")) => (kind, None),
        Some((kind, times)) if times.parse::<u32>().is_ok() => (kind, times.parse().ok()),
        _ => (rest, Some(1)),
    };
    let fault = parse_fault_kind(kind).ok_or_else(|| format!("no fault is called {kind:?}"))?;
    let fault = match times {
        Some(times) => fault.times(times),
        None => fault.always(),
    };
    Ok(FaultSpec {
        target: place,
        fault,
    })
}

fn parse_target(name: &str) -> Option<FaultTarget> {
    Some(match name {
        "sync" => FaultTarget::AssemblyAi(AssemblyAiEndpoint::Sync),
        "live" => FaultTarget::AssemblyAi(AssemblyAiEndpoint::SyncLive),
        "warm" => FaultTarget::AssemblyAi(AssemblyAiEndpoint::Warm),
        "upload" => FaultTarget::AssemblyAi(AssemblyAiEndpoint::Upload),
        "transcript" => FaultTarget::AssemblyAi(AssemblyAiEndpoint::Transcript),
        "poll" => FaultTarget::AssemblyAi(AssemblyAiEndpoint::Poll),
        "delete" => FaultTarget::AssemblyAi(AssemblyAiEndpoint::Delete),
        "list" => FaultTarget::AssemblyAi(AssemblyAiEndpoint::List),
        "export" => FaultTarget::AssemblyAi(AssemblyAiEndpoint::Export),
        "streaming" => FaultTarget::AssemblyAi(AssemblyAiEndpoint::Streaming),
        "token" => FaultTarget::AssemblyAi(AssemblyAiEndpoint::Token),
        "chat" => FaultTarget::OpenAi(OpenAiEndpoint::Chat),
        "completions" => FaultTarget::OpenAi(OpenAiEndpoint::Completions),
        "models" => FaultTarget::OpenAi(OpenAiEndpoint::Models),
        "model" => FaultTarget::OpenAi(OpenAiEndpoint::Model),
        "moderations" => FaultTarget::OpenAi(OpenAiEndpoint::Moderations),
        _ => return None,
    })
}

fn parse_fault_kind(kind: &str) -> Option<Fault> {
    if let Some(code) = kind.strip_prefix("close-") {
        return code.parse().ok().map(Fault::close_code);
    }
    if kind.starts_with(|c: char| c.is_ascii_digit()) {
        let (status, wait) = kind.split_once('@').unwrap_or((kind, ""));
        let status = status
            .parse()
            .ok()
            .filter(|status| (400..600).contains(status))?;
        let fault = Fault::status(status);
        return match wait {
            "" => Some(fault),
            wait => wait.parse().ok().map(|seconds| fault.retry_after(seconds)),
        };
    }
    Some(match kind {
        "quota" => Fault::insufficient_quota(),
        "hang" => Fault::hang(),
        "hang-after-headers" => Fault::hang_after_headers(),
        "close" => Fault::close_connection(),
        "reset" => Fault::reset_connection(),
        "cut" => Fault::close_mid_body(),
        "slow" => Fault::byte_by_byte(Duration::from_millis(20)),
        "malformed" => Fault::malformed_json(),
        "empty" => Fault::empty_body(),
        "html" => Fault::status(502).body("text/html", "<h1>502 Bad Gateway</h1>"),
        "endless" => Fault::endless_body(),
        "job-error" => Fault::job_error("Transcription failed, please try again"),
        "no-done" => Fault::omit_done(),
        "cut-stream" => Fault::close_after_chunks(2),
        "stream-error" => Fault::error_after_chunks(2, "The server had an error"),
        "comments" => Fault::sse_comments(),
        "crlf" => Fault::crlf_line_endings(),
        "split-utf8" => Fault::split_utf8(),
        "refusal" => Fault::model_refusal("I can't help with that."),
        "length" => Fault::finish_reason("length"),
        "no-usage" => Fault::omit_usage(),
        "bom" => Fault::byte_order_mark(),
        "json-lines" => Fault::json_lines(),
        "unstreamed" => Fault::json_instead_of_stream(),
        "blank" => Fault::model_refusal(""),
        "tool" => Fault::tool_call("search"),
        "repeats" => Fault::repeat_full_answer(),
        "gzip" => Fault::gzip(),
        "drop" => Fault::drop_socket(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_from_short_words() {
        for text in [
            "sync:503",
            "sync:503x2",
            "sync:429@1x*",
            "poll:job-error",
            "chat:no-done",
            "streaming:close-3005",
            "upload:hang-after-headersx3",
        ] {
            assert!(parse_fault(text).is_ok(), "{text}");
        }
        let planned = parse_fault("chat:crlf").expect("a fault");
        assert_eq!(planned.target, FaultTarget::OpenAi(OpenAiEndpoint::Chat));
        for text in [
            "sync",
            "sync:",
            "sync:99",
            "nowhere:503",
            "sync:503@soon",
            "sync:odd",
        ] {
            assert!(parse_fault(text).is_err(), "{text}");
        }
    }
}
