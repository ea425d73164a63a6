//! From what each key's judge found to the value that is reported.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use scenarios::history::{Action, QuotaKind};

use super::audited::{
    Assumptions, AuditLevel, Audited, Charging, Fact, Judged, KeyReport, Open, SCHEMA, Span, Totals, Violation,
};
use super::clock::{Interval, MILLISECOND};
use super::domain::of_witness;
use super::operation::{Found, QuotaFindings, Role};
use super::pass::{Passed, Sighting, find};
use super::plan::{Plan, Times};
use super::{AuditError, Options};
use crate::api::Api;
use crate::audit::quota::{Reading, judge};
use crate::audit::{Verdict, quota};
use crate::target::protocol::Implementation;

/// So many keys must show that acceptance charges at once: a single one could be a coincidence with a fast renderer.
const SHOWN_MIN: u64 = 3;

/// A violation with its key.
type Keyed = (Api, String, Found);

/// Puts together what was found, and quotes the operations that violations name.
pub(super) fn assemble(
    paths: &[PathBuf],
    plan: &Plan,
    options: &Options,
    passed: Passed,
) -> Result<Audited, AuditError> {
    let Passed { files, findings, outages, controls } = passed;
    let shown: u64 = findings.iter().map(|findings| findings.quota.shown).sum();
    let charging = match (options.charged_at_once, shown) {
        (true, _) => Charging::AtOnceStated,
        (false, SHOWN_MIN..) => Charging::AtOnceShown,
        (false, _) => Charging::Unknown,
    };
    let mut totals = Totals { controls, ..Totals::default() };
    let (mut keys, mut all, mut open): (Vec<KeyReport>, Vec<Keyed>, Vec<Open>) = Default::default();
    for mut findings in findings {
        let quota = std::mem::take(&mut findings.quota);
        let mut spending = Spending { report: &mut findings.report, found: Vec::new(), open: Vec::new() };
        spending.judge(quota, charging, plan.terms.reading);
        let (found, left_open) = (spending.found, spending.open);
        let api = findings.report.api;
        let keyed = findings.found.into_iter().chain(found).map(|found| (api, findings.report.key.clone(), found));
        all.extend(keyed);
        open.extend(findings.open.into_iter().chain(left_open));
        add(&mut totals, &findings.totals);
        keys.push(findings.report);
    }
    all.extend(outages.into_iter().map(|(key, found)| (Api::Craftkit, key, found)));
    keys.sort_by(|one, other| (one.api, &one.key).cmp(&(other.api, &other.key)));
    all.sort_by(|(_, one_key, one), (_, other_key, other)| {
        (one.level, one_key, one.kind, &one.facts.first().map(|fact| fact.0)).cmp(&(
            other.level,
            other_key,
            other.kind,
            &other.facts.first().map(|fact| fact.0),
        ))
    });
    open.sort_by(|one, other| (one.level, &one.key, &one.about).cmp(&(other.level, &other.key, &other.about)));
    let wanted: HashSet<u64> = all.iter().flat_map(|(_, _, found)| found.facts.iter().map(|(id, _)| *id)).collect();
    let sightings = find(paths, plan, options, &wanted)?;
    let quote = Quote { paths, plan, sightings };
    let violations = all.into_iter().map(|(api, key, found)| quote.violation(api, key, found)).collect();
    let skew = files.iter().flat_map(|file| &file.recorders).map(|recorder| recorder.skew_ms).max();
    let assumptions = Assumptions {
        limit: plan.terms.window.limit,
        window_min_ms: plan.terms.window.shortest.unsigned_abs() / MILLISECOND.unsigned_abs(),
        window_max_ms: plan.terms.window.longest.unsigned_abs() / MILLISECOND.unsigned_abs(),
        clock: plan.clock_kind(),
        skew_ms: skew.unwrap_or(0),
        quota: match plan.terms.reading {
            QuotaKind::Reached => "reached".to_owned(),
            QuotaKind::Exceed => "exceed".to_owned(),
        },
        charging,
        settle_ms: u64::try_from(options.settle.as_millis()).unwrap_or(u64::MAX),
    };
    let tool = Implementation { name: "hookproof".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let mut audited = Audited {
        schema: SCHEMA.to_owned(),
        tool,
        verdict: super::audited::AuditVerdict::NothingJudged,
        strict: options.strict,
        files,
        assumptions,
        totals,
        keys,
        violations,
        open,
    };
    audited.verdict = audited.sum_up();
    Ok(audited)
}

fn add(totals: &mut Totals, more: &Totals) {
    let Totals {
        refreshes,
        counted,
        refused,
        perhaps,
        foreign_refusals,
        renders,
        acknowledged,
        found,
        finished,
        polls,
        controls,
        rate_judged,
        quotas_judged,
        revocations_judged,
    } = more;
    let pairs = [
        (&mut totals.refreshes, refreshes),
        (&mut totals.counted, counted),
        (&mut totals.refused, refused),
        (&mut totals.perhaps, perhaps),
        (&mut totals.foreign_refusals, foreign_refusals),
        (&mut totals.renders, renders),
        (&mut totals.acknowledged, acknowledged),
        (&mut totals.found, found),
        (&mut totals.finished, finished),
        (&mut totals.polls, polls),
        (&mut totals.controls, controls),
        (&mut totals.rate_judged, rate_judged),
        (&mut totals.quotas_judged, quotas_judged),
        (&mut totals.revocations_judged, revocations_judged),
    ];
    for (total, more) in pairs {
        *total += more;
    }
}

/// What is said of a domain's quota once it is known when acceptance charges.
struct Spending<'r> {
    report: &'r mut KeyReport,
    found: Vec<Found>,
    open: Vec<Open>,
}

