//! The window check against models of limiters, with the clock at every phase of its hour.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::checks::rndrkit::EXHAUSTION_MAX;
use crate::evidence::{ClockKind, Response, SentRequest};
use crate::verdict::Status;

const TEN: usize = 10;

/// Decides on a request for one domain at a moment of the target's clock (ms).
type Limiter = Box<dyn FnMut(u64) -> bool>;

/// A fixed window that begins with its first request.
fn fixed(limit: usize, window: u64) -> Limiter {
    let (mut begin, mut count) = (None, 0);
    Box::new(move |now| {
        if begin.is_none_or(|begin| now >= begin + window) {
            (begin, count) = (Some(now), 0);
        }
        count += 1;
        count <= limit
    })
}

/// A fixed window that begins at multiples of an hour, counted from `origin` or, without one, from the first request of all.
fn grid(origin: Option<u64>) -> Limiter {
    let (mut origin, mut begin, mut count) = (origin, 0, 0);
    Box::new(move |now| {
        let origin = *origin.get_or_insert(now);
        let current = (now - origin) / WINDOW_MS;
        if current != begin {
            (begin, count) = (current, 0);
        }
        count += 1;
        count <= TEN
    })
}

/// As many as ten in any hour; `all` remembers refused requests, too.
fn sliding_log(all: bool) -> Limiter {
    let mut log: Vec<u64> = Vec::new();
    Box::new(move |now| {
        log.retain(|then| now < then + WINDOW_MS);
        let served = log.len() < TEN;
        if served || all {
            log.push(now);
        }
        served
    })
}

/// The last window weighs as much as the last hour still covers of it.
#[expect(clippy::cast_precision_loss, reason = "an hour's milliseconds fit a mantissa")]
fn sliding_counter(origin: Option<u64>) -> Limiter {
    let (mut origin, mut counts) = (origin, BTreeMap::<u64, usize>::new());
    Box::new(move |now| {
        let since = now - *origin.get_or_insert(now);
        let (current, into) = (since / WINDOW_MS, since % WINDOW_MS);
        let last = current.checked_sub(1).and_then(|last| counts.get(&last)).copied().unwrap_or_default();
        let count = counts.entry(current).or_default();
        let weight = 1.0 - into as f64 / WINDOW_MS as f64;
        let served = (*count as f64) + (last as f64) * weight < TEN as f64;
        *count += usize::from(served);
        served
    })
}

/// Ten tokens, of which one comes back every six minutes.
fn bucket() -> Limiter {
    let each = WINDOW_MS / TEN as u64;
    let (mut last, mut stock) = (None, TEN as u64 * each);
    Box::new(move |now| {
        stock = (stock + now - last.unwrap_or(now)).min(TEN as u64 * each);
        last = Some(now);
        let served = stock >= each;
        stock -= if served { each } else { 0 };
        served
    })
}

/// A window whose end is put off by refusals or by every request.
fn extended(by_all: bool) -> Limiter {
    let (mut end, mut count) = (0, 0);
    Box::new(move |now| {
        let fresh = now >= end;
        count = if fresh { 1 } else { count + 1 };
        let served = count <= TEN;
        if fresh || by_all || !served {
            end = now + WINDOW_MS;
        }
        served
    })
}

/// Forgets the count when nothing came for so long.
fn forgetful(idle: u64) -> Limiter {
    let (mut limiter, mut last) = (fixed(TEN, WINDOW_MS), None);
    Box::new(move |now| {
        if last.is_some_and(|last| now - last >= idle) {
            limiter = fixed(TEN, WINDOW_MS);
        }
        last = Some(now);
        limiter(now)
    })
}

/// When its window ends only half of the requests come back.
fn halved() -> Limiter {
    let (mut begin, mut left) = (None, 0);
    Box::new(move |now| {
        match begin {
            None => (begin, left) = (Some(now), TEN),
            Some(first) if now >= first + WINDOW_MS => (begin, left) = (Some(now), TEN / 2),
            Some(_) => {}
        }
        let served = left > 0;
        left = left.saturating_sub(1);
        served
    })
}

