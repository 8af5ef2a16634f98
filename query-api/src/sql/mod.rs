//! SQL for analysts: one SELECT over the tables `events`, `findings` and `responses`, within the bounds of every other
//! question, and with nothing that writes, reads files or holds more memory than it says.

mod limits;
mod values;

use crate::engine::{Session, Span, is};
use crate::error::Error;
use crate::provenance::{Provenance, digest};
use ambit_schemas::columns::names;
use ambit_schemas::{Kind, Topic};
use datafusion::config::Dialect;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use utoipa::ToSchema;

pub use limits::{SQL_BYTES_MAX, SQL_ROWS_DEFAULT, SQL_ROWS_MAX};

/// Columns that the tables do not have: the record's own bytes, which `GET /api/v1/events/{ref}` gives.
const HIDDEN: [&str; 3] = [names::KEY, names::HEADERS, names::RAW];

/// Stack of the thread that plans: more than the deepest text within the bounds takes without optimisation.
const STACK_BYTES: usize = 16 << 20;

/// What the reader of Parquet says of a condition that fails over a row.
const FAILED_CONDITION: &str = "Error evaluating filter predicate";

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ColumnView {
    /// Its name.
    pub name: String,
    /// Its type, as Arrow names it.
    #[serde(rename = "type")]
    pub kind: String,
}

/// The answer to a SELECT.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SqlAnswer {
    /// The columns, in order.
    pub columns: Vec<ColumnView>,
    /// The rows, each with as many values.
    #[schema(value_type = Vec<Vec<Object>>)]
    pub rows: Vec<Vec<Value>>,
    /// Why rows are missing; null when none is.
    pub incomplete: Option<String>,
    /// From what the answer was made.
    pub provenance: Provenance,
}

impl Session {
    /// Runs a SELECT and gives at most `limit` rows.
    ///
    /// # Errors
    /// [`Error::Bad`] when it is anything but a SELECT over the three tables, or asks for too much.
    pub async fn sql(&self, text: &str, limit: usize) -> Result<SqlAnswer, Error> {
        let (mut reply, answer) = oneshot::channel();
        let (session, text, runtime) = (self.clone(), text.to_owned(), Handle::current());
        // Planning walks the text by recursion, and a worker's stack is small. The thread ends with its answer, with
        // the time of every question, or when nobody waits any more.
        let work = move || {
            runtime.block_on(async move {
                tokio::select! {
                    () = reply.closed() => {}
                    outcome = session.plan_and_run(&text, limit) => drop(reply.send(outcome)),
                }
            });
        };
        let started = std::thread::Builder::new().name("sql".into()).stack_size(STACK_BYTES).spawn(work);
        started.map_err(|cause| Error::Engine(DataFusionError::IoError(cause)))?;
        answer.await.map_err(|_| Error::Cancelled)?
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "everything but a SELECT is refused")]
    async fn plan_and_run(&self, text: &str, limit: usize) -> Result<SqlAnswer, Error> {
        if limit == 0 || limit > SQL_ROWS_MAX {
            return Err(Error::Bad(format!("`limit` must be from 1 to {SQL_ROWS_MAX}, got {limit}")));
        }
        limits::check(text)?;
        let context = self.context();
        let state = context.state();
        let statement = state.sql_to_statement(text, &Dialect::PostgreSQL).map_err(refused)?;
        let normal = match &statement {
            Statement::Statement(inner) if limits::only_reads(inner) => inner.to_string(),
            _ => return Err(Error::Bad("only SELECT is answered here".into())),
        };
        let version = self.register(&context).await?;
        let plan = context.state().statement_to_plan(statement).await.map_err(refused)?;
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&plan)
            .map_err(refused)?;
        let frame = DataFrame::new(context.state(), plan).limit(0, Some(limit + 1)).map_err(refused)?;
        let schema = frame.schema().as_arrow().clone();
        let batches = match self.run(frame).await {
            Err(Error::Engine(cause)) => return Err(refused(cause)),
            other => other?,
        };
        let mut rows = values::rows(&batches)?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let column = |field: &arrow::datatypes::FieldRef| ColumnView {
            name: field.name().clone(),
            kind: field.data_type().to_string(),
        };
        Ok(SqlAnswer {
            columns: schema.fields().iter().map(column).collect(),
            rows,
            incomplete: more
                .then(|| format!("there are more than {limit} rows: raise `limit` or narrow the question")),
            provenance: Provenance { query_sha256: digest(&normal), query: normal, table_version: version },
        })
    }

    /// A context of its own, that knows no table yet and no function that is out of bounds.
    fn context(&self) -> SessionContext {
        let engine = self.engine_context();
        let context = SessionContext::new_with_config_rt(engine.copied_config(), engine.runtime_env());
        context.register_udf(crate::text::match_function().as_ref().clone());
        limits::take_away(&context);
        context
    }

    /// The tables, all of one version of the store. Returns the version.
    async fn register(&self, context: &SessionContext) -> Result<u64, Error> {
        let (events, version) = self.versioned_frame(Span::default()).await?;
        let events = events.drop_columns(&HIDDEN)?.drop_columns(self.scope().hidden())?;
        let findings = events.clone().filter(is(names::KIND, Kind::FindingCreated.name()))?;
        let responses = events.clone().filter(is(names::TOPIC, Topic::Responses.name()))?;
        for (name, frame) in [("events", events), ("findings", findings), ("responses", responses)] {
            context.register_table(name, frame.into_view())?;
        }
        Ok(version)
    }
}

/// What the asker can mend is told to him; what he cannot stays an error of the engine.
#[allow(clippy::wildcard_enum_match_arm, reason = "everything else is a fault of ours")]
fn refused(error: DataFusionError) -> Error {
    let root = error.find_root();
    match root {
        DataFusionError::SQL(..)
        | DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::NotImplemented(_)
        | DataFusionError::ArrowError(..)
        | DataFusionError::Configuration(_)
        | DataFusionError::Diagnostic(..)
        | DataFusionError::Collection(_)
        | DataFusionError::Execution(_) => {
            let text = root.strip_backtrace();
            Error::Bad(format!("the SQL cannot be run: {}", text.lines().next().unwrap_or_default()))
        }
        // A condition that was tried where rows are read failed over one of them.
        DataFusionError::ParquetError(cause) if cause.to_string().contains(FAILED_CONDITION) => {
            Error::Bad(format!("the SQL cannot be run: {cause}"))
        }
        DataFusionError::ResourcesExhausted(_) => {
            Error::Bad("the SQL needs more memory than `api.memory_mb` allows: narrow the question".into())
        }
        _ => Error::Engine(error),
    }
}
