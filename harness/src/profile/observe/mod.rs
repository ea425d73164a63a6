//! The behaviour profile: what an implementation does where the documents leave the choice to it.
//!
//! An observer is a check whose rules are probes, so that the runner gives it fixtures, time and clean-up like any other. Its findings
//! hold values and no judgement: whatever they are, verdict and exit code stay the same. To add a probe, put it into
//! [`crate::catalogue::observed`] and into the observer that sends its requests; tests see to it that each has one value.

pub mod craftkit;
pub mod reading;
pub mod rndrkit;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::api::Api;
use crate::catalogue::observed;
use crate::checks::Check;
use crate::evidence::{ClockKind, Exchange};
use crate::gather::{Gather, Leftover, Stop, World};
use crate::report::{NotDeleted, Report};
use crate::runner::select::{Narrowing, Selection};
use crate::runner::{self, CheckResult, Interrupt, Pace};
use crate::secret::{SecretBook, SecretFilter};
use crate::target::http::Request;
use crate::target::protocol::Method;
use crate::verdict::{Finding, Status};

/// Makes a check of probes: each probe with the function that reads its value from the evidence, which is given the last part of its id,
/// too, since most probes have one request, labelled like that.
macro_rules! observer {
    ($id:literal, $needs:expr, $gather:ident, { $($probe:literal => $read:expr,)+ }) => {
        $crate::checks::Check {
            id: $id,
            rules: &[$($probe),+],
            needs: $needs,
            gather: |g| Box::pin($gather(g)),
            judge: |evidence| vec![$($crate::profile::observe::value_of($probe, evidence, $read)),+],
            sabotages: &[],
        }
    };
}
use observer;

/// One behaviour that was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The probe.
    pub id: String,
    /// What was seen, in words that do not depend on names, ids, times or the seed.
    pub value: String,
}

/// How a value begins that says why there is none.
pub const NOT_OBSERVED: &str = "not observed: ";

impl Observation {
    /// True if the probe came to a value.
    pub fn was_made(&self) -> bool {
        !self.value.starts_with(NOT_OBSERVED)
    }
}

/// What became of all observers.
#[derive(Default)]
pub struct Profile {
    /// In the order of the catalogue.
    pub observations: Vec<Observation>,
    /// What could not be deleted, with the reason.
    pub not_deleted: Vec<(Leftover, String)>,
    /// Defects of this program that showed.
    pub defects: Vec<String>,
    /// Secrets that the observers were given.
    pub book: SecretBook,
    /// Requests sent.
    pub requests: usize,
}

impl Profile {
    /// Puts what was observed into the report of the run.
    pub fn add_to(self, report: &mut Report, filter: &SecretFilter) {
        let cleaned = |observation: Observation| Observation { value: filter.text(&observation.value), ..observation };
        report.observations = self.observations.into_iter().map(cleaned).collect();
        report.not_deleted.extend(self.not_deleted.into_iter().map(|(leftover, reason)| NotDeleted {
            method: leftover.method.name().to_owned(),
            value: filter.text(&leftover.value),
            reason: filter.text(&reason),
        }));
        report.defects.extend(self.defects.iter().map(|defect| filter.text(defect)));
    }
}

/// Every observer, in the order of the catalogue.
pub fn all() -> impl Iterator<Item = &'static Check> {
    rndrkit::OBSERVERS.iter().chain(craftkit::OBSERVERS).flat_map(|topic| topic.iter())
}

/// True if a run narrowed like this observes anything: one narrowed to some rules has a question of its own.
pub fn is_wanted(narrowing: &Narrowing) -> bool {
    narrowing.only.is_empty() && narrowing.skip.is_empty() && narrowing.exclusions.is_empty()
}

/// Runs the observers of the target's APIs, or of one of them. They come after all checks and never wait in real time for moments: what
/// nobody judges is not worth hours.
pub async fn run(world: &Arc<World>, api: Option<Api>, pace: Pace, interrupt: &Interrupt) -> Profile {
    let wanted = |check: &&'static Check| {
        world.clients.contains_key(&check.needs.api) && api.is_none_or(|api| api == check.needs.api)
    };
    let selection = Selection { rules: Vec::new(), excluded: Vec::new(), checks: all().filter(wanted).collect() };
    let pace = Pace { patience: std::time::Duration::ZERO, ..pace };
    let run = runner::run(world, &selection, pace, interrupt, |_| {}).await;
    profile_of(world, run.results)
}

