//! Configurations: what held before holds, and what cannot work says which receiver and which field.

use super::{TRANSMITTER, options, secrets};
use ambit_enforcement::{Kind, Receiver, jwks, ssf_configuration};

const OAUTH: &str =
    "kind = \"oauth_revoke\"\nrevocation_url = \"https://as.example/revoke\"\nclient_id = \"c\"\n";
const VAULT: &str = "kind = \"vault\"\ntoken = { file = \"$SECRETS/token\" }\n";
const AWS: &str = "kind = \"aws_iam\"\naccess_key_id = { file = \"$SECRETS/key-id\" }\n\
                   secret_access_key = { file = \"$SECRETS/key\" }\n";
const KUBERNETES: &str =
    "kind = \"kubernetes\"\ntoken = { file = \"$SECRETS/token\" }\nurl = \"https://k8s.example\"\n";

fn read(own: &str, before: &str) -> Result<(), String> {
    let dir = secrets();
    let text = format!("{before}\n[[receivers]]\nid = \"idp\"\n{own}");
    let options = options(&text, dir.path(), "https://idp.example")?;
    Receiver::new(&options.receivers[0], &options).map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn a_receiver_without_a_kind_is_a_webhook_and_options_are_written_as_they_are_read() {
    let dir = secrets();
    let text = "[[receivers]]\nid = \"idp\"\nurl = \"https://idp.example/hook\"\nsecrets = [{ env = \"S\" }]\n\
                allow_networks = [\"10.0.0.0/8\"]\n\
                [[receivers]]\nid = \"v\"\nkind = \"vault\"\nurl = \"https://v.example\"\ntoken = { file = \"/t\" }";
    let read = options(text, dir.path(), "").unwrap();
    assert!(matches!(read.receivers[0].kind, Kind::Webhook(_)));
    assert_eq!((read.receivers[0].concurrency, read.receivers[0].timeout_ms), (16, 10_000));
    let written = toml::to_string(&read).unwrap();
    assert_eq!(options(&written, dir.path(), "").unwrap(), read, "{written}");
}

#[test]
fn what_is_wrong_is_said_with_receiver_and_field_and_never_with_the_secret() {
    for (own, words) in [
        ("kind = \"carrier_pigeon\"".to_owned(), &["carrier_pigeon", "`kind`", "set_push"][..]),
        ("kind = 7".to_owned(), &["`kind`"]),
        ("url = \"https://x.example\"".to_owned(), &["missing field `secrets`", "webhook"]),
        ("url = 7\nsecrets = []".to_owned(), &["field `url`"]),
        ("url = \"https://x.example\"\nsecrets = []".to_owned(), &["no secret"]),
        ("url = \"https://x.example\"\nsecrets = [\"whsec_TOPSECRET\"]".to_owned(), &["`secrets[0]`"]),
        ("url = \"https://x.example\"\nsecrets = [{ literal = \"TOPSECRET\" }]".to_owned(), &["secrets[0]"]),
        (
            format!("{VAULT}url = \"https://v.example\"\ncolour = \"red\""),
            &["unknown field `colour`", "vault"],
        ),
        (format!("{VAULT}url = \"http://v.example\""), &["`url`", "https"]),
        (format!("{VAULT}url = \"https://10.1.2.3\""), &["`url`", "allow_networks"]),
        (
            format!("{VAULT}url = \"https://v.example\"\nallow_networks = [\"10.0.0.1/8\"]"),
            &["allow_networks"],
        ),
        (format!("{VAULT}url = \"https://v.example\"\ntimeout_ms = \"TOPSECRET\""), &["`timeout_ms`"]),
        (format!("{VAULT}url = \"https://v.example\"\nconcurrency = 0"), &["`concurrency`"]),
        (format!("{VAULT}url = \"https://v.example\"\nca_file = \"/nowhere\""), &["`ca_file`"]),
        (format!("{VAULT}url = \"https://v.example\"\nca_file = \"$KEYS/p256.pem\""), &["no certificate"]),
        (format!("{VAULT}url = \"https://v.example\"\ncredentials = [\"[\"]"), &["`credentials`"]),
        (format!("{OAUTH}client_auth = \"TOPSECRET\""), &["`client_auth`"]),
        (format!("{OAUTH}client_auth = {{ secret_basic = {{ env = \"NOPE\" }} }}"), &["NOPE"]),
        (
            format!(
                "{OAUTH}token = \"x\"\nclient_auth = {{ secret_basic = {{ file = \"$SECRETS/client\" }} }}"
            ),
            &["{uid}"],
        ),
        (
            format!("{OAUTH}client_auth = {{ private_key_jwt = {{ file = \"$SECRETS/client\" }} }}"),
            &["PKCS#8"],
        ),
        (format!("{AWS}account = \"12\"\nroles = [\"a\"]"), &["`account`"]),
        (format!("{AWS}account = \"123456789012\"\nroles = []"), &["`roles`"]),
        (format!("{KUBERNETES}namespaces = []"), &["`namespaces`"]),
        (
            format!("{KUBERNETES}namespaces = [\"a\"]\ndelete = \"everything\""),
            &["`delete`", "token_secrets"],
        ),
        ("kind = \"slack\"\nwebhook_url = { file = \"$SECRETS/key\" }".to_owned(), &["`webhook_url`"]),
        (
            "kind = \"set_poll\"\nset = { audience = \"a\" }\nbearer = { file = \"$SECRETS/key-id\" }"
                .to_owned(),
            &["`bearer`"],
        ),
        ("kind = \"set_push\"\nurl = \"https://x.example\"\nset = { }".to_owned(), &["audience"]),
    ] {
        let error = read(&own, TRANSMITTER).unwrap_err();
        assert!(error.contains("receiver `idp`"), "{own}\n{error}");
        for word in words {
            assert!(error.contains(word), "{own}\nlacks {word}: {error}");
        }
        for hidden in ["TOPSECRET", "bearer-token", "wJalr", "client secret"] {
            let shown = error.lines().filter(|line| !line.contains(" | ")).any(|line| line.contains(hidden));
            assert!(!shown, "{own}\n{error}");
        }
    }
}

#[test]
fn tokens_need_somebody_who_signs_and_a_host_that_is_allowed() {
    let push = "kind = \"set_push\"\nurl = \"https://x.example\"\nset = { audience = \"a\" }";
    for (transmitter, words) in [
        ("", "[enforcement.transmitter]"),
        ("[transmitter]\nissuer = \"http://a.example\"\nsigning_keys = []", "https"),
        ("[transmitter]\nissuer = \"https://a.example\"\nsigning_keys = []", "signing_keys"),
        (
            "[transmitter]\nissuer = \"https://a.example\"\nsigning_keys = [{ file = \"$SECRETS/key\" }]",
            "PKCS#8",
        ),
        ("allowed_hosts = [\"*.acme.example\"]", "allowed_hosts"),
    ] {
        let error = read(push, transmitter).unwrap_err();
        assert!(error.contains("receiver `idp`") && error.contains(words), "{transmitter}\n{error}");
    }
    read(push, TRANSMITTER).unwrap();
}

#[test]
fn the_documents_tell_of_keys_and_ways_and_of_nothing_secret() {
    let dir = secrets();
    let text = "[transmitter]\nissuer = \"https://ambit.acme.example/ssf/\"\n\
         signing_keys = [{ file = \"$KEYS/ed25519.pem\" }, { file = \"$KEYS/rsa2048.pem\" }]\n\
         [[receivers]]\nid = \"a\"\nkind = \"set_push\"\nurl = \"https://a.example\"\nset = { audience = \"a\" }\n\
         [[receivers]]\nid = \"b\"\nkind = \"oauth_revoke\"\nrevocation_url = \"https://b.example\"\nclient_id = \"c\"\n\
         client_auth = { private_key_jwt = { file = \"$KEYS/p256.pem\" } }";
    let read = options(text, dir.path(), "").unwrap();
    let keys = jwks(&read).unwrap();
    let of: Vec<_> =
        keys["keys"].as_array().unwrap().iter().map(|key| key["alg"].as_str().unwrap()).collect();
    assert_eq!(of, ["EdDSA", "RS256", "ES256"]);
    for key in keys["keys"].as_array().unwrap() {
        for private in ["d", "p", "q", "dp", "dq", "qi"] {
            assert!(key.get(private).is_none(), "{key}");
        }
    }
    let about = ssf_configuration(&read).unwrap();
    assert_eq!(about["issuer"], "https://ambit.acme.example/ssf/");
    assert_eq!(about["jwks_uri"], "https://ambit.acme.example/ssf/.well-known/jwks.json");
    assert_eq!(about["delivery_methods_supported"], serde_json::json!(["urn:ietf:rfc:8935"]));
    assert!(ssf_configuration(&options("", dir.path(), "").unwrap()).is_none());
}
