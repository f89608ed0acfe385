//! Stories in a process of their own.

use std::process::Command;

use crate::Discord;

/// Where a story's own process finds its name.
const TEST_NAME_VAR: &str = "SANDBOX_STORY";

/// The file of authorities that a process trusts, for most TLS libraries.
const CERT_FILE_VAR: &str = "SSL_CERT_FILE";

/// Runs a story in a process of its own, because whom clients trust is a process's business: the
/// file that `SSL_CERT_FILE` names, which [`Discord::trust_authority`] writes. `test` is the test's whole
/// name in this program, as the test harness knows it.
///
/// # Panics
///
/// If the story fails.
pub fn run_in_subprocess(test: &str, story: impl Future<Output = ()>) {
    if std::env::var(TEST_NAME_VAR).is_ok_and(|told| told == test) {
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.enable_all().build();
        return runtime.expect("a runtime").block_on(story);
    }
    let file = test.replace("::", "-");
    let file = format!("sandbox-{}-{file}.pem", std::process::id());
    let file = std::env::temp_dir().join(file);
    let told = Command::new(std::env::current_exe().expect("a program"))
        .args(["--exact", test])
        .args(["--nocapture", "--include-ignored"])
        .env(CERT_FILE_VAR, &file)
        .env(TEST_NAME_VAR, test)
        .status();
    // It may have failed before it wrote one.
    let _ = std::fs::remove_file(file);
    assert!(told.expect("a process").success(), "the story failed");
}

impl Discord {
    /// This process trusts the sandbox's authority from now on.
    ///
    /// # Panics
    ///
    /// Outside of a story that runs [in a subprocess](run_in_subprocess).
    pub fn trust_authority(&self) {
        let file = std::env::var_os(CERT_FILE_VAR).expect("a story that runs alone");
        std::fs::write(file, self.authority_pem()).expect("a file");
    }
}
