//! The program under test, as a user starts it.

use ambit_bus::testing::{TestBroker, free_port};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take that is waited for.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The program.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ambit"));
    command.env("AMBIT_BROKER_BIN", ambit_bus::testing::embedded_program());
    command
}

/// Runs the program to its end.
pub fn run(args: &[&str]) -> Output {
    program().args(args).output().unwrap()
}

/// What a program said, for messages of failed tests.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Copies a folder with all that is in it.
pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A running `ambit up` against a broker, with data and configuration of its own.
pub struct Ambit {
    pub dir: PathBuf,
    pub bootstrap: String,
    /// Where the program is to die, stop or fail (`ingest/src/failpoint.rs`).
    pub failpoints: String,
    child: Option<Child>,
    url: String,
}

impl Ambit {
    /// Writes the configuration and starts it. `extra` is appended to the configuration.
    pub async fn start(broker: &TestBroker, dir: &Path, extra: &str) -> Self {
        let mut ambit = Self::configure(broker, dir, extra);
        ambit.restart().await;
        ambit
    }

    /// Writes the configuration.
    pub fn configure(broker: &TestBroker, dir: &Path, extra: &str) -> Self {
        let mut config = String::new();
        writeln!(
            config,
            "[api]\nlisten = \"127.0.0.1:{}\"\n[gateway]\nlisten = \"127.0.0.1:{}\"",
            free_port(),
            free_port()
        )
        .unwrap();
        writeln!(config, "[ingest]\ncommit_every_ms = 200\n[analyzer]\nsnapshot_every_seconds = 1\n{extra}")
            .unwrap();
        std::fs::write(dir.join("ambit.toml"), config).unwrap();
        Self {
            dir: dir.to_owned(),
            bootstrap: broker.bootstrap(),
            failpoints: String::new(),
            child: None,
            url: String::new(),
        }
    }

    /// The program with this installation's configuration.
    pub fn command(&self) -> Command {
        let mut command = program();
        command.arg("--config").arg(self.dir.join("ambit.toml")).arg("--data-dir").arg(self.dir.join("data"));
        command.args(["--bootstrap-servers", &self.bootstrap, "--log", "warn"]);
        command
    }

    /// Starts it again, if need be after killing it as a power cut would.
    pub async fn restart(&mut self) {
        let url_file = self.spawn();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(url) = std::fs::read_to_string(&url_file)
                && url.contains("#token=")
            {
                self.url = url;
                return;
            }
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "ambit did not start: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts it again and does not wait until it answers. Returns where it will write its URL.
    pub fn spawn(&mut self) -> PathBuf {
        self.kill();
        let url_file = self.dir.join("url");
        drop(std::fs::remove_file(&url_file));
        let log = std::fs::File::options().create(true).append(true).open(self.dir.join("log")).unwrap();
        let child = self
            .command()
            .env("FAILPOINTS", &self.failpoints)
            .arg("up")
            .arg("--url-file")
            .arg(&url_file)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap());
        url_file
    }

    /// The most memory that it ever had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let pid = self.child.as_ref().unwrap().id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some())
    }

    /// What is wrong, as `/readyz` tells it; empty when nothing is.
    pub async fn troubles(&self) -> String {
        self.try_get("/readyz").await.err().unwrap_or_default()
    }

    /// Waits until `/readyz` tells of something in these words.
    pub async fn wait_for_trouble(&self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let troubles = self.troubles().await;
            if troubles.contains(words) {
                return;
            }
            assert!(Instant::now() < deadline, "`{words}` is not in: {troubles}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Asks for an orderly end and waits for it.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(asked.success());
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "ambit did not stop: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(child.wait().unwrap().success(), "{}", self.log());
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Where the API is, and the token of the first start.
    pub fn address(&self) -> (&str, &str) {
        self.url.split_once("/#token=").unwrap()
    }

    /// Asks the API.
    pub async fn try_get(&self, path: &str) -> Result<Value, String> {
        let (base, token) = self.address();
        let sent = reqwest::Client::new().get(format!("{base}{path}")).bearer_auth(token).send().await;
        let response = sent.map_err(|error| error.to_string())?;
        let (status, text) = (response.status(), response.text().await.map_err(|error| error.to_string())?);
        if !status.is_success() {
            return Err(format!("{status}: {text}"));
        }
        serde_json::from_str(&text).map_err(|_| text)
    }

    pub async fn get(&self, path: &str) -> Value {
        self.try_get(path).await.unwrap_or_else(|error| panic!("GET {path}: {error}\n{}", self.log()))
    }

    /// Metrics as text.
    pub async fn metrics(&self) -> String {
        let (base, _) = self.address();
        reqwest::get(format!("{base}/metrics")).await.unwrap().text().await.unwrap()
    }

    /// Asks until the answer is as wanted.
    pub async fn wait_for(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.try_get(path).await;
            if let Ok(answer) = &answer
                && wanted(answer)
            {
                return answer.clone();
            }
            assert!(Instant::now() < deadline, "{path} is not as wanted: {answer:?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Ambit {
    fn drop(&mut self) {
        self.kill();
    }
}
