//! Documents that say how the table is kept: legal holds, and what retention has deleted.
//!
//! A document lies in `_ambit/` (a name that Delta readers pass over) under the SHA-256 of its bytes, and is never
//! changed. Which one holds is said by a table property, so it changes in a commit like everything else: whoever commits
//! on the strength of a document that has been replaced meanwhile finds the version taken. Each document names the one
//! before it.

use crate::error::Error;
use crate::head::{Head, RACES_MAX, log_error};
use crate::store::Store;
use deltalake::kernel::{Action, Metadata, MetadataExt};
use deltalake::protocol::DeltaOperation;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStoreExt, PutMode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// The folder of documents.
pub(crate) const DIR: &str = "_ambit";

/// A kind of document.
pub(crate) trait Document: Serialize + DeserializeOwned + Default {
    /// First part of its file's name; its table property is `ambit.<NAME>`.
    const NAME: &'static str;
    /// Says which document was in force before.
    fn set_previous(&mut self, digest: Option<String>);
}

/// The property that names the document of a kind in force.
pub(crate) fn property<T: Document>() -> String {
    format!("ambit.{}", T::NAME)
}

/// The digest of the document in force, if there is one.
pub(crate) fn digest_of<T: Document>(metadata: &Metadata) -> Option<String> {
    metadata.configuration().get(&property::<T>()).cloned()
}

impl Store {
    /// The document of a kind in force as of a table's metadata.
    pub(crate) async fn document<T: Document>(&self, metadata: &Metadata) -> Result<T, Error> {
        let Some(digest) = digest_of::<T>(metadata) else { return Ok(T::default()) };
        let location = location::<T>(&digest);
        let path = self.options.path.join(location.as_ref());
        let objects = self.log.object_store(None);
        let bytes = match objects.get(&location).await {
            Ok(found) => found.bytes().await.map_err(Error::Objects)?,
            Err(cause) => return Err(Error::Objects(cause)),
        };
        if hex::encode(Sha256::digest(&bytes)) != digest {
            let what = "its bytes are not those that were committed: restore the file from a copy".into();
            return Err(Error::Damaged { path, what });
        }
        serde_json::from_slice(&bytes)
            .map_err(|cause| Error::Damaged { path, what: format!("it cannot be understood: {cause}") })
    }

    /// Makes a document durable. It is in force once the metadata that is returned is committed.
    pub(crate) async fn put_document<T: Document>(
        &self,
        metadata: Metadata,
        mut document: T,
    ) -> Result<Metadata, Error> {
        document.set_previous(digest_of::<T>(&metadata));
        let bytes = serde_json::to_vec(&document).map_err(|cause| Error::Refused(cause.to_string()))?;
        let digest = hex::encode(Sha256::digest(&bytes));
        let objects = self.log.object_store(None);
        let put = objects.put_opts(&location::<T>(&digest), bytes.into(), PutMode::Create.into()).await;
        match put {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
            Err(cause) => return Err(Error::Objects(cause)),
        }
        metadata.add_config_key(property::<T>(), digest).map_err(log_error)
    }

    /// Changes the document of a kind, in one commit.
    pub(crate) async fn change<T: Document>(
        &self,
        note: &str,
        mut change: impl FnMut(&mut T) -> Result<(), Error> + Send,
    ) -> Result<u64, Error> {
        let mut head: tokio::sync::MutexGuard<'_, Head> = self.head.lock().await;
        for _ in 0..RACES_MAX {
            self.follow(&mut head).await?;
            let metadata = self.metadata(&head).await?;
            let mut document: T = self.document(&metadata).await?;
            change(&mut document)?;
            let changed = self.put_document(metadata, document).await?;
            let digest = digest_of::<T>(&changed).unwrap_or_default();
            let operation =
                DeltaOperation::SetTableProperties { properties: HashMap::from([(property::<T>(), digest)]) };
            let (actions, notes) = (vec![Action::Metadata(changed)], [("ambitNote", json!(note))]);
            if let Some(version) = self.put_entry(&mut head, actions, operation, Vec::new(), &notes).await? {
                return Ok(version);
            }
        }
        Err(Error::Crowded)
    }
}

fn location<T: Document>(digest: &str) -> ObjectPath {
    ObjectPath::from(format!("{DIR}/{}-{digest}.json", T::NAME))
}
