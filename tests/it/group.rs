//! Several ingest processes in one consumer group: whatever happens to them, each record is stored once.

use crate::harness::{Ambit, PATIENCE};
use crate::oracle::{check, rounds, send, stored};
use ambit_bus::testing::TestBroker;
use ambit_bus::{Linger, Producer, ensure_topics};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Changes of membership in the short form.
const CHANGES: u32 = 6;

/// One process of a role.
pub struct Member {
    child: Child,
    log: PathBuf,
}

impl Member {
    pub fn start(ambit: &Ambit, role: &str, name: &str, failpoints: &str) -> Self {
        let log = ambit.dir.join(format!("log-{name}"));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let mut command = ambit.command();
        command.arg(role).env("FAILPOINTS", failpoints).stdout(Stdio::null()).stderr(file);
        Self { child: command.spawn().unwrap(), log }
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    /// Whether it stands still, as after `kill -STOP`.
    fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        stat.rsplit(')').next().unwrap().trim().starts_with('T')
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub fn end(mut self) {
        self.signal("TERM");
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn storm(broker: TestBroker) {
    let dir = tempfile::tempdir().unwrap();
    let options = broker.options();
    ensure_topics(&options).await.unwrap();
    let producer = Producer::new(&options, "test", Linger::None).unwrap();
    let ambit = Ambit::configure(&broker, dir.path(), "");
    let start = |name: u32| Member::start(&ambit, "ingest", &name.to_string(), "");
    let mut members: Vec<Member> = (0..3).map(start).collect();
    let mut leaving = Vec::new();
    let changes = rounds(CHANGES);
    for change in 0..changes {
        let place = (change * 5 % 3) as usize;
        let member = std::mem::replace(&mut members[place], start(3 + change));
        // One leaves in order, the next dies, the third is paused for a while.
        match change % 3 {
            0 => {
                member.signal("TERM");
                leaving.push(member);
            }
            1 => drop(member),
            _ => {
                member.signal("STOP");
                leaving.push(member);
            }
        }
        for part in 0..4 {
            send(&producer, &format!("{change}-{part}"), 100).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        for member in &leaving {
            // Whoever was told to end may be gone.
            drop(
                Command::new("kill")
                    .arg("-CONT")
                    .arg(member.child.id().to_string())
                    .stderr(Stdio::null())
                    .status(),
            );
        }
    }
    stored(&ambit, &options).await;
    drop(leaving);
    members.into_iter().for_each(Member::end);
    assert!(check(&ambit, &options).await >= (changes * 400) as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_a_storm_of_changes_loses_and_doubles_nothing_embedded() {
    storm(TestBroker::embedded()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_a_storm_of_changes_loses_and_doubles_nothing_kafka() {
    if let Some(broker) = TestBroker::kafka() {
        storm(broker).await;
    }
}

/// A process stops for longer than the group waits for it, at the worst place, and comes back.
async fn zombie(broker: TestBroker, point: &str) {
    let dir = tempfile::tempdir().unwrap();
    let options = broker.options();
    ensure_topics(&options).await.unwrap();
    let producer = Producer::new(&options, "test", Linger::None).unwrap();
    let ambit = Ambit::configure(&broker, dir.path(), "");
    let zombie = Member::start(&ambit, "ingest", "zombie", &format!("{point}=2*off->1*return(stop)"));
    let deadline = Instant::now() + PATIENCE;
    let mut number = 0;
    while !zombie.is_stopped() {
        assert!(Instant::now() < deadline, "it does not come to `{point}`: {}", zombie.log());
        send(&producer, &format!("before-{number}"), 50).await;
        number += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let other = Member::start(&ambit, "ingest", "other", "");
    stored(&ambit, &options).await;
    send(&producer, "meanwhile", 200).await;
    stored(&ambit, &options).await;
    zombie.signal("CONT");
    send(&producer, "after", 200).await;
    stored(&ambit, &options).await;
    // It has heard that it is out, has dropped what it held, and takes part again.
    let deadline = Instant::now() + PATIENCE;
    while !zombie.log().contains("what was buffered is dropped") && !zombie.log().contains("another process")
    {
        assert!(Instant::now() < deadline, "it goes on as if nothing had been: {}", zombie.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    other.end();
    send(&producer, "alone", 200).await;
    stored(&ambit, &options).await;
    zombie.end();
    assert!(check(&ambit, &options).await >= 600);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_a_zombie_cannot_commit_embedded() {
    zombie(TestBroker::embedded(), "commit-before").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_a_zombie_cannot_commit_kafka() {
    if let Some(broker) = TestBroker::kafka() {
        zombie(broker, "commit-before").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_a_zombie_cannot_take_a_checkpoint_back() {
    zombie(TestBroker::embedded(), "ledger-checkpoint").await;
}
