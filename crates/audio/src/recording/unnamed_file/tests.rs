//! Independent readers, and that no other code writes speech to disk.

use std::path::{Path, PathBuf};

use super::*;

#[test]
fn readers_have_independent_positions() {
    let file = UnnamedFile::new().expect("a file");
    file.write(0, b"said once").expect("written");
    let (mut one, mut other) = (file.reader(), file.reader());
    let mut text = String::new();
    one.seek(SeekFrom::End(-4)).expect("a position");
    one.read_to_string(&mut text).expect("read");
    assert_eq!(text, "once");
    file.write(9, b" and again").expect("written");
    text.clear();
    other.read_to_string(&mut text).expect("read");
    assert_eq!(text, "said once and again");
    assert_eq!(one.length().expect("known"), 19);
    assert!(one.seek(SeekFrom::Current(-100)).is_err());
}

#[cfg(target_os = "linux")]
#[test]
fn the_file_has_no_name() {
    use std::os::fd::AsRawFd;
    let file = UnnamedFile::new().expect("a file");
    file.write(0, b"words").expect("written");
    let open = PathBuf::from(format!("/proc/self/fd/{}", file.0.as_raw_fd()));
    let name = std::fs::read_link(open).expect("a link");
    assert!(!name.exists(), "{}", name.display());
}

/// Other code may create named files only for models, results and the usage ledger.
#[test]
fn nothing_else_makes_temporary_files() {
    const ALLOWED: [&str; 4] = [
        "crates/audio/src/recording/unnamed_file.rs",
        "src/cli/doctor/folders.rs",
        "src/cli/atomic_file.rs",
        "src/models/wheel.rs",
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut folders: Vec<_> = [
        "src",
        "crates/audio/src",
        "crates/net/src",
        "crates/voice-receive/src",
    ]
    .iter()
    .map(|folder| root.join(folder))
    .collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap_or_default();
            let program = source.split("#[cfg(test)]\nmod tests {").next();
            let makes = ["tempfile", "temp_dir()", "File::create", "fs::write("]
                .iter()
                .any(|sign| program.is_some_and(|it| it.contains(sign)));
            let module = path.strip_prefix(&root).expect("inside").with_extension("");
            let is_test = module.iter().any(|part| {
                let name = part.to_string_lossy();
                name == "tests" || name.ends_with("_tests")
            });
            if makes && !is_test {
                let name = path.strip_prefix(&root).expect("inside");
                found.push(name.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found.retain(|name| !ALLOWED.contains(&name.as_str()) && !name.starts_with("src/models/"));
    assert_eq!(found, Vec::<String>::new());
}
