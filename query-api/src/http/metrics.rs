//! Health and metrics.

use crate::service::{Metric, Sources, Timing};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use std::fmt::Write;

/// What is asked by whoever watches over the process.
pub(crate) fn routes() -> Router<Sources> {
    Router::new()
        .route("/healthz", get(|| async { Json(json!({"status": "ok"})) }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

/// Ready when no part has trouble: 200, else 503 with what is wrong. Notices are no trouble.
async fn ready(State(sources): State<Sources>) -> Response {
    let troubles = (sources.troubles)();
    let notices = (sources.notices)();
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
async fn metrics(State(sources): State<Sources>) -> Response {
    let mut text = String::new();
    let mut metrics = (sources.metrics)();
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
    for timing in (sources.timings)() {
        write_timing(&mut text, &timing).unwrap_or_default();
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// A histogram: how many took at most so long, for each bound.
#[allow(clippy::cast_precision_loss, reason = "Prometheus has no integers")]
fn write_timing(text: &mut String, timing: &Timing) -> std::fmt::Result {
    let Timing { name, help, taken } = timing;
    let seconds = |micros: u64| micros as f64 / 1e6;
    writeln!(text, "# HELP {name} {help}")?;
    writeln!(text, "# TYPE {name} histogram")?;
    for (bound, count) in &taken.within {
        writeln!(text, "{name}_bucket{{le=\"{}\"}} {count}", seconds(*bound))?;
    }
    writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {}", taken.count)?;
    writeln!(text, "{name}_sum {}", seconds(taken.micros))?;
    writeln!(text, "{name}_count {}", taken.count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambit_schemas::measure::Histogram;
    use std::time::Duration;

    #[test]
    fn a_histogram_is_written_as_prometheus_reads_it() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(2));
        histogram.observe(Duration::from_mins(1));
        let timing = Timing { name: "ambit_x_seconds", help: "Time.", taken: histogram.taken() };
        let mut text = String::new();
        write_timing(&mut text, &timing).unwrap();
        assert!(
            text.starts_with("# HELP ambit_x_seconds Time.\n# TYPE ambit_x_seconds histogram\n"),
            "{text}"
        );
        for line in [
            "ambit_x_seconds_bucket{le=\"0.001\"} 0",
            "ambit_x_seconds_bucket{le=\"0.0025\"} 1",
            "ambit_x_seconds_bucket{le=\"30\"} 1",
            "ambit_x_seconds_bucket{le=\"+Inf\"} 2",
            "ambit_x_seconds_sum 60.002",
            "ambit_x_seconds_count 2",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} in {text}");
        }
    }
}