impl Spending<'_> {
    fn judge(&mut self, quota: QuotaFindings, charging: Charging, reading: QuotaKind) {
        if charging == Charging::Unknown {
            if quota.beyond.is_some() {
                self.leave_open(
                    "more requests were served than renders were left, but nothing shows that acceptance charges at once; \
                     --charged-at-once takes it as given",
                );
            }
            return;
        }
        if let Some(beyond) = quota.beyond {
            self.report.quota = Judged::Inconsistent;
            self.found.push(beyond);
        }
        if self.report.quota == Judged::Inconsistent || !quota.concerned {
            return;
        }
        let Some((spends, allowance)) = quota.spent else {
            return self.leave_open("full refreshes, or very many requests, keep the quota from being judged exactly");
        };
        let reading = match reading {
            QuotaKind::Reached => Reading::Reached,
            QuotaKind::Exceed => Reading::Exceed,
        };
        // Whether a list costs one render or one for each page is open: both are right.
        let by_request: Vec<quota::Spend> = spends.iter().map(|spend| quota::Spend { cost: 1, ..*spend }).collect();
        let verdicts = [judge(&by_request, &allowance, reading), judge(&spends, &allowance, reading)];
        let origin = spends.iter().map(|spend| spend.request.start).min().unwrap_or(0);
        match verdicts {
            [Verdict::Inconsistent(_), Verdict::Inconsistent(witness)] => {
                let mut found = of_witness(&witness, AuditLevel::Should, origin);
                found.on_judged_axis = false;
                self.found.push(found);
            }
            [Verdict::Consistent(_), _] | [_, Verdict::Consistent(_)] => {}
            [Verdict::Inconclusive(reason), _] | [_, Verdict::Inconclusive(reason)] => {
                self.leave_open(&reason.to_string());
            }
        }
    }

    fn leave_open(&mut self, reason: &str) {
        self.open.push(Open {
            level: AuditLevel::Should,
            api: Api::Rndrkit,
            key: self.report.key.clone(),
            about: "quota".to_owned(),
            reason: reason.to_owned(),
        });
    }
}

/// Operations as violations quote them.
struct Quote<'q> {
    paths: &'q [PathBuf],
    plan: &'q Plan,
    sightings: HashMap<u64, Sighting>,
}

