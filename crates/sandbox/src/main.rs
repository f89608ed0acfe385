//! The sandbox on its own: `cargo run -p sandbox -- --help`.

mod cli;
mod console;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use cli::{FaultTarget, SandboxArgs};
use sandbox::{Ports, RecordedRequest, Sandbox};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(SandboxArgs::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has gone.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandbox: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: SandboxArgs) -> io::Result<()> {
    let ports = Ports {
        assemblyai: arguments.assemblyai_port,
        openai: arguments.openai_port,
    };
    let sandbox = Sandbox::start_on(ports).await.map_err(|error| {
        let taken = format!("can't listen on the ports asked for: {error}");
        io::Error::new(error.kind(), taken)
    })?;
    let talk = arguments.talk;
    std::fs::write(&arguments.authority, sandbox.discord().authority_pem())?;
    let authority = std::path::absolute(&arguments.authority)?;
    apply_arguments(&sandbox, arguments);
    print_env(&sandbox, &authority)?;
    let discord = sandbox.discord();
    tokio::select! {
        told = print_requests(&sandbox), if !talk => told,
        talked = console::run_console(&discord), if talk => talked,
        stopped = tokio::signal::ctrl_c() => stopped,
    }
}

fn apply_arguments(sandbox: &Sandbox, arguments: SandboxArgs) {
    let (stt, llm) = (sandbox.assemblyai(), sandbox.openai());
    stt.set_transcript(&arguments.hears);
    stt.set_polls_before_done(arguments.polls);
    stt.set_processing_time(Duration::from_millis(arguments.recognition_ms));
    llm.says(&arguments.says);
    sandbox.llm_gateway().says(&arguments.says);
    llm.set_chunk_delay(Duration::from_millis(arguments.piece_ms));
    for planned in arguments.faults {
        match planned.target {
            FaultTarget::AssemblyAi(endpoint) => stt.add_fault(endpoint, planned.fault),
            FaultTarget::OpenAi(endpoint) => llm.add_fault(endpoint, planned.fault),
        }
    }
}

/// The lines that point a client here, ready for an .env file.
fn print_env(sandbox: &Sandbox, authority: &Path) -> io::Result<()> {
    let (stt, llm) = (sandbox.assemblyai(), sandbox.openai());
    let discord = sandbox.discord();
    let mut out = io::stdout().lock();
    writeln!(out, "# AssemblyAI: Sync, pre-recorded, streaming")?;
    writeln!(out, "ASSEMBLYAI_API_KEY={}", stt.key())?;
    writeln!(out, "ASSEMBLYAI_SYNC_URL={}", stt.sync_url())?;
    writeln!(out, "ASSEMBLYAI_API_URL={}", stt.api_url())?;
    writeln!(out, "ASSEMBLYAI_STREAMING_URL={}", stt.streaming_url())?;
    let gateway = sandbox.llm_gateway().url();
    writeln!(out, "ASSEMBLYAI_LLM_GATEWAY_URL={gateway}")?;
    writeln!(out, "# OpenAI")?;
    writeln!(out, "OPENAI_API_KEY={}", llm.key())?;
    writeln!(out, "OPENAI_BASE_URL={}", llm.url())?;
    writeln!(out, "# Discord, under its own names through a proxy")?;
    writeln!(out, "DISCORD_TOKEN={}", discord.token())?;
    writeln!(out, "HTTPS_PROXY={}", discord.proxy_url())?;
    writeln!(out, "SSL_CERT_FILE={}", authority.display())?;
    writeln!(out, "# Ctrl-C stops the servers. Requests:")?;
    out.flush()
}

async fn print_requests(sandbox: &Sandbox) -> io::Result<()> {
    let mut next = 0;
    loop {
        let is_new = |request: &RecordedRequest| request.number >= next;
        let requests = sandbox
            .wait_until(|requests| requests.last().is_some_and(is_new))
            .await;
        let mut out = io::stdout().lock();
        for request in requests.iter().filter(|request| is_new(request)) {
            writeln!(
                out,
                "{} {} ({} bytes)",
                request.method, request.path, request.body_bytes
            )?;
        }
        out.flush()?;
        next = requests.last().map_or(next, |request| request.number + 1);
    }
}
