//! What stories need of this machine. Where it is missing they are left out, which is said aloud, and
//! where everything has to be checked is a failure ([`sandbox::needs`]).

use std::path::{Path, PathBuf};
use std::process::Command;

use sandbox::requirements::or_skip;

/// The local models.
#[cfg(any(feature = "local-chat", feature = "local-speech"))]
pub(crate) fn models() -> Option<PathBuf> {
    use talkback::models::{AssetStatus, ModelStore, catalogue, default_folder};
    let folder = std::env::var_os("TALKBACK_MODELS");
    let folder = folder.map_or_else(default_folder, PathBuf::from);
    let store = ModelStore::new(&folder);
    let here = catalogue()
        .iter()
        .all(|asset| store.status(asset) == AssetStatus::Present);
    let brings = "`talkback models fetch` downloads them";
    or_skip(here.then_some(folder), "local models", brings)
}

/// Chromium, and what drives it.
pub(crate) fn browser() -> Option<(PathBuf, PathBuf)> {
    let browser = program("chromium").or_else(|| program("chromium-browser"));
    let both = browser.zip(program("chromedriver"));
    or_skip(
        both,
        "Chromium",
        "`script/bootstrap --with-browser` brings it",
    )
}

/// The source of axe-core.
pub(crate) fn axe_core(root: &Path) -> Option<String> {
    let file = root.join("target/tools/node_modules/axe-core/axe.min.js");
    let source = std::fs::read_to_string(file).ok();
    or_skip(
        source,
        "axe-core",
        "`script/bootstrap --with-browser` brings it",
    )
}

/// How a command begins that has a disk of its own, made by this other command.
pub(crate) fn small_disk(mount: &str, folder: &Path) -> Option<&'static [&'static str]> {
    // Whoever is root may not be allowed a user of its own, and the other way round.
    const WAYS: [&[&str]; 2] = [
        &["--user", "--map-root-user", "--mount", "sh", "-c"],
        &["--mount", "sh", "-c"],
    ];
    let works = |way: &&&[&str]| {
        let mut tried = Command::new("unshare");
        tried.args(**way).arg(mount).env("TALKBACK_DATA", folder);
        tried.output().is_ok_and(|it| it.status.success())
    };
    let way = WAYS.iter().find(works).copied();
    let brings = "it takes `unshare` of util-linux, and the right to mount";
    or_skip(way, "small disk", brings)
}

/// Where a program lies, if this machine has it.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
