//! The table's layout over the versions of Ambit: a new column appears without a file being rewritten.
//!
//! A column that the table lacks is added to its metadata; older files are read as if it were null in every row. From
//! which moment on rows carry it is noted beside, for a verifier must know whether a null was written or was never
//! there. A column of another type is not ours to change: that table was made by something else.

use crate::commit::milliseconds;
use crate::error::Error;
use crate::head::{Head, RACES_MAX, log_error};
use crate::retention::APPEND_ONLY;
use crate::store::{Store, interval};
use ambit_schemas::Timestamp;
use ambit_schemas::columns::schema;
use arrow::datatypes::{Field, Schema, SchemaRef};
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::kernel::{Action, Metadata, MetadataExt, StructType};
use deltalake::protocol::DeltaOperation;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Prefix of the table property that says since when a column is filled: microseconds since 1970.
const SINCE: &str = "ambit.column.";
/// Table properties that follow [`crate::Options::history`].
const HISTORY_PROPERTIES: [&str; 2] = ["delta.deletedFileRetentionDuration", "delta.logRetentionDuration"];

impl Store {
    /// Adds the columns that this version writes and the table lacks.
    pub(crate) async fn evolve(&self) -> Result<(), Error> {
        let mut head = self.head.lock().await;
        for _ in 0..RACES_MAX {
            self.follow(&mut head).await?;
            let metadata = self.metadata(&head).await?;
            let found = self.columns().await?;
            let missing = self.missing(&found)?;
            let history = interval(self.options.history);
            let configured = metadata.configuration();
            let settled = HISTORY_PROPERTIES.iter().all(|name| configured.get(*name) == Some(&history))
                // A retention that died half-way left the table open.
                && configured.get(APPEND_ONLY).is_some_and(|value| value == "true");
            if missing.is_empty() && settled {
                return Ok(());
            }
            let since = (milliseconds() * 1_000).to_string();
            let mut changed = metadata;
            let mut properties = HashMap::new();
            for field in &missing {
                let name = format!("{SINCE}{}", field.name());
                changed = changed.add_config_key(name.clone(), since.clone()).map_err(log_error)?;
                properties.insert(name, since.clone());
            }
            for name in HISTORY_PROPERTIES {
                changed = changed.add_config_key(name.into(), history.clone()).map_err(log_error)?;
                properties.insert(name.to_owned(), history.clone());
            }
            changed = changed.add_config_key(APPEND_ONLY.into(), "true".into()).map_err(log_error)?;
            if !missing.is_empty() {
                let all: Vec<_> = found.fields().iter().cloned().chain(missing).collect();
                let layout: StructType = (&Schema::new(all)).try_into_kernel().map_err(Error::Arrow)?;
                changed = changed.with_schema(&layout).map_err(log_error)?;
            }
            let operation = DeltaOperation::SetTableProperties { properties };
            let actions = vec![Action::Metadata(changed)];
            if self.put_entry(&mut head, actions, operation, Vec::new(), &[]).await?.is_some() {
                return Ok(());
            }
        }
        Err(Error::Crowded)
    }

    /// The table's metadata as of the head.
    pub(crate) async fn metadata(&self, head: &Head) -> Result<Metadata, Error> {
        let mut table = self.table.lock().await;
        while table.version().unwrap_or_default() < head.version {
            self.refresh(&mut table).await?;
        }
        Ok(table.snapshot().map_err(log_error)?.metadata().clone())
    }

    /// The table's columns, the partition among them.
    pub(crate) async fn columns(&self) -> Result<SchemaRef, Error> {
        let table = self.table.lock().await;
        Ok(table.snapshot().map_err(log_error)?.snapshot().arrow_schema())
    }

    /// Columns that this version writes and the table lacks.
    fn missing(&self, found: &Schema) -> Result<Vec<Arc<Field>>, Error> {
        let mut missing = Vec::new();
        for field in schema().fields() {
            match found.field_with_name(field.name()) {
                Ok(other) if other.data_type() == field.data_type() => {}
                Err(_) if field.is_nullable() => missing.push(Arc::clone(field)),
                _ => {
                    let (path, column) = (self.options.path.clone(), field.name().clone());
                    return Err(Error::Layout { path, column });
                }
            }
        }
        Ok(missing)
    }

    /// Since when each column that was added later is filled: in rows recorded before, it may be null.
    pub async fn columns_since(&self) -> Result<BTreeMap<String, Timestamp>, Error> {
        let mut table = self.table.lock().await;
        self.refresh(&mut table).await?;
        let metadata = table.snapshot().map_err(log_error)?.metadata();
        let since = metadata.configuration().iter().filter_map(|(name, value)| {
            let column = name.strip_prefix(SINCE)?;
            Some((column.to_owned(), Timestamp::from_micros(value.parse().ok()?)))
        });
        Ok(since.collect())
    }
}
