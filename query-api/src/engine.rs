//! The engine: DataFusion over the files of one version of the table, within bounds.

use crate::error::Error;
use crate::options::Options;
use crate::scope::Scope;
use crate::table::{EventsTable, Place, file_rows};
use crate::text::{Shelf, match_function};
use ambit_schemas::Timestamp;
use ambit_schemas::columns::{PARTITION_COLUMN, names, schema};
use ambit_store::{FileEntry, Snapshot, Store};
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::{Expr, ident, lit};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// Threads that one question may use.
const PARTITIONS: usize = 2;
/// Name of the column that orders events: when it happened, or for dead letters when the broker got it.
pub(crate) const AT: &str = "at";

/// What questions are asked of. It answers none itself: [`Engine::session`] does, within a scope. A cheap clone.
#[derive(Clone)]
pub struct Engine {
    store: Store,
    context: SessionContext,
    schema: SchemaRef,
    place: Place,
    shelf: Option<Arc<Shelf>>,
    permits: Arc<Semaphore>,
    timeout_ms: u64,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("free", &self.permits.available_permits()).finish_non_exhaustive()
    }
}

/// Questions within one scope. A cheap clone.
#[derive(Debug, Clone)]
pub struct Session {
    engine: Engine,
    scope: Scope,
}

/// A span of event time; open where absent. The end is not part of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// From this moment on.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub to: Option<Timestamp>,
}

impl Engine {
    /// An engine over a store.
    pub fn new(store: Store, options: &Options) -> Result<Self, Error> {
        let mut config =
            SessionConfig::new().with_target_partitions(PARTITIONS).with_information_schema(false);
        let parquet = &mut config.options_mut().execution;
        parquet.parquet.pushdown_filters = true;
        parquet.parquet.reorder_filters = true;
        // The files' own statistics prune them; reading all footers beforehand would cost more than it saves.
        parquet.collect_statistics = false;
        let pool = Arc::new(FairSpillPool::new(options.memory_mb << 20));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc()?;
        let context = SessionContext::new_with_config_rt(config, runtime);
        context.register_udf(match_function().as_ref().clone());
        let mut place = Place::local();
        if let Some((url, objects)) = store.remote() {
            place = Place::remote(url.as_str())?;
            context.register_object_store(&url, objects);
        }
        let fields: Vec<_> =
            schema().fields().iter().filter(|field| field.name() != PARTITION_COLUMN).cloned().collect();
        Ok(Self {
            store,
            context,
            schema: Arc::new(Schema::new(fields)),
            place,
            shelf: None,
            permits: Arc::new(Semaphore::new(options.concurrent_queries.max(1))),
            timeout_ms: options.query_timeout_ms,
        })
    }

    /// The same engine, with text indexes in a folder: it uses those that are there. [`crate::Keeper`] makes them.
    #[must_use]
    pub fn with_index(mut self, dir: PathBuf) -> Self {
        self.shelf = Some(Arc::new(Shelf::new(dir)));
        self
    }

    pub(crate) fn shelf(&self) -> Option<Arc<Shelf>> {
        self.shelf.clone()
    }

    pub(crate) async fn snapshot(&self) -> Result<Arc<Snapshot>, Error> {
        Ok(self.store.snapshot().await?)
    }

    /// The rows of one file, all of them, in the order of the file; only the columns that are indexed.
    pub(crate) fn file_rows(
        &self,
        file: &FileEntry,
        columns: &[&str],
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        file_rows(&self.context, &self.place, &self.schema, file, columns)
    }

    /// Questions within a scope.
    pub fn session(&self, scope: Scope) -> Session {
        Session { engine: self.clone(), scope }
    }
}

impl Session {
    /// Whose data it answers from.
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.engine.store
    }

    /// The newest version of the table within the scope.
    pub(crate) async fn table(&self) -> Result<Arc<EventsTable>, Error> {
        let engine = &self.engine;
        let snapshot = engine.snapshot().await?;
        let (place, schema) = (engine.place.clone(), Arc::clone(&engine.schema));
        Ok(Arc::new(EventsTable::new(snapshot, place, schema, self.scope.clone(), engine.shelf())))
    }

    /// All rows within the scope of the newest version that are of the span, with the column [`AT`].
    pub(crate) async fn frame(&self, span: Span) -> Result<DataFrame, Error> {
        Ok(self.versioned_frame(span).await?.0)
    }

    /// The same, with the version.
    pub(crate) async fn versioned_frame(&self, span: Span) -> Result<(DataFrame, u64), Error> {
        let table = self.table().await?;
        let version = table.version();
        let frame = self.engine.context.read_table(table)?;
        let mut frame =
            frame.with_column(AT, coalesce(vec![ident(names::TIME), ident(names::BROKER_TIME)]))?;
        if let Some(from) = span.from {
            frame = frame.filter(ident(AT).gt_eq(moment(from)))?;
        }
        if let Some(to) = span.to {
            frame = frame.filter(ident(AT).lt(moment(to)))?;
        }
        Ok((frame, version))
    }

    pub(crate) const fn engine_context(&self) -> &SessionContext {
        &self.engine.context
    }

    /// Runs a question to its end, within the bounds. Dropping the future stops it.
    pub(crate) async fn run(&self, frame: DataFrame) -> Result<Vec<RecordBatch>, Error> {
        let permit = self.permit()?;
        let collected = timeout(Duration::from_millis(self.engine.timeout_ms), frame.collect()).await;
        drop(permit);
        Ok(collected.map_err(|_| Error::Timeout(self.engine.timeout_ms))??)
    }

    /// Runs a question and looks at its batches one after another, until one is enough.
    pub(crate) async fn stream(
        &self,
        frame: DataFrame,
        mut each: impl FnMut(&RecordBatch) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let permit = self.permit()?;
        let reading = async {
            let mut batches = frame.execute_stream().await?;
            while let Some(batch) = batches.next().await {
                if !each(&batch?)? {
                    break;
                }
            }
            Ok::<(), Error>(())
        };
        let read = timeout(Duration::from_millis(self.engine.timeout_ms), reading).await;
        drop(permit);
        read.map_err(|_| Error::Timeout(self.engine.timeout_ms))?
    }

    /// Leave to run a question, until it is dropped.
    pub(crate) fn permit(&self) -> Result<SemaphorePermit<'_>, Error> {
        self.engine.permits.try_acquire().map_err(|_| Error::Busy)
    }

    /// The version of the table that is newest now.
    pub(crate) async fn version(&self) -> Result<u64, Error> {
        Ok(self.engine.store.snapshot().await?.version)
    }
}

/// A moment as a literal.
pub(crate) fn moment(time: Timestamp) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(time.micros()), Some("UTC".into())))
}

/// A column equals a text.
pub(crate) fn is(column: &str, text: &str) -> Expr {
    ident(column).eq(lit(text))
}
