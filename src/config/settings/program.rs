//! Settings of the web page, the limits on recordings, and the log.

use super::{Setting, secret, setting};

const WEB: &str = "In the browser";
const LIMITS: &str = "Limits";
const LOG: &str = "Log";

pub(super) const SETTINGS: &[Setting] = &[
    setting(
        WEB,
        "WEB_ADDRESS",
        "ADDRESS",
        "127.0.0.1:8711",
        "Where `talkback web` shows its page",
    ),
    secret(
        WEB,
        "TALKBACK_HTTP_TOKEN",
        "none: this machine only",
        "Anyone who has it can open the page and the bot's status page, from anywhere; needed if \
         WEB_ADDRESS or TALKBACK_HTTP can be reached from other machines (`openssl rand -hex 32`)",
    ),
    setting(
        LIMITS,
        "MAX_AUDIO_BYTES",
        "BYTES",
        "536870912",
        "The largest recording that is opened",
    ),
    setting(
        LIMITS,
        "MAX_AUDIO_SECONDS",
        "SECONDS",
        "14400",
        "The longest recording that is transcribed",
    ),
    setting(
        LOG,
        "TALKBACK_LOG",
        "FILTER",
        "off; info for the bot",
        "What is logged to standard error, such as `info` or `talkback=debug`; never what was said",
    ),
    setting(
        LOG,
        "TALKBACK_LOG_FORMAT",
        "text|json",
        "text",
        "The format of the log",
    ),
];
