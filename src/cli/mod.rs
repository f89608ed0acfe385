//! The command line: runs a subcommand and turns its outcome into an exit code.
//!
//! `args` defines what can be typed; each subcommand has its own file.

mod args;
mod ask;
mod atomic_file;
mod doctor;
mod exit;
mod health;
mod input;
mod invite;
mod json;
mod models;
mod readiness;
mod run;
mod shell_docs;
mod terminal;
mod transcribe;
mod web;

use std::process::ExitCode;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::dotenv::{self, DotEnvSource};
use crate::config::{Config, RequiredFeatures};
use crate::{telemetry, ui_text};

pub use args::{CliCommand, CommandLineArgs, build_command};
pub use exit::Exit;

/// How long blocking threads may take to notice at exit that their work was cancelled.
const RUNTIME_SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(300);

/// Runs the program.
///
/// Must be called before any thread starts, since it loads `.env` into the environment.
pub fn main() -> ExitCode {
    telemetry::install_panic_hook();
    let dotenv = match dotenv::load() {
        Ok(dotenv) => dotenv,
        Err(error) => {
            terminal::print_error(&ui_text::dotenv_error(&error));
            return Exit::Usage.into();
        }
    };
    dotenv::disable_library_telemetry();
    let arguments = CommandLineArgs::parse();
    let exit = match &arguments.command {
        // `doctor` reports invalid settings itself, along with everything else.
        CliCommand::Doctor(doctor) => {
            run_until_interrupted(doctor::run(doctor, &arguments, &dotenv))
        }
        command => match Config::read_for(&arguments.setting_values, required_features(command)) {
            Ok(config) => {
                telemetry::init_logging(&config.log);
                dispatch(command, &config)
            }
            Err(errors) => {
                for error in errors {
                    terminal::print_error(&ui_text::setting_error(&error));
                }
                Exit::Usage
            }
        },
    };
    exit.into()
}

/// The settings that a subcommand requires. `transcribe` needs no chat provider, for example.
fn required_features(command: &CliCommand) -> RequiredFeatures {
    match command {
        CliCommand::Ask(ask) => RequiredFeatures {
            speech: !ask.files.is_empty(),
            chat: true,
            ..RequiredFeatures::NONE
        },
        CliCommand::Transcribe(_) => RequiredFeatures {
            speech: true,
            ..RequiredFeatures::NONE
        },
        CliCommand::Run => RequiredFeatures::BOT,
        CliCommand::Web(_) => RequiredFeatures::WEB,
        CliCommand::Models(_)
        | CliCommand::Invite
        | CliCommand::Health
        | CliCommand::Completions { .. }
        | CliCommand::Man => RequiredFeatures::NONE,
        CliCommand::Doctor(_) => RequiredFeatures::SPEECH_AND_CHAT,
    }
}

fn dispatch(command: &CliCommand, config: &Config) -> Exit {
    match command {
        CliCommand::Run => run_bot(config),
        CliCommand::Invite => invite::run(config),
        CliCommand::Ask(ask) => run_until_interrupted(ask::run(ask, config)),
        CliCommand::Transcribe(transcribe) => {
            run_until_interrupted(transcribe::run(transcribe, config))
        }
        CliCommand::Web(web) => match run_until_interrupted(web::run(web, config)) {
            // Serving until interrupted is success.
            Exit::Interrupted => Exit::Success,
            exit => exit,
        },
        CliCommand::Models(models) => run_until_interrupted(models::run(models, config)),
        CliCommand::Health => run_until_interrupted(health::run(config)),
        CliCommand::Completions { shell } => shell_docs::print_completions(*shell),
        CliCommand::Man => shell_docs::print_man_page(),
        CliCommand::Doctor(_) => Exit::Usage,
    }
}

/// Runs a subcommand until it ends or is interrupted.
///
/// On interruption the future is dropped, and its temporary files with it. Threads that are still
/// decoding or running a model get a short time to notice.
fn run_until_interrupted(subcommand: impl Future<Output = Exit>) -> Exit {
    let Some(runtime) = build_runtime() else {
        return Exit::Failure;
    };
    let exit = runtime.block_on(async {
        tokio::select! {
            biased;
            () = exit::shutdown_signal() => Exit::Interrupted,
            () = terminal::stdout_closed() => Exit::Failure,
            exit = subcommand => exit,
        }
    });
    terminal::clear_bar();
    // A thread that notices in time removes its temporary file.
    runtime.shutdown_timeout(RUNTIME_SHUTDOWN_TIMEOUT);
    if exit == Exit::Success && terminal::output_failed() {
        return Exit::Failure;
    }
    exit
}

/// Runs the bot until it is interrupted, and then until it has shut down.
fn run_bot(config: &Config) -> Exit {
    let Some(runtime) = build_runtime() else {
        return Exit::Failure;
    };
    let stop = CancellationToken::new();
    let interrupted = stop.clone();
    runtime.spawn(async move {
        exit::shutdown_signal().await;
        interrupted.cancel();
    });
    let exit = runtime.block_on(run::run(config, stop));
    runtime.shutdown_timeout(RUNTIME_SHUTDOWN_TIMEOUT);
    exit
}

fn build_runtime() -> Option<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => Some(runtime),
        Err(error) => {
            terminal::print_error(&format!(
                "The system gives no threads to work with: {error}."
            ));
            None
        }
    }
}

/// Describes where the settings came from.
fn settings_source(dotenv: &DotEnvSource) -> String {
    match dotenv {
        DotEnvSource::Loaded(path) => format!("environment and {}", path.display()),
        DotEnvSource::NotFound => "environment only, no .env file here or above".to_owned(),
    }
}
