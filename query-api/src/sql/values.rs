//! Values of an answer as JSON: numbers and truth values as such, times in RFC 3339, bytes in hexadecimal, the rest as
//! text.

use crate::error::Error;
use ambit_schemas::Timestamp;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::DataFusionError;
use serde_json::Value;

/// Largest whole number that JSON readers keep exactly (2^53, RFC 8259 section 6).
const EXACT_MAX: i64 = 1 << 53;

/// All rows.
pub(super) fn rows(batches: &[RecordBatch]) -> Result<Vec<Vec<Value>>, Error> {
    let mut all = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter().map(column).collect::<Result<Vec<_>, _>>();
        let columns = columns.map_err(|cause| DataFusionError::ArrowError(Box::new(cause), None))?;
        let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
        for _ in 0..batch.num_rows() {
            all.push(columns.iter_mut().map(|column| column.next().unwrap_or(Value::Null)).collect());
        }
    }
    Ok(all)
}

#[allow(clippy::wildcard_enum_match_arm, reason = "every other type is shown as text")]
fn column(array: &ArrayRef) -> Result<Vec<Value>, arrow::error::ArrowError> {
    let each = |value: &dyn Fn(usize) -> Value| -> Vec<Value> {
        (0..array.len()).map(|row| if array.is_null(row) { Value::Null } else { value(row) }).collect()
    };
    Ok(match array.data_type() {
        DataType::Boolean => {
            let flags = array.as_boolean();
            each(&|row| flags.value(row).into())
        }
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            let wide = cast(array, &DataType::Int64)?;
            let numbers = wide.as_primitive::<Int64Type>();
            each(&|row| exact(numbers.value(row)))
        }
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            let wide = cast(array, &DataType::UInt64)?;
            let numbers = wide.as_primitive::<UInt64Type>();
            each(&|row| {
                let number = numbers.value(row);
                i64::try_from(number).map_or_else(|_| number.to_string().into(), exact)
            })
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let wide = cast(array, &DataType::Float64)?;
            let numbers = wide.as_primitive::<Float64Type>();
            each(&|row| {
                let number = numbers.value(row);
                serde_json::Number::from_f64(number).map_or_else(|| number.to_string().into(), Value::Number)
            })
        }
        DataType::Timestamp(_, Some(_)) => {
            let wanted = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
            let times = cast(array, &wanted)?;
            let micros = times.as_primitive::<TimestampMicrosecondType>();
            each(&|row| Timestamp::from_micros(micros.value(row)).to_string().into())
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let texts = cast(array, &DataType::LargeUtf8)?;
            let texts = texts.as_string::<i64>();
            each(&|row| texts.value(row).into())
        }
        _ => {
            let options = FormatOptions::default();
            let shown = ArrayFormatter::try_new(array.as_ref(), &options)?;
            each(&|row| shown.value(row).to_string().into())
        }
    })
}

/// A number, or the text of one that readers would round.
fn exact(number: i64) -> Value {
    if (-EXACT_MAX..=EXACT_MAX).contains(&number) { number.into() } else { number.to_string().into() }
}
