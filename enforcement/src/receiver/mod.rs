//! Receivers of every kind. Each kind is a module: its options, and how one delivery becomes requests and an outcome.
//!
//! Two sorts: those that are told (webhooks, security event tokens, chat, paging), and those that carry out what they
//! are asked for themselves (OAuth, Vault, AWS, Kubernetes). The latter take revocations only, and look afterwards
//! whether there is an effect (INVARIANT E-2).

pub mod aws_iam;
pub(crate) mod choose;
pub mod kubernetes;
pub mod notice;
pub mod oauth_revoke;
pub mod pagerduty;
pub mod set_poll;
pub mod set_push;
mod sigv4;
pub mod slack;
pub mod teams;
pub mod vault;
pub mod webhook;

use crate::client::Http;
use crate::error::Error;
use crate::options::{Options, ReceiverOptions, typed};
use crate::outbox::Due;
use crate::schedule::Outcome;
use crate::transmitter::Transmitter;
use ambit_schemas::id::ReceiverId;
use ambit_schemas::response::Action;
use serde::Serialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// What a receiver is, with what its kind needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// A Standard Webhook.
    Webhook(webhook::WebhookOptions),
    /// Security event tokens, pushed (RFC 8935).
    SetPush(set_push::SetPushOptions),
    /// Security event tokens, fetched (RFC 8936).
    SetPoll(set_poll::SetPollOptions),
    /// Token revocation at an authorization server (RFC 7009).
    OauthRevoke(Box<oauth_revoke::OauthRevokeOptions>),
    /// Revocation of tokens and leases in Vault or OpenBao.
    Vault(vault::VaultOptions),
    /// Revocation of the sessions of an IAM role.
    AwsIam(Box<aws_iam::AwsIamOptions>),
    /// Deletion of a service account, or of its token secrets.
    Kubernetes(kubernetes::KubernetesOptions),
    /// A message in Slack.
    Slack(slack::SlackOptions),
    /// A card in Microsoft Teams.
    Teams(teams::TeamsOptions),
    /// An incident in PagerDuty.
    Pagerduty(pagerduty::PagerdutyOptions),
}

/// The names of all kinds.
const KINDS: [&str; 10] = [
    "webhook",
    "set_push",
    "set_poll",
    "oauth_revoke",
    "vault",
    "aws_iam",
    "kubernetes",
    "slack",
    "teams",
    "pagerduty",
];

impl Kind {
    /// Reads a kind's own fields.
    pub(crate) fn read(kind: &str, fields: Map<String, Value>) -> Result<Self, String> {
        let read = match kind {
            "webhook" => typed(fields).map(Self::Webhook),
            "set_push" => typed(fields).map(Self::SetPush),
            "set_poll" => typed(fields).map(Self::SetPoll),
            "oauth_revoke" => typed(fields).map(Self::OauthRevoke),
            "vault" => typed(fields).map(Self::Vault),
            "aws_iam" => typed(fields).map(Self::AwsIam),
            "kubernetes" => typed(fields).map(Self::Kubernetes),
            "slack" => typed(fields).map(Self::Slack),
            "teams" => typed(fields).map(Self::Teams),
            "pagerduty" => typed(fields).map(Self::Pagerduty),
            _ => {
                return Err(format!("field `kind`: there is no `{kind}` (known: {})", KINDS.join(", ")));
            }
        };
        read.map_err(|why| format!("kind `{kind}`: {why}"))
    }

    /// The URLs that the configuration names, with their fields. Those that are secrets are checked when they are used.
    pub(crate) fn urls(&self) -> Vec<(&'static str, &Url)> {
        match self {
            Self::Webhook(options) => vec![("url", &options.url)],
            Self::SetPush(options) => vec![("url", &options.url)],
            Self::OauthRevoke(options) => options.urls(),
            Self::Vault(options) => vec![("url", &options.url)],
            Self::AwsIam(options) => vec![("endpoint", &options.endpoint)],
            Self::Kubernetes(options) => vec![("url", &options.url)],
            Self::Pagerduty(options) => vec![("url", &options.url)],
            Self::SetPoll(_) | Self::Slack(_) | Self::Teams(_) => Vec::new(),
        }
    }

    /// Whether a receiver of this kind can do anything about this action: those that carry out only revoke.
    pub const fn takes(&self, action: Action) -> bool {
        match self {
            Self::OauthRevoke(_) | Self::Vault(_) | Self::AwsIam(_) | Self::Kubernetes(_) => action.revokes(),
            Self::Webhook(_)
            | Self::SetPush(_)
            | Self::SetPoll(_)
            | Self::Slack(_)
            | Self::Teams(_)
            | Self::Pagerduty(_) => true,
        }
    }
}

/// A receiver, ready to be sent to.
#[derive(Debug, Clone)]
pub struct Receiver {
    pub(crate) id: ReceiverId,
    pub(crate) concurrency: usize,
    patience: Duration,
    kind: Arc<Kind>,
    sender: Sender,
}

