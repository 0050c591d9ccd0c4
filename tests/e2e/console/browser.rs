//! Chromium, by the WebDriver protocol (https://www.w3.org/TR/webdriver2/).

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_sample::child::Child;
use serde_json::{Value, json};

/// How long something may take to appear, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// Whether keys and clicks arrive, and what has the focus is shown so: Chromium drops what comes before a page was painted the first
/// time, and shows no focus in a window that is not active yet.
const TAKES_INPUT: &str = "return document.readyState === 'complete' && document.hasFocus() \
    && performance.getEntriesByType('paint').length > 0";

/// What people could not read, name or find on a page: text with a contrast below 4.5 to 1, controls without a name, headings
/// out of order, nothing to skip to, a focus that is not seen.
const FAULTS: &str = r#"
const faults = [];
const colour = (text) => (text.match(/[\d.]+/g) || []).map(Number);
const light = (c) => c.slice(0, 3).map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const ground = (node) => {
  for (; node; node = node.parentElement) {
    const c = colour(getComputedStyle(node).backgroundColor);
    if (c.length === 3 || c[3] > 0.99) return c;
  }
  return [255, 255, 255];
};
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const node = texts.currentNode, of = node.parentElement;
  if (!node.textContent.trim() || ["SCRIPT", "OPTION"].includes(of.tagName) || !of.getClientRects().length) continue;
  const [a, b] = [light(colour(getComputedStyle(of).color)), light(ground(of))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) faults.push(`contrast ${ratio.toFixed(1)}: ${node.textContent.trim().slice(0, 60)}`);
}
for (const one of document.querySelectorAll("input:not([type=hidden]), textarea, select")) {
  if (!one.labels.length && !one.ariaLabel) faults.push(`no label: ${one.outerHTML.slice(0, 80)}`);
}
for (const one of document.querySelectorAll("button, a[href]")) {
  if (!(one.innerText || one.textContent).trim() && !one.ariaLabel) faults.push(`no name: ${one.outerHTML.slice(0, 80)}`);
}
let last = 0;
const headings = [...document.querySelectorAll("h1, h2, h3, h4")];
for (const one of headings) {
  const level = Number(one.tagName[1]);
  if (level > last + 1) faults.push(`h${level} after h${last}: ${one.textContent.trim()}`);
  last = level;
}
if (headings.filter((one) => one.tagName === "H1").length !== 1) faults.push("not one h1");
if (!document.querySelector("main#main")) faults.push("nothing to skip to");
// What has the focus already may have got it before the keyboard was used.
document.activeElement.blur();
for (const one of document.querySelectorAll("a[href], button, input:not([type=hidden]), textarea, select, summary, [tabindex='0']")) {
  if (!one.checkVisibility()) continue;
  one.focus({preventScroll: true});
  const style = getComputedStyle(one);
  if (document.activeElement !== one || style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) {
    faults.push(`no focus to be seen: ${one.outerHTML.slice(0, 80)}`);
  }
}
// What is pressed next begins at the top of the page again.
document.querySelector("a[href], button").focus();
document.activeElement.blur();
return faults;
"#;

pub struct Browser {
    session: String,
    client: reqwest::Client,
    _driver: Child,
    _folder: tempfile::TempDir,
}

impl Browser {
    pub async fn start() -> Self {
        Self::with(json!({})).await
    }

    /// One in which no page may run a script.
    pub async fn without_scripts() -> Self {
        Self::with(json!({"profile.managed_default_content_settings.javascript": 2})).await
    }

