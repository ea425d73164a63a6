//! Histories of simulated servers, correct and not, as several recorders and a driven clock would write them.
//!
//! The pure auditor is tested elsewhere; here it is what lies between it and the files: times of several clocks, readings of a driven
//! clock, lines out of order, outcomes that are open. A correct server must never be found wrong.

use std::fmt::Write as _;
use std::path::PathBuf;

use hookproof::histories::audited::{AuditVerdict, Audited};
use hookproof::histories::{Options, audit_files};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::cli::folder;

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;
const HOUR_MS: i64 = 3_600_000;
const UNIX_MS: i64 = 1_760_000_000_000;
const LIMIT: u64 = 10;
const RATE_ERROR: &str = "Rate limit exceeded (10 requests/hour)";

/// Who writes the history, on which clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clocks {
    /// One recorder, a server in real time.
    Alone,
    /// Three recorders whose clocks are wrong by up to this many milliseconds.
    Several(i64),
    /// One recorder, a clock that stands still between advances.
    Standing,
    /// One recorder, a clock that runs on after advances.
    Running,
}

/// A fixed window from the first request, with this limit.
struct Limiter {
    limit: u64,
    window: Option<(i64, u64)>,
}

impl Limiter {
    /// Whether a request at this instant, in milliseconds, is admitted.
    fn admits(&mut self, now: i64) -> bool {
        match &mut self.window {
            Some((start, count)) if now < *start + HOUR_MS => {
                let admitted = *count < self.limit;
                *count += u64::from(admitted);
                admitted
            }
            _ => {
                self.window = Some((now, 1));
                true
            }
        }
    }
}

struct Request {
    recorder: usize,
    start: i64,
    decided: i64,
    end: i64,
    /// What the target's clock showed at these instants, in milliseconds.
    shown: [i64; 3],
    status: Option<u16>,
    error: &'static str,
}

/// Makes the requests of a run: bursts with calm between, an hour or more apart now and then.
fn requests(rng: &mut StdRng, clocks: Clocks, server: Server) -> Vec<Request> {
    let mut requests = Vec::new();
    let (mut real, mut ahead) = (SECOND, 0_i64);
    for _ in 0..rng.random_range(3..7) {
        let calm = rng.random_range(0..3);
        let hours = rng.random_range(900_000..2 * HOUR_MS);
        let (before, jump) = (ahead, real + 10 * MS);
        match clocks {
            Clocks::Alone | Clocks::Several(_) if calm > 0 => real += hours * MS,
            Clocks::Standing | Clocks::Running if calm > 0 => ahead += hours,
            _ => {}
        }
        // The clock moves while the first requests of the burst are under way.
        let shown = |at: i64| {
            let moved = if at < jump { before } else { ahead };
            let runs = if clocks == Clocks::Standing { 0 } else { at / MS };
            UNIX_MS + moved + runs
        };
        for _ in 0..rng.random_range(5..40) {
            real += rng.random_range(0..8 * MS);
            let start = real;
            let long = rng.random_bool(0.1);
            let end = start + rng.random_range(MS / 10..if long { 2 * SECOND } else { 20 * MS });
            let decided = rng.random_range(start..=end);
            let shown = [shown(start), shown(decided), shown(end)];
            let recorder = rng.random_range(0..3);
            requests.push(Request { recorder, start, decided, end, shown, status: None, error: "" });
        }
        // Nobody is under way while the next burst's clock moves from here on.
        real = requests.iter().map(|request| request.end).max().unwrap_or(real) + SECOND;
    }
    decide(rng, &mut requests, server);
    requests
}

/// How a server answers.
#[derive(Clone, Copy)]
struct Server {
    limit: u64,
    /// The share of answers that leave it open whether the request counted.
    open: f64,
    /// The share of requests that it sends away because another one is at work.
    needless: f64,
}

/// Lets the server answer in the order of its decisions.
fn decide(rng: &mut StdRng, requests: &mut [Request], server: Server) {
    let Server { limit, open, needless } = server;
    let mut limiter = Limiter { limit, window: None };
    let mut at_work: Vec<(i64, i64)> = Vec::new();
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|at| requests[*at].decided);
    for at in order {
        let request = &mut requests[at];
        let meets = at_work.iter().any(|(start, end)| *start <= request.end && request.start <= *end);
        if needless > 0.0 && meets && rng.random_bool(needless) {
            (request.status, request.error) = (Some(429), RATE_ERROR);
            continue;
        }
        let kind = if rng.random_bool(open) { rng.random_range(0..4) } else { 4 };
        let (status, error) = match kind {
            0 => (Some(401), "Invalid token"),
            1 if limiter.admits(request.shown[1]) => (Some(503), ""),
            2 if limiter.admits(request.shown[1]) => (Some(400), "No valid URL paths (must start with /)"),
            3 if rng.random_bool(0.5) => (None, ""),
            3 => {
                limiter.admits(request.shown[1]);
                (None, "")
            }
            1 | 2 => (Some(429), RATE_ERROR),
            _ if limiter.admits(request.shown[1]) => (Some(200), ""),
            _ => (Some(429), RATE_ERROR),
        };
        (request.status, request.error) = (status, error);
        if status != Some(429) {
            at_work.push((request.start, request.end));
        }
    }
}

