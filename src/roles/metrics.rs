//! What the roles of this process tell of themselves: metrics, and what is wrong.

use crate::roles::checkpoints::now as seconds_now;
use crate::roles::up::{Handles, NO_RECEIVERS};
use crate::simulate::now;
use ambit_ingest::Health;
use ambit_query_api::{Metric, Sources, Timing};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What each family of metrics counts; without its prefix `ambit_`.
const HELP: &[(&str, &str)] = &[
    (
        "analyzer_coverage_total",
        "What each shard's state has judged since it began, and what it passed over, by reason.",
    ),
    ("analyzer_events_total", "Events that were judged."),
    ("analyzer_findings_total", "Findings that were given."),
    ("analyzer_rule_sets_total", "Sets of the customer's rules that were written into shards."),
    ("analyzer_skipped_total", "Records that are no events, so were not judged."),
    ("analyzer_snapshots_total", "Snapshots of the analyzer's state that were written."),
    ("analyzer_unjudged_total", "Events that were not judged, because neither Kafka nor the store has them."),
    ("api_refused_total", "Requests to the API without valid credentials."),
    ("cosignature_contradicted_shards", "Shards whose ledger does not hold what a witness has cosigned."),
    ("cosignature_failures_total", "Times that a witness was asked and did not cosign."),
    ("cosignature_lag_leaves", "Leaves that are signed and that a witness has not cosigned."),
    ("cosignature_lag_seconds", "Time since when a witness has not cosigned what is signed; 0 while it has."),
    ("cosignatures_total", "Checkpoints of this ledger that a witness has cosigned."),
    ("enforcement_acknowledged_total", "Deliveries that a receiver acknowledged."),
    ("enforcement_attempt_seconds_total", "Time that tries to deliver took."),
    ("enforcement_attempts_total", "Tries to deliver a response."),
    ("enforcement_confirmed_total", "Revocations and pauses after which no use was seen."),
    ("enforcement_dead_lettered_total", "Deliveries that were given up."),
    (
        "enforcement_effective_seconds",
        "Time from the decision to the moment after which no use was seen, of the latest revocations.",
    ),
    ("enforcement_findings_total", "Findings that were decided on."),
    (
        "enforcement_ineffective_total",
        "Revocations and pauses that were acknowledged and after which a use was seen.",
    ),
    ("enforcement_lost_findings_total", "Findings that Kafka lost before they were decided on."),
    ("enforcement_responses_total", "Responses that the policy asked for."),
    ("enforcement_stopped", "1 while automatic revocation is switched off."),
    ("enforcement_watches_kept", "Effective revocations and pauses that are watched on."),
    (
        "enforcement_watches_open",
        "Acknowledged revocations and pauses of which nobody knows yet whether they had effect.",
    ),
    ("gateway_accepted_total", "Events that the gateway took and Kafka has."),
    ("gateway_redacted_total", "Values that the gateway redacted."),
    ("gateway_refused_total", "Events that the gateway refused."),
    ("index_built_total", "Text indexes that were built."),
    (
        "index_failed_total",
        "Text indexes that were damaged or could not be built; rows are read in their place.",
    ),
    ("index_files", "Data files that have a text index."),
    ("index_pending_files", "Data files that are to have a text index and have none yet."),
    ("index_removed_total", "Text indexes that were deleted because their data files are gone."),
    ("ingest_bytes_total", "Bytes of keys and values that were stored."),
    ("ingest_clock_skews_total", "Events whose time was too far from when Kafka had them."),
    ("ingest_commits_total", "Commits to the table."),
    ("ingest_dead_letters_total", "Records that are no events, by reason."),
    ("ingest_duplicates_total", "Events that were stored again, marked as duplicates."),
    (
        "ingest_fenced_total",
        "Commits that were given up because another process had stored the shard meanwhile.",
    ),
    ("ingest_halted_shards", "Shards that are not stored until somebody looks into them."),
    ("ingest_last_commit_seconds", "Time that the last commit took."),
    (
        "ingest_lost_assignments_total",
        "Times that a shard went to another process while this one was not heard.",
    ),
    ("ingest_next_offset", "The first offset of a shard that is not stored."),
    ("ingest_offset_gaps_total", "Offsets that Kafka lost before they were stored."),
    ("ingest_records_total", "Records that were stored."),
    ("ingest_sequence_gaps_total", "Events that producers numbered and Kafka never had."),
    ("integrity_faults_total", "Faults that the scrubber found in the store."),
    ("kafka_away_seconds", "Time since when no Kafka broker answers; 0 while one does."),
    ("kafka_up", "Whether a Kafka broker answers."),
    ("ledger_checkpoints_total", "Checkpoints that were signed."),
    ("receivers_missing", "1 when no receiver of webhooks is configured, so nothing is revoked."),
    ("scrub_passes_total", "Times that everything stored was read again."),
    ("scrub_rows_total", "Rows that were read again."),
    ("sources_events_total", "Events made of records of other systems that Kafka has."),
    ("sources_faulty_total", "Records of other systems that could not be read, kept as they came."),
    ("sources_lost_total", "Records of other systems that their topic lost before they were read."),
    ("sources_opaque_total", "Records of other systems that are not understood, kept as they came."),
    ("sources_records_total", "Records that were read from topics of other systems."),
    ("store_active_files", "Data files of the newest version of the table."),
    ("store_compacted_files_total", "Files that compaction replaced."),
    ("store_held_rows", "Rows whose time is over but which a legal hold covers."),
    ("store_retired_rows_total", "Rows that retention deleted."),
    ("store_vacuumed_files_total", "Files that vacuum deleted."),
    ("task_healthy", "Whether a task of the process does its work."),
    (
        "witness_requests_total",
        "Checkpoints of other logs that this witness was asked to cosign, by outcome.",
    ),
];
/// Said of a family that stands not above.
const NO_HELP: &str = "See the source.";

