//! Content that is too large for an event, by tenant and SHA-256: `_ambit/payloads/<tenant>/<digest>` beside the table.
//! It is durable before the event that names it. An equal one is kept once per tenant; none is shared between tenants
//! (INVARIANT Q-3).

use crate::control::DIR;
use crate::disk::{Files, RealDisk};
use crate::durable::DurableStore;
use crate::error::Error;
use crate::retention::Retention;
use crate::store::{Options, Store};
use ambit_schemas::Timestamp;
use ambit_schemas::id::TenantId;
use ambit_schemas::payload::Payload;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::sync::Arc;

/// The folder within the table's control folder.
const FOLDER: &str = "payloads";

/// Where payloads are. A cheap clone.
#[derive(Debug, Clone)]
pub struct Payloads {
    objects: Arc<dyn ObjectStore>,
    root: ObjectPath,
    shown: PathBuf,
}

impl Payloads {
    /// The payloads of the table with these options. The table itself need not be there yet.
    pub fn open(options: &Options) -> Result<Self, Error> {
        let (objects, root): (Arc<dyn ObjectStore>, ObjectPath) = if let Some(s3) = &options.s3 {
            (s3.connect()?, s3.prefix())
        } else {
            let resolve = |cause| Error::io("resolve", &options.path, cause);
            let path = std::path::absolute(&options.path).map_err(resolve)?;
            let root = ObjectPath::from_absolute_path(&path).map_err(|cause| Error::Objects(cause.into()))?;
            let files = Files::new(Arc::new(RealDisk), options.fsync);
            (Arc::new(DurableStore::new(files)), root)
        };
        Ok(Self { objects, root: root.join(DIR).join(FOLDER), shown: options.path.clone() })
    }

    fn place(&self, tenant: &TenantId, sha256: &str) -> ObjectPath {
        self.root.clone().join(tenant.as_str()).join(sha256)
    }

    /// Makes a payload durable. Writing it again changes nothing but its age. INVARIANT L-3
    pub async fn put(&self, tenant: &TenantId, payload: &Payload) -> Result<(), Error> {
        let place = self.place(tenant, &payload.sha256);
        let content = PutPayload::from_bytes(payload.content.clone());
        self.objects.put(&place, content).await.map_err(Error::Objects)?;
        Ok(())
    }

    /// A payload; `None` when it is not there. Fails when its bytes are not those that its name says.
    pub async fn get(&self, tenant: &TenantId, sha256: &str) -> Result<Option<Bytes>, Error> {
        let place = self.place(tenant, sha256);
        let found = match self.objects.get(&place).await {
            Ok(found) => found.bytes().await.map_err(Error::Objects)?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(cause) => return Err(Error::Objects(cause)),
        };
        if hex::encode(Sha256::digest(&found)) == sha256 {
            return Ok(Some(found));
        }
        let path = self.shown.join(DIR).join(FOLDER).join(tenant.as_str()).join(sha256);
        let what = "its bytes are not those that its event names: restore the file from a copy".into();
        Err(Error::Damaged { path, what })
    }

    /// Deletes payloads that were written a day before any row that is still kept of their tenant. While there is a
    /// legal hold none goes: which rows name which payload is not known here.
    pub async fn retain(&self, store: &Store, policy: &Retention, now: Timestamp) -> Result<u64, Error> {
        if store.holds().await?.iter().any(|hold| hold.released.is_none()) {
            return Ok(0);
        }
        let over: Vec<ObjectPath> = self
            .objects
            .list(Some(&self.root))
            .try_filter_map(|meta| {
                let day = Timestamp::from_micros(meta.last_modified.timestamp_micros()).day();
                let tenant = meta.location.prefix_match(&self.root).and_then(|mut parts| {
                    let tenant = parts.next()?;
                    parts.next().map(|_| tenant.as_ref().to_owned())
                });
                let is_over =
                    tenant.is_some_and(|tenant| policy.is_over_encoded(&tenant, day + 1, now.day()));
                std::future::ready(Ok(is_over.then_some(meta.location)))
            })
            .try_collect()
            .await
            .map_err(Error::Objects)?;
        for place in &over {
            self.objects.delete(place).await.map_err(Error::Objects)?;
        }
        Ok(over.len() as u64)
    }
}