/// Writes the histories of all recorders to files and audits them.
fn audited(rng: &mut StdRng, clocks: Clocks, requests: &[Request], strict: bool) -> Audited {
    let folder = folder();
    let recorders = if matches!(clocks, Clocks::Several(_)) { 3 } else { 1 };
    let mut paths: Vec<PathBuf> = Vec::new();
    for recorder in 0..recorders {
        let skew = if let Clocks::Several(skew) = clocks { skew } else { 0 };
        let wrong = rng.random_range(-skew..=skew);
        let unix_ms = UNIX_MS - 5_000 + wrong;
        // Its own clock was zero at another instant than the others'.
        let zero = if recorders == 1 { 0 } else { -5_000 * MS };
        let mut text = format!(
            "{{\"v\":1,\"header\":true,\"recorder\":\"r{recorder}\",\"unix_ms\":{unix_ms},\"skew_ms\":{skew},\"limit\":10,\"window_ms\":{HOUR_MS},\
             \"tolerance_ms\":0,\"quota\":\"reached\",\"keys\":{{\"d1\":{{\"fresh\":true}}}}}}\n"
        );
        let mut lines: Vec<(i64, String)> = Vec::new();
        for (n, request) in requests.iter().enumerate() {
            if recorders > 1 && request.recorder != recorder {
                continue;
            }
            let driven = matches!(clocks, Clocks::Standing | Clocks::Running);
            let shown = |name: &str, at: i64| if driven { format!(",\"{name}\":{at}") } else { String::new() };
            let (start, end) = (request.start - zero, request.end - zero);
            let mut jitter = || rng.random_range(0..3 * MS);
            let started = format!(
                "{{\"v\":1,\"n\":{n},\"api\":\"rndrkit\",\"key\":\"d1\",\"op\":\"refresh\",\"pages\":1,\"start_ns\":{start}{}}}",
                shown("server_start_ms", request.shown[0])
            );
            let begun = start + jitter();
            lines.push((begun, started));
            if let Some(status) = request.status {
                let error =
                    if request.error.is_empty() { String::new() } else { format!(",\"error\":{:?}", request.error) };
                let ended = format!(
                    "{{\"v\":1,\"n\":{n},\"end_ns\":{end},\"status\":{status}{error}{}}}",
                    shown("server_end_ms", request.shown[2])
                );
                lines.push(((end + jitter()).max(begun), ended));
            }
        }
        lines.sort_by_key(|(at, _)| *at);
        lines.iter().for_each(|(_, line)| writeln!(text, "{line}").unwrap());
        let path = folder.path().join(format!("r{recorder}.jsonl"));
        std::fs::write(&path, text).unwrap();
        paths.push(path);
    }
    audit_files(&paths, &Options { strict, ..Options::default() }, &|| false).unwrap_or_else(|error| panic!("{error}"))
}

const ALL: [Clocks; 4] = [Clocks::Alone, Clocks::Several(40), Clocks::Standing, Clocks::Running];
const SEEDS: u64 = 60;
/// Explaining a violation takes longer than finding it.
const WRONG_SEEDS: u64 = 6;
const NEEDLESS_SEEDS: u64 = 12;

#[test]
fn a_correct_server_is_never_found_wrong() {
    for clocks in ALL {
        for seed in 0..SEEDS {
            let mut rng = StdRng::seed_from_u64(seed);
            let requests = requests(&mut rng, clocks, Server { limit: LIMIT, open: 0.2, needless: 0.0 });
            let audited = audited(&mut rng, clocks, &requests, false);
            assert_eq!(audited.verdict, AuditVerdict::Consistent, "{clocks:?} seed {seed}: {:#?}", audited.violations);
        }
    }
}

/// Such a server breaks a should rule at most.
#[test]
fn a_server_that_sends_away_who_meets_another_is_never_found_wrong_and_is_warned() {
    for clocks in ALL {
        let mut warned = 0;
        for seed in 0..NEEDLESS_SEEDS {
            let mut rng = StdRng::seed_from_u64(seed);
            let requests = requests(&mut rng, clocks, Server { limit: LIMIT, open: 0.1, needless: 0.4 });
            let audited = audited(&mut rng, clocks, &requests, false);
            assert_eq!(audited.verdict, AuditVerdict::Consistent, "{clocks:?} seed {seed}: {:#?}", audited.violations);
            warned += u64::from(audited.violations.iter().any(|one| one.rule == "rndrkit.rate.concurrent-exact"));
        }
        assert!(warned * 3 > NEEDLESS_SEEDS, "{clocks:?}: warned in {warned} of {NEEDLESS_SEEDS} runs");
    }
}

#[test]
fn a_server_that_serves_one_more_or_one_less_is_found_on_any_clock() {
    for clocks in ALL {
        for wrong in [LIMIT - 1, LIMIT + 1] {
            let found = (0..WRONG_SEEDS).filter(|seed| {
                let mut rng = StdRng::seed_from_u64(*seed);
                let requests = requests(&mut rng, clocks, Server { limit: wrong, open: 0.02, needless: 0.0 });
                // Nearly all requests meet others here, and that one less of these is served breaks no must.
                let strict = wrong < LIMIT;
                audited(&mut rng, clocks, &requests, strict).verdict == AuditVerdict::Inconsistent
            });
            // Some runs never fill a window in a way that tells.
            let found = found.count() as u64;
            assert!(found * 3 > WRONG_SEEDS, "{clocks:?}, {wrong} served: found in {found} of {WRONG_SEEDS} runs");
        }
    }
}
