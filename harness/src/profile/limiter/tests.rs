//! The probe's classifier against models of limiters, with the clock at many phases of its hour, standing and running.

mod limiters;

use std::collections::BTreeMap;

use serde_json::json;

use super::super::limiter_probe::{Amount, MIXED, Moment, STAGES, Send, at_most, is_over, limit_found, mixed_after};
use super::*;
use crate::checks::rndrkit::text;
use crate::evidence::{ClockKind, Response, SentRequest};
use limiters::{
    Limiter, both, bucket, bucket_in_window, extended, fixed, forgetful, gcra, grid, sliding_counter, sliding_log,
};

const MINUTE: u64 = 60_000;
const TEN: u64 = 10;

/// A request as a limiter sees it.
#[derive(Clone, Copy)]
struct Incoming<'a> {
    domain: &'a str,
    token: usize,
    /// Grows with each connection.
    connection: usize,
    /// How many requests came before.
    number: usize,
    /// The target's clock (ms).
    now: u64,
}

/// Decides on requests one after another; it keeps what it remembers apart for each name.
struct Server {
    name: fn(&Incoming<'_>) -> String,
    make: Box<dyn Fn() -> Limiter>,
    limiters: BTreeMap<String, Limiter>,
    counts_invalid: bool,
    /// Requests so far.
    requests: usize,
}

impl Server {
    fn new(make: impl Fn() -> Limiter + 'static) -> Server {
        let name = |incoming: &Incoming<'_>| incoming.domain.to_owned();
        Server { name, make: Box::new(make), limiters: BTreeMap::new(), counts_invalid: true, requests: 0 }
    }

    fn named(self, name: fn(&Incoming<'_>) -> String) -> Server {
        Server { name, ..self }
    }

    fn admits(&mut self, incoming: &Incoming<'_>) -> bool {
        let make = &self.make;
        self.limiters.entry((self.name)(incoming)).or_insert_with(|| make())(incoming.now)
    }
}

/// A clock: what it shows at first, and how long (ms) a request takes of it.
#[derive(Clone, Copy, Debug)]
struct Clock {
    phase: u64,
    takes_ms: u64,
    /// It runs on by itself; otherwise requests take real time only.
    runs: bool,
}

/// Goes through the stages as the gather step does.
struct Run {
    server: Server,
    clock: Clock,
    advanced_ms: u64,
    real_ms: u64,
    connections: usize,
    evidence: Evidence,
}

impl Run {
    fn new(server: Server, clock: Clock) -> Run {
        let evidence = Evidence { clock: ClockKind::Manual, ..Evidence::default() };
        Run { server, clock, advanced_ms: 0, real_ms: 0, connections: 0, evidence }
    }

    fn send(&mut self, label: &str, amount: Amount) -> bool {
        const HOURS_BEFORE: u64 = 500_000;
        const MS: u64 = 1_000_000;
        let start_ns = self.real_ms * MS + 1;
        self.real_ms += self.clock.takes_ms;
        let ran = if self.clock.runs { self.real_ms } else { 0 };
        let now = HOURS_BEFORE * WINDOW_MS + self.clock.phase + self.advanced_ms + ran;
        let token = usize::from(matches!(amount, Amount::OtherToken));
        let own = matches!(amount, Amount::Apart);
        self.connections += usize::from(own);
        let connection = if own { self.connections } else { 0 };
        let invalid = matches!(amount, Amount::Invalid);
        let incoming = Incoming { domain: domain_of(label), token, connection, number: self.server.requests, now };
        self.server.requests += 1;
        let admitted = (invalid && !self.server.counts_invalid) || self.server.admits(&incoming);
        let response = match admitted {
            true if invalid => Response::json_of(400, &json!({"error": text::BODY})),
            true => Response::json_of(200, &json!({"message": text::QUEUED})),
            false => Response::json_of(429, &json!({"error": text::RATE})),
        };
        let headers = vec![("Authorization".to_owned(), format!("Bearer <token:{}.{token}>", incoming.domain))];
        let url = String::new();
        self.evidence.exchanges.push(Exchange {
            label: label.to_owned(),
            request: SentRequest { method: "POST".to_owned(), url, headers, body: None, signed: None },
            response: Some(response),
            error: None,
            start_ns,
            end_ns: self.real_ms * MS + 2,
            advanced_ms: self.advanced_ms,
            curl: String::new(),
        });
        admitted && !invalid
    }