/// A target whose clock shows `phase` into an hour when the check begins.
struct Target {
    limiters: Vec<Limiter>,
    phase: u64,
    /// Milliseconds that a request takes of the target's time; 0: the clock stands still between moves.
    takes_ms: u64,
    advanced_ms: u64,
    real_ms: u64,
    evidence: Evidence,
}

impl Target {
    fn send(&mut self, domain: usize, label: &str) -> bool {
        const HOURS_BEFORE: u64 = 500_000;
        const MS: u64 = 1_000_000;
        let start_ns = self.real_ms * MS + 1;
        self.real_ms += self.takes_ms;
        let now = HOURS_BEFORE * WINDOW_MS + self.phase + self.advanced_ms + self.real_ms;
        let served = (self.limiters[domain])(now);
        let response = if served {
            Response::json_of(200, &json!({"message": text::QUEUED}))
        } else {
            Response::json_of(429, &json!({"error": text::RATE}))
        };
        let url = String::new();
        let request = SentRequest { method: "POST".to_owned(), url, headers: Vec::new(), body: None, signed: None };
        self.evidence.exchanges.push(Exchange {
            label: label.to_owned(),
            request,
            response: Some(response),
            error: None,
            start_ns,
            end_ns: self.real_ms * MS + 2,
            advanced_ms: self.advanced_ms,
            curl: String::new(),
        });
        served
    }

    /// Goes through the stages as the gather step does.
    fn run(mut self) -> Evidence {
        let mut limit = 0;
        for (moment, sends) in STAGES {
            if let Moment::Until(step, ms) | Moment::After(step, ms) = moment {
                let Some(first) = first_of(&self.evidence, step) else { return self.evidence };
                self.advanced_ms = self.advanced_ms.max(first.advanced_ms + ms);
            }
            for Send { domain, label, amount } in *sends {
                let count = match amount {
                    Amount::UntilRefused => EXHAUSTION_MAX,
                    Amount::LimitLess(less) => limit - less,
                    Amount::One => 1,
                };
                let mut served = 0;
                while served < count && (self.send(*domain, label) || !matches!(amount, Amount::UntilRefused)) {
                    served += 1;
                }
                limit = if limit == 0 { served } else { limit };
            }
        }
        self.evidence
    }
}

fn evidence_of(limiter: &dyn Fn() -> Limiter, phase: u64, takes_ms: u64) -> Evidence {
    let limiters = (0..DOMAINS).map(|_| limiter()).collect();
    let evidence = Evidence { clock: ClockKind::Manual, ..Evidence::default() };
    Target { limiters, phase, takes_ms, advanced_ms: 0, real_ms: 0, evidence }.run()
}

/// Phases of the clock's hour (ms): all of it in steps, and finely around the hour's ends.
fn phases() -> impl Iterator<Item = u64> {
    const STEP: usize = 29_989;
    let near = MARGIN_MS + EDGE_MS;
    (0..WINDOW_MS)
        .step_by(STEP)
        .chain((0..near).step_by(STEP / 30))
        .chain((WINDOW_MS - near..WINDOW_MS).step_by(STEP / 30))
}

#[track_caller]
fn check(limiter: &dyn Fn() -> Limiter, expected: &[&[&str]]) {
    let expected: BTreeSet<BTreeSet<&str>> = expected.iter().map(|rules| rules.iter().copied().collect()).collect();
    for takes_ms in [0, 3] {
        for phase in phases() {
            let findings = judge_window(&evidence_of(limiter, phase, takes_ms));
            let red = findings.iter().filter(|finding| finding.status.is_red());
            let red: BTreeSet<&str> = red.map(|finding| finding.rule.as_str()).collect();
            assert!(expected.contains(&red), "phase {phase}, {takes_ms} ms a request: {red:?}; {findings:#?}");
        }
    }
}

#[test]
fn the_documented_limiter_passes_at_every_phase() {
    for takes_ms in [0, 3] {
        for phase in phases() {
            let findings = judge_window(&evidence_of(&|| fixed(TEN, WINDOW_MS), phase, takes_ms));
            assert!(findings.iter().all(|finding| finding.status == Status::Pass), "phase {phase}: {findings:#?}");
        }
    }
}