/// How long things took, each with what it measures.
fn timings(handles: &Handles) -> Vec<Timing> {
    let mut all = vec![
        Timing {
            name: "ambit_ingest_commit_seconds",
            help: "Time that commits to the table took.",
            taken: handles.ingest.commit_times(),
        },
        Timing {
            name: "ambit_enforcement_attempt_seconds",
            help: "Time that tries to deliver took.",
            taken: handles.enforcement.attempt_times(),
        },
    ];
    all.extend(handles.access.as_ref().map(|access| Timing {
        name: "ambit_api_answer_seconds",
        help: "Time from when a request was let in to the last byte of its answer; exports and tails are none of them.",
        taken: access.answered(),
    }));
    all
}

/// A metric with its help and in Prometheus' base units: seconds.
#[allow(clippy::cast_precision_loss, reason = "Prometheus has no integers")]
fn metric((name, value): (String, u64)) -> Metric {
    let seconds = name.contains("_microseconds");
    let name = name.replacen("_microseconds", "_seconds", 1);
    let value = if seconds { value as f64 / 1e6 } else { value as f64 };
    let family = name.split('{').next().unwrap_or_default();
    let family = family.strip_prefix("ambit_").unwrap_or(family);
    let known = HELP.iter().find(|(known, _)| *known == family);
    Metric { help: known.map_or(NO_HELP, |(_, help)| help), name, value }
}

/// What the API tells of the process.
pub(crate) fn sources(handles: &Handles) -> Sources {
    let (counted, troubled, noticed) = (handles.clone(), handles.clone(), handles.clone());
    let timed = handles.clone();
    Sources {
        metrics: Arc::new(move || counters(&counted).into_iter().map(metric).collect()),
        timings: Arc::new(move || timings(&timed)),
        troubles: Arc::new(move || troubles(&troubled)),
        notices: Arc::new(move || notices(&noticed)),
        now: Arc::new(now),
    }
}

