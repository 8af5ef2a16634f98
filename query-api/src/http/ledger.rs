//! The ledger as other people's tools read it: the files of C2SP tlog-tiles, and consistency proofs in JSON.
//!
//! A shard's files lie under `/ledger/<topic>/<partition>/`, which is its origin when the log is named after the place
//! where it is served. Entry bundles are not served: an event may be larger than the 65,535 bytes that a bundle allows,
//! and what was retired or redacted must not come back through the ledger. Whoever may see an event gets it, with its
//! inclusion proof, from `/api/v1/events/{ref}`.

use crate::access::Caller;
use crate::error::Error;
use crate::http::measured::Answered;
use crate::http::problem::Problem;
use crate::proof::{ConsistencyView, prove_consistency};
use crate::scope::Scope;
use crate::service::Service;
use ambit_ledger::{CHECKPOINT_PATH, TileStore as _, TreeSize, is_tile_path};
use ambit_schemas::{Shard, Topic};
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

type App = State<Arc<Service>>;

/// Tiles never change.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// A checkpoint is replaced about once a second.
const NOT_LONG: &str = "no-cache";

/// Which two trees.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ConsistencyParams {
    /// Leaves of the older tree.
    from: u64,
    /// Leaves of the newer tree; without it, those of the newest checkpoint.
    to: Option<u64>,
}

/// Proof that a shard's log only grew from one size to another (RFC 6962, section 2.1.2).
#[utoipa::path(get, path = "/api/v1/ledger/{shard}/consistency", params(("shard" = String, Path, description = "`topic:partition`, or `topic%2Fpartition`"), ConsistencyParams), responses((status = 200, body = ConsistencyView)), security(("bearer" = [])))]
pub(crate) async fn consistency(
    State(app): App,
    scope: Scope,
    Path(shard): Path<String>,
    params: Result<Query<ConsistencyParams>, QueryRejection>,
) -> Result<Answered<ConsistencyView>, Problem> {
    scope.whole("a shard's growth")?;
    let Query(params) = params.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.body_text()))?;
    let shard: Shard = shard
        .replace(':', "/")
        .parse()
        .map_err(|error: ambit_schemas::record::InvalidShard| Error::Bad(error.to_string()))?;
    let ledgers = app.ledgers.clone();
    let proved = tokio::task::spawn_blocking(move || {
        prove_consistency(&ledgers, shard, TreeSize(params.from), params.to.map(TreeSize))
    });
    Ok(Answered(proved.await.map_err(|_| Error::Cancelled)??, 1))
}

/// One file of a shard's ledger: `checkpoint` or `tile/...`.
pub(crate) async fn file(
    State(app): App,
    caller: Option<Extension<Caller>>,
    Path((topic, partition, path)): Path<(String, u32, String)>,
) -> Result<Response, Problem> {
    // Without a caller the files are everybody's: `api.public_ledger`.
    if let Some(Extension(caller)) = caller {
        caller.scope.whole("the ledger")?;
    }
    let absent = || Problem::new(StatusCode::NOT_FOUND, "the ledger has no such file");
    let is_checkpoint = path == CHECKPOINT_PATH;
    let topic = Topic::from_name(&topic).ok_or_else(absent)?;
    let shard = Shard::new(topic, partition);
    if !app.ledgers.shards.contains(&shard) || !(is_checkpoint || is_tile_path(&path)) {
        return Err(absent());
    }
    let tiles = app.ledgers.tiles(shard);
    let read = tokio::task::spawn_blocking(move || tiles.read(&path)).await.map_err(|_| Error::Cancelled)?;
    let bytes = read.map_err(Error::Tiles)?.ok_or_else(absent)?;
    let (kind, caching) = if is_checkpoint {
        ("text/plain; charset=utf-8", NOT_LONG)
    } else {
        ("application/octet-stream", FOR_EVER)
    };
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, caching)], bytes).into_response())
}
