//! Which route needs what. A route that does not stand here is refused to everybody; a test compares the table with the
//! OpenAPI document, both ways.

use crate::access::Permission;
use crate::limits::Ask;

/// What becomes of a request in the audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// It is a question.
    Question,
    /// It takes something out of the record.
    Export,
    /// It is an event itself, or says nothing about anybody.
    Otherwise,
}

/// What a route needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) needs: Permission,
    pub(crate) recorded: Recorded,
    pub(crate) ask: Ask,
}

/// Files of the ledgers, as C2SP tlog-tiles has them.
pub(crate) const LEDGER_FILES: &str = "/ledger/{topic}/{partition}/{*path}";

const fn question(path: &'static str, needs: Permission) -> Route {
    Route { method: "GET", path, needs, recorded: Recorded::Question, ask: Ask::Answer }
}

/// An answer that goes on.
const fn stream(path: &'static str, recorded: Recorded) -> Route {
    Route { method: "GET", path, needs: Permission::Investigate, recorded, ask: Ask::Stream }
}

/// Something that is done: an event itself.
const fn deed(method: &'static str, path: &'static str, needs: Permission) -> Route {
    Route { method, path, needs, recorded: Recorded::Otherwise, ask: Ask::Answer }
}

/// Every route that needs somebody to be known.
pub(crate) const TABLE: &[Route] = &[
    deed("GET", "/api/v1/me", Permission::Read),
    question("/api/v1/overview", Permission::Read),
    question("/api/v1/events", Permission::Read),
    question("/api/v1/events/{ref}", Permission::Read),
    question("/api/v1/findings", Permission::Read),
    question("/api/v1/findings/{id}", Permission::Read),
    question("/api/v1/tasks/{root_task}/chain", Permission::Read),
    question("/api/v1/agents", Permission::Read),
    question("/api/v1/agents/{uid}", Permission::Read),
    question("/api/v1/dead-letters", Permission::Investigate),
    question("/api/v1/checkpoints", Permission::Read),
    question("/api/v1/ledger/{shard}/consistency", Permission::Read),
    question("/api/v1/search", Permission::Investigate),
    question("/api/v1/sequences", Permission::Investigate),
    Route {
        method: "POST",
        path: "/api/v1/sql",
        needs: Permission::Investigate,
        recorded: Recorded::Question,
        ask: Ask::Answer,
    },
    question("/api/v1/events/{ref}/chain", Permission::Read),
    question("/api/v1/credentials/{uid}", Permission::Read),
    question("/api/v1/tasks/{task}/holdings", Permission::Read),
    question("/api/v1/agents/{uid}/holdings", Permission::Read),
    question("/api/v1/runs/compare", Permission::Read),
    deed("POST", "/api/v1/findings/{id}/triage", Permission::Triage),
    question("/api/v1/suppressions", Permission::Read),
    deed("POST", "/api/v1/suppressions", Permission::Suppress),
    deed("POST", "/api/v1/suppressions/{id}/end", Permission::Suppress),
    question("/api/v1/cases", Permission::Read),
    deed("POST", "/api/v1/cases", Permission::Triage),
    question("/api/v1/cases/{id}", Permission::Read),
    deed("POST", "/api/v1/cases/{id}", Permission::Triage),
    question("/api/v1/approvals", Permission::Read),
    question("/api/v1/approvals/{id}", Permission::Read),
    deed("POST", "/api/v1/responses/{id}/approve", Permission::Respond),
    deed("POST", "/api/v1/responses/{id}/deny", Permission::Respond),
    question("/api/v1/searches", Permission::Investigate),
    deed("POST", "/api/v1/searches", Permission::Investigate),
    deed("DELETE", "/api/v1/searches/{id}", Permission::Investigate),
    question("/api/v1/responses/plan", Permission::Read),
    deed("POST", "/api/v1/responses/orders", Permission::Respond),
    deed("POST", "/api/v1/responses/stop", Permission::Respond),
    deed("POST", "/api/v1/responses/resume", Permission::Respond),
    deed("POST", "/api/v1/deliveries/{id}/redrive", Permission::Respond),
    stream("/api/v1/export/events", Recorded::Export),
    stream("/api/v1/export/findings", Recorded::Export),
    stream("/api/v1/tail", Recorded::Question),
    deed("GET", LEDGER_FILES, Permission::Read),
];

/// What a route needs. HEAD is answered as GET.
pub(crate) fn find(method: &str, path: &str) -> Option<&'static Route> {
    let method = if method == "HEAD" { "GET" } else { method };
    TABLE.iter().find(|route| route.method == method && route.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_operation_stands_in_the_table_once_and_nothing_else_does() {
        let document = serde_json::to_value(crate::http::openapi()).unwrap();
        let mut operations = BTreeSet::from([("GET".to_owned(), LEDGER_FILES.to_owned())]);
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                operations.insert((method.to_uppercase(), path.clone()));
            }
        }
        let table: BTreeSet<_> =
            TABLE.iter().map(|route| (route.method.to_owned(), route.path.to_owned())).collect();
        assert_eq!(table, operations);
        assert_eq!(table.len(), TABLE.len(), "a route stands in the table twice");
        assert!(find("HEAD", "/api/v1/events").is_some() && find("DELETE", "/api/v1/events").is_none());
    }
}
