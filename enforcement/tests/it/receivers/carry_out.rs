//! Receivers that carry out revocations: OAuth, Vault, AWS.

use super::{NOW, TRANSMITTER, asked, due, first, golden, options, receiver, secrets};
use crate::contract::{Answer, Seen, Server, answer};
use ambit_enforcement::{Evidence, Next, Outcome, Receiver, jwks};
use ambit_schemas::response::Action;
use ring::{digest, hmac};
use std::collections::HashMap;

pub const OAUTH: &str = "kind = \"oauth_revoke\"\nrevocation_url = \"$BASE/revoke\"\nclient_id = \"ambit:1\"\n\
                     introspection_url = \"$BASE/introspect\"\ntoken_type_hint = \"access_token\"\n\
                     token = \"urn:token:{uid}\"\ncredentials = [\"jti-*\"]\n";
pub const BASIC: &str = "client_auth = { secret_basic = { file = \"$SECRETS/client\" } }";

fn evidence(outcome: &Outcome) -> Option<&str> {
    let Outcome::Done { evidence, .. } = outcome else { panic!("{outcome:?}") };
    evidence.as_ref().map(|Evidence(text)| text.as_str())
}

fn form(body: &str) -> HashMap<String, String> {
    url::form_urlencoded::parse(body.as_bytes()).into_owned().collect()
}

/// An authorization server that knows some tokens and, unless it is broken, ends them.
pub async fn authorization_server(known: &'static [&'static str], broken: bool) -> Server {
    let ended = std::sync::Mutex::new(Vec::<String>::new());
    Server::start(move |seen, _| {
        let token = form(&seen.body)["token"].clone();
        let mut ended = ended.lock().unwrap();
        if seen.target == "/revoke" {
            if !broken {
                ended.push(token);
            }
            // RFC 7009: the same for tokens that are not known.
            return answer("200 OK", "");
        }
        let active = known.contains(&token.as_str()) && !ended.contains(&token);
        answer("200 OK", &format!("{{\"active\": {active}}}"))
    })
    .await
}

#[tokio::test]
async fn a_token_that_was_active_and_is_not_any_more_is_evidence() {
    let dir = secrets();
    let server = authorization_server(&["urn:token:jti-19"], false).await;
    let receiver = receiver(&format!("{OAUTH}{BASIC}"), dir.path(), &server);
    let due = due(Action::RevokeTask, "agent", &["jti-19", "AKIAEXAMPLE"]);
    let outcome = receiver.send(&due, NOW).await;
    assert_eq!(evidence(&outcome), Some("introspection: active before, inactive after"));
    golden("oauth_revoke_basic.txt", &asked(&server));
    // Again, as after a lost answer: it is done, but nobody has seen it happen.
    assert_eq!(evidence(&receiver.send(&due, NOW).await), None);
}

#[tokio::test]
async fn a_token_that_the_server_never_knew_is_no_evidence_and_one_that_lives_on_is_no_end() {
    let dir = secrets();
    let own = format!("{OAUTH}{BASIC}");
    let due = due(Action::RevokeCredential, "agent", &["jti-19"]);
    let server = authorization_server(&[], false).await;
    assert_eq!(evidence(&receiver(&own, dir.path(), &server).send(&due, NOW).await), None);
    let server = authorization_server(&["urn:token:jti-19"], true).await;
    let outcome = receiver(&own, dir.path(), &server).send(&due, NOW).await;
    assert_eq!(outcome.told(), (Some(200), Some("still_active")));
    assert!(matches!(first(&outcome), Next::Retry(_)));
}

