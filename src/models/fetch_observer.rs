//! Callbacks for the progress of a fetch.

/// Callbacks about the course of a fetch. They run on the task that does the work: return quickly.
pub trait FetchObserver: Send + Sync {
    /// Another process is fetching into the same folder; this one waits for it.
    fn on_waiting(&self) {}

    /// A file of `total` bytes is being fetched, of which `already` bytes are here.
    fn on_start(&self, file: &'static str, total: u64, already: u64) {
        let _ = (file, total, already);
    }

    /// The server can't resume: the file is fetched again from its beginning.
    fn on_restart(&self) {}

    /// `bytes` more bytes have been received.
    fn on_progress(&self, bytes: u64) {
        let _ = bytes;
    }

    /// The download is complete; its checksum is verified and the files are extracted.
    fn on_verify(&self, file: &'static str) {
        let _ = file;
    }
}

/// An observer that ignores everything.
impl FetchObserver for () {}
