//! A real browser, driven from outside as the WebDriver standard says
//! (<https://www.w3.org/TR/webdriver2/>).

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use axum::http::Method;
use fantoccini::actions::{
    InputSource, KeyAction, KeyActions, MOUSE_BUTTON_LEFT, MouseActions, PointerAction,
};
use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use url::{ParseError, Url};

use crate::requirements;

/// The longest that anything on a page may take to come about.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How often a page is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A microphone, and whether the page may have it.
pub(crate) enum MicrophoneSetting<'a> {
    /// It plays this WAV file once, from the moment that it is opened.
    Plays(&'a Path),
    /// Whoever is asked says no.
    Denied,
}

/// How a browser looks at pages.
pub(crate) struct Viewport {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) dark: bool,
}

impl Viewport {
    /// A laptop by day.
    pub(crate) const DESKTOP: Self = Self {
        width: 1_280,
        height: 800,
        dark: false,
    };
}

/// A browser with one window. Dropping it ends it.
pub(crate) struct Chromium {
    client: Client,
    _driver: Child,
    _home: TempDir,
}

impl Chromium {
    /// A browser with a fresh profile; none where this machine has no Chromium.
    pub(crate) async fn start(microphone: MicrophoneSetting<'_>, view: Viewport) -> Option<Self> {
        let (browser, driver) = requirements::browser()?;
        let home = TempDir::new().expect("a folder");
        let mut driver = Command::new(driver)
            .arg("--port=0")
            .env("HOME", home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver starts");
        let port = driver_port(&mut driver).await;
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-gpu".to_owned(),
            "--no-proxy-server".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--user-data-dir={}", home.path().join("profile").display()),
            "--use-fake-device-for-media-stream".to_owned(),
        ];
        match microphone {
            MicrophoneSetting::Plays(file) => {
                let file = file.display();
                arguments.push("--use-fake-ui-for-media-stream".to_owned());
                arguments.push(format!("--use-file-for-fake-audio-capture={file}%noloop"));
            }
            MicrophoneSetting::Denied => arguments.push("--deny-permission-prompts".to_owned()),
        }
        if view.dark {
            arguments.push("--force-dark-mode".to_owned());
        }
        let wanted = json!({
            "goog:chromeOptions": { "binary": browser, "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let Value::Object(wanted) = wanted else {
            return None;
        };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(wanted)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("Chromium starts");
        let chromium = Self {
            client,
            _driver: driver,
            _home: home,
        };
        chromium.set_size(view.width, view.height).await;
        Some(chromium)
    }

    /// Gives the page this size, also one that no window may have, as on a phone.
    pub(crate) async fn set_size(&self, width: u32, height: u32) {
        let size = DevToolsCommand {
            method: "Emulation.setDeviceMetricsOverride",
            parameters: json!({
                "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
            }),
        };
        let resized = self.client.issue_cmd(size).await;
        resized.expect("another size");
    }

    pub(crate) async fn open(&self, url: &str) {
        self.client.goto(url).await.expect("a page");
    }

    /// What a script says.
    pub(crate) async fn evaluate(&self, script: &str) -> Value {
        let told = self.client.execute(script, Vec::new()).await;
        told.expect("a script that works")
    }

    /// What a script says in the end, by calling the last of its arguments.
    pub(crate) async fn evaluate_async(&self, script: &str) -> Value {
        let told = self.client.execute_async(script, Vec::new()).await;
        told.expect("a script that works")
    }

    /// Waits until a script says yes.
    pub(crate) async fn wait_until(&self, condition: &str) {
        let script = format!("return Boolean({condition})");
        let met = async {
            while self.evaluate(&script).await != Value::Bool(true) {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        if tokio::time::timeout(TIMEOUT, met).await.is_err() {
            let text = self.evaluate("return document.body.innerText").await;
            panic!("never: {condition}\n{text}");
        }
    }

    /// Waits until the page is in this state.
    pub(crate) async fn wait_for_state(&self, state: &str) {
        self.wait_until(&format!(
            "document.documentElement.dataset.state === '{state}'"
        ))
        .await;
    }

    pub(crate) async fn element(&self, css: &str) -> Element {
        let found = self.client.find(Locator::Css(css)).await;
        found.unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    /// What can be read there.
    pub(crate) async fn text(&self, css: &str) -> String {
        self.element(css).await.text().await.expect("text")
    }

    pub(crate) async fn click(&self, css: &str) {
        self.element(css).await.click().await.expect("clicked");
    }

    pub(crate) async fn type_text(&self, css: &str, text: &str) {
        self.element(css)
            .await
            .send_keys(text)
            .await
            .expect("typed");
    }

    /// Presses the mouse button over something, and holds it.
    pub(crate) async fn press(&self, css: &str) {
        let element = self.element(css).await;
        let press = MouseActions::new("mouse".to_owned())
            .then(PointerAction::MoveToElement {
                element,
                duration: None,
                x: 0.0,
                y: 0.0,
            })
            .then(PointerAction::Down {
                button: MOUSE_BUTTON_LEFT,
            });
        self.client.perform_actions(press).await.expect("pressed");
    }

    /// Lets go of whatever is held.
    pub(crate) async fn release(&self) {
        self.client.release_actions().await.expect("released");
    }

    /// Holds a key.
    pub(crate) async fn hold_key(&self, key: char) {
        let press = KeyActions::new("keys".to_owned()).then(KeyAction::Down { value: key });
        self.client.perform_actions(press).await.expect("pressed");
    }

    /// What axe-core (<https://github.com/dequelabs/axe-core>) finds wrong for people who use a page
    /// otherwise than most. None where it is not here.
    pub(crate) async fn accessibility_violations(&self, root: &Path) -> Option<Vec<String>> {
        let axe = requirements::axe_core(root)?;
        self.evaluate(&axe).await;
        let run = "const done = arguments[0]; axe.run().then(found => done(found.violations.map(
            it => it.id + ': ' + it.help + ' ' + it.nodes.map(node => node.target).join(' '))))";
        let found = self.evaluate_async(run).await;
        let found = found.as_array().expect("a list").iter();
        Some(
            found
                .filter_map(|it| it.as_str().map(str::to_owned))
                .collect(),
        )
    }

    /// What the page shows, as PNG.
    pub(crate) async fn screenshot(&self) -> Vec<u8> {
        self.client.screenshot().await.expect("a picture")
    }

    pub(crate) async fn close(self) {
        let _ = self.client.close().await;
    }
}

/// What WebDriver has no word for, as Chromium's own protocol says it
/// (<https://chromedevtools.github.io/devtools-protocol/>), through chromedriver.
#[derive(Debug)]
struct DevToolsCommand {
    method: &'static str,
    parameters: Value,
}

impl WebDriverCompatibleCommand for DevToolsCommand {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        let session = session.unwrap_or_default();
        base.join(&format!("session/{session}/goog/cdp/execute"))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        let body = json!({ "cmd": self.method, "params": self.parameters });
        (Method::POST, Some(body.to_string()))
    }
}

async fn driver_port(driver: &mut Child) -> u16 {
    let mut lines = BufReader::new(driver.stdout.take().expect("piped")).lines();
    let told = async {
        while let Some(line) = lines.next_line().await.expect("read") {
            let port = line.split("successfully on port ").nth(1);
            if let Some(port) = port.and_then(|it| it.trim_end_matches('.').parse().ok()) {
                return port;
            }
        }
        panic!("chromedriver does not say where it is");
    };
    let port = tokio::time::timeout(TIMEOUT, told).await;
    port.expect("chromedriver says where it is")
}