    fn evidence(mut self) -> Evidence {
        let mut limit = None;
        for (moment, sends) in STAGES {
            if !matches!(moment, Moment::Now) && limit.is_none() {
                break;
            }
            let from = match moment {
                Moment::Now => None,
                Moment::Until(step, ms) => self.evidence.step(step).next().map(|(_, first)| first.advanced_ms + ms),
                Moment::After(step, ms) => self.evidence.step(step).last().map(|(_, last)| last.advanced_ms + ms),
            };
            self.advanced_ms = self.advanced_ms.max(from.unwrap_or_default());
            for Send(label, amount) in *sends {
                let mut served = Vec::new();
                while served.len() < at_most(*amount, limit.unwrap_or_default()) && !is_over(*amount, &served) {
                    served.push(self.send(label, *amount));
                    for _ in 0..mixed_after(label, served.len()) {
                        self.send(MIXED.0, Amount::One);
                    }
                }
                limit = if *label == SEARCH { limit_found(&served) } else { limit };
            }
        }
        self.evidence
    }
}

/// Phases of the clock's hour, and around its ends, with clocks that stand and that run.
fn clocks() -> Vec<Clock> {
    const STEP: usize = 13 * 60_000 + 13_000;
    let near = [1, 5_000, WINDOW_MS - 1];
    let phases = (0..WINDOW_MS).step_by(STEP).chain(near);
    let clock = |phase| [(0, false), (3, false), (30, true)].map(|(takes_ms, runs)| Clock { phase, takes_ms, runs });
    phases.flat_map(clock).collect()
}

#[track_caller]
fn check(server: impl Fn() -> Server, expected: Observed, limit: Option<u64>, scope: Option<Scope>) {
    for clock in clocks() {
        let found = classify(&Run::new(server(), clock).evidence());
        let seen = (found.observed, found.limit, found.scope);
        assert_eq!(seen, (expected, limit, scope), "{clock:?}: {found:#?}");
    }
}

#[track_caller]
fn check_kind(make: impl Fn() -> Limiter + Clone + 'static, expected: Observed) {
    check(|| Server::new(make.clone()), expected, Some(TEN), Some(Scope::Domain));
}

/// Odd limiters must never be given a name; on some clocks they may even look like a scope.
#[track_caller]
fn check_unknown(make: impl Fn() -> Limiter + Clone + 'static) {
    for clock in clocks() {
        let found = classify(&Run::new(Server::new(make.clone()), clock).evidence());
        assert_eq!(found.observed, Observed::Unknown, "{clock:?}: {found:#?}");
        assert!(found.reason.is_some() && !found.facts.is_empty(), "{found:#?}");
    }
}

#[test]
fn the_documented_limiter_is_named_with_all_it_has() {
    for clock in clocks() {
        let found = classify(&Run::new(Server::new(|| fixed(TEN, WINDOW_MS)), clock).evidence());
        assert_eq!(found.observed, Observed::FixedFromFirst, "{clock:?}: {found:#?}");
        assert_eq!((found.limit, found.window_ms, found.scope), (Some(TEN), Some(WINDOW_MS), Some(Scope::Domain)));
        assert_eq!((found.anchor.as_deref(), found.counts.invalid), (Some("first-request"), Some(true)), "{found:#?}");
        let [over, most] = found.window_between_ms.unwrap_or_default();
        assert!(over < WINDOW_MS && WINDOW_MS <= most && most - over < MINUTE, "{found:#?}");
    }
    let free = Server { counts_invalid: false, ..Server::new(|| fixed(TEN, WINDOW_MS)) };
    let found = classify(&Run::new(free, clocks()[0]).evidence());
    assert_eq!(found.counts.invalid, Some(false));
}

#[test]
fn limits_of_nine_and_eleven_are_the_same_kind() {
    for limit in [9, 11] {
        let server = || Server::new(move || fixed(limit, WINDOW_MS));
        check(server, Observed::FixedFromFirst, Some(limit), Some(Scope::Domain));
    }
}

#[test]
fn other_windows_are_named_with_what_they_lie_between() {
    for minutes in [57, 59] {
        for clock in clocks() {
            let server = Server::new(move || fixed(TEN, minutes * MINUTE));
            let found = classify(&Run::new(server, clock).evidence());
            assert_eq!((found.observed, found.window_ms), (Observed::FixedFromFirst, None), "{clock:?}: {found:#?}");
            let [over, most] = found.window_between_ms.unwrap_or_default();
            assert!(over < minutes * MINUTE && minutes * MINUTE <= most, "{minutes}: {found:#?}");
        }
    }
}

#[test]
fn windows_that_several_kinds_explain_are_not_named() {
    for minutes in [1, 2, 7, 15, 25, 30, 35, 42, 50, 61, 90] {
        for clock in clocks() {
            let server = Server::new(move || fixed(TEN, minutes * MINUTE));
            let found = classify(&Run::new(server, clock).evidence());
            let right = matches!(found.observed, Observed::FixedFromFirst | Observed::Unknown);
            assert!(right, "{minutes} {clock:?}: {found:#?}");
        }
    }
}

#[test]
fn windows_of_the_clock_are_named_at_every_phase() {
    check_kind(|| grid(Some(0), WINDOW_MS), Observed::ClockAligned);
    check_kind(|| grid(Some(17 * MINUTE), WINDOW_MS), Observed::ClockAligned);
}

#[test]
fn windows_counted_from_the_first_request_ever_are_named() {
    check_kind(|| grid(None, WINDOW_MS), Observed::GridFromFirstEver);
}

#[test]
fn sliding_limiters_are_named() {
    check_kind(|| sliding_log(false), Observed::SlidingLog);
    check_kind(|| sliding_log(true), Observed::SlidingLog);
    check_kind(|| sliding_counter(None, false), Observed::SlidingCounter);
    check_kind(|| sliding_counter(Some(0), false), Observed::SlidingCounter);
}

#[test]
fn a_counter_that_a_longer_log_would_explain_is_not_named() {
    for (origin, clock) in clocks().into_iter().flat_map(|clock| [(None, clock), (Some(0), clock)]) {
        let found = classify(&Run::new(Server::new(move || sliding_counter(origin, true)), clock).evidence());
        assert!(matches!(found.observed, Observed::SlidingCounter | Observed::Unknown), "{clock:?}: {found:#?}");
    }
}

#[test]
fn a_bucket_is_named_however_it_is_made() {
    check_kind(|| bucket(TEN, WINDOW_MS / TEN), Observed::TokenBucket);
    check_kind(|| gcra(WINDOW_MS / TEN), Observed::TokenBucket);
    check_kind(|| bucket(TEN, 10 * MINUTE), Observed::TokenBucket);
    check(|| Server::new(|| bucket(11, WINDOW_MS / 11)), Observed::TokenBucket, Some(11), Some(Scope::Domain));
    let found = classify(&Run::new(Server::new(|| gcra(WINDOW_MS / TEN)), clocks()[0]).evidence());
    assert_eq!(found.window_ms, Some(WINDOW_MS));
}

#[test]
fn a_bucket_inside_a_window_is_neither_of_the_two() {
    check_kind(bucket_in_window, Observed::BucketInsideWindow);
    check_kind(|| both(fixed(TEN, WINDOW_MS), bucket(TEN, WINDOW_MS / TEN)), Observed::BucketInsideWindow);
}

#[test]
fn forgetting_idle_domains_is_told_from_a_short_window() {
    for minutes in [9, 10, 15, 30, 54] {
        check_kind(move || forgetful(minutes * MINUTE), Observed::ForgetsIdle);
    }
    for minutes in [2, 4, 6] {
        for clock in clocks() {
            let found = classify(&Run::new(Server::new(move || forgetful(minutes * MINUTE)), clock).evidence());
            let right = matches!(found.observed, Observed::ForgetsIdle | Observed::Unknown);
            assert!(right, "{minutes} {clock:?}: {found:#?}");
        }
    }
}

#[test]
fn windows_that_are_put_off_are_named_by_what_puts_them_off() {
    check_kind(|| extended(|served| !served), Observed::ExtendedByRefusals);
    check_kind(|| extended(|served| served), Observed::ExtendedByServed);
    check_kind(|| extended(|_| true), Observed::ExtendedByEvery);
}

#[test]
fn no_limit_is_named_none() {
    check(|| Server::new(|| Box::new(|_| true)), Observed::None, None, None);
}

#[test]
fn the_scope_is_seen() {
    let server = || Server::new(|| fixed(TEN, WINDOW_MS));
    let token = || server().named(|incoming| format!("{} {}", incoming.domain, incoming.token));
    check(token, Observed::FixedFromFirst, Some(TEN), Some(Scope::Token));
    let connection = || server().named(|incoming| format!("{} {}", incoming.domain, incoming.connection));
    check(connection, Observed::FixedFromFirst, Some(TEN), Some(Scope::Connection));
    let two = || server().named(|incoming| format!("{} {}", incoming.domain, incoming.connection % 2));
    check(two, Observed::FixedFromFirst, Some(TEN), Some(Scope::Process));
    let irregular =
        || server().named(|incoming| format!("{} {}", incoming.domain, incoming.connection * 7919 / 13 % 3));
    check(irregular, Observed::FixedFromFirst, Some(TEN), Some(Scope::Process));
    for clock in clocks() {
        let processes: [fn(&Incoming<'_>) -> String; 3] = [
            |incoming| format!("{} {}", incoming.domain, incoming.number % 2),
            |incoming| format!("{} {}", incoming.domain, incoming.number % 3),
            |incoming| format!("{} {}", incoming.domain, incoming.number * incoming.number % 7 % 2),
        ];
        for (name, count) in processes.into_iter().zip([2, 3, 2]) {
            let found = classify(&Run::new(server().named(name), clock).evidence());
            let seen = (found.scope, found.processes, found.limit);
            assert_eq!(seen, (Some(Scope::Process), Some(count), Some(TEN)), "{clock:?} {found:#?}");
        }
    }
    check(|| server().named(|_| String::new()), Observed::Unknown, None, Some(Scope::Global));
}

#[test]
fn a_limit_that_others_spend_has_a_scope_and_no_kind() {
    let spent_by_others = || {
        let mut inner = fixed(TEN, WINDOW_MS);
        let mut busy = true;
        let limiter: Limiter = Box::new(move |now| {
            // Before the first request of the probe, others took nearly all.
            let others = if std::mem::take(&mut busy) { TEN } else { 0 };
            (0..others).for_each(|_| _ = inner(now));
            inner(now)
        });
        limiter
    };
    let server = || Server::new(spent_by_others).named(|_| String::new());
    check(server, Observed::Unknown, None, Some(Scope::Global));
}

#[test]
fn odd_limiters_have_no_name() {
    // Only half comes back when a window ends.
    check_unknown(|| {
        let (mut begin, mut left) = (None, TEN);
        Box::new(move |now| {
            if *begin.get_or_insert(now) + WINDOW_MS <= now {
                (begin, left) = (Some(now), TEN / 2);
            }
            left = left.saturating_sub(1);
            left > 0
        })
    });
    // Every third refused request is served all the same.
    check_unknown(|| {
        let (mut inner, mut refused) = (fixed(TEN, WINDOW_MS), 0);
        Box::new(move |now| {
            let served = inner(now);
            refused += u64::from(!served);
            served || refused % 3 == 0
        })
    });
    // A second limit over two hours.
    check_unknown(|| both(fixed(TEN, WINDOW_MS), fixed(15, 2 * WINDOW_MS)));
    // The last two minutes of a window are free.
    check_unknown(|| {
        let (mut inner, mut begin) = (fixed(TEN, WINDOW_MS), None);
        Box::new(move |now| {
            let first = *begin.get_or_insert(now);
            let free = now < first + WINDOW_MS && now >= first + WINDOW_MS - 2 * MINUTE;
            free || inner(now)
        })
    });
    // What a window left unused is added to the next.
    check_unknown(|| {
        let (mut begin, mut left) = (None, 0);
        Box::new(move |now| {
            if begin.is_none_or(|begin| now - begin >= WINDOW_MS) {
                (begin, left) = (Some(now), left + TEN);
            }
            let served = left > 0;
            left = left.saturating_sub(1);
            served
        })
    });
    // Nothing is ever served again.
    check_unknown(|| {
        let mut count = 0;
        Box::new(move |_| {
            count += 1;
            count <= TEN
        })
    });
    check_unknown(|| Box::new(|_| false));
}

#[test]
fn what_is_not_sure_is_not_named() {
    let good = || Run::new(Server::new(|| fixed(TEN, WINDOW_MS)), clocks()[0]).evidence();
    let mut slow = good();
    slow.exchanges[40].end_ns += 3_000_000_000;
    let mut unclear = good();
    unclear.exchanges[40].response = None;
    let mut other_cause = good();
    other_cause.exchanges[40].response = Some(Response::json_of(500, &json!({})));
    for evidence in [slow, unclear, other_cause, Evidence::default()] {
        let found = classify(&evidence);
        assert_eq!(found.observed, Observed::Unknown);
        assert!(found.reason.is_some());
    }
}

#[test]
fn evidence_that_ends_early_names_nothing_wrong() {
    let whole = Run::new(Server::new(|| fixed(TEN, WINDOW_MS)), clocks()[0]).evidence();
    for length in 0..whole.exchanges.len() {
        let part = Evidence { exchanges: whole.exchanges[..length].to_vec(), ..Evidence::default() };
        let found = classify(&Evidence { clock: ClockKind::Manual, ..part });
        let right = matches!(found.observed, Observed::FixedFromFirst | Observed::Unknown);
        assert!(right, "{length}: {}", found.words());
    }
}

#[test]
fn the_probe_costs_few_requests() {
    const REQUESTS_MAX: usize = 260;
    let evidence = Run::new(Server::new(|| fixed(TEN, WINDOW_MS)), clocks()[0]).evidence();
    assert!(evidence.exchanges.len() <= REQUESTS_MAX, "{}", evidence.exchanges.len());
}

#[test]
fn one_line_says_it() {
    let found = classify(&Run::new(Server::new(|| fixed(TEN, WINDOW_MS)), clocks()[0]).evidence());
    assert_eq!(found.words(), "fixed-from-first, limit 10, window 1 h, per domain, invalid bodies count");
}
