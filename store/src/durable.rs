//! An object store on local disk that keeps what it has acknowledged.
//!
//! `object_store`'s own local store never fsyncs, so a power cut may leave a commit that was acknowledged empty or
//! absent. Here an object's bytes are on disk before its name appears, and its name is on disk before `put` returns.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Local disk, with fsync. INVARIANT L-3
#[derive(Debug)]
pub struct DurableStore {
    inner: LocalFileSystem,
    fsync: bool,
}

impl DurableStore {
    /// The file system from its root. `fsync = false` is for measuring what durability costs, and for showing that
    /// the test of it can fail.
    pub fn new(fsync: bool) -> Self {
        Self { inner: LocalFileSystem::new(), fsync }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        location: &ObjectPath,
        work: impl FnOnce(&Path, bool) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (path, fsync) = (self.inner.path_to_filesystem(location)?, self.fsync);
        let name = location.to_string();
        match tokio::task::spawn_blocking(move || work(&path, fsync)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::AlreadyExists { path: name, source: error.into() })
            }
            Ok(Err(error)) => Err(Error::Generic { store: "local disk", source: error.into() }),
            Err(error) => Err(Error::Generic { store: "local disk", source: error.into() }),
        }
    }
}

impl std::fmt::Display for DurableStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("local disk with fsync")
    }
}

/// Makes a directory and those above it, and the entries of all that were new durable.
pub(crate) fn create_dir_durably(dir: &Path, fsync: bool) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let Some(parent) = dir.parent() else { return Ok(()) };
    if !parent.as_os_str().is_empty() {
        create_dir_durably(parent, fsync)?;
    }
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_dir(parent, fsync)
}

/// Makes the entries of a directory durable.
pub(crate) fn sync_dir(dir: &Path, fsync: bool) -> io::Result<()> {
    if !fsync {
        return Ok(());
    }
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir)?.sync_all()
}

/// Writes bytes under a name that appears only once they are durable. With `create`, the name must be new.
fn put_durably(path: &Path, payload: &[Bytes], create: bool, fsync: bool) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    create_dir_durably(parent, fsync)?;
    let partial = partial_path(path);
    let mut file = File::create_new(&partial)?;
    let written = payload
        .iter()
        .try_for_each(|bytes| file.write_all(bytes))
        .and_then(|()| if fsync { file.sync_all() } else { Ok(()) });
    let placed = written
        .and_then(|()| if create { fs::hard_link(&partial, path) } else { fs::rename(&partial, path) });
    if create || placed.is_err() {
        // The second name of the same file, or what could not be finished; it is of no consequence if it stays.
        if let Err(error) = fs::remove_file(&partial) {
            tracing::debug!(%error, "a partial file stays behind");
        }
    }
    placed?;
    sync_dir(parent, fsync)
}

fn partial_path(path: &Path) -> PathBuf {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("object");
    path.with_file_name(format!(".{name}.{}.partial", Uuid::now_v7().simple()))
}

/// Makes a file that another has written durable.
fn sync_file(path: &Path, fsync: bool) -> io::Result<()> {
    if fsync {
        File::open(path)?.sync_all()?;
    }
    path.parent().map_or(Ok(()), |parent| sync_dir(parent, fsync))
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
        let payload: Vec<Bytes> = payload.into_iter().collect();
        self.blocking(location, move |path, fsync| put_durably(path, &payload, create, fsync)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &ObjectPath,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let (path, fsync) = (self.inner.path_to_filesystem(location)?, self.fsync);
        if let Some(parent) = path.parent().map(Path::to_owned) {
            self.blocking(location, move |_, fsync| create_dir_durably(&parent, fsync)).await?;
        }
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(DurableUpload { inner, path, fsync }))
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

    async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &ObjectPath, to: &ObjectPath, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        self.blocking(to, sync_file).await
    }
}

/// A large object that is durable once it is complete.
#[derive(Debug)]
struct DurableUpload {
    inner: Box<dyn MultipartUpload>,
    path: PathBuf,
    fsync: bool,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.inner.complete().await?;
        let (path, fsync) = (self.path.clone(), self.fsync);
        match tokio::task::spawn_blocking(move || sync_file(&path, fsync)).await {
            Ok(Ok(())) => Ok(result),
            Ok(Err(error)) => Err(Error::Generic { store: "local disk", source: error.into() }),
            Err(error) => Err(Error::Generic { store: "local disk", source: error.into() }),
        }
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
