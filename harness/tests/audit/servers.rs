//! Servers under concurrent load, right and wrong, and what the audit says of their histories.

use hookproof::audit::rate::{self, Monitor};
use hookproof::audit::{Kind, Request, Start, Verdict, Window};

use crate::dice::Dice;

/// Instants are microseconds here.
const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const LIMIT: i64 = 10;

/// How a server limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    Correct,
    ElevenAdmitted,
    NineAdmitted,
    FirstCountedTwice,
    FirstNotCounted,
    SlidingLog,
    ClockHour,
    PerToken,
    PerProcess,
    CheckThenIncrement,
    ExtendedByEachServed,
    ExtendedByEachRequest,
    LostOnRevocation,
    OnlyValidCounted,
    TwoSecondsLate,
    TwoSecondsEarly,
    NeverExpires,
}

/// How requests come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Workload {
    Poisson,
    Burst,
    /// Windows are filled, and probed just before and after their expected end.
    Boundary,
    /// Simultaneous volleys larger than what is left.
    Volley,
    /// One after the other, after long silence.
    Quiet,
}

const WORKLOADS: [Workload; 5] =
    [Workload::Poisson, Workload::Burst, Workload::Boundary, Workload::Volley, Workload::Quiet];

fn sends(dice: &mut Dice, workload: Workload, windows: i64) -> Vec<i64> {
    let mut now = dice.range(0, SECOND);
    let mut sends = Vec::new();
    let rate = dice.pick(&[0.7, 1.2, 1.6, 3.0]);
    while now < windows * HOUR {
        match workload {
            Workload::Poisson => {
                sends.push(now);
                now += exponential(dice, HOUR as f64 / (rate * LIMIT as f64));
            }
            Workload::Burst => {
                sends.extend((0..dice.range(2, 14)).map(|_| now + dice.range(0, SECOND / 5)));
                now += exponential(dice, HOUR as f64 * 0.55);
            }
            Workload::Boundary => {
                sends.push(now);
                let spread = dice.pick(&[3 * SECOND, HOUR / 2, HOUR / 50 * 49]);
                sends.extend((0..dice.range(LIMIT - 1, LIMIT + 1)).map(|_| now + SECOND / 3 + dice.range(0, spread)));
                let end = now + HOUR;
                sends.extend([end - SECOND * 6 / 5, end - SECOND * 7 / 10]);
                now = end + SECOND / 10 * dice.pick(&[6, 9, 14, 300]);
                sends.extend((0..dice.range(0, 2)).map(|_| now + dice.range(SECOND / 2, SECOND)));
            }
            Workload::Volley => {
                let before = dice.range(0, 8);
                sends.extend((0..before).map(|_| now + dice.range(0, HOUR / 3)));
                let volley = if before > 0 { now + HOUR / 2 } else { now };
                sends.extend((0..dice.range(6, 16)).map(|_| volley + dice.range(0, 8_000)));
                now += HOUR + dice.pick(&[2 * SECOND, 60 * SECOND, HOUR / 4]);
            }
            Workload::Quiet => {
                for _ in 0..LIMIT + dice.range(-1, 3) {
                    sends.push(now);
                    now += dice.range(SECOND, 250 * SECOND);
                }
                now += HOUR + dice.range(SECOND, HOUR);
            }
        }
    }
    sends.sort_unstable();
    sends
}

fn exponential(dice: &mut Dice, mean: f64) -> i64 {
    (-mean * (1.0 - dice.unit()).ln()) as i64 + 1
}

/// A counter with its window, or one of several.
#[derive(Debug, Clone, Default)]
struct Counter {
    opened: Option<i64>,
    count: i64,
    log: Vec<i64>,
    windows: i64,
}

impl Counter {
    /// Opens a window where none is.
    fn roll(&mut self, server: Server, now: i64) {
        let length = match server {
            Server::TwoSecondsLate => HOUR + 2 * SECOND,
            Server::TwoSecondsEarly => HOUR - 2 * SECOND,
            // The expiry of the second window is lost.
            Server::NeverExpires if self.windows == 2 => i64::MAX,
            _ => HOUR,
        };
        let over = match (server, self.opened) {
            (_, None) => true,
            (Server::ClockHour, Some(opened)) => opened / HOUR != now / HOUR,
            (_, Some(opened)) => now - opened >= length,
        };
        if over {
            let begins_with = match server {
                Server::FirstCountedTwice => 1,
                Server::FirstNotCounted => -1,
                _ => 0,
            };
            (self.opened, self.count) = (Some(now), begins_with);
            self.windows += 1;
        }
    }