fn profile_of(world: &World, results: Vec<CheckResult>) -> Profile {
    let mut profile = Profile::default();
    for result in results {
        profile.requests += result.evidence.exchanges.len();
        profile.observations.extend(observations(world, &result));
        profile.book.add_all(&result.book, result.check.id);
        profile.defects.extend(result.defect);
        profile.not_deleted.extend(result.not_deleted);
    }
    let probes: Vec<&str> = observed::RNDRKIT.iter().chain(observed::CRAFTKIT).map(|probe| probe.id).collect();
    profile.observations.sort_by_key(|observation| probes.iter().position(|id| *id == observation.id));
    profile
}

fn observations(world: &World, result: &CheckResult) -> Vec<Observation> {
    let missing = missing_methods(world, result.check);
    let value = |finding: &Finding| match &result.stopped {
        None => finding.actual.clone(),
        Some(_) if !missing.is_empty() => format!("{NOT_OBSERVED}{}", missing.join(", ")),
        Some(stopped) => format!("{NOT_OBSERVED}{}", stopped.reason),
    };
    let findings = result.findings.iter();
    findings.map(|finding| Observation { id: finding.rule.clone(), value: value(finding) }).collect()
}

/// What the fixtures would have to offer; a clock that can be moved is one such thing.
fn missing_methods(world: &World, check: &Check) -> Vec<&'static str> {
    let stands = |method: &Method| world.methods.contains(method);
    let passes = check.needs.moments_ms > 0;
    let fixed = passes && (world.timekeeper.kind() == ClockKind::System || !stands(&Method::ClockAdvance));
    let missing = check.needs.methods.iter().filter(|method| !stands(method) && **method != Method::ClockAdvance);
    missing.chain(fixed.then_some(&Method::ClockAdvance)).map(|method| method.name()).collect()
}

/// The finding that carries a value; the status is the one that touches nothing.
fn value_of<'e>(
    probe: &str,
    evidence: &'e crate::evidence::Evidence,
    read: impl FnOnce(&'e crate::evidence::Evidence, &str) -> String,
) -> Finding {
    let slug = probe.rsplit('.').next().unwrap_or(probe);
    let actual = read(evidence, slug);
    Finding { rule: probe.to_owned(), status: Status::NotApplicable, expected: Vec::new(), actual, exchange: None }
}

/// Sends the first request of an observer. A target that does not answer it would only be waited for again and again.
async fn ask_first(g: &mut Gather, request: Request) -> Result<Exchange, Stop> {
    let exchange = g.send(request).await;
    match exchange.response {
        Some(_) => Ok(exchange),
        None => Err(Stop::Inconclusive("the target did not answer".to_owned())),
    }
}

/// Sizes of the bodies that look for a limit, smallest first.
const SIZES: [(&str, usize); 4] = [("64 KiB", 1 << 16), ("256 KiB", 1 << 18), ("1 MiB", 1 << 20), ("4 MiB", 1 << 22)];

/// Sends ever larger bodies until one is not accepted. A server that refuses one by its length may close the connection before all of it
/// was sent, and then its answer is lost now and then; so an unanswered one is sent again.
async fn grow_body(g: &mut Gather, slug: &str, mut request: impl FnMut(&mut Gather, String, usize) -> Request) {
    const TRIES: usize = 3;
    for (words, bytes) in SIZES {
        for _ in 0..TRIES {
            let sized = request(g, format!("{slug}/{words}"), bytes);
            let sent = g.send(sized).await;
            match &sent.response {
                None => {}
                Some(response) if response.is_success() => break,
                Some(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_probe_is_observed_by_one_observer_of_its_api() {
        let mut seen = BTreeSet::new();
        for check in all() {
            for probe in check.rules {
                assert!(probe.starts_with(&format!("{}.observe.", check.needs.api.name())), "{}: {probe}", check.id);
                assert!(seen.insert(*probe), "{probe} is observed twice");
            }
        }
        let listed: BTreeSet<&str> = observed::RNDRKIT.iter().chain(observed::CRAFTKIT).map(|probe| probe.id).collect();
        assert_eq!(seen, listed);
    }

    #[test]
    fn observers_have_names_of_their_own() {
        let names: BTreeSet<&str> = all().map(|check| check.id).collect();
        assert_eq!(names.len(), all().count());
        assert!(names.iter().all(|name| name.starts_with("observe/")));
    }
}
