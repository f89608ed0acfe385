//! The sandbox on its own: `cargo run -p sandbox -- --help`.

mod command_line;
mod talk;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use command_line::{Arguments, Place};
use sandbox::{Ports, Recorded, Sandbox};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has gone.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandbox: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> io::Result<()> {
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
    script(&sandbox, arguments);
    introduce(&sandbox, &authority)?;
    let discord = sandbox.discord();
    tokio::select! {
        told = tell_requests(&sandbox), if !talk => told,
        talked = talk::talk(&discord), if talk => talked,
        stopped = tokio::signal::ctrl_c() => stopped,
    }
}

fn script(sandbox: &Sandbox, arguments: Arguments) {
    let (stt, llm) = (sandbox.assemblyai(), sandbox.openai());
    stt.hears(&arguments.hears);
    stt.polls_before_done(arguments.polls);
    stt.takes(Duration::from_millis(arguments.recognition_ms));
    llm.says(&arguments.says);
    sandbox.llm_gateway().says(&arguments.says);
    llm.takes_between_pieces(Duration::from_millis(arguments.piece_ms));
    for planned in arguments.faults {
        match planned.place {
            Place::AssemblyAi(endpoint) => stt.fault(endpoint, planned.fault),
            Place::OpenAi(endpoint) => llm.fault(endpoint, planned.fault),
        }
    }
}

/// The lines that point a client here, ready for an .env file.
fn introduce(sandbox: &Sandbox, authority: &Path) -> io::Result<()> {
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

async fn tell_requests(sandbox: &Sandbox) -> io::Result<()> {
    let mut next = 0;
    loop {
        let is_new = |request: &Recorded| request.number >= next;
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
