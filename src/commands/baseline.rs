//! `ambit baseline`: makes drafts of stored events, compares them with what was approved before, and approves them.
//!
//! An approval is an event like any other, signed as envelopes are. Kafka's key cannot send one record to every
//! partition, and every shard's analyzer must know a baseline: each partition gets a copy of its own, with an id of its
//! own. After partitions were added, approve again: the same document in a shard that has it changes nothing.

use crate::config::Config;
use crate::output::print;
use crate::roles::parts::Parts;
use crate::simulate::now;
use ambit_analytics::Analyzer;
use ambit_analytics::drift::{Builder, Drifted, Settings, compare};
use ambit_query_api::{Scope, Session, Span};
use ambit_schemas::baseline::{Baseline, SignedBaseline};
use ambit_schemas::finding::{Maturity, Severity};
use ambit_schemas::id::{EventId, EventSource, PrincipalId, TaskId, TenantId};
use ambit_schemas::{Body, Event, Shard, Timestamp, encode};
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Who says so.
const SOURCE: &str = "ambit/baselines";
/// Microseconds before the period from which events are read too: what its first tasks began with.
const BEFORE_US: i64 = 86_400_000_000;

/// `ambit baseline`.
#[derive(Debug, Subcommand)]
pub enum BaselineCommand {
    /// Make drafts of the tasks of a period: one for each blueprint, and one for each of its kinds of purpose with enough
    /// tasks. Tasks with findings that would revoke are left out.
    Build(BuildArgs),
    /// Show the baselines that were approved.
    Show {
        /// Only of this blueprint, such as `support@1`.
        #[arg(long)]
        blueprint: Option<String>,
        /// Print the documents, one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Tell what a draft allows that approved versions did not: all of them, so that small steps do not add up unseen.
    Diff {
        /// The draft.
        #[arg(value_name = "FILE")]
        draft: PathBuf,
    },
    /// Approve drafts: sign them and send them to every shard.
    Approve {
        /// The drafts.
        #[arg(required = true, value_name = "FILE")]
        drafts: Vec<PathBuf>,
        /// Who approves.
        #[arg(long, value_name = "NAME")]
        author: String,
        /// Approve also what allows more than approved versions did.
        #[arg(long)]
        accept_drift: bool,
    },
}

/// `ambit baseline build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Tasks that ended at or after this moment (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub from: String,
    /// Tasks that ended before this moment (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub to: String,
    /// Only of this blueprint, such as `support@1`.
    #[arg(long)]
    pub blueprint: Option<String>,
    /// Where the drafts are written.
    #[arg(long, value_name = "DIR", default_value = "baselines")]
    pub out: PathBuf,
    /// How sure the upper bounds are to be.
    #[arg(long, default_value_t = 0.999)]
    pub confidence: f64,
    /// How many false alerts a day are accepted of each baseline.
    #[arg(long, default_value_t = 0.1)]
    pub false_alerts_per_day: f64,
    /// Tasks that a kind of purpose must have for a baseline of its own.
    #[arg(long, default_value_t = 50)]
    pub min_tasks: usize,
}

/// Runs the command.
pub async fn run(config: &Config, command: &BaselineCommand) -> anyhow::Result<()> {
    let parts = Parts { config };
    parts.must_have_store()?;
    // Whoever can read the files sees all of them.
    let session = parts.engine(parts.store().await?)?.session(Scope::all());
    let history = History::read(&session).await?;
    match command {
        BaselineCommand::Build(args) => build(config, &session, &history, args).await,
        BaselineCommand::Show { blueprint, json } => {
            history.show(blueprint.as_deref(), *json);
            Ok(())
        }
        BaselineCommand::Diff { draft } => {
            let drifted = history.drifted(&read(draft)?);
            for line in &drifted {
                print(line);
            }
            if drifted.is_empty() {
                print("nothing beyond what approved versions allow");
            }
            Ok(())
        }
        BaselineCommand::Approve { drafts, author, accept_drift } => {
            approve(config, &history, drafts, author, *accept_drift).await
        }
    }
}