#[test]
fn other_words_of_the_refusal_are_no_concern_of_the_window() {
    let mut evidence = evidence_of(&|| fixed(TEN, WINDOW_MS), 0, 0);
    for exchange in evidence.exchanges.iter_mut().filter(|exchange| !is_served(exchange)) {
        exchange.response = Some(Response::json_of(403, &json!({"error": "Come back later"})));
    }
    let findings = judge_window(&evidence);
    assert!(findings.iter().all(|finding| finding.status == Status::Pass), "{findings:#?}");
}

#[test]
fn an_answer_lost_while_the_next_window_fills_breaks_no_rule() {
    let good = evidence_of(&|| fixed(TEN, WINDOW_MS), 0, 0);
    let filling: Vec<usize> = good.step("next/fill").map(|(at, _)| at).collect();
    assert!(filling.len() > TEN);
    for lost in filling {
        let mut evidence = good.clone();
        evidence.exchanges[lost].response = None;
        let findings = judge_window(&evidence);
        assert!(findings.iter().all(|finding| !finding.status.is_red()), "without {lost}: {findings:#?}");
    }
}

#[test]
fn limits_of_nine_and_eleven_are_no_concern_of_the_window() {
    check(&|| fixed(9, WINDOW_MS), &[&[]]);
    check(&|| fixed(11, WINDOW_MS), &[&[]]);
}

#[test]
fn windows_a_minute_too_short_or_too_long_are_noticed() {
    const MINUTE: u64 = 60_000;
    check(&|| fixed(TEN, WINDOW_MS - MINUTE), &[&[ANCHORED]]);
    check(&|| fixed(TEN, WINDOW_MS + MINUTE), &[&[ANCHORED]]);
}

#[test]
fn windows_of_the_clock_are_noticed_at_every_phase() {
    check(&|| grid(Some(0)), &[&[ANCHORED]]);
}

#[test]
fn windows_of_half_the_clocks_hour_are_noticed_at_every_phase() {
    const HALF: u64 = WINDOW_MS / 2;
    check(&|| grid(Some(HALF)), &[&[ANCHORED]]);
}

#[test]
fn windows_that_never_begin_anew_are_noticed() {
    check(&|| grid(None), &[&[REANCHORS]]);
}

#[test]
fn sliding_limiters_are_noticed() {
    check(&|| sliding_log(false), &[&[NOT_SLIDING]]);
    check(&|| sliding_log(true), &[&[NOT_SLIDING]]);
    // Which rule shows it first depends on where the clock's hour ends.
    check(&|| sliding_counter(Some(0)), &[&[ANCHORED], &[NOT_SLIDING]]);
    check(&|| sliding_counter(None), &[&[NOT_SLIDING]]);
}

#[test]
fn a_token_bucket_is_noticed() {
    check(&bucket, &[&[ANCHORED]]);
}

#[test]
fn extended_windows_are_noticed() {
    check(&|| extended(false), &[&[NOT_EXTENDED]]);
    check(&|| extended(true), &[&[NOT_EXTENDED]]);
}

#[test]
fn forgetting_idle_domains_is_noticed() {
    const MINUTE: u64 = 60_000;
    for minutes in [6, 15, 30, 54] {
        check(&|| forgetful(minutes * MINUTE), &[&[ANCHORED]]);
    }
}

#[test]
fn a_reset_that_gives_back_half_is_noticed() {
    check(&halved, &[&[NOT_SLIDING]]);
}

#[test]
fn a_limiter_that_serves_nothing_or_everything_turns_nothing_red() {
    let nothing: &dyn Fn() -> Limiter = &|| Box::new(|_| false);
    let everything: &dyn Fn() -> Limiter = &|| Box::new(|_| true);
    for limiter in [nothing, everything] {
        let findings = judge_window(&evidence_of(limiter, 0, 0));
        assert!(findings.iter().all(|finding| finding.status == Status::Inconclusive), "{findings:#?}");
    }
}
