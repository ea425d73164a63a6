//! A domain of RndrKit: its refreshes become cases for the pure auditor. Pure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use scenarios::history::KeyState;

use super::answer::{Answer, View};
use super::answers::Answers;
use super::audited::{AuditLevel, Judged, KeyReport, Open, Totals};
use super::clock::Interval;
use super::lone::MustMonitor;
use super::noted::{Asked, Came, Revocation};
use super::operation::{Again, Findings, Found, Horizon, Placed, Role, Terms, Told, instant};
use super::overlap::Overlap;
use super::quota::Quota;
use super::tokens::Tokens;
use super::under_way::UnderWay;
use crate::api::Api;
use crate::audit::rate::{Monitor, Schedule};
use crate::audit::{Kind, Request, Shape, Start, Verdict, Witness};

/// The most operations around a violation that a timeline shows.
const CONTEXT_MAX: usize = 40;

/// Watches one domain.
#[derive(Debug)]
pub(super) struct Domain {
    name: String,
    terms: Terms,
    fresh: bool,
    /// What should hold. Whoever does all of it does what must hold, too.
    should: Monitor,
    /// What must hold: asked apart only where both questions are asked.
    must: Option<MustMonitor>,
    /// Whether an answer means something else to each of the two questions.
    differs: bool,
    under_way: UnderWay,
    /// No request that starts before this is expected.
    settled: i64,
    /// Starts on the clock of the windows by real starts, as far as they are not settled; only where these differ.
    starts: BinaryHeap<Reverse<(i64, i64)>>,
    /// No start on the clock of the windows before this is expected.
    floor: i64,
    origin: Option<i64>,
    overlap: Overlap,
    quota: Quota,
    tokens: Tokens,
    answers: Answers,
    requests: u64,
    totals: Totals,
}

impl Domain {
    /// A domain of which so much is known at the beginning.
    pub(super) fn new(name: &str, known: Option<&KeyState>, terms: Terms) -> Domain {
        let fresh = known.is_some_and(|state| state.fresh);
        let start = if fresh { Start::Fresh } else { Start::Unknown };
        Domain {
            name: name.to_owned(),
            terms,
            fresh,
            should: Monitor::new(terms.window, start),
            must: terms.both.then(|| MustMonitor::new(terms.window, start, terms.slack)),
            differs: false,
            under_way: UnderWay::default(),
            settled: i64::MIN,
            starts: BinaryHeap::new(),
            floor: i64::MIN,
            origin: None,
            overlap: Overlap::default(),
            quota: Quota::new(terms.reading, known.and_then(|state| state.renders_left)),
            tokens: Tokens::default(),
            answers: Answers::default(),
            requests: 0,
            totals: Totals::default(),
        }
    }

    /// An operation has begun.
    pub(super) fn begin(&mut self, placed: Placed, horizon: Horizon) -> Result<(), Again> {
        self.expect(&placed)?;
        self.under_way.begin(placed);
        self.look(horizon)
    }

    /// Takes what is told of it.
    pub(super) fn take(&mut self, told: &Told, horizon: Horizon) -> Result<(), Again> {
        let Told { placed, came, is_whole } = told;
        let Some(came) = came else { return self.begin(placed.clone(), horizon) };
        if *is_whole || !self.under_way.end(placed.id) {
            self.expect(placed)?;
        }
        self.end(placed, Some(came));
        self.look(horizon)
    }

    /// Looks at all that was told, from time to time.
    #[inline]
    fn look(&mut self, horizon: Horizon) -> Result<(), Again> {
        if self.under_way.is_look_due() {
            self.settle(horizon);
            if self.must.is_none() && self.should.is_refuted() {
                return Err(Again::Both);
            }
        }
        Ok(())
    }

    fn expect(&self, placed: &Placed) -> Result<(), Again> {
        if placed.time.seen().start < self.settled || placed.time.judged().start < self.floor {
            Err(Again::Late)
        } else {
            Ok(())
        }
    }

    /// Takes an operation that has ended, or never will.
    fn end(&mut self, placed: &Placed, came: Option<&Came>) {
        let succeeded = came.is_some_and(|came| came.succeeded);
        match &placed.asked {
            Asked::Refresh { token, price } => {
                let answer = came.map_or(Answer::Open, |came| came.answer);
                self.count(placed, came.and_then(|came| came.status), answer);
                self.quota.push(
                    placed.id,
                    placed.time.real(),
                    placed.time.judged().start,
                    price.map(u64::from),
                    answer,
                );
                self.tokens.used(*token, placed, answer);
                self.judge(placed, answer);
            }
            Asked::Revoke(revocation) => {
                let Revocation { token, called } = &**revocation;
                self.totals.controls += 1;
                if let Some(end) = placed.time.real().end.filter(|_| succeeded) {
                    self.tokens.revoked(*token, called, end.saturating_add(self.terms.settle), placed.id);
                }
            }
            Asked::Quota(renders_left) => {
                self.totals.controls += 1;
                let latest = placed.time.real().end.map_or(i64::MAX, |end| end.saturating_add(self.terms.settle));
                let left = renders_left.filter(|_| succeeded);
                self.quota.begin(placed.time.real().start, latest, left);
            }
            // No other operation names a domain.
            Asked::Render | Asked::Poll { .. } | Asked::Advance | Asked::Queue { .. } => {}
        }
    }

