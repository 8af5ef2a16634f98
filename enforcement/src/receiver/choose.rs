//! Which of a finding's credentials are the receiver's, and what many requests come to together.

use crate::options::globs;
use crate::outbox::Due;
use crate::schedule::{Evidence, Next, Outcome, next};
use ambit_schemas::id::CredentialId;
use futures::StreamExt;
use globset::GlobSet;

/// Requests of one delivery that are made at once.
const AT_ONCE: usize = 4;

/// Which credentials are the receiver's own. A finding names all that the agent holds, from every issuer.
#[derive(Debug, Clone)]
pub(super) struct Credentials(Option<GlobSet>);

impl Credentials {
    pub(super) fn new(patterns: &[String]) -> Result<Self, String> {
        globs("credentials", patterns).map(Self)
    }

    pub(super) fn of<'a>(&self, due: &'a Due) -> Vec<&'a str> {
        let own = |uid: &str| self.0.as_ref().is_none_or(|globs| globs.is_match(uid));
        due.finding.credentials.iter().map(CredentialId::as_str).filter(|uid| own(uid)).collect()
    }
}

/// Does the same for each of them, a few at once, and tells what it comes to.
pub(super) async fn each<'a, F, R>(names: Vec<&'a str>, act: F) -> Outcome
where
    F: Fn(&'a str) -> R,
    R: Future<Output = Outcome>,
{
    let acts: Vec<R> = names.into_iter().map(act).collect();
    let outcomes = futures::stream::iter(acts).buffered(AT_ONCE).collect().await;
    together(outcomes)
}

/// What many outcomes come to: as long as one may still succeed the delivery is tried again; then what was refused
/// decides; it is done when all are, and its effect is seen when that of all is.
fn together(outcomes: Vec<Outcome>) -> Outcome {
    let (mut refused, mut status, mut seen) = (None, None, Vec::new());
    let count = outcomes.len();
    for outcome in outcomes {
        match next(&outcome, 1, 0.0) {
            Next::Retry(_) => return outcome,
            Next::DeadLetter(_) => refused = Some(outcome),
            Next::Acknowledged => {
                if let Outcome::Done { status: code, evidence } = outcome {
                    status = Some(code);
                    seen.extend(evidence);
                }
            }
        }
    }
    if let Some(refused) = refused {
        return refused;
    }
    let Some(status) = status else {
        // Nothing that this receiver could end is known of the agent.
        return Outcome::Refused { status: None, class: "no_target" };
    };
    let first = seen.first().filter(|_| seen.len() == count);
    let evidence = first.map(|first| {
        if count == 1 { first.clone() } else { Evidence(format!("{} (all {count} credentials)", first.0)) }
    });
    Outcome::Done { status, evidence }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(evidence: Option<&str>) -> Outcome {
        Outcome::Done { status: 200, evidence: evidence.map(|text| Evidence(text.to_owned())) }
    }

    fn status(status: u16) -> Outcome {
        Outcome::Status { status, retry_after: None }
    }

    #[test]
    fn one_that_may_succeed_later_outweighs_refusals_and_evidence_needs_all() {
        let refused = Outcome::Refused { status: Some(403), class: "refused" };
        let later = Outcome::Failed("timeout");
        assert_eq!(together(vec![done(None), refused.clone(), later.clone()]), later);
        assert_eq!(together(vec![done(None), refused.clone()]), refused);
        let (forbidden, busy) = (status(403), status(503));
        assert_eq!(together(vec![forbidden.clone(), busy.clone()]), busy);
        assert_eq!(together(vec![forbidden.clone(), done(None)]), forbidden);
        assert_eq!(together(vec![done(Some("gone")), done(None)]), done(None));
        assert_eq!(together(vec![done(Some("gone")); 2]), done(Some("gone (all 2 credentials)")));
        assert_eq!(together(vec![done(Some("gone"))]), done(Some("gone")));
        assert_eq!(together(Vec::new()), Outcome::Refused { status: None, class: "no_target" });
    }
}
