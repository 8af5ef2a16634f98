//! A table in an S3-compatible object store.
//!
//! What fsync and linking are on a disk, a conditional put is here: an entry of the log is put with `If-None-Match: *`,
//! so of two writers one wins, and an object that was acknowledged is durable. A store that ignores the condition would
//! let commits overwrite each other: it is tried out when the table is opened.

use crate::error::Error;
use deltalake::DeltaResult;
use deltalake::logstore::{
    LogStore, LogStoreFactory, ObjectStoreRef, StorageConfig, default_logstore, logstore_factories,
};
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use url::Url;
use uuid::Uuid;

/// Where the table is in an object store. Credentials come from the environment (`AWS_ACCESS_KEY_ID` and its
/// companions, or the machine's own role) or from a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3 {
    /// `s3://bucket/prefix`
    pub url: Url,
    /// The server, when it is not Amazon's, such as `https://objects.example.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Url>,
    /// The region; Amazon's default without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// File with `aws_access_key_id = ..`, `aws_secret_access_key = ..` and, if need be, `aws_session_token = ..`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<PathBuf>,
    /// Whether the server may be spoken to without TLS. For tests, and for servers on this machine.
    #[serde(default)]
    pub allow_http: bool,
}

impl S3 {
    /// The bucket, from its root.
    pub(crate) fn connect(&self) -> Result<Arc<dyn ObjectStore>, Error> {
        let refused =
            |what: &str| Error::Refused(format!("the object store `{}` cannot be used: {what}", self.url));
        if self.url.scheme() != "s3" || self.url.host_str().is_none() {
            return Err(refused("its address must be `s3://bucket/prefix`"));
        }
        let mut builder = AmazonS3Builder::from_env()
            .with_url(self.url.as_str())
            .with_allow_http(self.allow_http)
            .with_conditional_put(S3ConditionalPut::ETagMatch);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/'));
        }
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        if let Some(path) = &self.credentials_file {
            builder = with_credentials(builder, path)?;
        }
        Ok(Arc::new(builder.build().map_err(Error::Objects)?))
    }

    /// The table's address, with a slash at its end.
    pub(crate) fn table_url(&self) -> Url {
        let mut url = self.url.clone();
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        url
    }

    /// The table's folder in the bucket.
    pub(crate) fn prefix(&self) -> ObjectPath {
        ObjectPath::from(self.url.path())
    }
}

fn with_credentials(builder: AmazonS3Builder, path: &Path) -> Result<AmazonS3Builder, Error> {
    let text = std::fs::read_to_string(path).map_err(|cause| Error::io("read", path, cause))?;
    let value = |name: &str| {
        text.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        })
    };
    let (Some(id), Some(secret)) = (value("aws_access_key_id"), value("aws_secret_access_key")) else {
        let path = path.display();
        return Err(Error::Refused(format!(
            "{path} must have the lines `aws_access_key_id = ..` and `aws_secret_access_key = ..`"
        )));
    };
    let builder = builder.with_access_key_id(id).with_secret_access_key(secret);
    Ok(match value("aws_session_token") {
        Some(token) => builder.with_token(token),
        None => builder,
    })
}

/// The library's log store over conditional puts; it only has to be told that the scheme is served.
struct ConditionalPuts;

impl LogStoreFactory for ConditionalPuts {
    fn with_options(
        &self,
        prefixed_store: ObjectStoreRef,
        root_store: ObjectStoreRef,
        location: &Url,
        options: &StorageConfig,
    ) -> DeltaResult<Arc<dyn LogStore>> {
        Ok(default_logstore(prefixed_store, root_store, location, options))
    }
}

/// Tells the library that tables may lie in S3.
pub(crate) fn register() {
    if let Ok(scheme) = Url::parse("s3://") {
        logstore_factories().insert(scheme, Arc::new(ConditionalPuts));
    }
}

/// Puts an object twice on the condition that it is not there: the second must be refused.
pub(crate) async fn check_condition(objects: &dyn ObjectStore) -> Result<(), Error> {
    let location = ObjectPath::from(format!("{}/condition-{}", crate::control::DIR, Uuid::now_v7()));
    let put = || objects.put_opts(&location, "condition".into(), PutMode::Create.into());
    put().await.map_err(Error::Objects)?;
    let again = put().await;
    objects.delete(&location).await.map_err(Error::Objects)?;
    match again {
        Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
        Err(cause) => Err(Error::Objects(cause)),
        Ok(_) => Err(Error::Refused(
            "the object store ignores `If-None-Match`, so commits could overwrite each other: use one that has \
             conditional writes"
                .into(),
        )),
    }
}
