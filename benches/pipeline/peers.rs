//! What the same events cost others: DuckDB writing Parquet and ClickHouse (as chDB) writing a MergeTree, from a file of
//! NDJSON, in a process of their own. They neither read Kafka nor hash, sign or remember where they were: that is
//! ingest's, and not taken out of its figure.

use crate::corpus::{approver, corpus};
use crate::report::{Benchmark, Target};
use ambit::output::print;
use ambit_schemas::encode;
use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The peers, and what durable ingest should reach of each one's events per CPU second.
const PEERS: [(&str, f64); 2] = [("duckdb", 1.0), ("chdb", 0.6)];
/// Exit code of the set-up where PyPI cannot be reached.
const UNAVAILABLE: i32 = 3;

/// What a peer tells.
#[derive(Debug, Deserialize)]
struct Told {
    cpu_seconds: f64,
    wall_seconds: f64,
    rows: usize,
    content_bytes: u64,
    stored_bytes: u64,
}

/// A file of events and the Python with the peers.
pub(crate) struct Peers {
    python: PathBuf,
    dir: tempfile::TempDir,
    events: usize,
    content_bytes: u64,
}

impl Peers {
    /// Writes the events; `None` where the peers cannot be installed.
    pub(crate) fn prepare(events: usize) -> anyhow::Result<Option<Self>> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Command::new(root.join("scripts/venv.sh"))
            .arg(root.join("benches/peers/requirements.txt"))
            .output()
            .context("scripts/venv.sh cannot be started")?;
        if output.status.code() == Some(UNAVAILABLE) {
            print("SKIPPED: DuckDB and chDB could not be installed, nothing is compared with them");
            return Ok(None);
        }
        ensure!(output.status.success(), "set-up: {}", String::from_utf8_lossy(&output.stderr));
        let python = PathBuf::from(String::from_utf8(output.stdout)?.trim());
        let dir = tempfile::tempdir().context("cannot make a directory for the peers")?;
        let content_bytes = write(&dir.path().join("events.ndjson"), events)?;
        Ok(Some(Self { python, dir, events, content_bytes }))
    }

    /// Runs each once and compares it with ingest's events per CPU second.
    pub(crate) fn compare(&self, benchmark: &mut Benchmark, ingest: f64) -> anyhow::Result<()> {
        for (peer, target) in PEERS {
            let told = self.run(peer)?;
            ensure!(
                told.rows == self.events && told.content_bytes == self.content_bytes,
                "{peer} has {} rows with {} bytes, not {} with {}",
                told.rows,
                told.content_bytes,
                self.events,
                self.content_bytes
            );
            let rate = self.events as f64 / told.cpu_seconds;
            benchmark.value(peer, "events_per_cpu_second", rate);
            benchmark.value(peer, "events_per_second", self.events as f64 / told.wall_seconds);
            benchmark.value(peer, "bytes_per_event", told.stored_bytes as f64 / self.events as f64);
            let subject = format!("durable_ingest_of_{peer}");
            benchmark.judged(&subject, "ratio", ingest / rate, Target::AtLeast(target));
        }
        Ok(())
    }

    fn run(&self, peer: &str) -> anyhow::Result<Told> {
        print(&format!("peer: {peer}"));
        let target = tempfile::tempdir_in(self.dir.path())?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Command::new(&self.python)
            .arg(root.join("benches/peers/ndjson.py"))
            .arg(peer)
            .arg(self.dir.path().join("events.ndjson"))
            .arg(target.path())
            .output()
            .with_context(|| format!("{peer} cannot be started"))?;
        ensure!(output.status.success(), "{peer}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).with_context(|| format!("{peer} said nothing readable"))
    }
}

/// One line an event: its attributes, and its data as a text. Returns the bytes of the data.
fn write(path: &Path, events: usize) -> anyhow::Result<u64> {
    let mut file = BufWriter::new(File::create(path).context("cannot write the events for the peers")?);
    let mut bytes = 0;
    for simulated in corpus(&approver()).take(events) {
        let event = &simulated.event;
        let outgoing = encode(event)?;
        bytes += outgoing.value.len() as u64;
        let data = std::str::from_utf8(&outgoing.value)?;
        let line = json!({"id": event.id.as_str(), "source": event.source.as_str(), "type": event.kind().type_name(),
            "time": event.time.to_string(), "data": data});
        serde_json::to_writer(&mut file, &line)?;
        file.write_all(b"\n")?;
    }
    file.flush()?;
    Ok(bytes)
}