fn counters(handles: &Handles) -> Vec<(String, u64)> {
    let mut all: Vec<(String, u64)> = Vec::new();
    let named = handles.ingest.counters().into_iter().chain(handles.enforcement.counters());
    all.extend(named.map(|(name, value)| (name.to_owned(), value)));
    all.extend(handles.enforcement.gauges());
    for (reason, count) in handles.ingest.dead_letters() {
        all.push((format!("ambit_ingest_dead_letters_total{{reason=\"{reason}\"}}"), count));
    }
    for (what, count) in handles.analyze.covered() {
        all.push((format!("ambit_analyzer_coverage_total{{what=\"{what}\"}}"), count));
    }
    for (shard, next) in handles.ingest.positions() {
        all.push((format!("ambit_ingest_next_offset{{shard=\"{shard}\"}}"), next));
    }
    let (analyze, gateway, maintain) = (&handles.analyze, &handles.gateway, &handles.maintain);
    let (topics, index) = (&handles.topics, &handles.index);
    for (name, counter) in [
        ("ambit_analyzer_events_total", &analyze.events),
        ("ambit_analyzer_skipped_total", &analyze.skipped),
        ("ambit_analyzer_findings_total", &analyze.findings),
        ("ambit_analyzer_rule_sets_total", &analyze.rule_sets),
        ("ambit_analyzer_snapshots_total", &analyze.snapshots),
        ("ambit_analyzer_unjudged_total", &analyze.unjudged),
        ("ambit_gateway_accepted_total", &gateway.accepted),
        ("ambit_gateway_refused_total", &gateway.refused),
        ("ambit_gateway_redacted_total", &gateway.redacted),
        ("ambit_sources_records_total", &topics.records),
        ("ambit_sources_events_total", &topics.events),
        ("ambit_sources_opaque_total", &topics.opaque),
        ("ambit_sources_faulty_total", &topics.faulty),
        ("ambit_sources_lost_total", &topics.lost),
        ("ambit_index_files", &index.indexed_files),
        ("ambit_index_pending_files", &index.pending_files),
        ("ambit_index_built_total", &index.built),
        ("ambit_index_removed_total", &index.removed),
        ("ambit_index_failed_total", &index.failed),
        ("ambit_store_active_files", &maintain.active_files),
        ("ambit_store_compacted_files_total", &maintain.replaced),
        ("ambit_store_vacuumed_files_total", &maintain.deleted_files),
        ("ambit_store_retired_rows_total", &maintain.deleted_rows),
        ("ambit_store_held_rows", &maintain.held_rows),
    ] {
        all.push((name.to_owned(), counter.load(Ordering::Relaxed)));
    }
    for (outcome, count) in handles.witness.all() {
        all.push((format!("ambit_witness_requests_total{{outcome=\"{outcome}\"}}"), count));
    }
    all.extend(handles.witnesses.figures(seconds_now()));
    let refused = handles.access.as_ref().map_or(0, |access| access.refused());
    all.push(("ambit_api_refused_total".to_owned(), refused));
    let away = handles.kafka.away_since().map_or(0, |since| now().micros_since(since) / 1_000_000);
    all.push(("ambit_kafka_up".to_owned(), u64::from(handles.kafka.trouble().is_none())));
    all.push(("ambit_kafka_away_seconds".to_owned(), u64::try_from(away).unwrap_or_default()));
    let told = handles.notices.iter().any(|notice| notice == NO_RECEIVERS);
    all.push(("ambit_receivers_missing".to_owned(), u64::from(told)));
    for (task, state) in handles.tasks.all() {
        all.push((format!("ambit_task_healthy{{task=\"{task}\"}}"), u64::from(state.healthy())));
    }
    all
}

/// What whoever runs this should know, though nothing is wrong here.
fn notices(handles: &Handles) -> Vec<String> {
    handles.notices.iter().cloned().chain(handles.witnesses.lagging(seconds_now())).collect()
}

fn troubles(handles: &Handles) -> Vec<(String, String)> {
    let mut all = Vec::new();
    all.extend(handles.kafka.trouble().map(|sentence| ("kafka".to_owned(), sentence)));
    if let Health::Degraded(sentence) = handles.ingest.health() {
        all.push(("ingest".to_owned(), sentence));
    }
    if let Some(sentence) = handles.ingest.integrity() {
        all.push(("integrity".to_owned(), sentence));
    }
    if let Some(sentence) = handles.witnesses.contradictions() {
        all.push(("witnesses".to_owned(), sentence));
    }
    if let Some(sentence) = handles.analyze.alarms.now() {
        all.push(("analyzer".to_owned(), sentence));
    }
    if let Some(sentence) = handles.enforcement.trouble_now() {
        all.push(("enforcement".to_owned(), sentence));
    }
    if let Some(sentence) = handles.maintain.trouble_now() {
        all.push(("store".to_owned(), sentence));
    }
    for (task, state) in handles.tasks.all().into_iter().filter(|(_, state)| !state.healthy()) {
        all.push((task, format!("{state:?}")));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_says_what_it_counts_in_base_units() {
        let handles = Handles::default();
        handles.witnesses.failed("w", "gone");
        handles.witness.count("cosigned");
        for name in counters(&handles).into_iter().map(metric) {
            assert_ne!(name.help, NO_HELP, "{} needs a line in HELP", name.name);
            assert!(!name.name.contains("microseconds"), "{}", name.name);
        }
        let taken = metric(("ambit_ingest_last_commit_microseconds".into(), 1_500_000));
        assert_eq!((taken.name.as_str(), taken.value), ("ambit_ingest_last_commit_seconds", 1.5));
        let labelled = metric(("ambit_task_healthy{task=\"x\"}".into(), 1));
        assert!(labelled.help.contains("task") && labelled.name.ends_with("{task=\"x\"}"));
    }
}
