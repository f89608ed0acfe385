//! `talkback invite`: the link that adds the bot to a server.

use secrecy::ExposeSecret;

use super::exit::Exit;
use super::terminal;
use crate::config::Config;
use crate::discord::invite;
use crate::words;

pub(super) fn run(config: &Config) -> Exit {
    let token = config.bot.token.as_ref();
    let application = token.and_then(|token| invite::application_of(token.expose_secret()));
    let Some(application) = application else {
        terminal::complain(words::NO_TOKEN);
        return Exit::Usage;
    };
    terminal::print(&format!("{}\n", invite::link(application)));
    Exit::Success
}