/// One per kind: what was read and checked beforehand.
#[derive(Debug, Clone)]
enum Sender {
    Webhook(webhook::Webhook),
    SetPush(set_push::SetPush),
    SetPoll(set_poll::SetPoll),
    OauthRevoke(oauth_revoke::OauthRevoke),
    Vault(vault::Vault),
    AwsIam(aws_iam::AwsIam),
    Kubernetes(kubernetes::Kubernetes),
    Slack(slack::Slack),
    Teams(teams::Teams),
    Pagerduty(pagerduty::Pagerduty),
}

impl Receiver {
    /// Checks a receiver's options, reads its secrets once, and sets up its client. Nothing is sent.
    pub fn new(receiver: &ReceiverOptions, options: &Options) -> Result<Self, Error> {
        let guard = receiver.guard(&options.allowed_hosts)?;
        receiver.check(&guard)?;
        let http = Http::new(receiver, guard)?;
        let wrong = |why: String| receiver.wrong(why);
        let listens = options.transmitter.as_ref().is_some_and(|transmitter| transmitter.listen.is_some());
        if matches!(receiver.kind, Kind::SetPoll(_)) && !listens {
            return Err(wrong(
                "`enforcement.transmitter.listen` is missing: nobody could fetch tokens".into(),
            ));
        }
        let transmitter = || match &options.transmitter {
            Some(transmitter) => Transmitter::new(transmitter).map(Arc::new).map_err(wrong),
            None => Err(wrong("`[enforcement.transmitter]` is missing: it says who signs".into())),
        };
        let sender = match &receiver.kind {
            Kind::Webhook(own) => Sender::Webhook(webhook::Webhook::new(own, http).map_err(wrong)?),
            Kind::SetPush(own) => {
                Sender::SetPush(set_push::SetPush::new(own, http, transmitter()?).map_err(wrong)?)
            }
            Kind::SetPoll(own) => {
                Sender::SetPoll(set_poll::SetPoll::new(own, transmitter()?).map_err(wrong)?)
            }
            Kind::OauthRevoke(own) => {
                Sender::OauthRevoke(oauth_revoke::OauthRevoke::new(own, http).map_err(wrong)?)
            }
            Kind::Vault(own) => Sender::Vault(vault::Vault::new(own, http).map_err(wrong)?),
            Kind::AwsIam(own) => Sender::AwsIam(aws_iam::AwsIam::new(own, http).map_err(wrong)?),
            Kind::Kubernetes(own) => {
                Sender::Kubernetes(kubernetes::Kubernetes::new(own, http).map_err(wrong)?)
            }
            Kind::Slack(own) => Sender::Slack(slack::Slack::new(own, http).map_err(wrong)?),
            Kind::Teams(own) => Sender::Teams(teams::Teams::new(own, http).map_err(wrong)?),
            Kind::Pagerduty(own) => Sender::Pagerduty(pagerduty::Pagerduty::new(own, http).map_err(wrong)?),
        };
        Ok(Self {
            id: receiver.id.clone(),
            concurrency: receiver.concurrency,
            patience: Duration::from_millis(receiver.timeout_ms),
            kind: Arc::new(receiver.kind.clone()),
            sender,
        })
    }

    /// Tries a delivery once, with every request that it needs, within the receiver's time. `timestamp` is seconds
    /// since 1970.
    pub async fn send(&self, due: &Due, timestamp: i64) -> Outcome {
        if !self.kind.takes(due.action) {
            return Outcome::Refused { status: None, class: "not_for_action" };
        }
        let sent = async {
            match &self.sender {
                Sender::Webhook(sender) => sender.send(due, timestamp).await,
                Sender::SetPush(sender) => sender.send(due, timestamp).await,
                // Is asked for, not sent: see `set_poll`.
                Sender::SetPoll(_) => Outcome::Failed("polled"),
                Sender::OauthRevoke(sender) => sender.send(due, timestamp).await,
                Sender::Vault(sender) => sender.send(due).await,
                Sender::AwsIam(sender) => sender.send(due, timestamp).await,
                Sender::Kubernetes(sender) => sender.send(due).await,
                Sender::Slack(sender) => sender.send(due).await,
                Sender::Teams(sender) => sender.send(due).await,
                Sender::Pagerduty(sender) => sender.send(due).await,
            }
        };
        tokio::time::timeout(self.patience, sent).await.unwrap_or(Outcome::Failed("timeout"))
    }

    /// What is needed to be asked by it, where it is one that asks.
    pub(crate) const fn polled(&self) -> Option<&set_poll::SetPoll> {
        match &self.sender {
            Sender::SetPoll(polled) => Some(polled),
            Sender::Webhook(_)
            | Sender::SetPush(_)
            | Sender::OauthRevoke(_)
            | Sender::Vault(_)
            | Sender::AwsIam(_)
            | Sender::Kubernetes(_)
            | Sender::Slack(_)
            | Sender::Teams(_)
            | Sender::Pagerduty(_) => None,
        }
    }
}
