//! Every rule finds what it should and leaves alone what it should; all values are made up, and put together here so
//! that no file holds one.

use super::*;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeSet;

fn key(tenant: &str) -> RedactionKey {
    RedactionKey::new(b"installation", &TenantId::try_from(tenant).unwrap())
}

fn rules_of(value: &Value) -> Vec<String> {
    let mut value = value.clone();
    redact(&mut value, &key("acme")).redactions.into_iter().map(|one| one.rule).collect()
}

/// Letters and digits in the manner of a token.
fn noise(length: usize) -> String {
    const ALPHABET: &[u8] = b"k3Qz7Lw1Xn9Rb5Tv2Ym8Cp4Jd6Hs0Gf";
    (0..length).map(|at| char::from(ALPHABET[(at * 7 + at / 31) % ALPHABET.len()])).collect()
}

fn upper(length: usize) -> String {
    noise(length).to_uppercase()
}

fn hexadecimal(length: usize) -> String {
    hex::encode(noise(length)).chars().take(length).collect()
}

fn pem() -> String {
    let (dashes, label) = ("-----", "PRIVATE KEY");
    format!("{dashes}BEGIN {label}{dashes}\n{}\n{dashes}END {label}{dashes}", noise(64))
}

/// Rule, a text that holds a secret of it, the secret.
fn positives() -> Vec<(&'static str, String, String)> {
    let prefixed = |rule, prefix: &str, tail: String| {
        let secret = format!("{prefix}{tail}");
        (rule, format!("use {secret}, please"), secret)
    };
    let jwt = format!("eyJ{}.eyJ{}.{}", noise(20), noise(30), noise(43));
    let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "emma:hunter2!");
    vec![
        prefixed(AWS_ACCESS_KEY_ID, "AKIA", upper(16)),
        prefixed(AWS_ACCESS_KEY_ID, "ASIA", upper(16)),
        prefixed(GITHUB, "ghp_", noise(36)),
        prefixed(GITHUB, "github_pat_", noise(60)),
        prefixed(GITLAB, "glpat-", noise(20)),
        prefixed(SLACK, "xoxb-", format!("12345-{}", noise(24))),
        prefixed(
            SLACK_WEBHOOK,
            "hooks.slack.com/services/",
            format!("T{}/B{}/{}", upper(8), upper(8), noise(24)),
        ),
        prefixed(STRIPE, "sk_live_", noise(24)),
        prefixed(GOOGLE, "AIza", noise(35)),
        prefixed(GOOGLE, "ya29.", noise(40)),
        prefixed(NPM, "npm_", noise(36)),
        prefixed(PYPI, "pypi-AgE", noise(60)),
        prefixed(VAULT, "hvs.", noise(24)),
        prefixed(MODEL_API, "sk-", format!("proj-{}", noise(40))),
        prefixed(SENDGRID, "SG.", format!("{}.{}", noise(22), noise(43))),
        prefixed(DIGITALOCEAN, "dop_v1_", hexadecimal(64)),
        prefixed(HUGGING_FACE, "hf_", noise(34)),
        prefixed(SHOPIFY, "shpat_", hexadecimal(32)),
        prefixed(DATABRICKS, "dapi", hexadecimal(32)),
        prefixed(AGE, "AGE-SECRET-KEY-1", upper(58)),
        (JWT, format!("token {jwt}!"), jwt),
        (PRIVATE_KEY, format!("here:\n{}\nbye", pem()), pem()),
        (BEARER, format!("Authorization: bearer {}", noise(32)), noise(32)),
        (BASIC, format!("curl -H 'Authorization: Basic {basic}'"), basic),
        (URL_PASSWORD, "postgres://emma:hunter2@db.example/x".into(), "hunter2".into()),
        (ASSIGNMENT, "mysql --password hunter22 -u emma".into(), "hunter22".into()),
        (ASSIGNMENT, "export DB_PASSWORD='correct-horse1'".into(), "correct-horse1".into()),
        (ASSIGNMENT, format!("https://x.example/?access_token={}&a=1", noise(24)), noise(24)),
        (AWS_SECRET, format!("aws_secret_access_key = {}", noise(40)), noise(40)),
    ]
}