    fn decide(&mut self, server: Server, now: i64, valid: bool) -> bool {
        if server == Server::SlidingLog {
            self.log.retain(|at| now - at < HOUR);
            let served = (self.log.len() as i64) < LIMIT;
            self.log.extend(served.then_some(now));
            return served;
        }
        self.roll(server, now);
        let limit = match server {
            Server::ElevenAdmitted => LIMIT + 1,
            Server::NineAdmitted => LIMIT - 1,
            _ => LIMIT,
        };
        let served = self.count < limit;
        self.count += i64::from(served && (valid || server != Server::OnlyValidCounted));
        let extends = match server {
            Server::ExtendedByEachServed => served,
            Server::ExtendedByEachRequest => true,
            _ => false,
        };
        if extends {
            self.opened = Some(now);
        }
        served
    }
}

/// A request on its way, with the instants at which the server looks at it.
struct Flight {
    start: i64,
    checked: i64,
    decided: i64,
    end: i64,
    lost: bool,
    unknown: bool,
    token: usize,
    valid: bool,
}

impl Flight {
    fn sent(dice: &mut Dice, start: i64, unknown: f64) -> Flight {
        let latency = |dice: &mut Dice| 300 + exponential(dice, 20_000.0);
        let checked = start + latency(dice);
        let decided = checked + latency(dice);
        let (unknown, lost) = (dice.chance(unknown), dice.chance(0.4));
        let end = decided + latency(dice);
        Flight { start, checked, decided, end, lost, unknown, token: dice.index(3), valid: dice.chance(0.8) }
    }
}

/// A history of a server under load; some outcomes stay unknown.
fn history(dice: &mut Dice, server: Server, sends: &[i64], unknown: f64) -> Vec<Request> {
    let mut counters = vec![Counter::default(); 3];
    let mut revoked_at = exponential(dice, 2.5 * HOUR as f64);
    let clock = dice.range(0, HOUR);
    let flights: Vec<Flight> = sends.iter().map(|start| Flight::sent(dice, *start, unknown)).collect();
    // The instants at which anything happens: a check, where it is apart, and a decision.
    let mut moments: Vec<(i64, bool, usize)> = Vec::new();
    for (index, flight) in flights.iter().enumerate().filter(|(_, flight)| !(flight.unknown && flight.lost)) {
        if server == Server::CheckThenIncrement {
            moments.push((flight.checked, false, index));
        }
        moments.push((flight.decided, true, index));
    }
    moments.sort_unstable();
    let mut served = vec![false; flights.len()];
    for (at, decides, index) in moments {
        let (flight, now) = (&flights[index], at + clock);
        if server == Server::LostOnRevocation && at >= revoked_at {
            revoked_at = at + exponential(dice, 2.5 * HOUR as f64);
            counters[0] = Counter::default();
        }
        let counter = match server {
            Server::PerToken => &mut counters[flight.token],
            Server::PerProcess => &mut counters[dice.index(2)],
            _ => &mut counters[0],
        };
        match (server, decides) {
            (Server::CheckThenIncrement, false) => {
                counter.roll(server, now);
                served[index] = counter.count < LIMIT;
            }
            (Server::CheckThenIncrement, true) => counter.count += i64::from(served[index]),
            _ => served[index] = counter.decide(server, now, flight.valid),
        }
    }
    let told = flights.iter().enumerate().map(|(index, flight)| {
        let kind = match (flight.unknown, served[index]) {
            (true, _) => Kind::Perhaps { until: dice.chance(0.5).then_some(flight.start + 60 * SECOND) },
            (false, true) => Kind::Counted,
            (false, false) => Kind::Refused,
        };
        Request { n: index as u64, start: flight.start, end: flight.end, kind }
    });
    told.collect()
}

const EXACT: Window = Window { limit: LIMIT as u64, shortest: HOUR, longest: HOUR };

