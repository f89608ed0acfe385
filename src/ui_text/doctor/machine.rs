//! Disks, the ledger, the clock and addresses.

use std::io::Error;
use std::net::SocketAddr;
use std::path::Path;

use crate::ui_text::{format_bytes, format_duration, io_error_cause};
use net::ClockSkew;

/// A folder is writable and has space.
pub fn disk_space(folder: &Path, free: u64) -> String {
    format!("{}, {} free", folder.display(), format_bytes(free))
}

/// A folder's disk is filling up.
pub fn low_disk_space(folder: &Path, free: u64) -> String {
    format!(
        "Only {} free in {}. Make room before it fills up.",
        format_bytes(free),
        folder.display()
    )
}

/// A folder's disk is practically full.
pub fn disk_full(folder: &Path, free: u64) -> String {
    format!(
        "The disk is almost full: {} free in {}. Make room, or choose another folder.",
        format_bytes(free),
        folder.display()
    )
}

/// A folder is writable; the system does not report free space.
pub fn disk_space_unknown(folder: &Path, error: &Error) -> String {
    let folder = folder.display();
    format!(
        "{folder} is writable, but the system doesn't say how much space is free ({}).",
        io_error_cause(error)
    )
}

/// A folder is not writable.
pub fn unwritable(folder: &Path, error: &Error) -> String {
    format!(
        "Nothing can be written to {} ({}). Check its permissions, or choose another folder.",
        folder.display(),
        io_error_cause(error)
    )
}

/// There is no ledger yet.
pub fn no_ledger(folder: &Path) -> String {
    let folder = folder.display();
    format!("none in {folder} yet; `talkback run` creates it")
}

/// The ledger is intact and its key is right. `old`: an earlier version wrote it; `in_use`: a bot
/// has it open.
pub fn ledger_intact(in_use: bool, old: bool) -> String {
    let state = if old {
        "intact, but from an older version; the next `talkback run` upgrades it"
    } else {
        "intact, from this version, and its key is right"
    };
    if in_use {
        format!("{state} (a bot is using it, so it was only read)")
    } else {
        state.to_owned()
    }
}

/// Other users can read the key file.
pub fn key_exposed(path: &Path) -> String {
    let path = path.display();
    format!("Other users of this machine can read {path}. Run `chmod 600 {path}`.")
}

/// No server reported the time.
pub const CLOCK_NOT_COMPARED: &str = "not checked, since no server reported the time";

/// The clock agrees with the server's.
pub fn clock_accurate(server: &str) -> String {
    format!("right, according to {server}")
}

/// The clock differs from the server's.
pub fn clock_skewed(server: &str, skew: ClockSkew) -> String {
    let side = if skew.is_ahead { "ahead of" } else { "behind" };
    format!(
        "This machine's clock is {} {side} {server}'s. Have it set by NTP (on Linux: `timedatectl \
         set-ntp true`): certificates and Discord's ids depend on it.",
        format_duration(skew.offset)
    )
}

/// An address is free.
pub fn address_free(address: SocketAddr) -> String {
    format!("{address} is free")
}

/// A running Talkback uses the address.
pub fn address_used_by_talkback(address: SocketAddr) -> String {
    format!("{address} is in use by a running Talkback")
}

/// Another program uses the address.
pub fn address_taken(address: SocketAddr) -> String {
    format!("Another program is using {address}. Choose another port, or stop that program.")
}

/// An address can't be bound.
pub fn address_unavailable(address: SocketAddr, error: &Error) -> String {
    format!(
        "{address} can't be used ({}). Choose an address of this machine, or another port.",
        io_error_cause(error)
    )
}