#[tokio::test]
async fn credentials_of_others_are_not_sent_anywhere() {
    let dir = secrets();
    let server = authorization_server(&[], false).await;
    let due = due(Action::RevokeTask, "agent", &["AKIAEXAMPLE"]);
    let outcome = receiver(&format!("{OAUTH}{BASIC}"), dir.path(), &server).send(&due, NOW).await;
    assert_eq!(first(&outcome), Next::DeadLetter("no_target"));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn an_oauth_client_shows_who_it_is_in_each_of_three_ways() {
    let dir = secrets();
    let due = due(Action::RevokeTask, "agent", &["jti-19"]);
    let server = authorization_server(&[], false).await;
    let post = format!("{OAUTH}client_auth = {{ secret_post = {{ file = \"$SECRETS/client\" }} }}");
    receiver(&post, dir.path(), &server).send(&due, NOW).await;
    let sent = form(&server.seen()[1].body);
    assert_eq!((sent["client_id"].as_str(), sent["client_secret"].as_str()), ("ambit:1", "client secret/+&"));

    let server = authorization_server(&[], false).await;
    let text = format!(
        "{TRANSMITTER}\n[[receivers]]\nid = \"r\"\nallow_private = true\n{OAUTH}\
         client_auth = {{ private_key_jwt = {{ file = \"$KEYS/p256.pem\" }} }}"
    );
    let options = options(&text, dir.path(), &server.base).unwrap();
    Receiver::new(&options.receivers[0], &options).unwrap().send(&due, NOW).await;
    let sent = form(&server.seen()[1].body);
    assert_eq!(sent["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    let (header, claims) = super::set::verified(&sent["client_assertion"], &jwks(&options).unwrap());
    assert_eq!(header["alg"], "ES256");
    assert_eq!((claims["iss"].as_str(), claims["sub"].as_str()), (Some("ambit:1"), Some("ambit:1")));
    assert_eq!(claims["aud"], format!("{}/revoke", server.base));
    let (_, claims) =
        super::set::verified(&form(&server.seen()[0].body)["client_assertion"], &jwks(&options).unwrap());
    assert_eq!(claims["aud"], format!("{}/introspect", server.base));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
}

#[tokio::test]
async fn what_an_authorization_server_refuses_is_final() {
    let dir = secrets();
    for (status, body, class) in [
        ("400 Bad Request", "{\"error\":\"unsupported_token_type\"}", "oauth_unsupported_token_type"),
        ("401 Unauthorized", "{\"error\":\"invalid_client\"}", "oauth_invalid_client"),
        ("400 Bad Request", "{\"error\":\"x\"}", "oauth_error"),
        ("403 Forbidden", "<html>", "refused"),
    ] {
        let server = Server::start(move |_, _| answer(status, body)).await;
        let due = due(Action::RevokeTask, "agent", &["jti-19"]);
        let outcome = receiver(&format!("{OAUTH}{BASIC}"), dir.path(), &server).send(&due, NOW).await;
        assert_eq!(first(&outcome), Next::DeadLetter(class));
    }
}

const VAULT: &str = "kind = \"vault\"\nurl = \"$BASE/\"\nnamespace = \"team-a/\"\n\
                     token = { file = \"$SECRETS/token\" }\ncredentials = [\"acc-*\", \"database/*\", \"hmac-*\"]";

/// Vault's answers, as its API documentation and its source have them.
async fn vault(known: &'static [&'static str], ends: bool) -> Server {
    let ended = std::sync::Mutex::new(Vec::<String>::new());
    Server::start(move |seen, _| {
        if seen.headers["x-vault-token"] != "secret-bearer-token-0123456789abcdef" {
            return answer("403 Forbidden", "{\"errors\":[\"permission denied\"]}");
        }
        let body: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
        let name = body["accessor"].as_str().or(body["lease_id"].as_str()).unwrap().to_owned();
        let mut ended = ended.lock().unwrap();
        let there = known.contains(&name.as_str()) && !ended.contains(&name);
        let invalid = if body["accessor"].is_string() {
            answer("403 Forbidden", "{\"errors\":[\"1 error occurred:\\n\\t* invalid accessor\\n\\n\"]}")
        } else {
            answer("400 Bad Request", "{\"errors\":[\"invalid lease\"]}")
        };
        match (seen.target.as_str(), there) {
            ("/v1/auth/token/lookup-accessor" | "/v1/sys/leases/lookup", true) => {
                answer("200 OK", "{\"data\":{\"ttl\":3600}}")
            }
            // A lease that is not there is revoked with success all the same.
            ("/v1/auth/token/revoke-accessor", true) | ("/v1/sys/leases/revoke", _) => {
                if ends {
                    ended.push(name);
                }
                answer("204 No Content", "")
            }
            _ => invalid,
        }
    })
    .await
}

#[tokio::test]
async fn vault_ends_tokens_and_leases_and_is_asked_whether_they_are_gone() {
    let dir = secrets();
    let server = vault(&["acc-1", "database/creds/agent/x1"], true).await;
    let receiver = receiver(VAULT, dir.path(), &server);
    let token = due(Action::RevokeTask, "agent", &["acc-1", "jti-19"]);
    assert_eq!(evidence(&receiver.send(&token, NOW).await), Some("lookup: there before, unknown after"));
    let lease = due(Action::RevokeTask, "agent", &["database/creds/agent/x1"]);
    assert_eq!(evidence(&receiver.send(&lease, NOW).await), Some("lookup: there before, unknown after"));
    golden("vault.txt", &asked(&server));
    for again in [&token, &lease] {
        assert_eq!(evidence(&receiver.send(again, NOW).await), None, "nobody has seen it happen");
    }
}

#[tokio::test]
async fn what_vault_does_not_end_is_not_done() {
    let dir = secrets();
    let server = vault(&["acc-1"], false).await;
    let due_of = |uid| due(Action::RevokeTask, "agent", &[uid]);
    let outcome = receiver(VAULT, dir.path(), &server).send(&due_of("acc-1"), NOW).await;
    assert_eq!(outcome.told().1, Some("still_active"));
    let outcome = receiver(VAULT, dir.path(), &server).send(&due_of("hmac-sha256:abc"), NOW).await;
    assert_eq!(first(&outcome), Next::DeadLetter("hashed_accessor"));
    let sealed =
        Server::start(|_, _| answer("503 Service Unavailable", "{\"errors\":[\"Vault is sealed\"]}")).await;
    let outcome = receiver(VAULT, dir.path(), &sealed).send(&due_of("acc-1"), NOW).await;
    assert!(matches!(first(&outcome), Next::Retry(_)));
    std::fs::write(dir.path().join("token"), "another-token").unwrap();
    let outcome = receiver(VAULT, dir.path(), &server).send(&due_of("acc-1"), NOW).await;
    assert_eq!(first(&outcome), Next::DeadLetter("refused"));
    std::fs::write(dir.path().join("token"), "secret-bearer-token-0123456789abcdef").unwrap();
    let outcome = receiver(VAULT, dir.path(), &server).send(&due_of("acc-2"), NOW).await;
    assert_eq!(evidence(&outcome), None, "what Vault never knew is no evidence");
}

#[tokio::test]
async fn a_secret_that_is_renewed_in_its_file_is_used_without_a_restart() {
    let dir = secrets();
    let server = vault(&["acc-1"], true).await;
    let receiver = receiver(VAULT, dir.path(), &server);
    std::fs::write(dir.path().join("token"), "expired").unwrap();
    let due = due(Action::RevokeTask, "agent", &["acc-1"]);
    assert_eq!(first(&receiver.send(&due, NOW).await), Next::DeadLetter("refused"));
    std::fs::remove_file(dir.path().join("token")).unwrap();
    assert_eq!(receiver.send(&due, NOW).await, Outcome::Failed("secret"));
    std::fs::write(dir.path().join("token"), "secret-bearer-token-0123456789abcdef").unwrap();
    assert_eq!(first(&receiver.send(&due, NOW).await), Next::Acknowledged);
}

const AWS: &str = "kind = \"aws_iam\"\naccount = \"123456789012\"\nroles = [\"agent-*\"]\nendpoint = \"$BASE/\"\n\
                   access_key_id = { file = \"$SECRETS/key-id\" }\nsecret_access_key = { file = \"$SECRETS/key\" }\n\
                   session_token = { file = \"$SECRETS/session\" }\n\
                   agents = [{ agent = \"spiffe://*/agent/billing\", role = \"agent-billing\" }]";
const TAKEN: &str = "<PutRolePolicyResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"/>";

/// Checks a Signature Version 4 from the request alone, with another library than the one that signed.
fn check_signature(seen: &Seen) {
    let sign = |key: &[u8], text: &str| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
    };
    let hashed = |text: &str| hex::encode(digest::digest(&digest::SHA256, text.as_bytes()));
    let whole = &seen.headers["authorization"];
    let part = |name: &str| {
        let rest = whole.split_once(&format!("{name}=")).unwrap().1;
        rest.split(',').next().unwrap().to_owned()
    };
    let (credential, names, signature) = (part("Credential"), part("SignedHeaders"), part("Signature"));
    let lines: Vec<String> = names.split(';').map(|name| format!("{name}:{}", seen.headers[name])).collect();
    let lines = lines.join("\n");
    let canonical = format!("{}\n{}\n\n{lines}\n\n{names}\n{}", seen.method, seen.target, hashed(&seen.body));
    let (_, scope) = credential.split_once('/').unwrap();
    let to_sign =
        format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", seen.headers["x-amz-date"], hashed(&canonical));
    let mut key = b"AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_vec();
    for part in scope.split('/') {
        key = sign(&key, part);
    }
    assert_eq!(hex::encode(sign(&key, &to_sign)), signature);
}

#[tokio::test]
async fn aws_denies_what_was_issued_before_to_the_agents_role() {
    let dir = secrets();
    let server = Server::start(|_, _| answer("200 OK", TAKEN)).await;
    let receiver = receiver(AWS, dir.path(), &server);
    for agent in ["arn:aws:iam::123456789012:role/agent-7", "spiffe://acme.example/agent/billing"] {
        let outcome = receiver.send(&due(Action::RevokeTask, agent, &["ASIAEXAMPLE"]), NOW).await;
        assert_eq!(first(&outcome), Next::Acknowledged);
    }
    let seen = server.seen();
    let sent: Vec<HashMap<String, String>> = seen.iter().map(|seen| form(&seen.body)).collect();
    assert_eq!((sent[0]["RoleName"].as_str(), sent[1]["RoleName"].as_str()), ("agent-7", "agent-billing"));
    let document: serde_json::Value = serde_json::from_str(&sent[0]["PolicyDocument"]).unwrap();
    assert_eq!(
        document["Statement"][0]["Condition"]["DateLessThan"]["aws:TokenIssueTime"],
        "2026-11-26T09:01:40Z"
    );
    seen.iter().for_each(check_signature);
    // The signature depends on the port: it is checked above.
    let text = asked(&server);
    let masked: Vec<&str> =
        text.lines().map(|line| line.split_once("Signature=").map_or(line, |(before, _)| before)).collect();
    golden("aws_iam.txt", &format!("{}\n", masked.join("\n")));
}

#[tokio::test]
async fn aws_roles_that_are_not_named_are_left_alone() {
    let dir = secrets();
    let server = Server::start(|_, _| answer("200 OK", TAKEN)).await;
    let receiver = receiver(AWS, dir.path(), &server);
    for (agent, class) in [
        ("arn:aws:iam::123456789012:role/admin", "not_allowed"),
        ("arn:aws:iam::999999999999:role/agent-7", "no_target"),
        ("arn:aws:iam::123456789012:role/agent-7&RoleName=admin", "not_allowed"),
        ("arn:aws:iam::123456789012:role/agent-7/x", "not_allowed"),
        ("arn:aws:iam::123456789012:user/agent-7", "no_target"),
        ("someone", "no_target"),
    ] {
        let outcome = receiver.send(&due(Action::RevokeTask, agent, &[]), NOW).await;
        assert_eq!(first(&outcome), Next::DeadLetter(class), "{agent}");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn what_aws_says_decides_whether_it_is_asked_again() {
    let dir = secrets();
    for (status, code, class) in [
        ("400 Bad Request", "Throttling", None),
        ("409 Conflict", "ConcurrentModification", None),
        ("403 Forbidden", "ExpiredToken", None),
        ("500 Internal Server Error", "ServiceFailure", None),
        ("404 Not Found", "NoSuchEntity", Some("aws_no_such_role")),
        ("403 Forbidden", "AccessDenied", Some("aws_access_denied")),
        ("403 Forbidden", "SignatureDoesNotMatch", Some("aws_credentials")),
        ("400 Bad Request", "UnmodifiableEntity", Some("aws_unmodifiable")),
        ("400 Bad Request", "MalformedPolicyDocument", Some("refused")),
    ] {
        let server = Server::start(move |_, _| {
            let body = format!("<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>");
            Answer::Http(status, String::new(), body)
        })
        .await;
        let due = due(Action::RevokeTask, "arn:aws:iam::123456789012:role/agent-7", &[]);
        let next = first(&receiver(AWS, dir.path(), &server).send(&due, NOW).await);
        match class {
            Some(class) => assert_eq!(next, Next::DeadLetter(class), "{code}"),
            None => assert!(matches!(next, Next::Retry(_)), "{code}: {next:?}"),
        }
    }
}
