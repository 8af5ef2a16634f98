//! Revocation of all sessions of an IAM role: the inline policy `AWSRevokeOlderSessions`, as AWS's console writes it. It
//! denies everything to credentials that were issued before; who assumes the role anew is not concerned.
//!
//! Which role is an agent's: one that the configuration names, or the role whose sessions the agent is, by its ARN. Only
//! roles that `roles` names are touched. IAM takes some seconds until a policy holds everywhere.

use crate::client::{Answer, Http, secret};
use crate::options::globs;
use crate::outbox::Due;
use crate::receiver::sigv4::{Signing, authorization};
use crate::schedule::Outcome;
use ambit_bus::SecretRef;
use ambit_schemas::Timestamp;
use globset::{Glob, GlobMatcher, GlobSet};
use reqwest::{Method, header};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use url::{Url, form_urlencoded};

/// The policy's name: AWS's own, so that its console shows and replaces it.
const POLICY: &str = "AWSRevokeOlderSessions";
/// Most characters of a role's name.
const ROLE_CHARS_MAX: usize = 64;

/// An AWS account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsIamOptions {
    /// Its number: roles of other accounts are not touched.
    pub account: String,
    /// Which roles may be touched, as globs of their names.
    pub roles: Vec<String>,
    /// Agents that are not named by their role's ARN.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<AgentRole>,
    /// The access key that may call `iam:PutRolePolicy` on those roles.
    pub access_key_id: SecretRef,
    /// Its secret.
    pub secret_access_key: SecretRef,
    /// Its session token, where it is a temporary one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<SecretRef>,
    /// Where IAM is. It is global; partitions of their own have one of their own.
    #[serde(default = "default_endpoint")]
    pub endpoint: Url,
    /// The region that requests are signed for.
    #[serde(default = "default_region")]
    pub region: String,
}

/// The role of some agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentRole {
    /// Their names, as a glob.
    pub agent: String,
    /// Their role's name.
    pub role: String,
}