#[test]
fn every_shape_is_found_and_nothing_else_is_touched() {
    let mut found: BTreeSet<&str> = [SECRET_NAME, HIGH_ENTROPY].into();
    for (rule, text, secret) in positives() {
        let mut value = json!({ "text": text });
        let report = redact(&mut value, &key("acme"));
        assert!(report.redactions.iter().any(|one| one.rule == rule), "{rule}: {report:?} in {text}");
        assert!(report.redactions.iter().all(|one| one.pointer == "/text"), "{rule}: {report:?}");
        let left = value["text"].as_str().unwrap();
        assert!(!left.contains(&secret), "{rule}: {left}");
        assert_eq!(left, text.replace(&secret, &key("acme").replace(&secret)), "{rule}");
        found.insert(rule);
    }
    assert_eq!(found, RULES.iter().copied().collect(), "a rule has no example");
}

#[test]
fn what_only_looks_like_a_secret_stays() {
    let texts = [
        "the skill is sk-learn-and-other-words-without-digits".to_owned(),
        "a task-1234567890123456789012345 and risk-4444444444444444444444".into(),
        "MAKIAQQQQQQQQQQQQQQQQ and AKIA and AKIAlowercaseaaaaaaaa".into(),
        format!("AKIA{}", upper(20)),
        "ghp_short and npm_config_registry and hf_hub_download and xoxb-".into(),
        "password: please reset it, or ask for your secret: nothing".into(),
        "password=${DB_PASSWORD} token=<token> secret=****** api_key=null".into(),
        "https://x.example/a?page_token=abc&next_token=q7Zt3LkW9sXv2RbN8mYp4cJd".into(),
        "mailto://emma@acme.example and https://host:8080/path@v2".into(),
        "bearer of bad news, basic instincts, Basic c2hvcnQ=".into(),
        "eyJ is how they begin, eyJhbGciOiJub25lIn0.eyJ.x is none".into(),
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----".into(),
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----".into(),
        "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b of main".into(),
        "5b8efff7-9803-4103-8269-b633813fc60c".into(),
        "arn:aws:iam::111111111111:role/billing".into(),
        "spiffe://acme.example/agent/billing".into(),
    ];
    for text in texts {
        assert_eq!(rules_of(&json!({ "text": text })), Vec::<String>::new(), "{text}");
    }
    for value in [
        json!({"uid": format!("AKIA{}", upper(16)), "accessKeyId": format!("ASIA{}", upper(16))}),
        json!({"hashed_token": noise(44), "nextPageToken": noise(44), "token_type": "service"}),
        json!({"client_token": format!("hmac-sha256:{}", "ab".repeat(32)), "token": "abc", "password": ""}),
        json!({"key": "a-record-key", "sort_key": noise(30), "public_key": noise(43)}),
        json!({"password": true, "secret": null}),
    ] {
        assert_eq!(rules_of(&value), Vec::<String>::new(), "{value}");
    }
}

#[test]
fn names_tell_secrets_of_any_shape() {
    for value in [
        json!({"Api-Key": "abc"}),
        json!({"client_secret": "hello"}),
        json!({"password": 12_345_678}),
        json!({"passwords": ["hunter2"]}),
        json!({"secret": {"value": "hunter2"}}),
        json!({"name": "DB_PASSWORD", "value": "hunter2"}),
        json!({"key": "http.request.header.authorization", "value": {"stringValue": "Digest x"}}),
    ] {
        assert_eq!(rules_of(&value), [SECRET_NAME], "{value}");
    }
    assert_eq!(rules_of(&json!({"x_vault_token": noise(26)})), [HIGH_ENTROPY]);
    assert_eq!(rules_of(&json!({"secretAccessKey": noise(40)})), [AWS_SECRET]);
    assert_eq!(rules_of(&json!({"sessionToken": noise(100)})), [SECRET_NAME]);
}

