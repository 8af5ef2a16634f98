//! Scores as a table for people and as JSON.

use crate::runs::bootstrap::Grouped;
use crate::runs::convert::Envelopes;
use crate::runs::dataset::Dataset;
use crate::runs::drift::DriftScore;
use crate::runs::score::{Counting, Evaluation, Score, evaluate};
use ed25519_dalek::SigningKey;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Scores of a folder of datasets.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
    drift: Vec<(String, Envelopes, DriftScore)>,
}

#[derive(Debug)]
struct Row {
    dataset: String,
    envelopes: Envelopes,
    scores: Evaluation,
}

impl Report {
    /// Judges and scores every dataset with every kind of envelope that it has. `progress` hears what is next.
    pub fn of(
        datasets: &[Dataset],
        approver: &SigningKey,
        counting: &Counting,
        mut progress: impl FnMut(&str),
    ) -> anyhow::Result<Self> {
        let (mut rows, mut drift) = (Vec::new(), Vec::new());
        for dataset in datasets {
            for envelopes in [Envelopes::Oracle, Envelopes::Planned, Envelopes::None] {
                // What is not attacked is not judged by its prompt alone.
                if envelopes == Envelopes::None && dataset.runs.iter().all(|run| run.label.kind.is_none()) {
                    continue;
                }
                progress(&format!("{}, {} envelopes", dataset.name, envelopes.name()));
                if let Some(scores) = evaluate(dataset, envelopes, approver, counting)? {
                    rows.push(Row { dataset: dataset.name.clone(), envelopes, scores });
                }
                if let Some(score) = crate::runs::drift::evaluate(dataset, envelopes, approver)? {
                    drift.push((dataset.name.clone(), envelopes, score));
                }
            }
        }
        Ok(Self { rows, drift })
    }

    /// `{dataset: {envelopes: {figure: value}}}`.
    pub fn json(&self) -> Value {
        let mut datasets: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
        for row in &self.rows {
            let figures = datasets.entry(&row.dataset).or_default();
            figures.insert(row.envelopes.name().into(), figures_of(&row.scores.whole));
            if row.scores.whole.over_scope.runs() > 0 {
                let whole = &row.scores.whole;
                figures.insert("over_scope_found".into(), json!(whole.over_scope.hits()));
                figures.insert("reward1_alarms".into(), json!(whole.rewarded.hits()));
            }
        }
        for (dataset, envelopes, score) in &self.drift {
            let figures = datasets.entry(dataset).or_default();
            let drift = figures.entry("drift").or_insert_with(|| json!({}));
            if let Some(drift) = drift.as_object_mut() {
                drift.insert(envelopes.name().into(), score.json());
            }
        }
        json!(datasets)
    }

    /// A table.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let attacked = self.rows.iter().filter(|row| row.scores.whole.over_scope.runs() == 0);
        let line = |text: &mut String, cells: [&str; 7]| {
            let [name, envelopes, recall, breach, fpr, resisted, steps] = cells;
            // Writing to a string does not fail.
            writeln!(
                text,
                "{name:<44} {envelopes:<8} {recall:<20} {breach:<20} {fpr:<20} {resisted:<20} {steps}"
            )
            .unwrap_or_default();
        };
        line(
            &mut text,
            ["dataset / model", "envelope", "recall", "by breach", "FPR", "FPR resisted", "median step"],
        );
        for row in attacked {
            let show = |text: &mut String, name: &str, score: &Score| {
                let steps = score.median_steps().map_or_else(|| "-".to_owned(), |steps| steps.to_string());
                let cells = [&score.recall, &score.by_breach, &score.fpr, &score.fpr_resisted].map(cell);
                let [recall, breach, fpr, resisted] = &cells;
                line(text, [name, row.envelopes.name(), recall, breach, fpr, resisted, &steps]);
            };
            show(&mut text, &row.dataset, &row.scores.whole);
            for (part, score) in row.scores.by_suite.iter().chain(&row.scores.by_model) {
                show(&mut text, &format!("  {part}"), score);
            }
            writeln!(text, "  first rule on hijacked runs: {}", rules(&row.scores.whole.first_rule))
                .unwrap_or_default();
            writeln!(text, "  first rule on benign runs:   {}", rules(&row.scores.whole.first_false_rule))
                .unwrap_or_default();
            if row.scores.whole.approved.runs() > 0 {
                writeln!(
                    text,
                    "  approved injections without finding: {} of {}",
                    row.scores.whole.approved.runs() - row.scores.whole.approved.hits(),
                    row.scores.whole.approved.runs()
                )
                .unwrap_or_default();
            }
        }
        for row in self.rows.iter().filter(|row| row.scores.whole.over_scope.runs() > 0) {
            writeln!(
                text,
                "{:<44} {:<8} over-scope found {} of {} ({} in time), alarms on rewarded runs {} of {}",
                row.dataset,
                row.envelopes.name(),
                row.scores.whole.over_scope.hits(),
                row.scores.whole.over_scope.runs(),
                row.scores.whole.over_scope_in_time.hits(),
                row.scores.whole.rewarded.hits(),
                row.scores.whole.rewarded.runs()
            )
            .unwrap_or_default();
        }
        for (dataset, envelopes, score) in &self.drift {
            text.push_str(&score.lines(dataset, *envelopes));
        }
        text.push_str("shares with 90 % intervals, bootstrapped over user tasks\n");
        text
    }
}

fn figures_of(score: &Score) -> Value {
    if score.over_scope.runs() > 0 {
        return json!({
            "over_scope_found": score.over_scope.hits(),
            "over_scope_in_time": score.over_scope_in_time.hits(),
            "over_scope_runs": score.over_scope.runs(),
            "reward1_alarms": score.rewarded.hits(),
            "reward1_runs": score.rewarded.runs(),
        });
    }
    json!({
        "recall": score.recall.share(),
        "by_breach": score.by_breach.share(),
        "fpr": score.fpr.share(),
        "fpr_r": score.fpr_resisted.share(),
        "median_steps_to_finding": score.median_steps(),
        "hijacked_runs": score.recall.runs(),
        "benign_runs": score.fpr.runs(),
        "resisted_runs": score.fpr_resisted.runs(),
        "approved_injections": score.approved.runs(),
        "approved_injections_without_finding": score.approved.share().map(|share| 1.0 - share),
    })
}

fn cell(grouped: &Grouped) -> String {
    match (grouped.share(), grouped.interval()) {
        (Some(share), Some((low, high))) => format!("{share:.3} [{low:.2}, {high:.2}]"),
        _ => "-".to_owned(),
    }
}

fn rules(counts: &BTreeMap<String, u32>) -> String {
    let mut sorted: Vec<_> = counts.iter().collect();
    sorted.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    let shown: Vec<String> = sorted.into_iter().map(|(rule, count)| format!("{rule} {count}")).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}
