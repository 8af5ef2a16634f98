//! What a finding of drift says: which behaviour, before and after, since when, by which baseline, and how sure it is.

use super::profile::{Profile, Subject, Tested};
use super::watch::Alarm;
use crate::describe::{Verdict, abridge};
use ambit_schemas::baseline::Measure;
use ambit_schemas::finding::Severity;
use std::fmt::Write;

/// The verdict on a test that has told. `what` is what the last task has reached, where that is what tells.
pub(super) fn verdict(profile: &Profile, alarm: &Alarm, who: &str, what: Option<&str>) -> Option<Verdict> {
    let tested = profile.tests.get(alarm.index)?;
    let baseline = &profile.baseline;
    let what = what.map_or_else(String::new, |what| format!(" ({})", abridge(what)));
    let (before, after) = (level(tested, tested.level.mean), level(tested, alarm.mean));
    let most = level(tested, tested.level.upper);
    let mut reason =
        format!("{who}, of {}, {}{what} more than it used to: {after}", baseline.blueprint, does(tested));
    // Writing to a string does not fail.
    write!(
        reason,
        " in {} of its latest tasks, since {}; {before} in {} tasks from {} to {}, at most {most}. Evidence {:.1} bits, \
         told from {:.1} (version {} of the baseline accepts {} false alerts a day)",
        alarm.tasks,
        alarm.since,
        baseline.tasks,
        baseline.from,
        baseline.to,
        alarm.bits,
        tested.threshold / std::f64::consts::LN_2,
        baseline.version,
        baseline.false_alerts_per_day,
    )
    .unwrap_or_default();
    let verdict = Verdict::new(tested.rule, severity(tested), &place(tested), reason);
    Some(verdict.seen(format!("at most {most}"), after))
}

/// Names the test in a finding's id: two tests that tell at once are two findings.
fn place(tested: &Tested) -> String {
    match &tested.subject {
        Subject::Measure(measure) => format!("measure:{measure:?}"),
        Subject::ToolTasks(tool) => format!("tasks with {tool}"),
        Subject::ToolCalls(tool) => format!("calls of {tool}"),
        Subject::New(class) => format!("new:{class}"),
    }
}

fn severity(tested: &Tested) -> Severity {
    match &tested.subject {
        Subject::Measure(Measure::Calls | Measure::CallsPerMinute | Measure::Failed | Measure::BytesIn) => {
            Severity::Low
        }
        Subject::Measure(_) | Subject::ToolTasks(_) | Subject::ToolCalls(_) | Subject::New(_) => {
            Severity::Medium
        }
    }
}

fn does(tested: &Tested) -> String {
    match &tested.subject {
        Subject::Measure(measure) => match measure {
            Measure::Calls => "makes calls",
            Measure::Failed => "makes calls that fail",
            Measure::Denied => "makes calls that are refused",
            Measure::BytesOut => "sends data out",
            Measure::BytesIn => "reads data",
            Measure::Delegations => "hands work to others",
            Measure::Destinations => "reaches different destinations",
            Measure::CallsPerMinute => "is quick with its calls",
        }
        .to_owned(),
        Subject::ToolTasks(tool) => format!("uses {tool} in its tasks"),
        Subject::ToolCalls(tool) => format!("uses {tool} among its calls"),
        Subject::New(class) => match class.split_once('.') {
            None if class == "tool" => "uses tools that no task had used".to_owned(),
            None if class == "read_tool" => "looks with tools that no task had used".to_owned(),
            None if class == "told" => "reaches what no task had reached, told by a text".to_owned(),
            None => "reaches what no task had reached".to_owned(),
            Some(("told", thing)) => {
                format!("reaches {thing} values that no task had reached, told by a text")
            }
            Some((_, thing)) => format!("reaches {thing} values that no task had reached"),
        },
    }
}

/// A level for people.
fn level(tested: &Tested, mean: f64) -> String {
    match &tested.subject {
        Subject::Measure(Measure::Failed | Measure::Denied) | Subject::ToolCalls(_) => {
            format!("{:.1} % of calls", mean * 100.0)
        }
        Subject::Measure(measure) => {
            let unit = match measure {
                Measure::BytesOut | Measure::BytesIn => "bytes a task",
                Measure::Delegations => "delegations a task",
                Measure::Destinations => "destinations a task",
                Measure::CallsPerMinute => "calls a minute",
                Measure::Calls | Measure::Failed | Measure::Denied => "calls a task",
            };
            format!("{:.1} {unit}", mean * tested.level.per)
        }
        Subject::ToolTasks(_) | Subject::New(_) => format!("{:.1} % of tasks", mean * 100.0),
    }
}