#[test]
fn json_within_texts_and_names_of_fields_are_looked_into() {
    let wrapped = json!({"arguments": json!({"a": json!({"password": "hunter2"}).to_string()}).to_string()});
    let mut value = wrapped.clone();
    let report = redact(&mut value, &key("acme"));
    assert_eq!(report.redactions[0].pointer, "/arguments/a/password");
    assert!(!value.to_string().contains("hunter2"));
    let secret = format!("ghp_{}", noise(36));
    let mut value = json!({"headers": {secret.clone(): 1}, "a/b~": {"password": "hunter2"}});
    let report = redact(&mut value, &key("acme"));
    assert!(!value.to_string().contains(&secret));
    assert_eq!(report.redactions[0].pointer, "/a~1b~0/password");
    assert_eq!(report.redactions[1].pointer, "/headers/(name)");
}

#[test]
fn equal_secrets_join_within_a_tenant_only() {
    assert_eq!(key("acme").replace("s"), key("acme").replace("s"));
    assert_ne!(key("acme").replace("s"), key("other").replace("s"));
    assert_ne!(key("acme").replace("s"), key("acme").replace("t"));
    let secret = format!("glpat-{}", noise(20));
    let mut value = json!({"password": secret, "note": format!("it is {secret}.")});
    redact(&mut value, &key("acme"));
    let hash = value["password"].as_str().unwrap().to_owned();
    assert!(value["note"].as_str().unwrap().contains(&hash), "{value}");
}

#[test]
fn a_forged_mark_does_not_hide_a_secret() {
    let secret = format!("ghp_{}", noise(36));
    for text in [format!("redacted:hmac-sha256:{secret}"), format!("hmac-sha256:{secret}")] {
        let mut value = json!({ "password": text });
        redact(&mut value, &key("acme"));
        assert!(!value.to_string().contains(&secret), "{value}");
    }
}

#[test]
fn reports_are_bounded_and_hold_no_value() {
    let mut value = json!(vec![json!({"password": "hunter2"}); 1_000]);
    let report = redact(&mut value, &key("acme"));
    assert_eq!((report.total, report.redactions.len()), (1_000, REDACTIONS_MAX));
    assert!(!serde_json::to_string(&report.redactions).unwrap().contains("hunter2"));
}

/// What made a careless scanner quadratic: doubling the text must not quadruple the time. The bound is wide, for the
/// machine may be busy: a quadratic pass over half a mebibyte would take minutes.
#[test]
fn hostile_texts_take_linear_time() {
    let begin = std::time::Instant::now();
    for piece in [
        "-eyJ-eyJ",
        "eyJ.",
        "sk-",
        "password=",
        "://",
        ":// a:b@",
        "-----BEGIN ",
        "Bearer ",
        "--password ",
        "=",
        "\"",
        "-----BEGIN PRIVATE KEY",
        "AKIA",
        "hooks.slack.com/services/",
        "a.b.",
        "é=",
        "token:'",
    ] {
        let mut value = json!(piece.repeat((1 << 19) / piece.len()));
        redact(&mut value, &key("acme"));
    }
    assert!(begin.elapsed().as_secs() < 60, "{:?}", begin.elapsed());
}

proptest! {
    #[test]
    fn redacting_twice_is_redacting_once(
        text in r"[ -~é\n]{0,40}(password|token|Bearer|AKIA|://a:b@|eyJ|-----BEGIN RSA PRIVATE KEY-----)[=: ]{0,2}[ -~é]{0,60}"
    ) {
        let mut once = json!({"text": text});
        redact(&mut once, &key("acme"));
        let mut twice = once.clone();
        let again = redact(&mut twice, &key("acme"));
        prop_assert_eq!(&once, &twice);
        prop_assert_eq!(again.total, 0);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,200}", name in "\\PC{0,20}") {
        redact(&mut json!({name: text}), &key("acme"));
    }
}
