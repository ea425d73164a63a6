//! `hookproof audit` on refusals that no limit asks for: a warning where a server had others at work, a violation where it had not.

use serde_json::json;

use crate::audit_history::{History, NS, answer, audited, check, refresh_by};
use crate::cli::folder;

const EXACT: &str = "rndrkit.rate.concurrent-exact (should)";
const LIMIT_BROKEN: &str = "VIOLATION rndrkit.rate.ten-per-hour (must)";

/// Ten of many at once should be served; that fewer are is no must.
#[test]
fn a_needless_refusal_of_one_of_several_at_once_is_a_warning_and_one_alone_a_violation() {
    let served_and_refused = |served: (u64, u64), between: Option<(u64, u64)>, refused: (u64, u64)| {
        let mut history = History::new();
        let mut times = vec![(served, 200), (refused, 429)];
        times.extend(between.map(|time| (time, 429)));
        times.sort_unstable();
        let numbers: Vec<u64> =
            times.iter().map(|((start, _), _)| history.invoked(refresh_by("d1", "d1.1"), *start)).collect();
        for (n, ((_, end), status)) in numbers.into_iter().zip(times) {
            let mut came = answer(status);
            came["v"] = json!(1);
            came["n"] = json!(n);
            came["end_ns"] = json!(end * NS);
            history.lines.push(came);
        }
        history.row(1_000, 9, 200);
        history
    };
    let (warning, violation) = (format!("warning {EXACT}"), format!("VIOLATION {EXACT}"));
    let overlapping = served_and_refused((0, 50), None, (40, 90));
    check(&overlapping, &[], 0, &[&warning, "needless-refusal", "1 warning,"]);
    check(&overlapping, &["--strict"], 1, &[&violation]);
    // The one that it overlaps was sent away needlessly itself, and stood in its way all the same.
    let through_another = served_and_refused((0, 50), Some((40, 90)), (80, 120));
    check(&through_another, &[], 0, &[&warning]);
    for alone in [served_and_refused((0, 50), None, (51, 90)), served_and_refused((51, 90), None, (0, 50))] {
        check(&alone, &[], 1, &[LIMIT_BROKEN]);
    }
    // Where nobody was served there was nobody to stand in the way.
    let only_refused = served_and_refused((0, 50), Some((60, 90)), (80, 120));
    check(&only_refused, &[], 1, &[LIMIT_BROKEN]);
}

#[test]
fn an_unknown_outcome_excuses_refusals_until_its_client_gave_up_and_not_for_ever() {
    let mut history = History::new();
    history.operation(refresh_by("d1", "d1.2"), 0, 100, json!({"error": "timeout"}));
    history.refresh(50, 60, 429);
    check(&history, &[], 0, &["warning", EXACT]);
    history.refresh(150, 160, 429);
    check(&history, &[], 1, &[LIMIT_BROKEN]);
    let mut crashed = History::new();
    crashed.invoked(refresh_by("d1", "d1.2"), 0);
    crashed.refresh(50, 60, 429);
    check(&crashed, &[], 1, &[LIMIT_BROKEN]);
}

#[test]
fn recorders_whose_clocks_may_be_wrong_prove_no_refusal_to_have_been_alone() {
    let folder = folder();
    let run = |apart: u64| {
        let fresh = json!({"d1": {"fresh": true}});
        let mut one = History::of("a", 1_760_000_000_000, 20, fresh.clone());
        one.refresh(0, 50, 200);
        let mut two = History::of("b", 1_760_000_000_000, 20, fresh);
        two.refresh(50 + apart, 100 + apart, 429);
        std::fs::write(folder.path().join("one.jsonl"), one.bytes()).unwrap();
        std::fs::write(folder.path().join("two.jsonl"), two.bytes()).unwrap();
        audited(folder.path(), &["one.jsonl", "two.jsonl"], &[])
    };
    let (code, shown) = run(40);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains(EXACT), "{shown}");
    let (code, shown) = run(50);
    assert_eq!(code, Some(1), "{shown}");
}

#[test]
fn a_refusal_of_a_body_that_did_not_count_is_told_from_a_needless_refusal() {
    let mut history = History::new();
    history.row(0, 5, 400);
    history.row(100, 6, 200);
    let first = history.invoked(refresh_by("d1", "d1.1"), 300);
    history.refresh(310, 320, 429);
    history.lines.push(json!({"v": 1, "n": first, "end_ns": 330 * NS, "status": 401, "error": "Invalid token"}));
    check(&history, &[], 0, &["warning rndrkit.rate.counts-invalid-body (should)"]);
}
