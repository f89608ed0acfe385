//! `talkback completions` and `talkback man`, generated from the command line's definition.

use clap_complete::Shell;

use super::args::build_command;
use super::exit::Exit;
use super::terminal;

pub(super) fn print_completions(shell: Shell) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut build_command(), "talkback", &mut script);
    write_stdout(&script)
}

/// Prints one page for everything: the program, then its subcommands.
pub(super) fn print_man_page() -> Exit {
    let mut command = build_command();
    command.build();
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command.clone()).render(&mut page);
    let all = rendered.and_then(|()| append_subcommand_pages(&command, &mut page));
    match all {
        Ok(()) => write_stdout(&page),
        // Writing to memory does not fail.
        Err(_) => Exit::Failure,
    }
}

fn append_subcommand_pages(command: &clap::Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    for subcommand in command
        .get_subcommands()
        .filter(|it| it.get_name() != "help")
    {
        let name = subcommand.get_bin_name().unwrap_or(subcommand.get_name());
        // The settings are listed once, for the program itself.
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
        page.extend(demote_headings(&part));
        append_subcommand_pages(subcommand, page)?;
    }
    Ok(())
}

/// Turns the sections of a page into subsections.
fn demote_headings(part: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(part)
        .replace(".SH ", ".SS ")
        .into_bytes()
}

fn write_stdout(text: &[u8]) -> Exit {
    terminal::print(&String::from_utf8_lossy(text));
    match terminal::output_failed() {
        true => Exit::Failure,
        false => Exit::Success,
    }
}
