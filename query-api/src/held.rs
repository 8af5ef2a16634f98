//! What agents held and touched: credentials with the time for which they stood, tasks with what was done in them.

use crate::cursor::sort;
use crate::engine::{Session, Span, is};
use crate::error::Error;
use crate::rows::rows;
use crate::views::{EventView, text_of};
use ambit_schemas::columns::names;
use ambit_schemas::{Kind, Timestamp};
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{ident, lit};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// Most events that are read for one view.
const EVENTS_MAX: usize = 20_000;
/// Most credentials of one agent or task.
const CREDENTIALS_MAX: usize = 1_000;

/// A credential: from when to when it stood, who used it, and for what.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct CredentialView {
    /// Its id.
    pub uid: String,
    /// Such as `oauth_access_token`.
    pub credential_type: Option<String>,
    /// Who issued it.
    pub issuer: Option<String>,
    /// What it allows.
    pub scopes: Vec<String>,
    /// When it came into being.
    pub issued_at: Option<String>,
    /// Until when it is valid by itself.
    pub expires_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
    /// How it ended: `revoked`, `expired`, `rotated`; null while it stands.
    pub ended_by: Option<String>,
    /// Seconds for which it could be used, up to now; null when nobody said when it was issued.
    pub standing_seconds: Option<f64>,
    /// How often it was used, by events that say so.
    pub uses: u64,
    /// The first and the last use.
    pub first_used: Option<String>,
    /// The last use.
    pub last_used: Option<String>,
    /// Uses after its end.
    pub uses_after_end: u64,
    /// Who used it or got it.
    pub agents: Vec<String>,
    /// In which tasks.
    pub tasks: Vec<String>,
    /// What was reached with it.
    pub resources: Vec<String>,
}

/// A credential with its events.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CredentialDetail {
    /// The credential.
    #[serde(flatten)]
    pub credential: CredentialView,
    /// Its events, oldest first.
    pub events: Vec<EventView>,
    /// Why events may be missing; null when none is.
    pub incomplete: Option<String>,
}

/// What was done in a task, or held by an agent.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct HoldingsView {
    /// The task or the agent.
    pub id: String,
    /// Its first event.
    pub first_event: Option<String>,
    /// Its last event.
    pub last_event: Option<String>,
    /// How often each tool was asked for.
    pub tools: BTreeMap<String, u64>,
    /// How often each tool was refused.
    pub denied: BTreeMap<String, u64>,
    /// Findings, by rule.
    pub findings: BTreeMap<String, u64>,
    /// Credentials, by their first event.
    pub credentials: Vec<CredentialView>,
    /// Seconds for which all its credentials stood, together.
    pub standing_seconds: f64,
    /// What was reached with credentials.
    pub resources: Vec<String>,
    /// Why something may be missing; null when nothing is.
    pub incomplete: Option<String>,
}

/// A credential from its events, oldest first.
#[derive(Default)]
struct Standing {
    view: CredentialView,
    issued: Option<Timestamp>,
    expires: Option<Timestamp>,
    ended: Option<Timestamp>,
    agents: BTreeSet<String>,
    tasks: BTreeSet<String>,
    resources: BTreeSet<String>,
}

impl Standing {
    #[allow(clippy::wildcard_enum_match_arm, reason = "every other event with a credential is a use of it")]
    fn take(&mut self, event: &EventView) {
        let time = event.time.as_deref().and_then(|time| Timestamp::parse(time).ok());
        let data = event.data.as_ref();
        let text = |pointer: &str| Some(data?.pointer(pointer)?.as_str()?.to_owned());
        self.agents.extend(event.agent.clone());
        self.tasks.extend(event.task.clone());
        self.resources.extend(text("/credential/resource"));
        let view = &mut self.view;
        view.credential_type = view.credential_type.take().or_else(|| text("/credential/credential_type"));
        view.issuer = view.issuer.take().or_else(|| text("/credential/issuer"));
        match Kind::from_name(&event.kind) {
            Some(Kind::CredentialIssued | Kind::CredentialRotated) => {
                let begins = text("/credential/not_before").and_then(|time| Timestamp::parse(&time).ok());
                self.issued = self.issued.or(begins).or(time);
                let ends = text("/credential/expires_at").and_then(|time| Timestamp::parse(&time).ok());
                self.expires = self.expires.max(ends);
                let scopes = data.and_then(|data| data.pointer("/credential/scopes")?.as_array());
                view.scopes =
                    scopes.into_iter().flatten().filter_map(|one| Some(one.as_str()?.to_owned())).collect();
            }
            Some(Kind::CredentialRevoked) => self.end(time, "revoked"),
            Some(Kind::CredentialExpired) => self.end(time, "expired"),
            _ => {
                view.uses += 1;
                view.first_used = view.first_used.take().or_else(|| text_of(time));
                view.last_used = text_of(time);
                let ended = self.ended.or(self.expires).zip(time).is_some_and(|(ended, time)| time > ended);
                view.uses_after_end += u64::from(ended);
            }
        }
    }

