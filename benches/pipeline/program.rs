//! The program as a user starts it: `ambit up` against a broker, with a data directory of its own.

use ambit_bus::testing::free_port;
use anyhow::{Context, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long it may take to start or to stop.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running `ambit up`; killed when dropped.
#[derive(Debug)]
pub(crate) struct Program {
    dir: PathBuf,
    child: Child,
}

impl Program {
    /// Where it has its data, below `dir`.
    pub(crate) fn data_dir(dir: &Path) -> PathBuf {
        dir.join("data")
    }

    /// Starts it; `extra` is appended to the configuration.
    pub(crate) fn start(dir: &Path, bootstrap: &str, extra: &str) -> anyhow::Result<Self> {
        let (config, url) = (dir.join("ambit.toml"), dir.join("url"));
        let ports = format!(
            "[api]\nlisten = \"127.0.0.1:{}\"\n[gateway]\nlisten = \"127.0.0.1:{}\"\n",
            free_port(),
            free_port()
        );
        fs::write(&config, ports + extra).context("cannot write the configuration")?;
        let child = Command::new(env!("CARGO_BIN_EXE_ambit"))
            .arg("--config")
            .arg(&config)
            .arg("--data-dir")
            .arg(Self::data_dir(dir))
            .args(["--bootstrap-servers", bootstrap, "up", "--url-file"])
            .arg(&url)
            .stdout(Stdio::null())
            .stderr(File::create(dir.join("log"))?)
            .spawn()
            .context("ambit cannot be started")?;
        let mut program = Self { dir: dir.to_owned(), child };
        let deadline = Instant::now() + PATIENCE;
        while !url.exists() {
            let ended = program.child.try_wait()?;
            ensure!(ended.is_none() && Instant::now() < deadline, "ambit did not start: {}", program.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(program)
    }

    /// The process's number.
    pub(crate) fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// Where its API answers, and the token for it.
    pub(crate) fn api(&self) -> anyhow::Result<(String, String)> {
        let url = fs::read_to_string(self.dir.join("url")).context("ambit has not told its URL")?;
        let (base, token) = url.split_once("/#token=").context("ambit's URL has no token")?;
        Ok((base.to_owned(), token.to_owned()))
    }

    /// The most memory that it has had so far, in MiB (`VmHWM` of proc(5)).
    pub(crate) fn peak_memory_mib(&self) -> anyhow::Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().context("VmHWM")?;
        Ok(kibibytes / 1024.0)
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Asks for an orderly end and waits for it.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let asked = Command::new("kill").args(["-TERM", &self.id()]).status().context("kill is missing")?;
        ensure!(asked.success(), "ambit had ended before: {}", self.log());
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "ambit ended with {status}: {}", self.log());
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "ambit did not stop: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(|_| ()).unwrap_or_default();
    }
}
