//! Health and metrics.

use crate::service::Service;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::fmt::Write;
use std::sync::Arc;

/// Ready when no part has trouble: 200, else 503 with what is wrong.
pub(crate) async fn ready(State(app): State<Arc<Service>>) -> Response {
    let troubles = (app.sources.troubles)();
    if troubles.is_empty() {
        return Json(json!({"status": "ready"})).into_response();
    }
    let named: serde_json::Map<String, serde_json::Value> =
        troubles.into_iter().map(|(part, trouble)| (part, trouble.into())).collect();
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "degraded", "troubles": named}))).into_response()
}

/// Prometheus text format.
pub(crate) async fn metrics(State(app): State<Arc<Service>>) -> Response {
    let mut text = String::new();
    let mut counters = (app.sources.counters)();
    counters.sort();
    let mut typed = String::new();
    for (name, value) in counters {
        let family = name.split('{').next().unwrap_or_default().to_owned();
        if family != typed {
            let kind = if family.ends_with("_total") { "counter" } else { "gauge" };
            // Writing to a string does not fail.
            writeln!(text, "# TYPE {family} {kind}").unwrap_or_default();
            typed = family;
        }
        writeln!(text, "{name} {value}").unwrap_or_default();
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
