//! The table in an S3 server, a process of its own with real conditional puts.

use crate::common::{NOON, leaves, offsets, shard, step, write};
use crate::readers::python;
use ambit_schemas::id::TenantId;
use ambit_schemas::payload::Payload;
use ambit_store::{Error, Maintenance, Options, Payloads, S3, Store, fsck};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The server; it ends with its input.
struct Server {
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

impl Server {
    fn start(mode: &str) -> Option<Self> {
        let python = python()?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut child = Command::new(python)
            .arg(root.join("tests/readers/s3.py"))
            .arg(mode)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().expect("the server says its port");
        Some(Self { child, port })
    }

    /// A bucket of its own; `path` is where files wait on this machine.
    fn options(&self, path: &Path, prefix: &str) -> Options {
        let credentials = path.join("credentials");
        std::fs::write(&credentials, "aws_access_key_id = test\naws_secret_access_key = test\n").unwrap();
        let made = Command::new(python().unwrap())
            .args(["-c", "import urllib.request, sys; urllib.request.urlopen(urllib.request.Request(sys.argv[1], method='PUT'))"])
            .arg(format!("http://127.0.0.1:{}/bucket", self.port))
            .status();
        assert!(made.unwrap().success(), "the bucket is made");
        let s3 = S3 {
            url: format!("s3://bucket/{prefix}").parse().unwrap(),
            endpoint: Some(format!("http://127.0.0.1:{}", self.port).parse().unwrap()),
            region: Some("us-east-1".into()),
            credentials_file: Some(credentials),
            allow_http: true,
        };
        Options { s3: Some(s3), ..Options::durable(path.join("spool")) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_lives_in_an_object_store() {
    let Some(server) = Server::start("careful") else { return };
    let dir = tempfile::tempdir().unwrap();
    let options = server.options(dir.path(), "some/table");
    let store = Store::open(options.clone()).await.unwrap();
    for round in 0..6_u64 {
        let (from, to) = (round * 5, round * 5 + 5);
        store.commit(write(&store, shard(0), from..to, NOON), &[step(shard(0), from, to)]).await.unwrap();
    }
    assert_eq!(offsets(&store, shard(0), 3).await, (3..30).collect::<Vec<_>>());
    let spooled = std::fs::read_dir(dir.path().join("spool/day=2024-10-04")).unwrap().count();
    assert_eq!(spooled, 0, "what is in the object store does not stay here");
    let done =
        store.compact(&Maintenance { fan_in: 2, ..Maintenance::default() }, i32::MAX, true).await.unwrap();
    assert_eq!((done.replaced, done.written, done.failed.len()), (6, 1, 0));
    assert!(store.checkpoint(1).await.unwrap().is_some());
    // Another machine, with nothing but the address.
    let elsewhere = tempfile::tempdir().unwrap();
    let other =
        Store::open(Options { path: elsewhere.path().join("spool"), ..options.clone() }).await.unwrap();
    assert_eq!(offsets(&other, shard(0), 0).await, (0..30).collect::<Vec<_>>());
    let files = write(&other, shard(0), 30..31, NOON);
    other.commit(files, &[step(shard(0), 30, 31)]).await.unwrap();
    assert_eq!(leaves(&store, shard(0)).await.len(), 31);
    let kept = store.vacuum(true).await.unwrap();
    assert_eq!((kept.replaced, kept.orphans, kept.kept), (0, 0, 6), "what was replaced is still young");
    // Content that is too large for an event lies beside it.
    let tenant = TenantId::try_from("acme").unwrap();
    let (payloads, payload) = (Payloads::open(&options).unwrap(), Payload::new("y".repeat(2 << 20)));
    payloads.put(&tenant, &payload).await.unwrap();
    payloads.put(&tenant, &payload).await.unwrap();
    assert_eq!(payloads.get(&tenant, &payload.sha256).await.unwrap(), Some(payload.content.clone()));
    assert_eq!(payloads.get(&tenant, "absent").await.unwrap(), None);
    let checked = fsck(options, |_, _| ()).await.unwrap();
    assert_eq!((checked.faults.as_slice(), checked.rows), (&[][..], 31));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_writers_that_race_in_an_object_store_exactly_one_commits() {
    let Some(server) = Server::start("careful") else { return };
    let dir = tempfile::tempdir().unwrap();
    let options = server.options(dir.path(), "race");
    let first = Store::open(options.clone()).await.unwrap();
    for round in 0..5_u64 {
        let mut racers = tokio::task::JoinSet::new();
        for racer in 0..4 {
            let path = dir.path().join(format!("spool-{racer}"));
            let store = Store::open(Options { path, ..options.clone() }).await.unwrap();
            racers.spawn(async move {
                let files = write(&store, shard(0), round..round + 1, NOON);
                match store.commit(files, &[step(shard(0), round, round + 1)]).await {
                    Ok(_) => 1,
                    Err(Error::Fenced { .. }) => 0,
                    Err(error) => panic!("{error}"),
                }
            });
        }
        assert_eq!(racers.join_all().await.into_iter().sum::<u32>(), 1, "round {round}");
    }
    // Writers of different shards do not fence each other: all get through, each at a version of its own.
    let mut racers = tokio::task::JoinSet::new();
    for partition in 1..5 {
        let path = dir.path().join(format!("spool-{partition}"));
        let store = Store::open(Options { path, ..options.clone() }).await.unwrap();
        racers.spawn(async move {
            let files = write(&store, shard(partition), 0..2, NOON);
            store.commit(files, &[step(shard(partition), 0, 2)]).await.unwrap()
        });
    }
    let mut versions = racers.join_all().await;
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), 4);
    assert_eq!(offsets(&first, shard(0), 0).await, [0, 1, 2, 3, 4]);
    for partition in 1..5 {
        assert_eq!(offsets(&first, shard(partition), 0).await, [0, 1]);
    }
}

// The negative control of the two above: without conditional puts both writers would win.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_store_that_ignores_conditions_is_refused() {
    let Some(server) = Server::start("careless") else { return };
    let dir = tempfile::tempdir().unwrap();
    let options = server.options(dir.path(), "careless");
    let refused = Store::open(options).await.unwrap_err();
    assert!(matches!(&refused, Error::Refused(what) if what.contains("If-None-Match")), "{refused}");
}
