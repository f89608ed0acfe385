//! `talkback invite`: the link that adds the bot to a server.

use secrecy::ExposeSecret;

use super::exit::Exit;
use super::terminal;
use crate::config::Config;
use crate::discord::invite;
use crate::ui_text;

pub(super) fn run(config: &Config) -> Exit {
    let token = config.bot.token.as_ref();
    let application =
        token.and_then(|token| invite::application_id_from_token(token.expose_secret()));
    let Some(application) = application else {
        terminal::print_error(ui_text::INVALID_DISCORD_TOKEN);
        return Exit::Usage;
    };
    terminal::print(&format!("{}\n", invite::invite_url(application)));
    Exit::Success
}
