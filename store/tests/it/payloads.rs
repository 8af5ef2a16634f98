//! Content beside the table: whole, by tenant, durable, and gone when its tenant's time is over.

use crate::common::{DAY, open};
use ambit_schemas::Timestamp;
use ambit_schemas::id::TenantId;
use ambit_schemas::payload::Payload;
use ambit_store::{Cover, Error, Hold, Options, Payloads, Release, Retention, fsck};
use std::time::{SystemTime, UNIX_EPOCH};

fn tenant(name: &str) -> TenantId {
    TenantId::try_from(name).unwrap()
}

/// Now and so many days later.
fn after(days: i64) -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    Timestamp::from_micros(i64::try_from(now).unwrap() + days * DAY)
}

#[tokio::test]
async fn what_was_put_is_read_back_by_its_tenant_only() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::durable(dir.path().join("store"));
    let payloads = Payloads::open(&options).unwrap();
    let payload = Payload::new("x".repeat(3 << 20));
    // Ids of tenants are not names of files.
    for name in ["acme", "../acme", "a/b", "ü %41"] {
        let Ok(tenant) = TenantId::try_from(name) else { continue };
        assert_eq!(payloads.get(&tenant, &payload.sha256).await.unwrap(), None);
        payloads.put(&tenant, &payload).await.unwrap();
        payloads.put(&tenant, &payload).await.unwrap();
        assert_eq!(payloads.get(&tenant, &payload.sha256).await.unwrap(), Some(payload.content.clone()));
    }
    assert_eq!(payloads.get(&tenant("other"), &payload.sha256).await.unwrap(), None);
    assert_eq!(payloads.get(&tenant("acme"), "../acme/no-digest").await.unwrap(), None);
    // The table that is made there later, its vacuum and its check leave them alone.
    let store = open(&options.path).await;
    store.vacuum(false).await.unwrap();
    assert_eq!(fsck(options.clone(), |_, _| ()).await.unwrap().faults, []);
    assert!(payloads.get(&tenant("acme"), &payload.sha256).await.unwrap().is_some());
    let path = options.path.join("_ambit/payloads/acme").join(&payload.sha256);
    std::fs::write(&path, "something else").unwrap();
    let error = payloads.get(&tenant("acme"), &payload.sha256).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert!(error.to_string().contains(&payload.sha256), "{error}");
}

#[tokio::test]
async fn what_is_over_goes_but_not_under_a_hold() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::durable(dir.path().join("store"));
    let (payloads, store) = (Payloads::open(&options).unwrap(), open(&options.path).await);
    let payload = Payload::new("content");
    for name in ["acme", "other"] {
        payloads.put(&tenant(name), &payload).await.unwrap();
    }
    let policy = Retention { default_days: 0, tenants: [("acme".to_owned(), 3)].into() };
    assert_eq!(payloads.retain(&store, &policy, after(4)).await.unwrap(), 0, "a row of that day may be kept");
    let hold = Hold {
        id: "h".into(),
        reason: "case 17".into(),
        author: "counsel".into(),
        placed_at: after(0),
        covers: Cover::default(),
        released: None,
    };
    store.place_hold(hold).await.unwrap();
    assert_eq!(payloads.retain(&store, &policy, after(5)).await.unwrap(), 0, "held");
    let release = Release { at: after(1), author: "counsel".into(), reason: "over".into() };
    store.release_hold("h", release).await.unwrap();
    assert_eq!(payloads.retain(&store, &policy, after(5)).await.unwrap(), 1);
    assert_eq!(payloads.get(&tenant("acme"), &payload.sha256).await.unwrap(), None);
    assert!(payloads.get(&tenant("other"), &payload.sha256).await.unwrap().is_some(), "kept forever");
}
