//! Installations that witness each other, with the program as a user starts it.

use crate::harness::{Ambit, PATIENCE, copy_dir, program, said};
use ambit_bus::testing::{TestBroker, free_port};
use ambit_ledger::witness::{AddCheckpoint, WitnessKey};
use ambit_ledger::{
    CheckpointSigner, Ledger, MemoryTiles, Origin, PublishedTree, SignedCheckpoint, TreeSize, leaf_hash,
};
use reqwest::StatusCode;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// An installation with a broker of its own.
struct Site {
    ambit: Ambit,
    broker: TestBroker,
    dir: TempDir,
    name: &'static str,
    port: u16,
}

impl Site {
    fn new(name: &'static str) -> Self {
        let (broker, dir) = (TestBroker::embedded(), tempfile::tempdir().unwrap());
        let ambit = Ambit::configure(&broker, dir.path(), &format!("[ledger]\nlog_name = \"{name}\"\n"));
        Self { ambit, broker, dir, name, port: free_port() }
    }

    fn ask(&self, what: &str) -> String {
        let output = self.ambit.command().args(["witness", what]).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Has this installation's ledger cosigned by the other, and cosigns the other's.
    async fn start_with(&mut self, other: &Self) {
        let (key, log) = (other.ask("key"), other.ask("log"));
        assert!(key.starts_with(&format!("{}/witness+", other.name)), "{key}");
        assert!(log.starts_with("[[witness.logs]]\norigin = "), "{log}");
        let config = format!(
            "[ledger]\nlog_name = \"{}\"\nwitness_every_seconds = 1\n[[ledger.witnesses]]\n\
             url = \"http://127.0.0.1:{}\"\nkey = \"{key}\"\nrequire = true\nallow_private = true\n\
             [witness]\nlisten = \"127.0.0.1:{}\"\n{log}\n",
            self.name, other.port, self.port
        );
        self.ambit = Ambit::start(&self.broker, self.dir.path(), &config).await;
    }

    async fn record(&self, run: &str, at_least: u64) {
        let args = ["simulate", "--run", run, "--events", "200"];
        let simulated = self.ambit.command().args(args).output().unwrap();
        assert!(simulated.status.success(), "{}", said(&simulated));
        let signed = |answer: &serde_json::Value| {
            let shards = answer["shards"].as_array().unwrap();
            let sum = |name: &str| shards.iter().map(|shard| shard[name].as_u64().unwrap()).sum::<u64>();
            sum("tree_size") >= at_least && sum("tree_size") == sum("checkpoint_size")
        };
        self.ambit.wait_for("/api/v1/overview", signed).await;
    }

    /// Waits until the other has cosigned all that this one has signed.
    async fn wait_until_cosigned_by(&self, other: &Self) {
        let deadline = Instant::now() + PATIENCE;
        let lacks = format!("ambit_cosignature_lag_leaves{{witness=\"{}/witness\"}}", other.name);
        let mut calm = 0;
        // Findings and responses follow the events: all are cosigned when nothing is lacking for a while.
        while calm < 5 {
            let metrics = self.ambit.metrics().await;
            let nothing_lacks = metrics.lines().any(|line| line == format!("{lacks} 0"));
            calm = if nothing_lacks { calm + 1 } else { 0 };
            assert!(Instant::now() < deadline, "not cosigned: {metrics}\n{}", self.ambit.log());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    fn verify(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = self.ambit.command().arg("verify").args(args).output().unwrap();
        (output.status.code(), said(&output))
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The newest checkpoint of every shard that has leaves.
    fn checkpoints(&self) -> Vec<PathBuf> {
        let topics = fs::read_dir(self.data().join("ledger")).unwrap();
        let shards = topics.flat_map(|topic| fs::read_dir(topic.unwrap().path()).unwrap());
        let has_leaves = |path: &PathBuf| {
            fs::read_to_string(path).is_ok_and(|note| note.lines().nth(1).is_some_and(|size| size != "0"))
        };
        shards.map(|shard| shard.unwrap().path().join("checkpoint")).filter(has_leaves).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_installations_witness_each_other() {
    let (mut here, mut there) = (Site::new("here.test"), Site::new("there.test"));
    here.start_with(&there).await;
    there.start_with(&here).await;
    for site in [&here, &there] {
        site.record("first", 200).await;
    }
    here.wait_until_cosigned_by(&there).await;
    there.wait_until_cosigned_by(&here).await;
    assert_eq!(here.ambit.troubles().await, "");
    let metrics = there.ambit.metrics().await;
    assert!(metrics.contains("ambit_witness_requests_total{outcome=\"cosigned\"}"), "{metrics}");
    here.ambit.stop();

    // What is published carries the witness's line, and `ambit verify` says how far it goes.
    let checkpoints = here.checkpoints();
    assert!(!checkpoints.is_empty());
    for path in &checkpoints {
        let note = fs::read_to_string(path).unwrap();
        assert!(note.contains("\n\u{2014} there.test/witness "), "{}: {note}", path.display());
    }
    let key = there.ask("key");
    for args in [&[][..], &["--witness", &key]] {
        let (code, told) = here.verify(args);
        assert_eq!(code, Some(0), "{told}");
        let lines = told.lines().filter(|line| line.starts_with("cosigned  ")).count();
        assert_eq!(lines, checkpoints.len(), "{told}");
        assert!(told.contains("by there.test/witness at 20"), "{told}");
    }

    let output = here.ambit.command().args(["verify", "--json"]).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let cosigned = report["cosigned"].as_array().unwrap();
    assert!(cosigned.iter().all(|one| one["leaves"] == one["signed"]), "{report}");
    assert_eq!((cosigned.len(), &report["intact"]), (checkpoints.len(), &true.into()), "{report}");

    // A witness that was never asked has said nothing; a key that is none cannot be asked about.
    let (code, told) = here.verify(&["--witness", &here.ask("key")]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("here.test/witness has cosigned no checkpoint"), "{told}");
    assert_eq!(here.verify(&["--witness", "none"]).0, Some(1));

    // The configuration requires it: whoever takes the cosignatures away is noticed.
    for path in &checkpoints {
        let note = fs::read_to_string(path).unwrap();
        let own: String = note.split_inclusive('\n').filter(|line| !line.contains("there.test")).collect();
        fs::write(path, own).unwrap();
        fs::remove_dir_all(path.with_file_name("cosigned")).unwrap();
    }
    let (code, told) = here.verify(&[]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("there.test/witness has cosigned no checkpoint"), "{told}");

    // The witness remembers, so it is enough to ask it again.
    here.ambit.restart().await;
    here.wait_until_cosigned_by(&there).await;
    here.ambit.stop();
    assert_eq!(here.verify(&[]).0, Some(0));
}

/// An older data directory is copied back and Kafka is another: nobody here knows, and the witness does.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_was_rolled_back_is_told_by_its_witness() {
    let (mut here, mut there) = (Site::new("here.test"), Site::new("there.test"));
    here.start_with(&there).await;
    there.start_with(&here).await;
    here.record("first", 200).await;
    here.wait_until_cosigned_by(&there).await;
    here.ambit.stop();
    let old = here.dir.path().join("old");
    copy_dir(&here.data(), &old);
    here.ambit.restart().await;
    here.record("second", 400).await;
    here.wait_until_cosigned_by(&there).await;
    here.ambit.stop();

    fs::rename(here.data(), here.dir.path().join("newest")).unwrap();
    fs::rename(&old, here.data()).unwrap();
    let other_kafka = TestBroker::embedded();
    here.ambit.bootstrap = other_kafka.bootstrap();
    let (code, told) = here.verify(&[]);
    assert_eq!(code, Some(0), "the copy is intact in itself: {told}");
    here.ambit.restart().await;
    here.ambit.wait_for_trouble("the witness there.test/witness has cosigned").await;
    let told = here.ambit.troubles().await;
    assert!(told.contains("rolled back to an older copy"), "{told}");
    let metrics = here.ambit.metrics().await;
    let contradicted = "ambit_cosignature_contradicted_shards{witness=\"there.test/witness\"} ";
    let line = metrics.lines().find(|line| line.starts_with(contradicted)).unwrap();
    assert!(!line.ends_with(" 0"), "{line}");
}

/// A log that may be forked at will, and the witness alone, without Kafka.
struct Lonely {
    child: Option<Child>,
    dir: TempDir,
    port: u16,
}

impl Lonely {
    async fn start(log: &str) -> Self {
        let mut lonely = Self { child: None, dir: tempfile::tempdir().unwrap(), port: free_port() };
        let config = format!(
            "[witness]\nlisten = \"127.0.0.1:{}\"\nname = \"lonely.test\"\n[[witness.logs]]\n\
             origin = \"log.test/*\"\nkey = \"{log}\"\n",
            lonely.port
        );
        fs::write(lonely.dir.path().join("ambit.toml"), config).unwrap();
        lonely.restart().await;
        lonely
    }

    fn command(&self) -> Command {
        let mut command = program();
        command.arg("--config").arg(self.dir.path().join("ambit.toml"));
        command.arg("--data-dir").arg(self.dir.path().join("data"));
        command.args(["--bootstrap-servers", "127.0.0.1:1", "--log", "warn", "witness"]);
        command
    }

    /// As after a power cut.
    async fn restart(&mut self) {
        self.kill();
        self.child = Some(self.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            assert!(Instant::now() < deadline, "the witness does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn key(&self) -> WitnessKey {
        let output = self.command().arg("key").output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    }

    async fn post(&self, body: impl Into<reqwest::Body>) -> (StatusCode, String, String) {
        let url = format!("http://127.0.0.1:{}/add-checkpoint", self.port);
        let answer = reqwest::Client::new().post(url).body(body).send().await.unwrap();
        let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        let (status, kind) = (answer.status(), kind.unwrap_or_default().to_owned());
        (status, kind, answer.text().await.unwrap())
    }
}

impl Drop for Lonely {
    fn drop(&mut self) {
        self.kill();
    }
}

fn log_signer() -> CheckpointSigner {
    CheckpointSigner::from_seed("log.test", &[3; 32]).unwrap()
}

/// The log `log.test/<shard>` when it had so many leaves, in one of two histories.
fn tree(shard: &str, history: u8, size: u64, signer: &CheckpointSigner) -> PublishedTree<Arc<MemoryTiles>> {
    let (origin, tiles) = (Origin::new(&format!("log.test/{shard}")).unwrap(), Arc::new(MemoryTiles::new()));
    let mut ledger = Ledger::open(origin, Arc::clone(&tiles), signer.public_key().clone()).unwrap();
    let leaves: Vec<_> =
        (0..size).map(|number| leaf_hash(&[number.to_le_bytes(), [history; 8]].concat())).collect();
    ledger.append(&leaves).unwrap();
    ledger.commit(signer).unwrap();
    PublishedTree::open(ledger.published().origin().clone(), tiles, signer.public_key()).unwrap()
}

fn request(tree: &PublishedTree<Arc<MemoryTiles>>, old: u64) -> String {
    let proof = tree.consistency_proof(TreeSize(old), tree.size()).unwrap();
    let note = tree.checkpoint().unwrap().note().to_owned();
    AddCheckpoint { old: TreeSize(old), proof, note }.to_body()
}

fn remembered(dir: &Path) -> usize {
    let names = fs::read_dir(dir.join("data/witness")).unwrap();
    names.filter(|name| name.as_ref().unwrap().file_name() != "lock").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_witness_speaks_the_protocol_and_forgets_nothing_when_it_is_killed() {
    let signer = log_signer();
    let mut witness = Lonely::start(&signer.public_key().to_string()).await;
    let (first, fork, grown) =
        (tree("a", 1, 10, &signer), tree("a", 2, 12, &signer), tree("a", 1, 15, &signer));

    let (status, _, line) = witness.post(request(&first, 0)).await;
    assert_eq!(status, StatusCode::OK, "{line}");
    let checkpoint: &SignedCheckpoint = first.checkpoint().unwrap();
    checkpoint.read_answer(line.as_bytes(), &witness.key()).unwrap();

    // Killed after it answered, and killed in the middle of answers: it knows what it has signed.
    for _ in 0..3 {
        witness.restart().await;
        let (status, kind, size) = witness.post(request(&fork, 0)).await;
        assert_eq!(
            (status, kind.as_str(), size.as_str()),
            (StatusCode::CONFLICT, "text/x.tlog.size", "10\n")
        );
        assert_eq!(witness.post(request(&fork, 10)).await.0, StatusCode::UNPROCESSABLE_ENTITY);
        let same_size = tree("a", 2, 10, &signer);
        let (status, kind, size) = witness.post(request(&same_size, 10)).await;
        assert_eq!(
            (status, kind.as_str(), size.as_str()),
            (StatusCode::CONFLICT, "text/x.tlog.size", "10\n")
        );
    }
    assert_eq!(witness.post(request(&grown, 10)).await.0, StatusCode::OK);

    let stranger = CheckpointSigner::from_seed("log.test", &[4; 32]).unwrap();
    assert_eq!(witness.post(request(&tree("a", 1, 20, &stranger), 15)).await.0, StatusCode::FORBIDDEN);
    let elsewhere = request(&grown, 15).replace("log.test/a", "elsewhere.test/a");
    assert_eq!(witness.post(elsewhere).await.0, StatusCode::NOT_FOUND);
    let backwards = request(&grown, 15).replace("old 15", "old 16");
    for body in [backwards, String::new(), "old x\n\n".into(), "{}".into()] {
        assert_eq!(witness.post(body).await.0, StatusCode::BAD_REQUEST);
    }
    assert_eq!(witness.post(vec![b'x'; 1 << 20]).await.0, StatusCode::PAYLOAD_TOO_LARGE);

    // The log and the proof of its fork; nothing of those that were refused.
    assert_eq!(remembered(witness.dir.path()), 2);
    let key = fs::metadata(witness.dir.path().join("data/keys/witness.key")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);

    // Of two witnesses with one memory each would sign what the other has not seen.
    let path = witness.dir.path().join("ambit.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace(&witness.port.to_string(), &free_port().to_string())).unwrap();
    let second = witness.command().output().unwrap();
    assert_eq!(second.status.code(), Some(1), "{}", said(&second));
    assert!(said(&second).contains("is in use by process"), "{}", said(&second));
}
