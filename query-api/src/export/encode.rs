//! How an export is written. Each format says by itself whether it is whole: NDJSON ends with a line that counts, Parquet
//! with its footer; CSV has no place for that, so there the transfer tells.

use crate::engine::Session;
use crate::error::Error;
use crate::export::csv;
use crate::export::walk::Piece;
use crate::scope::Scope;
use ambit_schemas::Timestamp;
use ambit_schemas::columns::{PARTITION_COLUMN, schema};
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde_json::json;
use std::sync::Arc;

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Events.
    Events,
    /// Findings, each with what it led to and how it stands.
    Findings,
}

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A JSON object per line, and one that counts them.
    Ndjson,
    /// Comma-separated values.
    Csv,
    /// Apache Parquet with the columns of the store.
    Parquet,
}

impl Format {
    /// The format of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "ndjson" => Some(Self::Ndjson),
            "csv" => Some(Self::Csv),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// What files of it end with.
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }
}

/// Writes an export.
#[derive(Debug)]
pub struct Encoder {
    subject: Subject,
    to: To,
}

#[derive(Debug)]
enum To {
    Ndjson,
    Csv { begun: bool },
    Parquet(Box<ArrowWriter<Vec<u8>>>, SchemaRef),
}

impl Encoder {
    pub(super) fn new(subject: Subject, format: Format, scope: &Scope) -> Result<Self, Error> {
        let to = match format {
            Format::Ndjson => To::Ndjson,
            Format::Csv => To::Csv { begun: false },
            Format::Parquet => {
                let fields = schema();
                let is_kept = |name: &str| name != PARTITION_COLUMN && !scope.hidden().contains(&name);
                let kept = fields.fields().iter().filter(|field| is_kept(field.name())).cloned();
                let layout: SchemaRef = Arc::new(Schema::new(kept.collect::<Vec<_>>()));
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).map_err(unwritable)?))
                    .build();
                let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&layout), Some(properties));
                To::Parquet(Box::new(writer.map_err(unwritable)?), layout)
            }
        };
        Ok(Self { subject, to })
    }

    /// The next rows, and how many items came of them. A finding that was told twice is one item.
    pub(super) async fn piece(
        &mut self,
        session: &Session,
        piece: &Piece,
        now: Timestamp,
    ) -> Result<(Vec<u8>, u64), Error> {
        if let To::Parquet(writer, layout) = &mut self.to {
            let mut rows = 0;
            for batch in &piece.batches {
                writer.write(&fitted(batch, layout)?).map_err(unwritable)?;
                rows += batch.num_rows() as u64;
            }
            // A row group for each piece: nothing is held back.
            writer.flush().map_err(unwritable)?;
            writer.sync().map_err(|cause| Error::Unwritable(Box::new(cause)))?;
            return Ok((std::mem::take(writer.inner_mut()), rows));
        }
        let mut views = Vec::new();
        for row in piece.rows() {
            views.push(session.view(&row)?.0);
        }
        let (mut out, mut items) = (Vec::new(), 0);
        match self.subject {
            Subject::Events => {
                for view in views {
                    items += 1;
                    match &mut self.to {
                        To::Csv { begun } => {
                            begin(&mut out, begun, &csv::EVENT);
                            csv::row(&mut out, &csv::event(view));
                        }
                        To::Ndjson | To::Parquet(..) => line(&mut out, &view)?,
                    }
                }
            }
            Subject::Findings => {
                let (mut findings, _) = session.with_responses(views).await?;
                session.annotate(&mut findings, now).await?;
                for view in findings {
                    items += 1;
                    match &mut self.to {
                        To::Csv { begun } => {
                            begin(&mut out, begun, &csv::FINDING);
                            csv::row(&mut out, &csv::finding(view));
                        }
                        To::Ndjson | To::Parquet(..) => line(&mut out, &view)?,
                    }
                }
            }
        }
        Ok((out, items))
    }

    /// What stands at the end of an export that is whole.
    pub(super) fn end(self, rows: u64, last: Option<&str>, version: u64) -> Result<Vec<u8>, Error> {
        match self.to {
            To::Ndjson => {
                let mut out = Vec::new();
                let end = json!({"complete": true, "items": rows, "cursor": last, "table_version": version});
                line(&mut out, &json!({"end": end}))?;
                Ok(out)
            }
            To::Csv { mut begun } => {
                let (mut out, columns) = (Vec::new(), self.subject.columns());
                begin(&mut out, &mut begun, columns);
                Ok(out)
            }
            To::Parquet(mut writer, _) => {
                for (key, value) in
                    [("ambit.items", rows.to_string()), ("ambit.table_version", version.to_string())]
                {
                    writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
                }
                if let Some(last) = last {
                    writer
                        .append_key_value_metadata(KeyValue::new("ambit.cursor".to_owned(), last.to_owned()));
                }
                writer.into_inner().map_err(unwritable)
            }
        }
    }
}

impl Subject {
    const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Events => &csv::EVENT,
            Self::Findings => &csv::FINDING,
        }
    }
}

fn begin(out: &mut Vec<u8>, begun: &mut bool, columns: &[&str]) {
    if !*begun {
        *begun = true;
        let names: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
        csv::row(out, &names);
    }
}

fn line<T: serde::Serialize>(out: &mut Vec<u8>, view: &T) -> Result<(), Error> {
    serde_json::to_writer(&mut *out, view).map_err(|cause| Error::Unwritable(Box::new(cause)))?;
    out.push(b'\n');
    Ok(())
}

/// A batch with the columns of the layout, in their order and of their types.
fn fitted(batch: &RecordBatch, layout: &SchemaRef) -> Result<RecordBatch, Error> {
    let columns = layout.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(column) => arrow::compute::cast(column, field.data_type()),
        None => Ok(arrow::array::new_null_array(field.data_type(), batch.num_rows())),
    });
    let columns = columns.collect::<Result<Vec<_>, _>>();
    columns
        .and_then(|columns| RecordBatch::try_new(Arc::clone(layout), columns))
        .map_err(|cause| Error::Unwritable(Box::new(cause)))
}

fn unwritable(cause: ParquetError) -> Error {
    Error::Unwritable(Box::new(cause))
}
