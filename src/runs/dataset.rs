//! Reads a folder of recorded runs: one folder per dataset, JSON Lines compressed with zstd.

use anyhow::{Context, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Longest line that is read, in bytes.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// A dataset: envelopes by task, runs with their calls and labels.
#[derive(Debug)]
pub struct Dataset {
    /// The folder's name.
    pub name: String,
    /// Envelopes by task.
    pub envelopes: HashMap<String, TaskEnvelope>,
    /// Runs, in the order of their labels.
    pub runs: Vec<Run>,
    /// For whom the agents act.
    pub principal: Option<PrincipalRecord>,
    /// Runs of one agent in a row, where the recording has such.
    pub streams: Vec<Stream>,
}

/// Runs of one agent in a row: 25 benign ones, then 25 of which a share is hijacked.
#[derive(Debug, Clone, Deserialize)]
pub struct Stream {
    /// The agent.
    pub agent: String,
    /// The share of hijacked runs in the second half.
    pub q: f64,
    /// The runs; some occur more than once.
    pub run_ids: Vec<String>,
}

/// What the authors, and a planner, say of a task.
#[derive(Debug, Clone, Deserialize)]
pub struct TaskEnvelope {
    /// The task.
    pub task_id: String,
    /// What the user asked for.
    pub prompt: String,
    /// Tools of the authors' solution.
    #[serde(default)]
    pub allowed_tools: Vec<String>,
    /// Argument values of the solution, by tool.
    #[serde(default)]
    pub allowed_targets: BTreeMap<String, Vec<Value>>,
    /// Calls of the solution.
    #[serde(default)]
    pub gt_calls: Vec<(String, Value)>,
    /// Tools that planners listed beforehand, by a majority of them.
    #[serde(default)]
    pub planned_tools_majority: Option<Vec<String>>,
}

/// One call of a run.
#[derive(Debug, Clone, Deserialize)]
pub struct Call {
    /// The run.
    pub run_id: String,
    /// The agent.
    pub agent_id: String,
    /// The task.
    pub task_id: String,
    /// Which call of the run, from 0.
    pub step: u32,
    /// When.
    pub ts: String,
    /// The tool.
    pub tool: String,
    /// Its arguments.
    pub arguments: Value,
    /// Where each argument's value occurs: `p` in the prompt, `r` in an earlier result, `pr` in both, `n` in neither.
    #[serde(default, rename = "arg_src")]
    pub sources: BTreeMap<String, String>,
    /// What went wrong.
    #[serde(default)]
    pub error: Option<String>,
    /// What it returned, where the trace says so itself.
    #[serde(default)]
    pub result_text: Option<String>,
    /// Length of the whole result.
    #[serde(default)]
    pub result_len: Option<u64>,
}

/// What is known of a run: read by the scoring alone.
#[derive(Debug, Clone, Deserialize)]
pub struct Label {
    /// The run.
    pub run_id: String,
    /// The model.
    #[serde(default)]
    pub model: Option<String>,
    /// The suite.
    pub suite: String,
    /// The user's task.
    #[serde(default)]
    pub user_task: Option<String>,
    /// `benign`, `attacked`, `injection_as_approved_task`.
    #[serde(default)]
    pub kind: Option<String>,
    /// The attack reached its goal.
    #[serde(default)]
    pub hijacked: bool,
    /// The call that completed the breach.
    #[serde(default)]
    pub first_bad_step: Option<u32>,
    /// The first call towards it.
    #[serde(default)]
    pub first_attempt_step: Option<u32>,
    /// The user's task was done.
    #[serde(default)]
    pub utility: Option<bool>,
    /// A write that was not part of the task succeeded.
    #[serde(default)]
    pub over_scope: Option<bool>,
    /// Its call.
    #[serde(default)]
    pub over_scope_step: Option<u32>,
}

/// A run.
#[derive(Debug, Clone)]
pub struct Run {
    /// What is known of it.
    pub label: Label,
    /// Its calls, in order.
    pub calls: Vec<Call>,
    /// What calls returned, by step, cut.
    pub results: HashMap<u32, String>,
}

/// For whom agents act.
#[derive(Debug, Clone, Deserialize)]
pub struct PrincipalRecord {
    /// Their name.
    pub name: String,
    /// Their own addresses.
    #[serde(default, rename = "self")]
    pub addresses: Vec<String>,
}

#[derive(Deserialize)]
struct ResultLine {
    run_id: String,
    step: u32,
    text: String,
}

/// The datasets below a folder, by name. Folders of another shape are passed over with a word.
pub fn datasets(folder: &Path) -> anyhow::Result<Vec<Dataset>> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read the data folder {}", folder.display()))?;
    let mut found = Vec::new();
    let mut paths: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    paths.sort();
    for path in paths {
        let complete = ["labels", "traces", "envelopes"].iter().all(|part| file(&path, part).is_some());
        if complete {
            found.push(Dataset::read(&path)?);
        } else {
            tracing::info!(folder = %path.display(), "not recorded runs: labels, traces or envelopes are missing");
        }
    }
    if found.is_empty() {
        bail!(
            "{} holds no folder with labels, traces and envelopes (.jsonl or .jsonl.zst)",
            folder.display()
        );
    }
    Ok(found)
}