fn default_endpoint() -> Url {
    Url::parse("https://iam.amazonaws.com/").unwrap_or_else(|_| unreachable!("a constant URL"))
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

#[derive(Debug, Clone)]
pub(super) struct AwsIam {
    options: Arc<AwsIamOptions>,
    allowed: GlobSet,
    agents: Arc<Vec<(GlobMatcher, String)>>,
    http: Http,
}

impl AwsIam {
    pub(super) fn new(options: &AwsIamOptions, http: Http) -> Result<Self, String> {
        if options.account.len() != 12 || !options.account.chars().all(|digit| digit.is_ascii_digit()) {
            return Err("field `account`: expected 12 digits".into());
        }
        let allowed =
            globs("roles", &options.roles)?.ok_or("field `roles`: name the roles that may be touched")?;
        let secrets =
            [Some(&options.access_key_id), Some(&options.secret_access_key), options.session_token.as_ref()];
        for reference in secrets.into_iter().flatten() {
            reference.read()?;
        }
        let mut agents = Vec::new();
        for mapped in &options.agents {
            let glob = Glob::new(&mapped.agent).map_err(|error| format!("field `agents`: {error}"))?;
            agents.push((glob.compile_matcher(), mapped.role.clone()));
        }
        Ok(Self { options: Arc::new(options.clone()), allowed, agents: Arc::new(agents), http })
    }

    /// The role whose sessions the agent is, if it may be touched.
    fn role(&self, agent: &str) -> Result<String, &'static str> {
        let named = self.agents.iter().find(|(glob, _)| glob.is_match(agent)).map(|(_, role)| role.as_str());
        let own = || {
            // `arn:aws:iam::123456789012:role/name`, also `aws-cn`, `aws-us-gov`.
            let (account, role) =
                agent.strip_prefix("arn:aws")?.split_once(":iam::")?.1.split_once(":role/")?;
            (account == self.options.account).then_some(role)
        };
        let role = named.or_else(own).ok_or("no_target")?;
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "_+=,.@-".contains(letter);
        let is_name = !role.is_empty() && role.len() <= ROLE_CHARS_MAX && role.chars().all(plain);
        if is_name && self.allowed.is_match(role) { Ok(role.to_owned()) } else { Err("not_allowed") }
    }

    pub(super) async fn send(&self, due: &Due, timestamp: i64) -> Outcome {
        let agent = due.finding.agent.as_ref().map_or("", |agent| agent.uid.as_str());
        let role = match self.role(agent) {
            Ok(role) => role,
            Err(class) => return Outcome::Refused { status: None, class },
        };
        let now = Timestamp::from_micros(timestamp.saturating_mul(1_000_000)).to_string();
        let request = match self.request(&role, &now) {
            Ok(request) => request,
            Err(failed) => return failed,
        };
        self.http.exchange(request).await.map_or_else(|failed| failed, |answer| outcome(&answer))
    }

    fn request(&self, role: &str, now: &str) -> Result<reqwest::RequestBuilder, Outcome> {
        let options = &self.options;
        let (key, hidden) = (secret(&options.access_key_id)?, secret(&options.secret_access_key)?);
        let token = options.session_token.as_ref().map(secret).transpose()?;
        // `*` as AWS's own clients write it: there are servers that write the body anew before they check its signature.
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", "PutRolePolicy")
            .append_pair("Version", "2010-05-08")
            .append_pair("RoleName", role)
            .append_pair("PolicyName", POLICY)
            .append_pair("PolicyDocument", &document(now))
            .finish()
            .replace('*', "%2A");
        let compact: String = now.chars().filter(|letter| !matches!(letter, '-' | ':')).collect();
        let host = host_header(&options.endpoint);
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        let mut headers =
            vec![("content-type", form), ("host", host.as_str()), ("x-amz-date", compact.as_str())];
        if let Some(token) = &token {
            headers.push(("x-amz-security-token", token.as_str()));
        }
        let signing = Signing {
            access_key_id: &key,
            secret_access_key: &hidden,
            region: &options.region,
            service: "iam",
            time: &compact,
        };
        let authorization =
            authorization(&signing, "POST", options.endpoint.path(), &headers, body.as_bytes());
        let mut request = self.http.request(Method::POST, &options.endpoint);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        Ok(request.header(header::AUTHORIZATION, authorization).body(body))
    }
}

/// Host and port as the client sends them.
fn host_header(endpoint: &Url) -> String {
    let host = endpoint.host_str().unwrap_or_default();
    endpoint.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Denies everything to what was issued before `now`.
fn document(now: &str) -> String {
    format!(
        "{{\"Version\":\"2012-10-17\",\"Statement\":[{{\"Effect\":\"Deny\",\"Action\":[\"*\"],\"Resource\":[\"*\"],\
         \"Condition\":{{\"DateLessThan\":{{\"aws:TokenIssueTime\":\"{now}\"}}}}}}]}}"
    )
}

fn outcome(answer: &Answer) -> Outcome {
    let body = answer.body.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    if answer.is_success() {
        let done = body.contains("<PutRolePolicyResponse");
        return if done { Outcome::Done { status: answer.status, evidence: None } } else { answer.garbage() };
    }
    let code =
        body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
    match code {
        Some("Throttling" | "ThrottlingException" | "RequestLimitExceeded") => answer.later("aws_throttling"),
        Some("ConcurrentModification") => answer.later("aws_concurrent_modification"),
        Some("ExpiredToken" | "ExpiredTokenException" | "RequestExpired") => {
            answer.later("aws_expired_token")
        }
        Some("NoSuchEntity") => answer.refused("aws_no_such_role"),
        Some("AccessDenied" | "AccessDeniedException") => answer.refused("aws_access_denied"),
        Some("InvalidClientTokenId" | "SignatureDoesNotMatch") => answer.refused("aws_credentials"),
        Some("LimitExceeded") => answer.refused("aws_limit_exceeded"),
        Some("UnmodifiableEntity") => answer.refused("aws_unmodifiable"),
        _ => answer.by_status(),
    }
}