/// All approved versions, the oldest first.
struct History(Vec<(Baseline, SignedBaseline)>);

impl History {
    async fn read(session: &Session) -> anyhow::Result<Self> {
        let approved = session.approved_baselines().await.context("approved baselines cannot be read")?;
        let read = approved.into_iter().filter_map(|signed| Some((signed.parse().ok()?, signed)));
        Ok(Self(read.collect()))
    }

    fn of<'a>(&'a self, draft: &'a Baseline) -> impl Iterator<Item = &'a (Baseline, SignedBaseline)> {
        self.0.iter().filter(|(earlier, _)| earlier.id == draft.id && earlier.tenant == draft.tenant)
    }

    /// What the draft allows beyond each approved version.
    fn drifted(&self, draft: &Baseline) -> Vec<String> {
        let versions = self.of(draft).filter(|(earlier, _)| earlier.version < draft.version);
        versions
            .flat_map(|(earlier, _)| {
                let lines = compare(earlier, draft).into_iter();
                lines.map(|line: Drifted| format!("since version {}: {line}", earlier.version))
            })
            .collect()
    }

    fn show(&self, blueprint: Option<&str>, json: bool) {
        for (baseline, signed) in &self.0 {
            if blueprint.is_some_and(|wanted| wanted != baseline.blueprint.as_str()) {
                continue;
            }
            if json {
                print(signed.document.get());
            } else {
                print(&line(baseline));
            }
        }
        if self.0.is_empty() && !json {
            print("no baseline was approved yet: `ambit baseline build`, then `ambit baseline approve`");
        }
    }
}

fn line(baseline: &Baseline) -> String {
    let purpose = baseline.purpose.as_deref().unwrap_or("(any purpose)");
    let by = baseline.approved_by.as_ref().map_or("nobody", |by| by.as_str());
    format!(
        "{}  version {}  {}  {purpose}  {} tasks from {} to {}, approved by {by}",
        baseline.id, baseline.version, baseline.blueprint, baseline.tasks, baseline.from, baseline.to
    )
}

fn read(path: &Path) -> anyhow::Result<Baseline> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let draft: Baseline =
        serde_json::from_str(&text).with_context(|| format!("{} is no baseline", path.display()))?;
    draft.check().with_context(|| format!("{} cannot be used", path.display()))?;
    Ok(draft)
}

