//! What a receiver saw of the effect itself stands in the record beside what was seen in events (INVARIANT E-2).

use crate::closed_loop::{WATCH, World, confirmed, found};
use crate::receivers::carry_out::{BASIC, OAUTH, authorization_server};
use crate::receivers::{options, secrets};
use crate::running::{Running, carrying};
use ambit_enforcement::Options;
use ambit_schemas::event::Body;

const SEEN: &str = "introspection: active before, inactive after";

/// What was told of a revocation through a server that knows these tokens: of the acknowledgement, the delivery, the end.
async fn told(known: &'static [&'static str]) -> [Option<String>; 3] {
    let (world, secrets) = (World::new().await, secrets());
    let server = authorization_server(known, false).await;
    let own = format!("[[receivers]]\nid = \"idp\"\nallow_private = true\n{OAUTH}{BASIC}");
    let options = Options { watch: WATCH, ..options(&own, secrets.path(), &server.base).unwrap() };
    let running = Running::start(&world.broker, world.dir.path(), options);
    world.send(&carrying(&found(1))).await;
    running.wait_for("ambit_enforcement_confirmed_total", 1).await;
    let bodies = world.responses("told", |bodies| !confirmed(bodies).is_empty());
    running.stop().await;
    let taken = bodies.iter().find_map(|body| match body {
        Body::ResponseAcknowledged(taken) => Some(taken.evidence.clone()),
        _ => None,
    });
    let delivered = bodies.iter().find_map(|body| match body {
        Body::RevocationDelivered(of) => Some(of.evidence.clone()),
        _ => None,
    });
    [taken.unwrap(), delivered.unwrap(), confirmed(&bodies)[0].evidence.clone()]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_saw_is_told_with_the_acknowledgement_and_with_the_effect() {
    let [taken, delivered, effect] = told(&["urn:token:jti-19"]).await;
    assert_eq!((taken.as_deref(), delivered.as_deref()), (Some(SEEN), Some(SEEN)));
    let effect = effect.unwrap();
    assert!(
        effect.starts_with("no use in 3 s") && effect.ends_with(&format!("; idp saw {SEEN}")),
        "{effect}"
    );
}

/// A server that never knew the token shows nothing, and nothing is said of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_did_not_see_is_not_told() {
    let [taken, delivered, effect] = told(&[]).await;
    assert_eq!((taken, delivered), (None, None));
    assert!(!effect.unwrap().contains("saw"));
}
