//! Two runs beside each other: which tools were called in both, and in one only.

use crate::engine::Session;
use crate::error::Error;
use crate::events::EventFilter;
use ambit_schemas::Kind;
use serde::Serialize;
use utoipa::ToSchema;

/// Most calls of one run that are compared.
const CALLS_MAX: usize = 2_000;

/// One step of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StepView {
    /// `both`, `left` or `right`: whose call it is.
    pub of: String,
    /// The tool.
    pub tool: String,
    /// The call of the left run, `topic:partition:offset`.
    pub left: Option<String>,
    /// The call of the right run.
    pub right: Option<String>,
}

/// Two runs beside each other.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ComparisonView {
    /// The root task of the left run.
    pub left: String,
    /// The root task of the right run.
    pub right: String,
    /// Calls that both made, in the same order.
    pub both: usize,
    /// Calls of the left run only.
    pub only_left: usize,
    /// Calls of the right run only.
    pub only_right: usize,
    /// All calls, in order.
    pub steps: Vec<StepView>,
    /// Why calls may be missing; null when none is.
    pub incomplete: Option<String>,
}

impl Session {
    /// Compares the tool calls of two root tasks by their longest common subsequence of tools.
    pub async fn compare_runs(&self, left: &str, right: &str) -> Result<ComparisonView, Error> {
        let (first, cut_first) = self.calls(left).await?;
        let (second, cut_second) = self.calls(right).await?;
        let steps = align(&first, &second);
        let count = |of: &str| steps.iter().filter(|step| step.of == of).count();
        let cut = cut_first || cut_second;
        Ok(ComparisonView {
            left: left.to_owned(),
            right: right.to_owned(),
            both: count("both"),
            only_left: count("left"),
            only_right: count("right"),
            incomplete: cut.then(|| format!("only the first {CALLS_MAX} calls of each run were compared")),
            steps,
        })
    }

    /// The calls of a run: tool and event, oldest first.
    async fn calls(&self, root_task: &str) -> Result<(Vec<(String, String)>, bool), Error> {
        let filter = EventFilter {
            root_task: Some(root_task.to_owned()),
            kind: Some(Kind::ToolCallRequested.name().to_owned()),
            ..EventFilter::default()
        };
        let (events, more) = self.all_events(&filter, CALLS_MAX).await?;
        if events.is_empty() {
            return Err(Error::NotFound(format!("there is no tool call in a root task `{root_task}`")));
        }
        let once = events.into_iter().filter(|event| !event.duplicate);
        Ok((once.filter_map(|event| Some((event.tool?, event.reference))).collect(), more))
    }
}

/// Lines calls up so that as many as possible stand beside one of the same tool.
fn align(left: &[(String, String)], right: &[(String, String)]) -> Vec<StepView> {
    let width = right.len() + 1;
    // Row by row from the end: how many calls of the rests can stand beside each other.
    let mut common = vec![0_u16; (left.len() + 1) * width];
    let at = |common: &[u16], i: usize, j: usize| common.get(i * width + j).copied().unwrap_or_default();
    for (i, (tool, _)) in left.iter().enumerate().rev() {
        for (j, (other, _)) in right.iter().enumerate().rev() {
            let best = if tool == other {
                at(&common, i + 1, j + 1) + 1
            } else {
                at(&common, i + 1, j).max(at(&common, i, j + 1))
            };
            if let Some(cell) = common.get_mut(i * width + j) {
                *cell = best;
            }
        }
    }
    let mut steps = Vec::new();
    let (mut i, mut j) = (0, 0);
    loop {
        let step = |of: &str, tool: &str, left: Option<&String>, right: Option<&String>| StepView {
            of: of.to_owned(),
            tool: tool.to_owned(),
            left: left.cloned(),
            right: right.cloned(),
        };
        match (left.get(i), right.get(j)) {
            (Some((tool, first)), Some((other, second))) if tool == other => {
                steps.push(step("both", tool, Some(first), Some(second)));
                (i, j) = (i + 1, j + 1);
            }
            (Some((tool, first)), other)
                if other.is_none() || at(&common, i + 1, j) >= at(&common, i, j + 1) =>
            {
                steps.push(step("left", tool, Some(first), None));
                i += 1;
            }
            (_, Some((tool, second))) => {
                steps.push(step("right", tool, None, Some(second)));
                j += 1;
            }
            (_, None) => return steps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn calls(tools: &str) -> Vec<(String, String)> {
        tools.chars().enumerate().map(|(at, tool)| (tool.to_string(), at.to_string())).collect()
    }

    fn shown(left: &str, right: &str) -> String {
        let steps = align(&calls(left), &calls(right));
        steps
            .iter()
            .map(|step| {
                match step.of.as_str() {
                    "both" => "=",
                    "left" => "-",
                    _ => "+",
                }
                .to_owned()
                    + &step.tool
            })
            .collect()
    }

    #[test]
    fn what_is_common_stands_side_by_side() {
        assert_eq!(shown("abc", "abc"), "=a=b=c");
        assert_eq!(shown("abc", "axc"), "=a-b+x=c");
        assert_eq!(shown("", "ab"), "+a+b");
        assert_eq!(shown("ab", ""), "-a-b");
        assert_eq!(shown("abcd", "bd"), "-a=b-c=d");
    }

    proptest! {
        #[test]
        fn both_runs_can_be_read_off(left in "[abc]{0,12}", right in "[abc]{0,12}") {
            let steps = align(&calls(&left), &calls(&right));
            let of = |side: &str| steps.iter().filter(|step| step.of == side || step.of == "both").map(|step| step.tool.clone()).collect::<String>();
            prop_assert_eq!(of("left"), left);
            prop_assert_eq!(of("right"), right);
        }
    }
}
