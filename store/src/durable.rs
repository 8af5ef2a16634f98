//! An object store on local disk that keeps what it has acknowledged.
//!
//! `object_store`'s own local store does not fsync by default, and never the directories that it makes, so a power cut
//! may leave a commit that was acknowledged empty or absent. Here an object's bytes are on disk before its name
//! appears, and its name is on disk before `put` returns. Reading and deleting are the library's.

use crate::disk::Files;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use std::io;
use std::path::PathBuf;

/// The folder of the table's log.
const LOG: &str = "_delta_log";

/// Local disk, with fsync. INVARIANT L-3
#[derive(Debug)]
pub(crate) struct DurableStore {
    inner: LocalFileSystem,
    files: Files,
}

impl DurableStore {
    /// The file system from its root.
    pub(crate) fn new(files: Files) -> Self {
        Self { inner: LocalFileSystem::new(), files }
    }

    async fn put_bytes(&self, location: &ObjectPath, payload: Vec<Bytes>, create: bool) -> Result<PutResult> {
        let (path, files) = (self.inner.path_to_filesystem(location)?, self.files.clone());
        let name = location.to_string();
        match tokio::task::spawn_blocking(move || files.put(&path, &payload, create)).await {
            Ok(Ok(())) => Ok(PutResult { e_tag: None, version: None }),
            Ok(Err(error)) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::AlreadyExists { path: name, source: error.into() })
            }
            Ok(Err(error)) => Err(refused(error)),
            Err(error) => Err(refused(error)),
        }
    }
}

fn refused(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Generic { store: "local disk", source: error.into() }
}

impl std::fmt::Display for DurableStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("local disk with fsync")
    }
}

#[async_trait]
impl ObjectStore for DurableStore {
    async fn put_opts(
        &self,
        location: &ObjectPath,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let create = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => {
                return Err(Error::NotSupported { source: "conditional update on local disk".into() });
            }
        };
        self.put_bytes(location, payload.into_iter().collect(), create).await
    }

    async fn put_multipart_opts(
        &self,
        location: &ObjectPath,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let store = Self { inner: LocalFileSystem::new(), files: self.files.clone() };
        Ok(Box::new(DurableUpload { store, location: location.clone(), parts: Vec::new() }))
    }

    async fn get_opts(&self, location: &ObjectPath, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<ObjectPath>>,
    ) -> BoxStream<'static, Result<ObjectPath>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    /// Of the log only names after the offset are looked at: it may hold tens of thousands of entries, and whoever
    /// asks wants the newest.
    fn list_with_offset(
        &self,
        prefix: Option<&ObjectPath>,
        offset: &ObjectPath,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let offset = offset.clone();
        let Some(log) = prefix.filter(|prefix| prefix.filename() == Some(LOG)).cloned() else {
            return self
                .inner
                .list(prefix)
                .try_filter(move |meta| std::future::ready(meta.location > offset))
                .boxed();
        };
        let dir = self.inner.path_to_filesystem(&log);
        stream::once(async move {
            let dir = dir?;
            let listed = tokio::task::spawn_blocking(move || list_after(&dir, &log, &offset)).await;
            listed.map_err(refused)?
        })
        .map_ok(|found: Vec<ObjectMeta>| stream::iter(found).map(Ok))
        .try_flatten()
        .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &ObjectPath, to: &ObjectPath, options: CopyOptions) -> Result<()> {
        let bytes = self.inner.get_opts(from, GetOptions::default()).await?.bytes().await?;
        self.put_bytes(to, vec![bytes], options.mode == CopyMode::Create).await.map(|_| ())
    }
}

fn list_after(dir: &PathBuf, log: &ObjectPath, offset: &ObjectPath) -> Result<Vec<ObjectMeta>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(refused)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(refused)?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
        let location = log.clone().join(name);
        if location <= *offset {
            continue;
        }
        let meta = match entry.metadata() {
            // Cleaned up meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            meta => meta.map_err(refused)?,
        };
        if meta.is_file() {
            let last_modified = meta.modified().map_err(refused)?.into();
            found.push(ObjectMeta { location, last_modified, size: meta.len(), e_tag: None, version: None });
        }
    }
    found.sort_unstable_by(|a, b| a.location.cmp(&b.location));
    Ok(found)
}

/// A large object that is durable once it is complete. Nothing here writes one: parts wait in memory.
#[derive(Debug)]
struct DurableUpload {
    store: DurableStore,
    location: ObjectPath,
    parts: Vec<Bytes>,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts.extend(data);
        Box::pin(std::future::ready(Ok(())))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let parts = std::mem::take(&mut self.parts);
        self.store.put_bytes(&self.location, parts, false).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts.clear();
        Ok(())
    }
}
