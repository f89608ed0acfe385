//! The table of all settings. Flags, `--help`, `.env.example` and the README's table are made from
//! it.

mod bot;
mod chat;
mod program;
mod speech;

/// One setting, as users read about it.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The environment variable. The flag is the same in lower case with dashes.
    pub variable: &'static str,
    /// The heading that it is listed under.
    pub group: &'static str,
    /// The placeholder for its value in `--help`.
    pub value_name: &'static str,
    /// Its default, as a value or in words.
    pub default: &'static str,
    /// What it does.
    pub help: &'static str,
    /// Secrets have no flag, since other users of the machine can read command lines.
    pub secret: bool,
}

impl Setting {
    /// The flag without its dashes: `OPENAI_MODEL` is `openai-model`.
    pub fn flag_name(&self) -> String {
        self.variable.to_lowercase().replace('_', "-")
    }

    /// What it does, and its default.
    pub fn help_with_default(&self) -> String {
        format!("{} [default: {}]", self.help, self.default)
    }
}

/// All settings, in the order in which they are listed.
pub const SETTINGS: &[Setting] = &ALL_SETTINGS;

const TABLES: [&[Setting]; 4] = [
    bot::SETTINGS,
    speech::SETTINGS,
    chat::SETTINGS,
    program::SETTINGS,
];

const SETTING_COUNT: usize =
    bot::SETTINGS.len() + speech::SETTINGS.len() + chat::SETTINGS.len() + program::SETTINGS.len();

const ALL_SETTINGS: [Setting; SETTING_COUNT] = {
    let mut all = [bot::SETTINGS[0]; SETTING_COUNT];
    let mut count = 0;
    let mut table = 0;
    while table < TABLES.len() {
        let mut row = 0;
        while row < TABLES[table].len() {
            all[count] = TABLES[table][row];
            count += 1;
            row += 1;
        }
        table += 1;
    }
    all
};

const fn setting(
    group: &'static str,
    variable: &'static str,
    value: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting {
        variable,
        group,
        value_name: value,
        default,
        help,
        secret: false,
    }
}

const fn secret(
    group: &'static str,
    variable: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting {
        variable,
        group,
        value_name: "KEY",
        default,
        help,
        secret: true,
    }
}
