//! Disks that are full or fail: ingest says what to do, stands still, and goes on by itself once it can.

use crate::harness::Ambit;
use crate::oracle::{check, send, shards, stored, table};
use ambit_bus::testing::TestBroker;
use ambit_bus::{Linger, Producer, ensure_topics};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A small disk of its own, gone at the end.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// Needs the right to mount; without it the lane is skipped, loudly. With CI=true that is a failure.
    fn mount(dir: &'a Path) -> Option<Self> {
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).arg(dir).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(dir));
        }
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "a tmpfs cannot be mounted and CI is set"
        );
        eprintln!("SKIPPED: the full disk, a tmpfs cannot be mounted (root is needed)");
        None
    }

    /// Fills it to the last byte, and takes what becomes free meanwhile.
    fn fill(&self) -> Filler {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, path) = (Arc::clone(&stop), self.0.join("filler"));
        let thread = std::thread::spawn(move || {
            let mut file = File::create(&path).unwrap();
            while !stopped.load(Ordering::Relaxed) {
                for size in [1 << 20, 4_096, 1] {
                    while file.write_all(&vec![0; size]).is_ok() {}
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            std::fs::remove_file(path).unwrap();
        });
        Filler { stop, thread }
    }
}

/// Whoever took all the room.
struct Filler {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Filler {
    fn make_room(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0).status());
    }
}

async fn full(broker: TestBroker) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let Some(disk) = SmallDisk::mount(&data) else { return };
    let options = broker.options();
    ensure_topics(&options).await.unwrap();
    let producer = Producer::new(&options, "test", Linger::None).unwrap();
    let mut ambit = Ambit::start(&broker, dir.path(), "").await;
    send(&producer, "before", 200).await;
    stored(&ambit, &options).await;
    for round in 0..2 {
        let filler = disk.fill();
        send(&producer, &format!("while full {round}"), 200).await;
        ambit.wait_for_trouble("the disk is full: make room").await;
        let before = table(&ambit).await.positions(&shards()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        // Nothing moves while it is full, it is still said, and what was stored can be read.
        let after = table(&ambit).await.positions(&shards()).await.unwrap();
        assert_eq!(before, after);
        assert!(ambit.troubles().await.contains("make room"), "{}", ambit.log());
        assert!(ambit.get("/api/v1/dead-letters?limit=1").await["items"][0]["reason"].is_string());
        filler.make_room();
        stored(&ambit, &options).await;
    }
    // All parts are well again, those too that had their own trouble with the disk.
    ambit.wait_for("/readyz", |answer| answer["status"] == "ready").await;
    ambit.stop();
    assert!(check(&ambit, &options).await >= 600);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_a_full_disk_pauses_and_resumes_embedded() {
    full(TestBroker::embedded()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_a_full_disk_pauses_and_resumes_kafka() {
    if let Some(broker) = TestBroker::kafka() {
        full(broker).await;
    }
}
