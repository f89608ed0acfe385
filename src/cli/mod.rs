//! The command line: what is typed becomes a call, its outcome becomes an exit code.

mod arguments;
mod ask;
mod definition;
mod doctor;
mod exit;
mod health;
mod input;
mod invite;
mod json;
mod models;
mod output;
mod readiness;
mod run;
mod terminal;
mod transcribe;
mod web;

use std::process::ExitCode;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::dotenv::{self, DotEnv};
use crate::config::{Config, Needs};
use crate::{telemetry, words};

pub use arguments::{Arguments, Command, command};
pub use exit::Exit;

/// How long threads that still decode or think may take to notice that nobody waits for them.
const LAST_WISHES: Duration = Duration::from_millis(300);

/// The whole life of the process after its start.
///
/// Must be called before any thread is started, since it loads `.env` into the environment.
pub fn main() -> ExitCode {
    telemetry::quiet_panics();
    let dotenv = match dotenv::load() {
        Ok(dotenv) => dotenv,
        Err(error) => {
            terminal::complain(&words::dotenv(&error));
            return Exit::Usage.into();
        }
    };
    dotenv::keep_libraries_quiet();
    let arguments = Arguments::parse();
    let exit = match &arguments.command {
        // doctor reports faulty settings itself, among everything else.
        Command::Doctor(doctor) => run(doctor::run(doctor, &arguments, &dotenv)),
        command => match Config::read_for(&arguments.values, needs(command)) {
            Ok(config) => {
                telemetry::start(&config.log);
                start(command, &config)
            }
            Err(faults) => {
                for fault in faults {
                    terminal::complain(&words::fault(&fault));
                }
                Exit::Usage
            }
        },
    };
    exit.into()
}

/// Nobody has to choose who answers in order to have something written down.
fn needs(command: &Command) -> Needs {
    match command {
        Command::Ask(ask) => Needs {
            speech: !ask.files.is_empty(),
            chat: true,
            ..Needs::NOTHING
        },
        Command::Transcribe(_) => Needs {
            speech: true,
            ..Needs::NOTHING
        },
        Command::Run => Needs::BOT,
        Command::Web(_) => Needs::PAGE,
        Command::Models(_)
        | Command::Invite
        | Command::Health
        | Command::Completions { .. }
        | Command::Man => Needs::NOTHING,
        Command::Doctor(_) => Needs::EVERYTHING,
    }
}

fn start(command: &Command, config: &Config) -> Exit {
    match command {
        Command::Run => serve(config),
        Command::Invite => invite::run(config),
        Command::Ask(ask) => run(ask::run(ask, config)),
        Command::Transcribe(transcribe) => run(transcribe::run(transcribe, config)),
        Command::Web(web) => match run(web::run(web, config)) {
            // It serves until somebody ends it, so that is how it ends well.
            Exit::Interrupted => Exit::Success,
            exit => exit,
        },
        Command::Models(models) => run(models::run(models, config)),
        Command::Health => run(health::run(config)),
        Command::Completions { shell } => definition::completions(*shell),
        Command::Man => definition::man(),
        Command::Doctor(_) => Exit::Usage,
    }
}

/// Runs a subcommand until it ends or somebody interrupts it.
///
/// An interrupted future is dropped, and with it its temporary files; threads that still decode
/// or think are waited for only as long as nobody notices.
fn run(subcommand: impl Future<Output = Exit>) -> Exit {
    let Some(runtime) = runtime() else {
        return Exit::Failure;
    };
    let exit = runtime.block_on(async {
        tokio::select! {
            biased;
            () = exit::interrupted() => Exit::Interrupted,
            () = terminal::reader_gone() => Exit::Failure,
            exit = subcommand => exit,
        }
    });
    terminal::clear();
    // A thread that notices soon takes its temporary file with it.
    runtime.shutdown_timeout(LAST_WISHES);
    if exit == Exit::Success && terminal::output_failed() {
        return Exit::Failure;
    }
    exit
}

/// Runs the bot until somebody interrupts it, and then until it has come to its end by itself.
fn serve(config: &Config) -> Exit {
    let Some(runtime) = runtime() else {
        return Exit::Failure;
    };
    let stop = CancellationToken::new();
    let interrupted = stop.clone();
    runtime.spawn(async move {
        exit::interrupted().await;
        interrupted.cancel();
    });
    let exit = runtime.block_on(run::run(config, stop));
    runtime.shutdown_timeout(LAST_WISHES);
    exit
}

fn runtime() -> Option<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => Some(runtime),
        Err(error) => {
            terminal::complain(&format!(
                "The system gives no threads to work with: {error}."
            ));
            None
        }
    }
}

/// Where the settings came from, in words.
fn described(dotenv: &DotEnv) -> String {
    match dotenv {
        DotEnv::Read(path) => format!("environment and {}", path.display()),
        DotEnv::None => "environment only, no .env file here or above".to_owned(),
    }
}
