//! The API from outside, over a temporary store, and what clients are generated from: the OpenAPI document is kept as a golden file and reviewed when it changes.

#![allow(clippy::disallowed_methods, reason = "scripts tell the tests by the environment what to do")]
#![allow(missing_docs, unreachable_pub, reason = "tests are nobody's library")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]
#![allow(clippy::needless_pass_by_value, reason = "JSON is given where it is written")]

mod access;
mod approvals;
mod chains;
mod http;
mod oidc;
mod orders;
mod scope;
mod search;
mod sql;
mod streams;
mod support;
mod trail;
mod triage;
mod world;

use serde_json::Value;
use std::path::Path;

fn document() -> Value {
    serde_json::to_value(ambit_query_api::http::openapi()).unwrap()
}

#[test]
fn the_document_is_the_one_that_was_reviewed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&document()).unwrap());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "openapi.json differs from the handlers; review, then run with UPDATE_GOLDEN=1");
}

#[test]
fn every_resource_asks_for_a_token() {
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.contains_key("/api/v1/events") && paths.contains_key("/api/v1/tasks/{root_task}/chain"));
    for (path, operations) in paths.iter().filter(|(path, _)| path.starts_with("/api/")) {
        for (method, operation) in operations.as_object().unwrap() {
            assert!(operation["security"].to_string().contains("bearer"), "{method} {path} asks for nothing");
        }
    }
}
