//! Health and metrics.

use crate::service::{Metric, Service};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::fmt::Write;
use std::sync::Arc;

/// Ready when no part has trouble: 200, else 503 with what is wrong. Notices are no trouble.
pub(crate) async fn ready(State(app): State<Arc<Service>>) -> Response {
    let troubles = (app.sources.troubles)();
    let notices = (app.sources.notices)();
    if troubles.is_empty() {
        return Json(json!({"status": "ready", "notices": notices})).into_response();
    }
    let named: serde_json::Map<String, serde_json::Value> =
        troubles.into_iter().map(|(part, trouble)| (part, trouble.into())).collect();
    (
        StatusCode::SERVICE_UNAVAILABLE,
        Json(json!({"status": "degraded", "troubles": named, "notices": notices})),
    )
        .into_response()
}

/// Prometheus text format.
pub(crate) async fn metrics(State(app): State<Arc<Service>>) -> Response {
    let mut text = String::new();
    let mut metrics = (app.sources.metrics)();
    metrics.sort_by(|a, b| a.name.cmp(&b.name));
    let mut typed = String::new();
    for Metric { name, value, help } in metrics {
        let family = name.split('{').next().unwrap_or_default().to_owned();
        if family != typed {
            let kind = if family.ends_with("_total") { "counter" } else { "gauge" };
            // Writing to a string does not fail.
            writeln!(text, "# HELP {family} {help}").unwrap_or_default();
            writeln!(text, "# TYPE {family} {kind}").unwrap_or_default();
            typed = family;
        }
        writeln!(text, "{name} {value}").unwrap_or_default();
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