#[test]
fn a_correct_server_is_never_accused() {
    const HISTORIES: u64 = 240;
    let (mut requests, mut chosen) = (0, 0);
    for seed in 0..HISTORIES {
        for workload in WORKLOADS {
            let mut dice = Dice::new(seed);
            let windows = dice.range(2, 6);
            let sends = sends(&mut dice, workload, windows);
            let unknown = dice.pick(&[0.0, 0.02, 0.1]);
            let slack = dice.pick(&[0, 0, SECOND, 2 * SECOND]);
            let window = Window { shortest: HOUR - slack, longest: HOUR + slack, ..EXACT };
            let history = history(&mut dice, Server::Correct, &sends, unknown);
            requests += history.len();
            let verdict = rate::judge(&history, &window, Start::Fresh);
            assert!(matches!(verdict, Verdict::Consistent(_)), "{seed} {workload:?}: {verdict:#?}");
            if let Some(schedule) = rate::choose(&history, &window) {
                assert_eq!(rate::replay(&history, &window, Start::Fresh, &schedule), Ok(()), "{seed} {workload:?}");
                chosen += 1;
            }
            // Recording may begin in the middle, and tell what it has in any order.
            let begins = sends[sends.len() / 3];
            let mut monitor = Monitor::new(window, Start::Unknown);
            history.iter().filter(|request| request.start >= begins).for_each(|request| monitor.push(*request));
            let verdict = monitor.finish();
            // A request from before may take effect later: only an answer of known outcome is surely over.
            let overlaps = history.iter().any(|request| {
                let last = match request.kind {
                    Kind::Perhaps { until } => until.unwrap_or(i64::MAX),
                    Kind::Counted | Kind::Refused => request.end,
                };
                request.start < begins && last >= begins
            });
            let accused = matches!(verdict, Verdict::Inconsistent(_));
            assert!(overlaps || !accused, "{seed} {workload:?}: {verdict:#?}");
        }
    }
    assert!(requests > 30_000, "{requests} requests were judged");
    let histories = HISTORIES * WORKLOADS.len() as u64;
    assert!(chosen > histories / 2, "{chosen} of {histories} needed no search");
}

/// Of twenty histories of this server, at least so many must show that it is wrong, each with an explanation.
#[track_caller]
fn is_caught(server: Server, workload: Workload, at_least: usize) {
    let caught = (0..20).filter(|seed| {
        let mut dice = Dice::new(*seed);
        let sends = sends(&mut dice, workload, 3);
        let history = history(&mut dice, server, &sends, 0.0);
        match rate::judge(&history, &EXACT, Start::Fresh) {
            Verdict::Inconsistent(witness) => {
                assert_eq!(rate::choose(&history, &EXACT), None);
                let sentence = witness.sentence(|at| format!("{}", at / SECOND));
                assert!(!witness.facts.is_empty() && witness.facts.len() < 40, "{witness:#?}");
                assert!(witness.facts.iter().any(|fact| sentence.contains(&format!("#{} ", fact.n))), "{sentence}");
                true
            }
            Verdict::Consistent(_) => false,
            Verdict::Inconclusive(reason) => panic!("{reason}"),
        }
    });
    let caught = caught.count();
    assert!(caught >= at_least, "{server:?} under {workload:?}: {caught} of 20 histories caught, {at_least} expected");
}

#[test]
fn a_wrong_count_is_caught_in_nearly_every_history() {
    for server in [Server::ElevenAdmitted, Server::NineAdmitted, Server::FirstCountedTwice, Server::FirstNotCounted] {
        is_caught(server, Workload::Volley, 18);
        is_caught(server, Workload::Boundary, 18);
    }
}

#[test]
fn a_count_per_token_or_per_process_is_caught_by_volleys() {
    is_caught(Server::PerToken, Workload::Volley, 19);
    is_caught(Server::PerProcess, Workload::Volley, 19);
}

#[test]
fn a_race_between_check_and_count_is_caught_by_volleys() {
    is_caught(Server::CheckThenIncrement, Workload::Volley, 19);
}

#[test]
fn a_count_lost_on_revocation_is_caught_in_some_histories() {
    is_caught(Server::LostOnRevocation, Workload::Boundary, 8);
}

#[test]
fn windows_of_another_kind_are_caught_at_their_boundaries() {
    for server in [Server::SlidingLog, Server::ClockHour, Server::ExtendedByEachServed, Server::ExtendedByEachRequest] {
        is_caught(server, Workload::Boundary, 18);
    }
    is_caught(Server::ExtendedByEachServed, Workload::Poisson, 15);
}

#[test]
fn windows_two_seconds_off_are_caught_at_their_boundaries() {
    is_caught(Server::TwoSecondsLate, Workload::Boundary, 15);
    is_caught(Server::TwoSecondsEarly, Workload::Boundary, 15);
}

#[test]
fn a_window_that_never_expires_is_caught_once_it_should_have() {
    is_caught(Server::NeverExpires, Workload::Quiet, 1);
    is_caught(Server::NeverExpires, Workload::Volley, 10);
}

#[test]
fn invalid_requests_that_do_not_count_are_caught() {
    is_caught(Server::OnlyValidCounted, Workload::Volley, 18);
}
