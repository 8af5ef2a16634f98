//! An answer on its way: its bytes and items are counted, and when it has ended, or the caller has gone, that is
//! recorded and the caller's place is free.

use crate::limits::Slot;
use crate::trail::Entry;
use ambit_schemas::trail::Outcome;
use axum::Json;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use http_body::{Frame, SizeHint};
use serde::Serialize;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

/// How many items an answer holds, for the record; a stream counts on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Items(Arc<AtomicU64>);

impl Items {
    pub(crate) fn add(&self, items: u64) {
        self.0.fetch_add(items, Ordering::Relaxed);
    }
}

/// An answer as JSON, with the number of its items.
#[derive(Debug)]
pub(crate) struct Answered<T>(pub(crate) T, pub(crate) usize);

impl<T: Serialize> IntoResponse for Answered<T> {
    fn into_response(self) -> Response {
        let items = Items::default();
        items.add(self.1 as u64);
        let mut response = Json(self.0).into_response();
        response.extensions_mut().insert(items);
        response
    }
}

/// A body that tells of its end.
#[derive(Debug)]
pub(crate) struct Measured {
    inner: Body,
    slot: Slot,
    entry: Option<Entry>,
    status: StatusCode,
    items: Items,
    bytes: u64,
}

impl Measured {
    /// Wraps the body of an answer.
    pub(crate) fn wrap(response: Response, slot: Slot, entry: Option<Entry>) -> Response {
        let (parts, inner) = response.into_parts();
        let items = parts.extensions.get::<Items>().cloned().unwrap_or_default();
        let status = parts.status;
        let mut measured = Self { inner, slot, entry, status, items, bytes: 0 };
        // Of a body that has ended already nothing is ever read.
        if measured.inner.is_end_stream() {
            measured.finish(Outcome::Complete);
        }
        Response::from_parts(parts, Body::new(measured))
    }

    /// Records the answer, as far as it went.
    fn finish(&mut self, body: Outcome) {
        let Some(mut entry) = self.entry.take() else { return };
        let (status, rows, bytes) = (self.status, self.items.0.load(Ordering::Relaxed), self.bytes);
        entry.note(|record| {
            record.status = status.as_u16();
            record.rows = rows;
            record.bytes = bytes;
        });
        entry.finish(if status.is_server_error() {
            Outcome::Failed
        } else if status.is_client_error() {
            Outcome::Refused
        } else {
            body
        });
    }

    fn count(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.slot.sent(bytes as u64);
    }
}

impl HttpBody for Measured {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.count(data.len());
                }
                // Who reads stops asking once all is there.
                if self.inner.is_end_stream() {
                    self.finish(Outcome::Complete);
                }
            }
            Some(Err(_)) => self.finish(Outcome::Failed),
            None => self.finish(Outcome::Complete),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        // The caller has gone before the end.
        self.finish(Outcome::Cancelled);
    }
}
