//! The program as its supervisor meets it: the ready line, the errors, the ways to end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const WITHIN: Duration = Duration::from_secs(20);

struct Broker {
    child: Child,
    stdin: Option<ChildStdin>,
    address: String,
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn command(dir: &Path, listen: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ambit-broker"));
    command.args(["--listen", listen, "--exit-on-stdin-close", "--data-dir"]).arg(dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn start(dir: &Path) -> Broker {
    let mut child = command(dir, "127.0.0.1:0").spawn().expect("the broker starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.strip_prefix("ready ").unwrap_or_else(|| panic!("{line}")).trim().to_owned();
    let stdin = child.stdin.take();
    Broker { child, stdin, address }
}

fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + WITHIN;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "the broker does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs a broker that must refuse to start and gives what it says.
fn refusal(dir: &Path, listen: &str) -> String {
    let mut child = command(dir, listen).spawn().unwrap();
    assert!(!wait(&mut child).success(), "it started");
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    said
}

/// Asks which requests the broker knows (ApiVersions, version 0).
fn api_versions(address: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(WITHIN)).unwrap();
    let request: [&[u8]; 5] = [&[0, 0, 0, 14], &[0, 18, 0, 0], &[0, 0, 0, 42], &[0, 4], b"test"];
    stream.write_all(&request.concat()).unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(size)).unwrap()];
    stream.read_exact(&mut answer).unwrap();
    answer
}

#[test]
fn it_says_ready_answers_and_ends_with_its_standard_input() {
    let dir = TempDir::new().unwrap();
    let mut broker = start(dir.path());
    let answer = api_versions(&broker.address);
    assert_eq!(answer[..6], [0, 0, 0, 42, 0, 0], "correlation id and no error");
    assert!(answer.len() > 100, "a list of requests");
    drop(broker.stdin.take());
    assert!(wait(&mut broker.child).success());
    assert!(TcpStream::connect(&broker.address).is_err(), "nothing listens any more");
    start(dir.path());
}

#[test]
fn it_ends_in_order_on_a_signal() {
    let dir = TempDir::new().unwrap();
    for signal in ["-TERM", "-INT"] {
        let mut broker = start(dir.path());
        let pid = broker.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        assert!(wait(&mut broker.child).success(), "{signal}");
    }
}

#[test]
fn garbage_from_a_client_ends_only_its_own_connection() {
    let dir = TempDir::new().unwrap();
    let broker = start(dir.path());
    for garbage in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 64], &[0, 0, 0, 0], &[0x7f, 0xff, 0xff, 0xff, 0, 3]]
    {
        let mut stream = TcpStream::connect(&broker.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        stream.write_all(garbage).unwrap();
        stream.shutdown(std::net::Shutdown::Write).ok();
        stream.read_to_end(&mut Vec::new()).ok();
        assert_eq!(api_versions(&broker.address)[..4], [0, 0, 0, 42]);
    }
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let dir = TempDir::new().unwrap();
    let said = refusal(dir.path(), &address.to_string());
    assert!(said.contains(&format!("port {} is taken", address.port())), "{said}");
    assert!(said.contains("choose another port"), "{said}");
}

#[test]
fn a_data_directory_has_one_broker() {
    let dir = TempDir::new().unwrap();
    let _first = start(dir.path());
    let said = refusal(dir.path(), "127.0.0.1:0");
    assert!(said.contains("is in use by another broker"), "{said}");
}

#[test]
fn a_data_directory_that_cannot_be_is_named() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let said = refusal(&file.join("data"), "127.0.0.1:0");
    assert!(said.contains("cannot create data directory"), "{said}");
    let said = refusal(dir.path(), "0.0.0.0:0");
    assert!(said.contains("--listen needs the address"), "{said}");
}