impl Dataset {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("data").to_owned();
        let envelopes: Vec<TaskEnvelope> = lines(path, "envelopes")?;
        let mut calls: HashMap<String, Vec<Call>> = HashMap::new();
        for call in lines::<Call>(path, "traces")? {
            calls.entry(call.run_id.clone()).or_default().push(call);
        }
        let mut results: HashMap<String, HashMap<u32, String>> = HashMap::new();
        if file(path, "results").is_some() {
            for line in lines::<ResultLine>(path, "results")? {
                results.entry(line.run_id).or_default().insert(line.step, line.text);
            }
        }
        let runs = lines::<Label>(path, "labels")?
            .into_iter()
            .map(|label| {
                let mut calls = calls.remove(&label.run_id).unwrap_or_default();
                calls.sort_by_key(|call| call.step);
                let results = results.remove(&label.run_id).unwrap_or_default();
                Run { label, calls, results }
            })
            .collect();
        let envelopes = envelopes.into_iter().map(|envelope| (envelope.task_id.clone(), envelope)).collect();
        let principal = principal(path, &name)?;
        let streams = if file(path, "streams").is_some() { lines(path, "streams")? } else { Vec::new() };
        Ok(Self { name, envelopes, runs, principal, streams })
    }

    /// What the authors, and planners, say of a run's task; for an injection that a human approved as a task, what
    /// [`approved`] makes of it.
    pub fn task_of(&self, run: &Run) -> Option<TaskEnvelope> {
        if run.label.kind.as_deref() == Some(APPROVED_INJECTION) {
            return approved(run);
        }
        self.envelopes.get(run.calls.first()?.task_id.as_str()).cloned()
    }
}

/// The kind of runs whose task is an attack's text, approved.
pub const APPROVED_INJECTION: &str = "injection_as_approved_task";

/// The task of a run whose prompt the recording does not keep: the words of the tools that were called with values
/// that the recording marks as literal in the prompt, with these values, and the words of the tools that were called
/// with what such a call returned. `None` when no value is literal: then nothing is known of the prompt.
fn approved(run: &Run) -> Option<TaskEnvelope> {
    let (mut prompt, mut returned) = (String::new(), String::new());
    for call in &run.calls {
        let of_source = |sources: &[&str]| -> Vec<String> {
            let arguments = call.arguments.as_object().into_iter().flatten();
            let named = arguments.filter(|(name, _)| {
                call.sources.get(*name).is_some_and(|found| sources.contains(&found.as_str()))
            });
            named.flat_map(|(_, value)| texts_in(value)).collect()
        };
        let literal = of_source(&["p", "pr"]);
        let follows = of_source(&["r"]).iter().any(|value| returned.contains(value.as_str()));
        if literal.is_empty() && !follows {
            continue;
        }
        let line = [call.tool.replace(['_', '-'], " "), literal.join(" , ")].join(": ");
        prompt.push_str(&line);
        prompt.push('\n');
        returned.push_str(run.result_of(call).map_or("", String::as_str));
    }
    let task_id = run.calls.first()?.task_id.clone();
    (!prompt.is_empty()).then(|| TaskEnvelope {
        task_id,
        prompt,
        allowed_tools: Vec::new(),
        allowed_targets: BTreeMap::new(),
        gt_calls: Vec::new(),
        planned_tools_majority: None,
    })
}

fn texts_in(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Number(number) => vec![number.to_string()],
        Value::Array(items) => items.iter().flat_map(texts_in).collect(),
        Value::Object(fields) => fields.values().flat_map(texts_in).collect(),
        Value::Null | Value::Bool(_) => Vec::new(),
    }
}

impl Run {
    /// What a call returned, as far as the recording keeps it.
    pub fn result_of<'a>(&'a self, call: &'a Call) -> Option<&'a String> {
        self.results.get(&call.step).or(call.result_text.as_ref())
    }
}

/// For whom the agents of a dataset act: `principals.json` beside the datasets.
fn principal(dataset: &Path, name: &str) -> anyhow::Result<Option<PrincipalRecord>> {
    let Some(path) =
        dataset.parent().map(|parent| parent.join("principals.json")).filter(|path| path.is_file())
    else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let all: BTreeMap<String, BTreeMap<String, PrincipalRecord>> = serde_json::from_str(&text)
        .with_context(|| format!("{} is not a list of principals", path.display()))?;
    Ok(all.get(name).and_then(|suites| suites.values().next()).cloned())
}

fn file(folder: &Path, part: &str) -> Option<PathBuf> {
    [format!("{part}.jsonl.zst"), format!("{part}.jsonl")]
        .into_iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
}

fn lines<T: DeserializeOwned>(folder: &Path, part: &str) -> anyhow::Result<Vec<T>> {
    let Some(path) = file(folder, part) else { bail!("{} has no {part}", folder.display()) };
    let opened = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    let reader: Box<dyn BufRead> = if path.extension().is_some_and(|ending| ending == "zst") {
        let decoder =
            zstd::Decoder::new(opened).with_context(|| format!("{} is not zstd", path.display()))?;
        Box::new(BufReader::new(decoder))
    } else {
        Box::new(BufReader::new(opened))
    };
    let mut reader = std::io::Read::take(reader, LINE_BYTES_MAX * 64);
    let (mut parsed, mut line, mut number) = (Vec::new(), String::new(), 0_usize);
    loop {
        line.clear();
        number += 1;
        let read = reader.read_line(&mut line).with_context(|| format!("cannot read {}", path.display()))?;
        if read == 0 {
            return Ok(parsed);
        }
        if !line.trim().is_empty() {
            let value =
                serde_json::from_str(&line).with_context(|| format!("{}, line {number}", path.display()))?;
            parsed.push(value);
        }
    }
}
