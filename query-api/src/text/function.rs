//! `match(data, 'query')` and `match(data, 'query', 'args')`: the SQL function, for rows that are read.

use super::matcher::Matcher;
use super::query::TextQuery;
use super::walk::Place;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use std::sync::{Arc, LazyLock};

/// Its name.
pub(crate) const FUNCTION: &str = "match";

static MATCH: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(Match::new())));

/// The function.
pub(crate) fn match_function() -> Arc<ScalarUDF> {
    Arc::clone(&MATCH)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Match {
    signature: Signature,
}

impl Match {
    fn new() -> Self {
        let either = vec![TypeSignature::String(2), TypeSignature::String(3)];
        Self { signature: Signature::one_of(either, Volatility::Immutable) }
    }
}

/// A constant text among the arguments.
pub(super) fn constant(value: &ScalarValue) -> Option<&str> {
    value.try_as_str().flatten()
}

/// The query and the place that arguments after the first ask for; of each argument the constant, if it is one.
fn asked(args: &[Option<&ScalarValue>]) -> Result<(TextQuery, Place)> {
    let text = |at: usize| args.get(at).copied().flatten().and_then(constant);
    let Some(query) = text(1) else {
        return plan_err!("the second argument of `match` must be a constant text");
    };
    let place = match args.len() {
        2 => Some(Place::Data),
        _ => text(2).and_then(Place::from_name),
    };
    let Some(place) = place else {
        return plan_err!("the third argument of `match` must be 'text', 'args' or 'principal'");
    };
    match TextQuery::parse(query) {
        Ok(query) => Ok((query, place)),
        Err(error) => plan_err!("`match`: {error}"),
    }
}

impl ScalarUDFImpl for Match {
    fn name(&self) -> &str {
        FUNCTION
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    /// A query that is wrong is told when the question is planned, before any row is read.
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        asked(args.scalar_arguments)?;
        Ok(Arc::new(Field::new(FUNCTION, DataType::Boolean, false)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constants: Vec<Option<&ScalarValue>> = args
            .args
            .iter()
            .map(|value| if let ColumnarValue::Scalar(value) = value { Some(value) } else { None })
            .collect();
        let (query, place) = asked(&constants)?;
        let mut matcher = Matcher::new(&query, place);
        let Some(data) = args.args.into_iter().next() else {
            return plan_err!("the first argument of `match` is missing");
        };
        let found = match data {
            ColumnarValue::Scalar(value) => {
                let found = constant(&value).is_some_and(|text| matcher.matches(text));
                return Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(found))));
            }
            ColumnarValue::Array(array) => rows(&array, &mut matcher)?,
        };
        Ok(ColumnarValue::Array(Arc::new(found)))
    }
}

/// What is null has no words: the answer is never null, so that its negation is never null either.
fn rows(array: &ArrayRef, matcher: &mut Matcher<'_>) -> Result<BooleanArray> {
    let utf8 =
        if array.data_type() == &DataType::Utf8 { Arc::clone(array) } else { cast(array, &DataType::Utf8)? };
    let texts = utf8.as_string::<i32>();
    let found = (0..texts.len()).map(|row| !texts.is_null(row) && matcher.matches(texts.value(row)));
    Ok(found.map(Some).collect())
}
