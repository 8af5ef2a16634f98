//! Legal holds: what they cover is not deleted, whatever retention says, until somebody releases them.

use crate::control::Document;
use crate::error::Error;
use crate::head::log_error;
use crate::store::Store;
use ambit_schemas::Timestamp;
use serde::{Deserialize, Serialize};

/// What a hold covers: rows for which everything that is given matches. One that gives nothing covers every row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cover {
    /// Rows of this tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Rows of this agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Rows of this root task's tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_task: Option<String>,
    /// Rows recorded at this moment or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Rows recorded before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
}

/// What a hold looks at in a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held<'a> {
    pub(crate) tenant: Option<&'a str>,
    pub(crate) agent: Option<&'a str>,
    pub(crate) root_task: Option<&'a str>,
    pub(crate) recorded_at: i64,
}

impl Cover {
    /// A row whose tenant, agent or task is unknown is not let go for that: it might be the one that is looked for.
    pub(crate) fn covers(&self, row: Held<'_>) -> bool {
        let matches = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found.is_none_or(|found| found == wanted))
        };
        matches(&self.tenant, row.tenant)
            && matches(&self.agent, row.agent)
            && matches(&self.root_task, row.root_task)
            && self.from.is_none_or(|from| row.recorded_at >= from.micros())
            && self.to.is_none_or(|to| row.recorded_at < to.micros())
    }
}

/// The end of a hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub author: String,
    /// Why.
    pub reason: String,
}

/// A legal hold. The record of one that was released stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Its name.
    pub id: String,
    /// Why it was placed.
    pub reason: String,
    /// By whom.
    pub author: String,
    /// When.
    pub placed_at: Timestamp,
    /// On what.
    pub covers: Cover,
    /// Its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<Release>,
}

/// All holds of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Holds {
    previous: Option<String>,
    pub(crate) holds: Vec<Hold>,
}

impl Document for Holds {
    const NAME: &'static str = "holds";

    fn set_previous(&mut self, digest: Option<String>) {
        self.previous = digest;
    }
}

impl Holds {
    /// Whether a hold that has not been released covers a row.
    pub(crate) fn cover(&self, row: Held<'_>) -> bool {
        self.holds.iter().any(|hold| hold.released.is_none() && hold.covers.covers(row))
    }
}

impl Store {
    /// All holds, those that were released among them.
    pub async fn holds(&self) -> Result<Vec<Hold>, Error> {
        let table = self.newest().await?;
        let metadata = table.snapshot().map_err(log_error)?.metadata().clone();
        Ok(self.document::<Holds>(&metadata).await?.holds)
    }

    /// Places a hold. From the version that is returned on nothing that it covers is deleted.
    pub async fn place_hold(&self, hold: Hold) -> Result<u64, Error> {
        for (name, text) in [("id", &hold.id), ("reason", &hold.reason), ("author", &hold.author)] {
            if text.trim().is_empty() {
                return Err(Error::Refused(format!("a hold needs a {name}")));
            }
        }
        let note = format!("hold `{}` placed by {}: {}", hold.id, hold.author, hold.reason);
        self.change(&note, move |holds: &mut Holds| {
            if holds.holds.iter().any(|other| other.id == hold.id) {
                return Err(Error::Refused(format!(
                    "there is a hold `{}` already: choose another id",
                    hold.id
                )));
            }
            holds.holds.push(hold.clone());
            Ok(())
        })
        .await
    }

    /// Releases a hold.
    pub async fn release_hold(&self, id: &str, release: Release) -> Result<u64, Error> {
        if release.author.trim().is_empty() || release.reason.trim().is_empty() {
            return Err(Error::Refused("a release needs an author and a reason".into()));
        }
        let note = format!("hold `{id}` released by {}: {}", release.author, release.reason);
        self.change(&note, move |holds: &mut Holds| {
            let found = holds.holds.iter_mut().find(|hold| hold.id == id && hold.released.is_none());
            let hold = found
                .ok_or_else(|| Error::Refused(format!("there is no hold `{id}` that could be released")))?;
            hold.released = Some(release.clone());
            Ok(())
        })
        .await
    }
}
