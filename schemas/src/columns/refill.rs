//! Takes a column out of its builder and leaves a builder with as much room: the next batch is about as large, and to
//! grow into it step by step would copy it several times.

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanBuilder, GenericByteBuilder, PrimitiveBuilder,
};
use arrow::datatypes::ByteArrayType;
use std::sync::Arc;

/// Room beyond what the last batch took, as a part of it.
const SPARE: usize = 8;

/// A builder of a column.
pub(super) trait Refill: Sized {
    /// The column so far; the builder is empty afterwards.
    fn refill(&mut self) -> ArrayRef;
}

/// The column so far; the builder is empty afterwards.
pub(super) fn finish(builder: &mut impl Refill) -> ArrayRef {
    builder.refill()
}

impl<T: ByteArrayType> Refill for GenericByteBuilder<T> {
    fn refill(&mut self) -> ArrayRef {
        let array = self.finish();
        let bytes = array.value_data().len();
        *self = Self::with_capacity(array.len(), bytes + bytes / SPARE);
        Arc::new(array)
    }
}

impl<T: ArrowPrimitiveType> Refill for PrimitiveBuilder<T> {
    fn refill(&mut self) -> ArrayRef {
        let array = self.finish();
        *self = Self::with_capacity(array.len()).with_data_type(array.data_type().clone());
        Arc::new(array)
    }
}

impl Refill for BooleanBuilder {
    fn refill(&mut self) -> ArrayRef {
        Arc::new(self.finish())
    }
}
