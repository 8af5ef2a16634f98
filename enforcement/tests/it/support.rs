//! Findings, and a receiver that answers as it is told.

use ambit_schemas::event::{Body, Event};
use ambit_schemas::finding::Finding;
use ambit_schemas::id::{EventId, EventSource};
use ambit_schemas::id::{FindingId, ReceiverId, TaskId};
use ambit_schemas::{Outgoing, Record, Shard, Timestamp, Topic, encode};
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub const SHARD: Shard = Shard::new(Topic::Findings, 1);
pub const SECRET: &str = "whsec_BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=";

/// A finding of high severity by a stable rule; `number` makes finding and task its own.
pub fn finding(number: u32) -> Finding {
    let golden = include_str!("../../../schemas/golden/v1/finding.created.json");
    let whole: Value = serde_json::from_str(golden).unwrap();
    let mut finding: Finding = serde_json::from_value(whole["data"]["finding"].clone()).unwrap();
    finding.id = FindingId::try_from(format!("fnd-{number:032x}")).unwrap();
    let task = TaskId::try_from(format!("task-{number}")).unwrap();
    let of = finding.task.as_mut().unwrap();
    (of.id, of.root) = (task.clone(), task);
    finding
}

pub fn receiver_id(name: &str) -> ReceiverId {
    ReceiverId::try_from(name).unwrap()
}

pub fn at(seconds: i64) -> Timestamp {
    finding(0).time.plus_micros(seconds * 1_000_000)
}

/// What somebody says, as an event about the first finding's task.
pub fn said(time: Timestamp, body: Body) -> Event {
    let finding = finding(1);
    Event {
        agent: finding.agent,
        task: finding.task,
        ..Event::new(
            EventId::try_from(format!("said-{}-{}", body.kind(), time.micros())).unwrap(),
            EventSource::try_from("ambit/respond").unwrap(),
            time,
            finding.tenant,
            body,
        )
    }
}

/// An event as it stands in Kafka.
pub fn record(event: &Event, offset: u64) -> Record {
    stored(encode(event).unwrap(), offset)
}

/// What was sent, as it stands in the partition of [`SHARD`].
pub fn stored(outgoing: Outgoing, offset: u64) -> Record {
    Record {
        shard: Shard::new(outgoing.topic, SHARD.partition),
        offset,
        timestamp_us: 0,
        key: Some(outgoing.key),
        headers: outgoing.headers,
        value: Some(outgoing.value),
    }
}

/// What one request looked like.
#[derive(Debug, Clone)]
pub struct Request {
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

/// A receiver whose answers are given beforehand; the last one is repeated.
pub struct Receiver {
    pub url: String,
    pub requests: Arc<Mutex<Vec<Request>>>,
    _tasks: JoinSet<()>,
}

impl Receiver {
    /// Each answer is a whole HTTP response; an empty one never comes.
    pub async fn start(answers: &[&str]) -> Self {
        Self::start_on(0, answers).await
    }

    /// On a given port.
    pub async fn start_on(port: u16, answers: &[&str]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let answers: VecDeque<String> = answers.iter().map(|&answer| answer.to_owned()).collect();
        let (seen, answers) = (Arc::clone(&requests), Arc::new(Mutex::new(answers)));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(serve(stream, Arc::clone(&seen), Arc::clone(&answers)));
            }
        });
        Self { url, requests, _tasks: tasks }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

pub fn status(status: &str, headers: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n")
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Vec<Request>>>, answers: Arc<Mutex<VecDeque<String>>>) {
    let mut bytes = Vec::new();
    let (head, length) = loop {
        let mut buffer = [0; 4_096];
        let read = stream.read(&mut buffer).await.unwrap_or_default();
        if read == 0 {
            return;
        }
        bytes.extend_from_slice(&buffer[..read]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = header(&text, "content-length").map_or(0, |text| text.parse::<usize>().unwrap());
        if bytes.len() >= end + 4 + length {
            break (text, (end + 4, length));
        }
    };
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let body = bytes[length.0..length.0 + length.1].to_vec();
    seen.lock().unwrap().push(Request { headers, body });
    let answer = {
        let mut answers = answers.lock().unwrap();
        if answers.len() > 1 { answers.pop_front().unwrap() } else { answers.front().unwrap().clone() }
    };
    if answer.is_empty() {
        tokio::time::sleep(std::time::Duration::from_mins(1)).await;
    }
    drop(stream.write_all(answer.as_bytes()).await);
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}
