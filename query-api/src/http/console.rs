//! The console's files, embedded in the program.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "../dashboards/dist"]
struct Files;

/// What is served when the console was not built.
const NOT_BUILT: &str = "<!doctype html><title>Ambit</title><h1>The console is not built</h1>\
    <p>Run <code>make console</code>, then build Ambit again. The API answers under <code>/api/v1</code>.</p>";

/// A file of the console; its first page for every other path, for its own router.
pub(crate) fn file(path: &str) -> Response {
    let name = path.trim_start_matches('/');
    let named = Files::get(name).filter(|_| !name.is_empty());
    let (name, found) = match named {
        Some(found) => (name, Some(found)),
        None if name.starts_with("assets/") => return StatusCode::NOT_FOUND.into_response(),
        None => ("index.html", Files::get("index.html")),
    };
    let Some(found) = found else {
        return ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], NOT_BUILT).into_response();
    };
    // Names under assets/ carry a hash of their content.
    let cache = if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    ([(header::CONTENT_TYPE, content_type(name)), (header::CACHE_CONTROL, cache)], found.data).into_response()
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "json" => "application/json",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}