async fn build(
    config: &Config,
    session: &Session,
    history: &History,
    args: &BuildArgs,
) -> anyhow::Result<()> {
    let from = Timestamp::parse(&args.from).context("`--from`")?;
    let to = Timestamp::parse(&args.to).context("`--to`")?;
    let settings = Settings {
        from,
        to,
        confidence: args.confidence,
        false_alerts_per_day: args.false_alerts_per_day,
        tasks_min: args.min_tasks,
    };
    let span = Span { from: Some(from.plus_micros(-BEFORE_US)), to: Some(to) };
    let mut counted =
        Counted::new(Arc::new(Parts { config }.analyzer_options()?), args.blueprint.clone(), from);
    let events = session.each_event(span, |event| counted.take(&event)).await?;
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let drafts = counted.builder.drafts(&settings);
    for mut draft in drafts.iter().cloned() {
        let latest = history.of(&draft).max_by_key(|(earlier, _)| earlier.version);
        if let Some((version, digest)) = latest.map(|(latest, signed)| (latest.version, signed.digest())) {
            draft.version = version + 1;
            draft.previous = Some(digest);
        }
        draft.check().context("the baseline that was made is not valid: check the options")?;
        let path = args.out.join(format!("{}.v{}.json", draft.id, draft.version));
        std::fs::write(&path, serde_json::to_string_pretty(&draft)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        print(&format!("{}  {}", path.display(), line(&draft)));
        for told in history.drifted(&draft) {
            print(&format!("  {told}"));
        }
    }
    print(&format!(
        "{} drafts of {} tasks in {events} events; {} tasks with findings were left out{}",
        drafts.len(),
        counted.tasks,
        counted.suspect,
        if drafts.is_empty() { ": lower --min-tasks, or take a longer period" } else { "" }
    ));
    Ok(())
}

/// The fold, over what is stored, counting tasks: exactly as they are counted live.
struct Counted {
    options: Arc<ambit_analytics::Options>,
    blueprint: Option<String>,
    from: Timestamp,
    analyzers: HashMap<Shard, Analyzer>,
    /// Tasks with a finding that would revoke: what an attacker did is not what is usual.
    found: HashSet<(TenantId, TaskId)>,
    builder: Builder,
    tasks: u64,
    suspect: u64,
}

impl Counted {
    fn new(options: Arc<ambit_analytics::Options>, blueprint: Option<String>, from: Timestamp) -> Self {
        Self {
            options,
            blueprint,
            from,
            analyzers: HashMap::new(),
            found: HashSet::new(),
            builder: Builder::default(),
            tasks: 0,
            suspect: 0,
        }
    }

    fn take(&mut self, event: &ambit_schemas::Sequenced<Event>) {
        let analyzer = self.analyzers.entry(event.shard).or_insert_with(|| {
            let mut analyzer = Analyzer::new(event.shard, Arc::clone(&self.options));
            analyzer.count_tasks();
            analyzer
        });
        for finding in analyzer.observe(event) {
            let revokes = finding.severity >= Severity::High && finding.rule.maturity == Maturity::Stable;
            if let Some(task) = finding.task.filter(|_| revokes) {
                self.found.insert((finding.tenant, task.id));
            }
        }
        for finished in analyzer.take_finished() {
            let is_wanted =
                self.blueprint.as_ref().is_none_or(|wanted| wanted == finished.blueprint.as_str());
            if !is_wanted || finished.at < self.from {
                continue;
            }
            if self.found.remove(&(finished.tenant.clone(), finished.task.clone())) {
                self.suspect += 1;
                continue;
            }
            self.tasks += 1;
            self.builder.add(finished);
        }
    }
}

async fn approve(
    config: &Config,
    history: &History,
    drafts: &[PathBuf],
    author: &str,
    accept_drift: bool,
) -> anyhow::Result<()> {
    let author = PrincipalId::try_from(author).context("`--author`")?;
    let (parts, mut approved) = (Parts { config }, Vec::new());
    let key = parts.approver()?;
    // All are looked at before one is sent.
    for path in drafts {
        let mut draft = read(path)?;
        let drifted = history.drifted(&draft);
        if !drifted.is_empty() && !accept_drift {
            for line in &drifted {
                print(line);
            }
            bail!(
                "{} allows more than approved versions did: see above; approve it with --accept-drift if that is wanted",
                path.display()
            );
        }
        draft.approved_by = Some(author.clone());
        let signed = SignedBaseline::sign(&draft, &key)
            .with_context(|| format!("{} cannot be signed", path.display()))?;
        signed.parse().with_context(|| format!("{} cannot be used", path.display()))?;
        approved.push((draft, signed));
    }
    let producer = parts.prompt_producer("ambit-baselines")?;
    let at = now();
    for (draft, signed) in approved {
        for partition in 0..config.kafka.partitions {
            let event = event(&draft, &signed, partition, at, &author)?;
            let failed = || format!("{} did not reach partition {partition}: approve it again", draft.id);
            producer.send_to(partition, encode(&event)?).await.with_context(failed)?;
        }
        print(&format!("{}, to {} shards", line(&draft), config.kafka.partitions));
    }
    Ok(())
}

fn event(
    draft: &Baseline,
    signed: &SignedBaseline,
    partition: u32,
    at: Timestamp,
    author: &PrincipalId,
) -> anyhow::Result<Event> {
    Ok(Event {
        principal: Some(author.clone()),
        ..Event::new(
            EventId::try_from(format!("{}-v{}-{partition}-{}", draft.id, draft.version, at.micros()))?,
            EventSource::try_from(SOURCE)?,
            at,
            draft.tenant.clone(),
            Body::BaselineApproved(Box::new(signed.clone())),
        )
    })
}
