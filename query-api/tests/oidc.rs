//! Tokens of an identity provider, signed here by a stand-in that publishes its keys as one does.

use crate::world::{NOON, Setup, World, call};
use ambit_query_api::OidcOptions;
use ambit_query_api::access::Fetch;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use futures::future::BoxFuture;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const ISSUER: &str = "https://login.example/soc";

/// An identity provider.
#[derive(Default)]
struct Provider {
    keys: Mutex<Vec<Value>>,
    asked: Mutex<Vec<String>>,
    away: Mutex<bool>,
    /// What it calls itself.
    issuer: Mutex<String>,
}

impl Fetch for Provider {
    fn get<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Vec<u8>, String>> {
        self.asked.lock().unwrap().push(url.to_owned());
        let answer = if *self.away.lock().unwrap() {
            Err("connect".to_owned())
        } else if url == format!("{ISSUER}/.well-known/openid-configuration") {
            let issuer = self.issuer.lock().unwrap().clone();
            Ok(json!({"issuer": issuer, "jwks_uri": "https://login.example/keys"}).to_string().into_bytes())
        } else {
            assert_eq!(url, "https://login.example/keys");
            Ok(json!({"keys": *self.keys.lock().unwrap()}).to_string().into_bytes())
        };
        Box::pin(async move { answer })
    }
}

enum Signer {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

impl Signer {
    fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    fn ec() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn published(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(pair) => {
                // RSAPublicKey of RFC 8017: a sequence of the modulus, with a zero before its 256 bytes, and 65537.
                let der = pair.public_key().as_ref();
                json!({"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256",
                    "n": BASE64.encode(&der[9..265]), "e": BASE64.encode(&der[der.len() - 3..])})
            }
            Self::Ec(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "kid": kid,
                    "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..])})
            }
        }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let random = SystemRandom::new();
        let signature = match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
            Self::Ec(pair) => pair.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
        };
        format!("{signed}.{}", BASE64.encode(signature))
    }
}

fn options() -> OidcOptions {
    serde_json::from_value(json!({
        "issuer": ISSUER, "audience": ["ambit"], "algorithms": ["RS256", "ES256"],
        "role_claim": "realm_access.roles", "roles": {"soc": "analyst", "audit": "auditor"},
        "tenant_claim": "org", "tenants": {"Acme GmbH": "acme", "operators": "*"}
    }))
    .unwrap()
}

fn now() -> i64 {
    NOON / 1_000_000
}

fn claims() -> Value {
    json!({"iss": ISSUER, "sub": "u-7", "aud": ["ambit", "other"], "exp": now() + 300, "nbf": now(),
        "iat": now(), "org": "Acme GmbH", "realm_access": {"roles": ["soc", "unheard-of"]}})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name)
    } else {
        claims.as_object_mut().unwrap().insert(name.into(), value)
    };
    claims
}

async fn world(provider: &Arc<Provider>) -> World {
    provider.issuer.lock().unwrap().push_str(ISSUER);
    let fetch = Arc::clone(provider) as Arc<dyn Fetch>;
    let world = World::with(Setup { oidc: Some((options(), fetch)), ..Setup::default() }).await;
    world.log.put(&[call("c-1", "acme", 0), call("c-2", "other", 1)]).await;
    world
}

async fn status(world: &World, token: &str) -> StatusCode {
    // Failed attempts are forgiven in between.
    world.pass(10);
    world.ask("/api/v1/events", token).await.status()
}