    fn count(&mut self, placed: &Placed, status: Option<u16>, answer: Answer) {
        self.requests += 1;
        self.totals.refreshes += 1;
        self.answers.count(status);
        let counter = match answer {
            Answer::Served => &mut self.totals.counted,
            Answer::Refused => &mut self.totals.refused,
            _ => &mut self.totals.perhaps,
        };
        *counter += 1;
        self.totals.foreign_refusals += u64::from(answer == Answer::Foreign);
        let Interval { start, end } = placed.time.seen();
        self.overlap.push(start, end.unwrap_or(start));
        let first = placed.time.judged().start;
        self.origin = Some(self.origin.map_or(first, |origin| origin.min(first)));
    }

    fn judge(&mut self, placed: &Placed, answer: Answer) {
        let Interval { start, end } = placed.time.judged();
        let request =
            |view: View| Request { n: placed.id, start, end: end.unwrap_or(start), kind: answer.kind(view, end) };
        let (must, should) = (request(View::Must), request(View::Should));
        self.differs |= must != should;
        self.should.push(should);
        if let Some(monitor) = &mut self.must {
            monitor.push(must, placed.time.seen());
        }
        if self.terms.driven {
            self.starts.push(Reverse((placed.time.seen().start, start)));
        }
    }

    /// Forgets what the horizon allows.
    fn settle(&mut self, horizon: Horizon) {
        let before = self.under_way.first_start(horizon.told).max(horizon.lost);
        if before <= self.settled {
            return;
        }
        self.lose(before);
        self.settled = before;
        let surely = before.saturating_sub(self.terms.slack);
        self.overlap.settle(before);
        self.quota.settle(surely);
        self.floor = if self.terms.driven { self.driven_floor(before) } else { surely };
        self.should.settle(self.floor);
        if let Some(monitor) = &mut self.must {
            monitor.settle(before, self.floor);
        }
    }

    /// Gives up those under way that began before this.
    fn lose(&mut self, before: i64) {
        for placed in self.under_way.give_up(before) {
            self.end(&placed, None);
        }
    }

    /// Who starts later in real time does not start earlier on the target's clock.
    fn driven_floor(&mut self, before: i64) -> i64 {
        let mut floor = self.floor;
        while let Some(Reverse((real, judged))) = self.starts.peek().copied()
            && real < before
        {
            self.starts.pop();
            floor = floor.max(judged);
        }
        floor
    }

    /// All that was found, once all has been told. `moved` says that somebody moved the target's clock and did not say where to.
    ///
    /// # Errors
    /// What should hold does not, surely, and what must hold was not asked.
    pub(super) fn finish(mut self, moved: bool) -> Result<Findings, Again> {
        self.lose(i64::MAX);
        let mut findings = Gathered { key: self.name.clone(), found: Vec::new(), open: Vec::new() };
        let origin = self.origin.unwrap_or(0);
        let concerned = self.totals.counted + self.totals.refused > 0;
        let rate = if !concerned {
            Judged::NotConcerned
        } else if moved {
            let reason = "the target's clock was moved, and the refreshes do not say what it showed (`server_start_ms`, `server_end_ms`)";
            findings.leave_open(AuditLevel::Must, "rate", reason.to_owned());
            Judged::Inconclusive
        } else {
            findings.rates(self.should, self.must, self.differs, origin)?
        };
        let (quota, needless, expired, quota_findings) = self.quota.finish();
        findings.found.extend(needless);
        if expired {
            let reason = "the history goes on for more than a day, and when the month turned is not known";
            findings.leave_open(AuditLevel::Should, "quota", reason.to_owned());
        }
        let (revocation, used) = self.tokens.finish(self.terms.settle);
        findings.found.extend(used);
        let judged = |state: Judged| u64::from(matches!(state, Judged::Consistent | Judged::Inconsistent));
        self.totals.rate_judged = judged(rate);
        self.totals.quotas_judged = judged(quota);
        self.totals.revocations_judged = judged(revocation);
        Ok(Findings {
            report: KeyReport {
                api: Api::Rndrkit,
                key: self.name,
                fresh: self.fresh,
                requests: self.requests,
                answers: self.answers.into_named(),
                overlap_max: self.overlap.finish(),
                rate,
                quota,
                renders: Judged::NotConcerned,
                revocation,
            },
            found: findings.found,
            open: findings.open,
            totals: self.totals,
            quota: quota_findings,
        })
    }
}