impl Quote<'_> {
    fn violation(&self, api: Api, key: String, found: Found) -> Violation {
        let facts = found.facts.iter().filter_map(|(id, role)| self.fact(*id, *role, found.on_judged_axis));
        let mut facts: Vec<Fact> = facts.collect();
        facts.sort_by_key(|fact| (fact.start_ns, fact.end_ns, fact.line));
        let spans = found.spans.into_iter().map(|(label, from_ns, to_ns)| Span { label, from_ns, to_ns });
        Violation {
            rule: found.rule.to_owned(),
            level: found.level,
            api,
            key,
            kind: found.kind.to_owned(),
            explanation: self.renamed(&found.explanation),
            proof: found.proof,
            origin_ns: found.origin.or(facts.first().map(|fact| fact.start_ns)).unwrap_or(0),
            facts,
            spans: spans.collect(),
        }
    }

    fn fact(&self, id: u64, role: Role, on_judged_axis: bool) -> Option<Fact> {
        let sighting = self.sightings.get(&id)?;
        let invocation = &sighting.operation.invocation;
        let times = Times {
            file: sighting.file,
            recorder: sighting.recorder,
            n: sighting.operation.n,
            is_refresh: matches!(invocation.action, Action::Refresh { .. }),
            start_ns: invocation.start_ns,
            server_start_ms: invocation.server_start_ms,
            end: sighting.outcome.as_ref().map(|outcome| (outcome.end_ns, outcome.server_end_ms)),
        };
        let is_exact = invocation.action.key().is_some_and(|key| self.plan.is_exact(key));
        let (_, time) = self.plan.place(&times, is_exact).ok()?;
        let Interval { start, end } = if on_judged_axis { time.judged() } else { time.real() };
        let (asked, token) = asked(&invocation.action);
        let answer = match &sighting.outcome {
            None => "no answer".to_owned(),
            Some(outcome) => {
                let status = outcome.status.map_or("no answer".to_owned(), |status| status.to_string());
                let told = outcome.error.iter().chain(&outcome.render_status).chain(&outcome.id);
                told.fold(status, |said, more| format!("{said} {more}"))
            }
        };
        Some(Fact {
            file: self.paths[sighting.file].to_string_lossy().into_owned(),
            line: sighting.line,
            recorder: sighting.operation.recorder.to_string(),
            n: sighting.operation.n,
            token,
            asked,
            answer,
            start_ns: start,
            end_ns: end,
            role: role.name().to_owned(),
        })
    }

    /// The explanation with operations named by their own numbers, and by their recorder where there are several.
    fn renamed(&self, explanation: &str) -> String {
        let mut parts = explanation.split('#');
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let digits = part.len() - part.trim_start_matches(|character: char| character.is_ascii_digit()).len();
            let (number, rest) = part.split_at(digits);
            text.push('#');
            match number.parse().ok().and_then(|id: u64| self.sightings.get(&id)) {
                Some(sighting) if self.plan.is_of_several() => {
                    text.push_str(&format!("{} of {}", sighting.operation.n, sighting.operation.recorder));
                }
                Some(sighting) => text.push_str(&sighting.operation.n.to_string()),
                None => text.push_str(number),
            }
            text.push_str(rest);
        }
        text
    }
}

/// What was asked, in a word, and with which token.
fn asked(action: &Action) -> (String, Option<String>) {
    match action {
        Action::Refresh { token, pages: Some(1), .. } => ("refresh of 1 page".to_owned(), token.clone()),
        Action::Refresh { token, pages: Some(pages), .. } => (format!("refresh of {pages} pages"), token.clone()),
        Action::Refresh { token, pages: None, .. } => ("refresh".to_owned(), token.clone()),
        Action::Render { token, .. } => ("render".to_owned(), token.clone()),
        Action::Poll { token, .. } => ("poll".to_owned(), token.clone()),
        Action::Advance { ms } => (format!("clock advanced by {ms} ms"), None),
        Action::Queue { available: true } => ("queue brought back".to_owned(), None),
        Action::Queue { available: false } => ("queue taken down".to_owned(), None),
        Action::Revoke { token, .. } => ("token revoked".to_owned(), Some(token.clone())),
        Action::Quota { renders_left: Some(left), .. } => (format!("quota set to {left} left"), None),
        Action::Quota { renders_left: None, .. } => ("quota lifted".to_owned(), None),
    }
}
