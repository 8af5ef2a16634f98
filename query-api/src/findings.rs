//! Findings, each with what it led to.

use crate::engine::{Session, Span, is};
use crate::error::Error;
use crate::events::{EventFilter, Order};
use crate::rows::rows;
use crate::triage::TriageView;
use crate::views::{DeliveryView, EventView, FindingView, Page, ResponseView, text_of};
use ambit_schemas::columns::names;
use ambit_schemas::event::Body;
use ambit_schemas::{Kind, Topic, decode};
use datafusion::logical_expr::{ident, lit};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Most response events that are read for one page of findings.
const RESPONSE_EVENTS_MAX: usize = 20_000;

impl Session {
    /// A page of findings, newest first.
    pub async fn findings(
        &self,
        filter: &EventFilter,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<FindingView>, Error> {
        let filter = EventFilter { kind: Some(Kind::FindingCreated.name().to_owned()), ..filter.clone() };
        let page = self.events(&filter, Order::Descending, limit, cursor).await?;
        let (items, cut) = self.with_responses(page.items).await?;
        let incomplete = cut.then(|| format!("only {RESPONSE_EVENTS_MAX} response events were read"));
        Ok(Page { items, next_cursor: page.next_cursor, incomplete })
    }

    /// One finding.
    pub async fn finding(&self, id: &str) -> Result<FindingView, Error> {
        let frame = self
            .frame(Span::default())
            .await?
            .filter(is(names::FINDING, id))?
            .filter(is(names::KIND, Kind::FindingCreated.name()))?
            .limit(0, Some(1))?;
        let batches = self.run(frame).await?;
        let row = rows(&batches).next();
        let row = row.ok_or_else(|| Error::NotFound(format!("there is no finding `{id}`")))?;
        let (view, _) = self.view(&row)?;
        let (found, _) = self.with_responses(vec![view]).await?;
        found.into_iter().next().ok_or_else(|| Error::NotFound(format!("there is no finding `{id}`")))
    }

    /// Findings with their responses. A finding that was told twice stands here once.
    pub(crate) async fn with_responses(
        &self,
        events: Vec<EventView>,
    ) -> Result<(Vec<FindingView>, bool), Error> {
        let ids: Vec<String> = events.iter().filter_map(|event| event.finding.clone()).collect();
        let (mut responses, cut) = self.responses(&ids).await?;
        let mut seen = HashSet::new();
        let mut views = Vec::with_capacity(events.len());
        for event in events {
            let id = event.finding.clone().unwrap_or_default();
            if !seen.insert(id.clone()) {
                continue;
            }
            let finding =
                event.data.as_ref().and_then(|data| data.get("finding")).cloned().unwrap_or(Value::Null);
            views.push(FindingView {
                reference: event.reference,
                finding,
                response: responses.remove(&id),
                triage: TriageView::default(),
            });
        }
        Ok((views, cut))
    }

    async fn responses(&self, findings: &[String]) -> Result<(HashMap<String, ResponseView>, bool), Error> {
        if findings.is_empty() {
            return Ok((HashMap::new(), false));
        }
        let among =
            ident(names::FINDING).in_list(findings.iter().map(|id| lit(id.as_str())).collect(), false);
        let frame = self
            .frame(Span::default())
            .await?
            .filter(is(names::TOPIC, Topic::Responses.name()))?
            .filter(among)?
            .limit(0, Some(RESPONSE_EVENTS_MAX))?;
        let batches = self.run(frame).await?;
        let mut states: HashMap<String, State> = HashMap::new();
        let mut read = 0;
        for row in rows(&batches) {
            read += 1;
            let Ok(event) = decode(&row.record()?.record) else { continue };
            take(&mut states, event.body);
        }
        let views = states.into_iter().filter_map(|(id, state)| Some((id, state.view()?))).collect();
        Ok((views, read == RESPONSE_EVENTS_MAX))
    }
}

/// What is known of a finding's response, from events in any order.
#[derive(Default)]
struct State {
    action: Option<String>,
    held_back: Option<Value>,
    decided_at: Option<String>,
    receivers: Vec<String>,
    deliveries: BTreeMap<String, DeliveryView>,
}

impl State {
    fn delivery(&mut self, id: &str, receiver: &str) -> &mut DeliveryView {
        self.deliveries.entry(id.to_owned()).or_insert_with(|| DeliveryView {
            delivery_id: id.to_owned(),
            receiver: receiver.to_owned(),
            state: "pending".into(),
            ..DeliveryView::default()
        })
    }

    fn view(self) -> Option<ResponseView> {
        let mut deliveries: Vec<DeliveryView> = self.deliveries.into_values().collect();
        for receiver in self.receivers {
            if !deliveries.iter().any(|delivery| delivery.receiver == receiver) {
                deliveries.push(DeliveryView {
                    receiver,
                    state: "pending".into(),
                    ..DeliveryView::default()
                });
            }
        }
        let (action, held_back, decided_at) = (self.action?, self.held_back, self.decided_at);
        Some(ResponseView { action, held_back, decided_at, deliveries })
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "only events about responses are of interest")]
fn take(states: &mut HashMap<String, State>, body: Body) {
    match body {
        Body::ResponseDecided(decided) => {
            let state = states.entry(decided.finding_id.to_string()).or_default();
            state.action = Some(decided.action.name().to_owned());
            state.held_back = decided.held_back.as_ref().and_then(|held| serde_json::to_value(held).ok());
            state.receivers = decided.receivers.iter().map(ToString::to_string).collect();
        }
        Body::ResponseAttempted(attempt) => {
            let state = states.entry(attempt.finding_id.to_string()).or_default();
            state.decided_at.get_or_insert_with(|| attempt.started_at.to_string());
            let delivery = state.delivery(attempt.delivery_id.as_str(), attempt.receiver.as_str());
            if attempt.number >= delivery.attempts {
                delivery.attempts = attempt.number;
                delivery.last_status = attempt.http_status;
                delivery.last_error.clone_from(&attempt.error);
            }
        }
        Body::ResponseAcknowledged(taken) => {
            let state = states.entry(taken.finding_id.to_string()).or_default();
            let delivery = state.delivery(taken.delivery_id.as_str(), taken.receiver.as_str());
            delivery.state = "acknowledged".into();
            delivery.attempts = delivery.attempts.max(taken.attempts);
            delivery.last_status = Some(taken.http_status);
            delivery.acknowledged_at = text_of(Some(taken.acknowledged_at));
        }
        Body::ResponseDeadLettered(dead) => {
            let state = states.entry(dead.finding_id.to_string()).or_default();
            let delivery = state.delivery(dead.delivery_id.as_str(), dead.receiver.as_str());
            delivery.state = "dead_lettered".into();
            delivery.attempts = delivery.attempts.max(dead.attempts);
            delivery.last_error = Some(dead.reason);
        }
        _ => {}
    }
}
