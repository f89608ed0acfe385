//! `talkback completions` and `talkback man`: what the command line's own definition says, for
//! shells and for `man`.

use clap_complete::Shell;

use super::arguments::command;
use super::exit::Exit;
use super::terminal;

pub(super) fn completions(shell: Shell) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "talkback", &mut script);
    print(&script)
}

/// One page about everything: the subcommands follow the program itself.
pub(super) fn man() -> Exit {
    let mut command = command();
    command.build();
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command.clone()).render(&mut page);
    let all = rendered.and_then(|()| subcommands(&command, &mut page));
    match all {
        Ok(()) => print(&page),
        // Writing into memory does not fail.
        Err(_) => Exit::Failure,
    }
}

fn subcommands(command: &clap::Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    for subcommand in command
        .get_subcommands()
        .filter(|it| it.get_name() != "help")
    {
        let name = subcommand.get_bin_name().unwrap_or(subcommand.get_name());
        // The settings stand in the program's own part.
        let own = subcommand
            .clone()
            .mut_args(|arg| match arg.is_global_set() {
                true => arg.hide(true),
                false => arg,
            });
        page.extend(format!(".SH \"{}\"\n", name.to_uppercase()).bytes());
        let man = clap_mangen::Man::new(own);
        let mut part = Vec::new();
        man.render_synopsis_section(&mut part)?;
        man.render_description_section(&mut part)?;
        man.render_options_section(&mut part)?;
        man.render_extra_section(&mut part)?;
        page.extend(below(&part));
        subcommands(subcommand, page)?;
    }
    Ok(())
}

/// The sections of a page as sections of a section.
fn below(part: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(part)
        .replace(".SH ", ".SS ")
        .into_bytes()
}

fn print(text: &[u8]) -> Exit {
    terminal::print(&String::from_utf8_lossy(text));
    match terminal::output_failed() {
        true => Exit::Failure,
        false => Exit::Success,
    }
}
