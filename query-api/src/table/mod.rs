//! The table of events as the engine reads it: data files of one version, the rows that a scope allows, and of those
//! the rows that an index has not already left out.
//!
//! The scope is applied here, to every scan, and not by those who ask. INVARIANT Q-3

mod prune;
mod screen;
mod source;

pub(crate) use source::{Place, file_rows};

use crate::scope::Scope;
use crate::text::{Bits, Condition, Shelf};
use ambit_store::{FileEntry, Snapshot};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use source::{Chosen, Scan};
use std::sync::Arc;

/// One version of the table within a scope.
#[derive(Debug)]
pub(crate) struct EventsTable {
    snapshot: Arc<Snapshot>,
    place: Place,
    schema: SchemaRef,
    scope: Scope,
    shelf: Option<Arc<Shelf>>,
}

impl EventsTable {
    pub(crate) fn new(
        snapshot: Arc<Snapshot>,
        place: Place,
        schema: SchemaRef,
        scope: Scope,
        shelf: Option<Arc<Shelf>>,
    ) -> Self {
        Self { snapshot, place, schema, scope, shelf }
    }

    /// The version.
    pub(crate) fn version(&self) -> u64 {
        self.snapshot.version
    }

    /// Files that may hold rows, each with the rows that its index names; without an index, `None`.
    async fn choose(&self, filters: &[Expr]) -> Result<Vec<(FileEntry, Option<Bits>)>> {
        let span = prune::span(filters);
        let files: Vec<FileEntry> =
            self.snapshot.files.iter().filter(|file| prune::may_hold(file, span)).cloned().collect();
        let conditions: Vec<Condition> = filters.iter().map(Condition::of).collect();
        let useful = conditions.iter().any(|condition| *condition != Condition::Unknown);
        let Some(indexes) = self.shelf.clone().filter(|_| useful && !files.is_empty()) else {
            return Ok(files.into_iter().map(|file| (file, None)).collect());
        };
        let searching = tokio::task::spawn_blocking(move || {
            let search = |file: FileEntry| {
                let rows = indexes.search(&file, &conditions);
                (file, rows)
            };
            files.into_iter().map(search).collect()
        });
        searching.await.map_err(|error| DataFusionError::External(Box::new(error)))
    }
}

#[async_trait]
impl TableProvider for EventsTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Every filter is applied by the scan itself: which of them an index settles differs from file to file.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Exact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let asked: Vec<Expr> = filters.iter().flat_map(|filter| split_conjunction(filter)).cloned().collect();
        // Within a narrower scope, a condition that could fail must not see rows beyond it.
        let (mut filters, guarded): (Vec<Expr>, Vec<Expr>) = asked
            .into_iter()
            .partition(|filter| self.scope.filter().is_none() || screen::is_harmless(filter));
        filters.extend(self.scope.filter());
        let scan = Scan::new(&self.place, &self.schema, projection)?;
        let (mut indexed, mut unindexed) = (Vec::new(), Vec::new());
        for (file, rows) in self.choose(&filters).await? {
            match rows {
                None => unindexed.push(Chosen { file, rows: None }),
                Some(rows) if rows.count() == 0 => {}
                Some(rows) => indexed.push(Chosen { file, rows: Some(rows) }),
            }
        }
        let open: Vec<Expr> =
            filters.iter().filter(|filter| !Condition::of(filter).is_settled_by_index()).cloned().collect();
        let mut plans = Vec::new();
        for (files, filters) in [(indexed, &open), (unindexed, &filters)] {
            if !files.is_empty() {
                plans.push(scan.plan(state, files, filters, &guarded)?);
            }
        }
        match plans.len() {
            0 => Ok(Arc::new(EmptyExec::new(scan.output()?))),
            _ => UnionExec::try_new(plans),
        }
    }
}
