//! The command line's definition and its help.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{SETTINGS, SettingValues};
use crate::speech::subtitles::TranscriptFormat;

/// The parsed command line.
pub struct CommandLineArgs {
    /// The subcommand.
    pub command: CliCommand,
    /// The settings that were given by flag or environment variable.
    pub setting_values: SettingValues,
}

/// Speech goes in, words and answers come out.
#[derive(Parser)]
#[command(
    name = "talkback",
    version,
    about = "Listens to recordings, writes down what is said, and answers",
    long_about = "Listens to recordings, writes down what is said, and answers.\n\n\
        Without any key it works on this machine with small local models (`talkback models fetch` \
        downloads them). With an AssemblyAI key it hears and answers better; an OpenAI key, or any \
        server that speaks the same API, can answer too.",
    after_long_help = "Secrets have no flag, since other users of a machine can read a command \
        line. Set them in the environment or in a file named .env, here or in a folder above:\n  \
        DISCORD_TOKEN         the bot in Discord\n  \
        TALKBACK_KEY          encrypts what the bot stores\n  \
        ASSEMBLYAI_API_KEY    AssemblyAI, for speech to text and for answers\n  \
        OPENAI_API_KEY        OpenAI or a compatible server, for answers\n\n\
        Every flag above is also an environment variable; a flag goes first, then the \
        environment, then .env.\n\n\
        Exit codes: 0 success; 1 failure; 2 wrong command line or setting; 3 a recording can't be \
        used; 4 no speech in it; 5 a provider refused, failed or could not be reached; 6 a local \
        model is missing or broken; 130 interrupted. With several files, the code of the first \
        one that failed."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<CliCommand>,
}

/// What to do.
#[derive(Subcommand)]
pub enum CliCommand {
    /// Run the Discord bot until interrupted; this is also the default without a command
    #[command(
        after_help = "The bot needs DISCORD_TOKEN in the environment or in .env. It keeps \
        its data in TALKBACK_DATA. On Ctrl-C or SIGTERM it finishes or saves what it is doing, \
        then stops."
    )]
    Run,
    /// Print the link that adds the bot to a server
    Invite,
    /// Transcribe a recording and answer it
    #[command(after_help = "Examples:\n  \
        talkback ask question.ogg\n  \
        talkback ask meeting.m4a --text \"Who does what until when?\"\n  \
        talkback ask --text \"What is the capital of France?\"\n  \
        ffmpeg -loglevel error -f pulse -i default -t 5 -f ogg - | talkback ask -")]
    Ask(AskArgs),
    /// Transcribe recordings, as text or subtitles
    #[command(after_help = "Examples:\n  \
        talkback transcribe talk.mp3\n  \
        talkback transcribe film.mp4 --format srt > film.srt\n  \
        talkback transcribe *.ogg --format vtt --output-dir subtitles")]
    Transcribe(TranscribeArgs),
    /// Talk in a browser: a page that records, transcribes and answers
    #[command(
        after_help = "The page is at WEB_ADDRESS until Ctrl-C. It works with the providers \
        that the settings name, or with the local models. Browsers give a page the microphone only \
        at localhost or over https; from another machine use a proxy that does https, or \
        `ssh -L 8711:localhost:8711 HOST`."
    )]
    Web(WebArgs),
    /// Check settings, keys, bot, disks, providers and models, and say how to fix what is broken
    #[command(
        after_help = "Nothing is changed. What it costs: an answer of a few words, and with \
        VOICE_TRANSCRIBER=streaming a session that ends at once. The exit code is 1 if \
        something required is broken.\n\n\
        Only a real call shows whether the bot can hear one: with --voice it joins that channel \
        for a moment. People there see it come and go; what they say is thrown away."
    )]
    Doctor(DoctorArgs),
    /// List or fetch the local models
    #[command(subcommand, arg_required_else_help = true)]
    Models(ModelsCommand),
    /// Ask the bot that runs with these settings whether it is healthy; for health checks
    Health,
    /// Print a completion script for a shell
    #[command(after_help = "Examples:\n  \
        talkback completions bash > ~/.local/share/bash-completion/completions/talkback\n  \
        talkback completions fish > ~/.config/fish/completions/talkback.fish")]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the manual page
    #[command(after_help = "Example:\n  talkback man | man -l -")]
    Man,
}

/// `talkback doctor`
#[derive(Args)]
pub struct DoctorArgs {
    /// Also join this voice channel for a moment and see whether it could be heard
    #[arg(long, value_name = "CHANNEL_ID")]
    pub voice: Option<std::num::NonZeroU64>,
}

/// `talkback web`
#[derive(Args)]
pub struct WebArgs {
    /// Open the page in the browser of this desktop
    #[arg(long)]
    pub open: bool,
}

/// `talkback ask`
#[derive(Args)]
pub struct AskArgs {
    /// Recordings in any common format; `-` reads one from standard input
    #[arg(value_name = "FILE", required_unless_present = "text")]
    pub files: Vec<PathBuf>,
    /// A typed question: about the recordings, or on its own
    #[arg(long, value_name = "QUESTION")]
    pub text: Option<String>,
    /// One JSON object per recording on standard output, once its answer is complete
    #[arg(long)]
    pub json: bool,
}

/// `talkback transcribe`
#[derive(Args)]
pub struct TranscribeArgs {
    /// Recordings in any common format; `-` reads one from standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// What to write
    #[arg(long, value_enum, default_value_t = TranscriptFormat::Text)]
    pub format: TranscriptFormat,
    /// Write a file per recording into this folder instead of to standard output
    #[arg(long, value_name = "DIR")]
    pub output_dir: Option<PathBuf>,
}

/// `talkback models`
#[derive(Subcommand)]
pub enum ModelsCommand {
    /// Show the local models: whether they are installed, where, their size and licence
    List,
    /// Fetch the local models that are missing; continues where it was interrupted
    Fetch {
        /// Only these, named as in `talkback models list`
        #[arg(value_name = "MODEL")]
        names: Vec<String>,
    },
}

impl CommandLineArgs {
    /// Parses the process's command line and environment. Prints help, version or a usage error and
    /// exits where that is what was asked for.
    pub fn parse() -> Self {
        let matches = build_command().get_matches();
        let command = match Cli::from_arg_matches(&matches) {
            Ok(line) => line.command.unwrap_or(CliCommand::Run),
            Err(error) => error.exit(),
        };
        Self {
            command,
            setting_values: read_setting_values(&matches),
        }
    }
}

/// The definition: subcommands, and one global flag per setting.
pub fn build_command() -> clap::Command {
    let flags = SETTINGS
        .iter()
        .filter(|setting| !setting.secret)
        .map(|setting| {
            Arg::new(setting.variable)
                .long(setting.flag_name())
                .env(setting.variable)
                .value_name(setting.value_name)
                .help(setting.help_with_default())
                .help_heading(setting.group)
                .hide_short_help(true)
                .hide_env_values(true)
                .global(true)
        });
    Cli::command().args(flags)
}

fn read_setting_values(matches: &ArgMatches) -> SettingValues {
    // clap reports a global flag that follows a subcommand on every level above it too.
    let mut values = SettingValues::default();
    for setting in SETTINGS {
        let value = if setting.secret {
            std::env::var(setting.variable).ok()
        } else {
            matches.get_one::<String>(setting.variable).cloned()
        };
        if let Some(value) = value {
            values.set(setting.variable, value);
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        build_command().debug_assert();
    }
}
