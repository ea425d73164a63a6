//! Servers that are wrong only under load, or in what load looks at: each is caught, for the right reason.

use hookproof::report::load::ScenarioReport;
use hookproof::verdict::Status;
use scenarios::scenario::Scenario;

use crate::cli::{Served, folder};
use crate::load::Loaded;

/// A race shows in most runs, not in every one; it must show in one of so many.
const RUNS: u64 = 3;

/// Runs a scenario against a server with this deviation, at most [`RUNS`] times, until its history contradicts a rule whose id begins like this.
#[track_caller]
fn check(deviation: &str, scenario: Scenario, rule: &str) {
    let broken = |one: &ScenarioReport| {
        let violations = one.audit.iter().flat_map(|audit| &audit.violations);
        one.status == Status::Fail && violations.into_iter().any(|violation| violation.rule.starts_with(rule))
    };
    let mut said = String::new();
    for seed in 1..=RUNS {
        let folder = folder();
        let served =
            Served::start(folder.path(), &["--store", "memory", "--clock", "manual", "--deviation", deviation]);
        let target = served.target_file(folder.path());
        let arguments = ["--target", &target, scenario.name(), "--seed", &seed.to_string(), "--settle", "0s"];
        let loaded = Loaded::run(folder.path(), &arguments);
        if broken(loaded.scenario(scenario)) {
            assert_eq!(loaded.code(), Some(1), "{}", loaded.said());
            let history = loaded.scenario(scenario).history.clone().expect("a history that shows a violation is kept");
            assert!(loaded.said().contains(&history));
            std::fs::remove_file(history).unwrap();
            return;
        }
        said = loaded.said();
    }
    panic!("{deviation} was not caught in {RUNS} runs of {scenario}, the last of which says:\n{said}");
}

const RATE: &str = "rndrkit.rate.";

#[test]
fn checking_first_and_counting_later_is_caught() {
    check("race-count", Scenario::FirstWindow, RATE);
}

#[test]
fn counting_at_each_token_is_caught() {
    check("limit-per-token", Scenario::TokenSpread, RATE);
}

#[test]
fn locking_at_each_token_is_caught() {
    check("race-count-by-token", Scenario::FirstWindow, RATE);
}

#[test]
fn counting_in_each_process_is_caught() {
    check("limit-per-process-of-request", Scenario::FirstWindow, RATE);
}

#[test]
fn counting_in_the_process_of_each_connection_is_caught() {
    check("limit-per-process-of-connection", Scenario::FirstWindow, RATE);
}

#[test]
fn losing_the_count_with_a_revoked_token_is_caught() {
    check("count-lost-with-token", Scenario::Revocation, RATE);
}

#[test]
fn counting_the_first_request_twice_is_caught() {
    check("limit-first-twice", Scenario::FirstWindow, RATE);
}

#[test]
fn opening_a_window_twice_is_caught() {
    check("race-first-request", Scenario::FirstWindow, RATE);
}

#[test]
fn a_limit_of_one_more_or_one_less_is_caught() {
    check("limit-eleven", Scenario::FirstWindow, RATE);
    check("limit-nine", Scenario::FirstWindow, RATE);
}

#[test]
fn a_window_that_slides_is_caught() {
    check("window-sliding-log", Scenario::WindowEdge, RATE);
}

#[test]
fn a_window_that_is_extended_is_caught() {
    check("window-extended-by-all", Scenario::WindowEdge, RATE);
    check("window-extended-by-refusals", Scenario::WindowEdge, RATE);
}

#[test]
fn charging_after_checking_the_quota_is_caught() {
    check("race-charge", Scenario::QuotaDrain, "rndrkit.quota.");
}