#[tokio::test]
async fn a_token_of_the_provider_has_the_role_and_the_tenant_that_its_claims_mean() {
    let provider = Arc::new(Provider::default());
    let world = world(&provider).await;
    let (rsa, ec) = (Signer::rsa(), Signer::ec());
    provider.keys.lock().unwrap().extend([
        rsa.published("one"),
        ec.published("two"),
        json!({"kty": "oct", "k": "AA"}),
    ]);
    let header = json!({"alg": "RS256", "kid": "one", "typ": "JWT"});
    let seen = world.get("/api/v1/events", &rsa.sign(&header, &claims())).await;
    assert_eq!(seen["items"].as_array().unwrap().len(), 1, "one tenant's: {seen}");
    let all = rsa.sign(&header, &with("org", json!("operators")));
    assert_eq!(world.get("/api/v1/events", &all).await["items"].as_array().unwrap().len(), 2);
    let es = json!({"alg": "ES256", "kid": "two", "typ": "at+jwt"});
    assert_eq!(status(&world, &ec.sign(&es, &claims())).await, StatusCode::OK);
    let trail = world.trail().await;
    assert_eq!(trail[0].record.author.as_str(), "https://login.example/soc#u-7");
    assert_eq!(trail[0].record.role, "analyst");
    for (name, value) in [
        ("org", json!("unheard-of")),
        ("org", Value::Null),
        ("org", json!("*")),
        ("org", json!(["Acme GmbH", "operators"])),
        ("realm_access", json!({"roles": ["unheard-of"]})),
        ("realm_access", json!("soc")),
        ("realm_access", Value::Null),
    ] {
        let token = rsa.sign(&header, &with(name, value.clone()));
        assert_eq!(status(&world, &token).await, StatusCode::FORBIDDEN, "{name}: {value}");
    }
    // Whoever is an auditor besides may do what auditors may.
    let auditor = rsa.sign(&header, &with("realm_access", json!({"roles": ["soc", "audit"]})));
    assert_eq!(world.ask("/api/v1/events?kind=query.*", &auditor).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_is_not_signed_for_us_and_now_is_refused() {
    let provider = Arc::new(Provider::default());
    let world = world(&provider).await;
    let (rsa, ec, foreign) = (Signer::rsa(), Signer::ec(), Signer::rsa());
    provider.keys.lock().unwrap().extend([rsa.published("one"), ec.published("two")]);
    let header = json!({"alg": "RS256", "kid": "one"});
    let good = rsa.sign(&header, &claims());
    assert_eq!(status(&world, &good).await, StatusCode::OK);
    let mut bad = vec![("another's signature", foreign.sign(&header, &claims()))];
    for (why, header) in [
        ("no algorithm", json!({"alg": "none", "kid": "one"})),
        ("a shared secret", json!({"alg": "HS256", "kid": "one"})),
        ("an algorithm that is not configured", json!({"alg": "RS512", "kid": "one"})),
        ("an algorithm of another type of key", json!({"alg": "ES256", "kid": "one"})),
        ("another key's name", json!({"alg": "RS256", "kid": "two"})),
        ("an unknown key's name", json!({"alg": "RS256", "kid": "three"})),
        ("a path for a name", json!({"alg": "RS256", "kid": "../../dev/null"})),
        ("no string for a name", json!({"alg": "RS256", "kid": 1})),
        ("an extension", json!({"alg": "RS256", "kid": "one", "crit": ["b64"], "b64": false})),
        ("a security event", json!({"alg": "RS256", "kid": "one", "typ": "secevent+jwt"})),
        ("a logout", json!({"alg": "RS256", "kid": "one", "typ": "logout+jwt"})),
    ] {
        bad.push((why, rsa.sign(&header, &claims())));
    }
    let later = now() + 120;
    for (why, name, value) in [
        ("another issuer", "iss", json!("https://login.example/soc/")),
        ("no issuer", "iss", Value::Null),
        ("another audience", "aud", json!("other")),
        ("an audience that only begins so", "aud", json!("ambit2")),
        ("no audience", "aud", Value::Null),
        ("an audience that is none", "aud", json!({"ambit": 1})),
        ("no end", "exp", Value::Null),
        ("an end that is no number", "exp", json!("9999999999")),
        ("not yet", "nbf", json!(later + 600)),
        ("made in the future", "iat", json!(later + 600)),
        ("nobody", "sub", Value::Null),
    ] {
        bad.push((why, rsa.sign(&header, &with(name, value))));
    }
    bad.push(("cut", good.chars().take(good.len() - 2).collect()));
    bad.push(("a part too many", format!("{good}.x")));
    bad.push(("unsigned", format!("{}.", good.rsplit_once('.').unwrap().0)));
    bad.push(("too long", rsa.sign(&header, &with("pad", json!("x".repeat(20_000))))));
    for (why, token) in &bad {
        let status = status(&world, token).await;
        let refused = [StatusCode::UNAUTHORIZED, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE];
        assert!(refused.contains(&status), "{why}: {status}");
    }
    // With a secret that everybody knows: the bytes of the published key.
    let n = provider.keys.lock().unwrap()[0]["n"].as_str().unwrap().to_owned();
    let confused = format!(
        "{}.{}",
        BASE64.encode(json!({"alg": "HS256", "kid": "one"}).to_string()),
        BASE64.encode(claims().to_string())
    );
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &BASE64.decode(n).unwrap());
    let tag = aws_lc_rs::hmac::sign(&key, confused.as_bytes());
    let confused = format!("{confused}.{}", BASE64.encode(tag));
    assert_eq!(status(&world, &confused).await, StatusCode::UNAUTHORIZED);
    // Clocks may differ by a minute.
    let ended = rsa.sign(
        &header,
        &with("exp", json!(world.clock.load(std::sync::atomic::Ordering::Relaxed) / 1_000_000 - 30)),
    );
    assert_eq!(world.ask("/api/v1/events", &ended).await.status(), StatusCode::OK);
    world.pass(31);
    assert_eq!(world.ask("/api/v1/events", &ended).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn keys_are_rotated_without_a_restart_and_unknown_ones_asked_for_in_moderation() {
    let provider = Arc::new(Provider::default());
    let world = world(&provider).await;
    let (old, new) = (Signer::rsa(), Signer::rsa());
    let token = |signer: &Signer, kid: &str| {
        signer.sign(&json!({"alg": "RS256", "kid": kid}), &with("exp", json!(now() + 100_000)))
    };
    *provider.away.lock().unwrap() = true;
    let refused = world.ask("/api/v1/events", &token(&old, "old")).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "nothing is known of any key yet");
    assert!(refused.headers().contains_key("retry-after"));
    *provider.away.lock().unwrap() = false;
    provider.keys.lock().unwrap().push(old.published("old"));
    assert_eq!(status(&world, &token(&old, "old")).await, StatusCode::OK);
    let asked = provider.asked.lock().unwrap().len();
    assert_eq!(status(&world, &token(&old, "old")).await, StatusCode::OK);
    assert_eq!(provider.asked.lock().unwrap().len(), asked, "known keys are not asked for again");
    // The provider has a new key, and withdraws the old one.
    *provider.keys.lock().unwrap() = vec![new.published("new")];
    assert_eq!(status(&world, &token(&new, "new")).await, StatusCode::OK);
    assert_eq!(status(&world, &token(&old, "old")).await, StatusCode::UNAUTHORIZED);
    let asked = provider.asked.lock().unwrap().len();
    for guess in 0..10 {
        world.ask("/api/v1/events", &token(&old, &format!("guess-{guess}"))).await;
    }
    assert!(provider.asked.lock().unwrap().len() <= asked + 2, "at most once in ten seconds");
    // While it is away, keys that are known hold for a day, and no longer.
    *provider.away.lock().unwrap() = true;
    world.pass(2 * 3_600);
    assert_eq!(status(&world, &token(&new, "new")).await, StatusCode::OK);
    world.pass(23 * 3_600);
    assert_eq!(status(&world, &token(&new, "new")).await, StatusCode::SERVICE_UNAVAILABLE);
    // A provider that says to be another is not believed.
    *provider.away.lock().unwrap() = false;
    "https://evil.example".clone_into(&mut provider.issuer.lock().unwrap());
    assert_eq!(status(&world, &token(&new, "new")).await, StatusCode::SERVICE_UNAVAILABLE);
}