    fn end(&mut self, time: Option<Timestamp>, how: &str) {
        if self.ended.is_none() {
            self.ended = time;
            self.view.ended_by = Some(how.to_owned());
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "microseconds of a lifetime are exact enough in a float")]
    fn view(mut self, uid: &str, now: Timestamp) -> CredentialView {
        if self.ended.is_none() && self.expires.is_some_and(|expires| expires <= now) {
            self.ended = self.expires;
            self.view.ended_by = Some("expired".into());
        }
        let until = self.ended.into_iter().chain(self.expires).min().unwrap_or(now).min(now);
        CredentialView {
            uid: uid.to_owned(),
            issued_at: text_of(self.issued),
            expires_at: text_of(self.expires),
            ended_at: text_of(self.ended),
            standing_seconds: self.issued.map(|issued| until.micros_since(issued).max(0) as f64 / 1e6),
            agents: self.agents.into_iter().collect(),
            tasks: self.tasks.into_iter().collect(),
            resources: self.resources.into_iter().collect(),
            ..self.view
        }
    }
}

impl Session {
    /// One credential with its events. `now` is the caller's time, until which it has stood.
    pub async fn credential(&self, uid: &str, now: Timestamp) -> Result<CredentialDetail, Error> {
        let frame = self.frame(Span::default()).await?.filter(is(names::CREDENTIAL, uid))?;
        let (events, more) = self.oldest(frame).await?;
        if events.is_empty() {
            return Err(Error::NotFound(format!("there is no credential `{uid}`")));
        }
        let mut standing = Standing::default();
        for event in events.iter().filter(|event| !event.duplicate) {
            standing.take(event);
        }
        let incomplete = more.then(|| format!("only the first {EVENTS_MAX} events were read"));
        Ok(CredentialDetail { credential: standing.view(uid, now), events, incomplete })
    }

    /// What was done and held in a task, or in all tasks below it when it is a root task.
    pub async fn task_holdings(&self, task: &str, now: Timestamp) -> Result<HoldingsView, Error> {
        let within = is(names::TASK, task).or(is(names::ROOT_TASK, task));
        let frame = self.frame(Span::default()).await?.filter(within)?;
        self.holdings(task, frame, now).await
    }

    /// What an agent did and held.
    pub async fn agent_holdings(&self, agent: &str, now: Timestamp) -> Result<HoldingsView, Error> {
        let frame = self.frame(Span::default()).await?.filter(is(names::AGENT, agent))?;
        self.holdings(agent, frame, now).await
    }

    async fn holdings(&self, id: &str, frame: DataFrame, now: Timestamp) -> Result<HoldingsView, Error> {
        let (events, mut more) = self.oldest(frame).await?;
        if events.is_empty() {
            return Err(Error::NotFound(format!("there is no event of `{id}`")));
        }
        let mut view = HoldingsView { id: id.to_owned(), ..HoldingsView::default() };
        let mut credentials = BTreeSet::new();
        for event in events.iter().filter(|event| !event.duplicate) {
            view.first_event = view.first_event.take().or_else(|| event.time.clone());
            view.last_event = event.time.clone().or(view.last_event.take());
            let tool = event.tool.clone().unwrap_or_default();
            match Kind::from_name(&event.kind) {
                Some(Kind::ToolCallRequested) => *view.tools.entry(tool).or_default() += 1,
                Some(Kind::ToolCallDenied) => *view.denied.entry(tool).or_default() += 1,
                Some(Kind::FindingCreated) => {
                    *view.findings.entry(event.rule.clone().unwrap_or_default()).or_default() += 1;
                }
                _ => {}
            }
            credentials.extend(crate::chain::credential_of(event));
        }
        more |= credentials.len() > CREDENTIALS_MAX;
        let (held, cut) =
            self.credentials(credentials.into_iter().take(CREDENTIALS_MAX).collect(), now).await?;
        view.standing_seconds = held.iter().filter_map(|credential| credential.standing_seconds).sum();
        view.resources = held.iter().flat_map(|credential| credential.resources.clone()).collect();
        view.resources.sort_unstable();
        view.resources.dedup();
        view.credentials = held;
        view.incomplete = (more || cut).then(|| {
            format!("only the first {EVENTS_MAX} events and {CREDENTIALS_MAX} credentials were read")
        });
        Ok(view)
    }

    /// Credentials, whoever used them, and whether events are missing.
    async fn credentials(
        &self,
        uids: Vec<String>,
        now: Timestamp,
    ) -> Result<(Vec<CredentialView>, bool), Error> {
        if uids.is_empty() {
            return Ok((Vec::new(), false));
        }
        let among =
            ident(names::CREDENTIAL).in_list(uids.iter().map(|uid| lit(uid.as_str())).collect(), false);
        let frame = self.frame(Span::default()).await?.filter(among)?;
        let (events, more) = self.oldest(frame).await?;
        let mut standings: BTreeMap<String, Standing> = BTreeMap::new();
        for event in events.iter().filter(|event| !event.duplicate) {
            if let Some(uid) = crate::chain::credential_of(event) {
                standings.entry(uid).or_default().take(event);
            }
        }
        Ok((standings.into_iter().map(|(uid, standing)| standing.view(&uid, now)).collect(), more))
    }

    /// The first events of a frame, oldest first, and whether there are more.
    async fn oldest(&self, frame: DataFrame) -> Result<(Vec<EventView>, bool), Error> {
        let batches = self.run(frame.sort(sort(false))?.limit(0, Some(EVENTS_MAX + 1))?).await?;
        let mut events = Vec::new();
        for row in rows(&batches) {
            events.push(self.view(&row)?.0);
        }
        let more = events.len() > EVENTS_MAX;
        events.truncate(EVENTS_MAX);
        Ok((events, more))
    }
}