/// What is found about a key, as it is gathered.
struct Gathered {
    key: String,
    found: Vec<Found>,
    open: Vec<Open>,
}

impl Gathered {
    fn leave_open(&mut self, level: AuditLevel, about: &str, reason: String) {
        self.open.push(Open { level, api: Api::Rndrkit, key: self.key.clone(), about: about.to_owned(), reason });
    }

    /// Answers both questions about the rate limit; `differs` says that answers mean something else to each.
    fn rates(
        &mut self,
        should: Monitor,
        must: Option<MustMonitor>,
        differs: bool,
        origin: i64,
    ) -> Result<Judged, Again> {
        let Some(must) = must else {
            return if should.is_explained() { Ok(Judged::Consistent) } else { Err(Again::Both) };
        };
        let (verdict, left_out) = must.finish();
        let judged = self.rate(verdict, AuditLevel::Must, origin, |_| None);
        if (differs || left_out) && judged != Judged::Inconsistent {
            // Of what the must question left out, a refusal came needlessly early, or a refusal of a body did not count.
            self.rate(should.finish(), AuditLevel::Should, origin, |witness| {
                let refused = witness.facts.iter().any(|fact| fact.kind == Kind::Refused);
                let needless = left_out && refused;
                Some(if needless { "rndrkit.rate.concurrent-exact" } else { "rndrkit.rate.counts-invalid-body" })
            });
        }
        Ok(judged)
    }

    /// Takes a verdict; `rule` names the rule that is broken, where it is another than the witness says.
    fn rate(
        &mut self,
        verdict: Verdict<Schedule>,
        level: AuditLevel,
        origin: i64,
        rule: impl Fn(&Witness) -> Option<&'static str>,
    ) -> Judged {
        match verdict {
            Verdict::Consistent(_) => Judged::Consistent,
            Verdict::Inconsistent(witness) => {
                let mut found = of_witness(&witness, level, origin);
                found.rule = rule(&witness).unwrap_or(found.rule);
                self.found.push(found);
                Judged::Inconsistent
            }
            Verdict::Inconclusive(reason) => {
                self.leave_open(level, "rate", reason.to_string());
                Judged::Inconclusive
            }
        }
    }
}

/// A violation, told by a witness of the pure auditor.
pub(super) fn of_witness(witness: &Witness, level: AuditLevel, origin: i64) -> Found {
    let (kind, rule) = named(witness);
    let sides = |requests: &[Request]| -> Vec<(u64, Role)> {
        requests.iter().map(|request| (request.n, request.kind.into())).collect()
    };
    let mut facts = sides(&witness.facts);
    facts.extend(sides(&witness.context[..witness.context.len().min(CONTEXT_MAX)]));
    // Of two that are the same, the fact stands first.
    facts.sort_by_key(|(id, _)| *id);
    facts.dedup_by_key(|(id, _)| *id);
    let opening = |(from, to): &(i64, i64)| ("the window can have opened".to_owned(), *from, *to);
    Found {
        rule,
        level,
        kind,
        explanation: witness.sentence(|at| instant(at, origin)),
        proof: witness.proof,
        facts,
        spans: witness.openings.iter().map(opening).collect(),
        on_judged_axis: true,
        origin: Some(origin),
    }
}

/// The stable word for a shape, and the rule that it breaks.
fn named(witness: &Witness) -> (&'static str, &'static str) {
    let together = |one: &Request, other: &Request| {
        one.kind == Kind::Counted && other.kind == Kind::Counted && one.start <= other.end && other.start <= one.end
    };
    let facts = &witness.facts;
    let overlapped = facts.windows(2).any(|pair| matches!(pair, [one, other] if together(one, other)));
    let rule = match witness.shape {
        Shape::OverAdmission if overlapped => "rndrkit.rate.concurrent-ceiling",
        Shape::OverAdmission | Shape::NeedlessRefusal | Shape::Mixed | Shape::Distant => "rndrkit.rate.ten-per-hour",
        Shape::LateRefusal | Shape::TwoRefusals => "rndrkit.rate.window-anchored",
        Shape::NeedlessQuotaRefusal => "rndrkit.quota.rejected-free",
        Shape::OverBudget | Shape::MixedQuota => "rndrkit.quota.reached",
    };
    (witness.shape.name(), rule)
}
