//! Reading data files, or rows of them.

use super::screen::Screen;
use crate::text::Bits;
use ambit_store::FileEntry;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, Result, exec_datafusion_err, exec_err};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetRowSelection};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::object_store::ObjectMeta;
use datafusion::object_store::path::Path as ObjectPath;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExecBuilder;
use datafusion::prelude::SessionContext;
use std::path::Path;
use std::sync::Arc;

/// Where data files are.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    url: ObjectStoreUrl,
    remote: bool,
}

impl Place {
    /// On this machine.
    pub(crate) fn local() -> Self {
        Self { url: ObjectStoreUrl::local_filesystem(), remote: false }
    }

    /// In an object store: `s3://bucket/prefix`.
    pub(crate) fn remote(address: &str) -> Result<Self> {
        let (scheme, rest) = address.split_once("://").unwrap_or(("s3", address));
        let bucket = rest.split('/').next().unwrap_or_default();
        Ok(Self { url: ObjectStoreUrl::parse(format!("{scheme}://{bucket}"))?, remote: true })
    }

    /// Where a file is within it.
    fn location(&self, path: &Path) -> Result<ObjectPath> {
        if !self.remote {
            return ObjectPath::from_absolute_path(path).map_err(|error| {
                exec_datafusion_err!("{} is no path of a data file: {error}", path.display())
            });
        }
        let text = path.display().to_string();
        let Some(key) = text.split_once("://").and_then(|(_, rest)| rest.split_once('/')) else {
            return exec_err!("{text} is no address of a data file");
        };
        ObjectPath::parse(key.1)
            .map_err(|error| exec_datafusion_err!("{text} is no address of a data file: {error}"))
    }
}

/// A file that is read, wholly or some rows of it.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) file: FileEntry,
    pub(crate) rows: Option<Bits>,
}

/// The rows of one file, all of them, in the order of the file.
pub(crate) fn file_rows(
    context: &SessionContext,
    place: &Place,
    schema: &SchemaRef,
    file: &FileEntry,
    columns: &[&str],
) -> Result<SendableRecordBatchStream> {
    let columns = columns.iter().map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
    let scan = Scan::new(place, schema, Some(&columns))?;
    let state = context.state();
    let plan = scan.plan(&state, vec![Chosen { file: file.clone(), rows: None }], &[], &[])?;
    // One file is one group, and nothing splits it: the plan is run as it stands.
    plan.execute(0, context.task_ctx())
}

/// What is read of each file.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    place: &'a Place,
    schema: &'a SchemaRef,
    projection: Vec<usize>,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(
        place: &'a Place,
        schema: &'a SchemaRef,
        projection: Option<&Vec<usize>>,
    ) -> Result<Self> {
        let fields = schema.fields().len();
        let projection = projection.cloned().unwrap_or_else(|| (0..fields).collect());
        if projection.iter().any(|column| *column >= fields) {
            return exec_err!("a column is asked for that the table does not have");
        }
        Ok(Self { place, schema, projection })
    }

    /// The columns of the answer.
    pub(crate) fn output(&self) -> Result<SchemaRef> {
        Ok(Arc::new(self.schema.project(&self.projection)?))
    }

    /// Reads files, and of their rows those that fulfil all filters; those of `guarded` are tried only on rows that
    /// fulfil the others.
    pub(crate) fn plan(
        &self,
        state: &dyn Session,
        files: Vec<Chosen>,
        filters: &[Expr],
        guarded: &[Expr],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // Columns that only filters need come last, and go again.
        let mut columns = self.projection.clone();
        for column in filters.iter().chain(guarded).flat_map(Expr::column_refs) {
            let index = self.schema.index_of(&column.name)?;
            if !columns.contains(&index) {
                columns.push(index);
            }
        }
        let fields = DFSchema::try_from(self.schema.project(&columns)?)?;
        let kept: Vec<usize> = (0..self.projection.len()).collect();
        let predicate = |filters: &[Expr]| {
            let filter = conjunction(filters.iter().cloned());
            filter.map(|filter| state.create_physical_expr(filter, &fields)).transpose()
        };
        let (first, last) = (predicate(filters)?, predicate(guarded)?);
        let mut plan = self.read(state, files, &columns)?;
        if let Some(first) = first {
            let mut filter = FilterExecBuilder::new(first, plan);
            if last.is_none() {
                filter = filter.apply_projection(Some(kept.clone()))?;
            }
            plan = Arc::new(filter.build()?);
        }
        if let Some(last) = last {
            let filter = FilterExecBuilder::new(last, Arc::new(Screen::new(plan)));
            plan = Arc::new(filter.apply_projection(Some(kept))?.build()?);
        }
        Ok(plan)
    }

    fn read(
        &self,
        state: &dyn Session,
        files: Vec<Chosen>,
        columns: &[usize],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        let runtime = state.runtime_env();
        // Files never change: their footers are read once.
        let footers = runtime.cache_manager.get_file_metadata_cache();
        let objects = runtime.object_store(&self.place.url)?;
        let source = ParquetSource::new(Arc::clone(self.schema))
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(CachedParquetFileReaderFactory::new(
                objects, footers,
            )));
        let groups = self.groups(files, state.config().target_partitions().max(1))?;
        let config = FileScanConfigBuilder::new(self.place.url.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_projection_indices(Some(columns.to_vec()))?
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// Spreads files over threads, the largest first, each to the thread that has least.
    fn groups(&self, mut files: Vec<Chosen>, threads: usize) -> Result<Vec<FileGroup>> {
        files.sort_by_key(|chosen| std::cmp::Reverse(chosen.file.size));
        let mut groups: Vec<(u64, Vec<PartitionedFile>)> =
            vec![(0, Vec::new()); threads.min(files.len()).max(1)];
        for Chosen { file, rows } in files {
            let meta = ObjectMeta {
                location: self.place.location(&file.path)?,
                last_modified: std::time::SystemTime::UNIX_EPOCH.into(),
                size: file.size,
                e_tag: None,
                version: None,
            };
            let mut part = PartitionedFile::new_from_meta(meta);
            if let Some(rows) = rows {
                part = part.with_extension(ParquetRowSelection::new(rows.selection()));
            }
            if let Some((bytes, group)) = groups.iter_mut().min_by_key(|(bytes, _)| *bytes) {
                *bytes += file.size;
                group.push(part);
            }
        }
        Ok(groups.into_iter().map(|(_, files)| FileGroup::new(files)).collect())
    }
}
