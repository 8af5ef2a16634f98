//! How findings stand: what people did about them, folded from the events that tell of it. Nothing of it is kept
//! elsewhere (INVARIANT Q-2), and a finding itself never changes.

mod fold;
mod views;

pub(crate) use fold::{Desk, change_case, kept, opened, recorded, shown, triage};
pub use views::{CaseView, NoteView, SavedSearchView, SuppressionView, TriageView};

use crate::cursor::sort;
use crate::engine::{Session, Span, is};
use crate::error::Error;
use crate::events::EventFilter;
use crate::rows::rows;
use crate::views::{FindingView, Page};
use ambit_schemas::columns::names;
use ambit_schemas::{Kind, Timestamp, Topic, decode};
use datafusion::logical_expr::{Expr, ident, lit};

/// Most events of triage that are read for one answer, the newest.
const EVENTS_MAX: usize = 20_000;
/// Most pages of findings that are read to fill one of those that stand as wanted.
const PAGES_MAX: usize = 40;

/// Which findings, by how they stand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    pub(crate) state: Option<String>,
    pub(crate) assignee: Option<String>,
    pub(crate) suppressed: Suppressed,
}

/// What to do with findings that are suppressed now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Suppressed {
    /// Leave them out.
    #[default]
    Hide,
    /// List them among the others.
    Include,
    /// List nothing else.
    Only,
}

impl Standing {
    fn holds(&self, triage: &TriageView) -> bool {
        let state = self.state.as_ref().is_none_or(|state| *state == triage.state);
        let assignee = self.assignee.is_none() || self.assignee == triage.assignee;
        let suppressed = match self.suppressed {
            Suppressed::Hide => triage.suppressed.is_none(),
            Suppressed::Include => true,
            Suppressed::Only => triage.suppressed.is_some(),
        };
        state && assignee && suppressed
    }
}

impl Session {
    /// A page of findings that stand as wanted, newest first, each with how it stands. A page may be shorter than asked for
    /// and still have a next one.
    pub(crate) async fn findings_standing(
        &self,
        filter: &EventFilter,
        standing: &Standing,
        limit: u32,
        cursor: Option<&str>,
        now: Timestamp,
    ) -> Result<Page<FindingView>, Error> {
        let mut whole = Page { items: Vec::new(), next_cursor: cursor.map(str::to_owned), incomplete: None };
        for _ in 0..PAGES_MAX {
            let wanted = limit.saturating_sub(u32::try_from(whole.items.len()).unwrap_or(u32::MAX));
            let mut page = self.findings(filter, wanted, whole.next_cursor.as_deref()).await?;
            let cut = self.annotate(&mut page.items, now).await?;
            page.items.retain(|view| standing.holds(&view.triage));
            whole.items.append(&mut page.items);
            whole.next_cursor = page.next_cursor;
            let told = cut.then(|| format!("only the newest {EVENTS_MAX} events of triage were read"));
            whole.incomplete = whole.incomplete.or(page.incomplete).or(told);
            if whole.next_cursor.is_none() || whole.items.len() >= limit as usize {
                break;
            }
        }
        Ok(whole)
    }

    /// Says of each finding how it stands. Whether some of what people did was not read.
    pub(crate) async fn annotate(&self, findings: &mut [FindingView], now: Timestamp) -> Result<bool, Error> {
        if findings.is_empty() {
            return Ok(false);
        }
        let ids = findings.iter().filter_map(|view| view.finding.get("id")?.as_str());
        let among = ident(names::FINDING).in_list(ids.map(lit).collect(), false);
        let changed = is(names::KIND, Kind::TriageChanged.name()).and(among);
        let (desk, cut) =
            self.desk(changed.or(is_one_of(&[Kind::TriageSuppressed, Kind::CaseChanged]))).await?;
        for view in findings {
            view.triage = desk.of(&view.finding, now);
        }
        Ok(cut)
    }

    /// All suppressions that hold at a moment, the next to end first.
    pub(crate) async fn suppressions(&self, now: Timestamp) -> Result<Page<SuppressionView>, Error> {
        let (desk, cut) = self.desk(is_one_of(&[Kind::TriageSuppressed])).await?;
        Ok(page(desk.suppressions(now), cut))
    }

    /// All cases, the last changed first.
    pub(crate) async fn cases(&self) -> Result<Page<CaseView>, Error> {
        let (desk, cut) = self.desk(is_one_of(&[Kind::CaseChanged])).await?;
        Ok(page(desk.cases(), cut))
    }

    /// All searches that people keep, by name.
    pub(crate) async fn searches(&self) -> Result<Page<SavedSearchView>, Error> {
        let (desk, cut) = self.desk(is_one_of(&[Kind::SearchSaved])).await?;
        Ok(page(desk.searches(), cut))
    }

    /// What people did that fulfils a condition, folded in the order in which they did it.
    pub(crate) async fn desk(&self, which: Expr) -> Result<(Desk, bool), Error> {
        let frame = self
            .frame(Span::default())
            .await?
            .filter(is(names::TOPIC, Topic::Responses.name()))?
            .filter(which)?
            .sort(sort(true))?
            .limit(0, Some(EVENTS_MAX + 1))?;
        let batches = self.run(frame).await?;
        let mut events = Vec::new();
        for row in rows(&batches).take(EVENTS_MAX) {
            events.extend(decode(&row.record()?.record));
        }
        let cut = batches.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>() > EVENTS_MAX;
        let mut desk = Desk::default();
        events.into_iter().rev().for_each(|event| desk.take(event));
        Ok((desk, cut))
    }
}

pub(crate) fn is_one_of(kinds: &[Kind]) -> Expr {
    ident(names::KIND).in_list(kinds.iter().map(|kind| lit(kind.name())).collect(), false)
}

fn page<T>(items: Vec<T>, cut: bool) -> Page<T> {
    let incomplete = cut.then(|| format!("only the newest {EVENTS_MAX} events of triage were read"));
    Page { items, next_cursor: None, incomplete }
}