    async fn with(preferences: Value) -> Self {
        let free = super::address_of_our_own();
        let folder = tempfile::tempdir().unwrap();
        let port = format!("--port={}", free.port());
        let mut driver = Child::start(
            "chromedriver",
            Path::new("chromedriver"),
            [&port],
            &folder.path().join("driver.log"),
        )
        .unwrap();
        let url = format!("http://{free}");
        let ready = async || {
            reqwest::get(format!("{url}/status")).await.is_ok_and(|answer| answer.status().is_success())
        };
        driver.wait_until_ready(ready).await.unwrap();
        let profile = format!("--user-data-dir={}", folder.path().join("profile").display());
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"prefs": preferences, "args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--window-size=1280,900", profile,
            ]},
        }}});
        let client = reqwest::Client::builder().timeout(2 * PATIENCE).no_proxy().build().unwrap();
        let answer = client.post(format!("{url}/session")).json(&capabilities).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let id = answer["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("{answer}"));
        Self { session: format!("{url}/session/{id}"), client, _driver: driver, _folder: folder }
    }

    async fn post(&self, command: &str, body: Value) -> Result<Value, Value> {
        let sent = self.client.post(format!("{}/{command}", self.session)).json(&body).send().await.unwrap();
        let good = sent.status().is_success();
        let mut answer: Value = sent.json().await.unwrap();
        if good { Ok(answer["value"].take()) } else { Err(answer["value"].take()) }
    }

    async fn run(&self, script: &str, arguments: Value) -> Value {
        self.post("execute/sync", json!({"script": script, "args": arguments})).await.unwrap_or(Value::Null)
    }

    pub async fn open(&self, url: &str) {
        self.post("url", json!({"url": url})).await.unwrap();
    }

    async fn wait(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let began = tokio::time::Instant::now();
        while !holds().await {
            if began.elapsed() > PATIENCE {
                let page =
                    self.run("return location.href + '\\n' + document.body.innerText", json!([])).await;
                panic!("never {what} on\n{}", page.as_str().unwrap_or_default());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until the page shows this text.
    pub async fn see(&self, text: &str) {
        let script = "return !!document.body && document.body.innerText.includes(arguments[0])";
        self.wait(text, async || self.run(script, json!([text])).await == true).await;
    }

    pub async fn count(&self, selector: &str, wanted: u64) {
        let script = "return document.querySelectorAll(arguments[0]).length";
        self.wait(selector, async || self.run(script, json!([selector])).await == wanted).await;
    }

    /// Whether there is such an element now.
    pub async fn has(&self, selector: &str) -> bool {
        self.run("return !!document.querySelector(arguments[0])", json!([selector])).await == true
    }

    async fn element(&self, selector: &str) -> String {
        let mut found = None;
        self.wait(selector, async || {
            let body = json!({"using": "css selector", "value": selector});
            let element = self.post("element", body).await.ok();
            found = element.and_then(|one| one.as_object()?.values().next()?.as_str().map(str::to_owned));
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// Waits until keys and clicks arrive.
    async fn takes_input(&self) {
        self.wait("painted and in focus", async || self.run(TAKES_INPUT, json!([])).await == true).await;
    }

    pub async fn click(&self, selector: &str) {
        self.element(selector).await;
        self.takes_input().await;
        // What is clicked may be replaced meanwhile by what just arrived.
        self.wait(selector, async || {
            let element = self.element(selector).await;
            self.post(&format!("element/{element}/click"), json!({})).await.is_ok()
        })
        .await;
    }

    /// Types into a field, in place of what is there.
    pub async fn write(&self, selector: &str, text: &str) {
        self.element(selector).await;
        self.takes_input().await;
        self.wait(&format!("`{text}` in {selector}"), async || {
            let element = self.element(selector).await;
            let cleared = self.post(&format!("element/{element}/clear"), json!({})).await;
            let typed = self.post(&format!("element/{element}/value"), json!({"text": text})).await;
            cleared.is_ok() && typed.is_ok() && self.value(selector).await == text
        })
        .await;
    }

    pub async fn value(&self, selector: &str) -> String {
        let value = self.run("return document.querySelector(arguments[0]).value", json!([selector])).await;
        value.as_str().unwrap_or_default().to_owned()
    }

    /// Presses a key until this element has the focus.
    pub async fn press_until(&self, key: &str, selector: &str) {
        let script = "return !!document.querySelector(arguments[0])?.matches(':focus')";
        self.wait(selector, async || {
            self.press(key).await;
            self.run(script, json!([selector])).await == true
        })
        .await;
    }

    /// One key, wherever the focus is.
    pub async fn press(&self, key: &str) {
        self.takes_input().await;
        let keys = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": keys}]});
        self.post("actions", actions).await.unwrap();
    }

    /// The provider asks for consent the first time.
    pub async fn consent(&self) {
        let asked = "return !!document.querySelector('input[name=prompt][value=consent]')";
        let back = "return !location.href.includes('/interaction/') && location.hostname == '127.0.0.1'";
        let mut wants = false;
        self.wait("consent, or the way back", async || {
            wants = self.run(asked, json!([])).await == true;
            wants || self.run(back, json!([])).await == true
        })
        .await;
        if wants {
            self.click("button[type=submit]").await;
        }
    }

    /// `NAME-light.png`, `NAME-dark.png` and `NAME-phone.png`.
    pub async fn shoot(&self, folder: &Path, name: &str) {
        let scheme = async |scheme: &str| {
            let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
            let call = json!({"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}});
            self.post("goog/cdp/execute", call).await.unwrap();
        };
        for (look, dark, width, height, mobile) in [
            ("light", false, 1280, 900, false),
            ("dark", true, 1280, 900, false),
            ("phone", false, 390, 844, true),
        ] {
            scheme(if dark { "dark" } else { "light" }).await;
            let metrics = json!({"width": width, "height": height, "deviceScaleFactor": if mobile { 2 } else { 1 }, "mobile": mobile});
            let call = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics});
            self.post("goog/cdp/execute", call).await.unwrap();
            if mobile {
                let wide = self.run("return document.documentElement.scrollWidth", json!([])).await;
                assert!(wide.as_u64().is_some_and(|wide| wide <= width), "{name} is {wide} wide on a phone");
            }
            // F2: from here on the browser shows where the focus is, as for all who use the keyboard. Tab would take the focus out of
            // a page with one control, sooner or later, and whether it comes back is chance.
            self.press("\u{e032}").await;
            let faults = self.run(FAULTS, json!([])).await;
            assert_eq!(faults, json!([]), "{name}, {look}");
            let answer = self.client.get(format!("{}/screenshot", self.session)).send().await.unwrap();
            let answer: Value = answer.json().await.unwrap();
            let png = STANDARD.decode(answer["value"].as_str().unwrap()).unwrap();
            std::fs::write(folder.join(format!("{name}-{look}.png")), png).unwrap();
        }
        scheme("light").await;
        let call = json!({"cmd": "Emulation.clearDeviceMetricsOverride", "params": {}});
        self.post("goog/cdp/execute", call).await.unwrap();
    }

    /// No script of pages at this address failed, and nothing met their content security policy.
    pub async fn complained_of_nothing(&self, console: &str) {
        let log = self.post("se/log", json!({"type": "browser"})).await.unwrap();
        let severe = log.as_array().unwrap().iter().filter(|entry| {
            let text = entry["message"].as_str().unwrap_or_default();
            entry["level"] == "SEVERE" && text.contains(console)
        });
        let severe: Vec<_> = severe.collect();
        assert!(severe.is_empty(), "{severe:#?}");
    }
}

impl Drop for Browser {
    /// Closing the session ends Chromium; the driver alone would leave it behind.
    fn drop(&mut self) {
        let session = self.session.clone();
        let closing = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
            runtime.block_on(async { client.delete(session).send().await.ok() });
        });
        closing.join().ok();
    }
}
