//! `hookproof audit`: the program on histories as files, one fact a test.

use std::path::Path;

use serde_json::{Value, json};

use crate::audit_history::{HOUR_MS, History, NS, answer, audited, check, check_bytes, poll, refresh_by, render};
use crate::cli::folder;

#[test]
fn a_history_of_a_correct_server_is_consistent_and_says_what_that_rests_on() {
    let mut history = History::new();
    history.row(0, 10, 200);
    history.row(200, 5, 429);
    history.row(HOUR_MS + 10_000, 10, 200);
    history.row(HOUR_MS + 11_000, 5, 429);
    let window = "10 requests in a window of 3598 s to 3602 s, on the recorder's clock";
    let words =
        [window, "refuses once it is reached", "30: 20 surely counted, 10 refused", "consistent with a correct server"];
    check(&history, &[], 0, &words);
}

#[test]
fn an_eleventh_request_served_is_explained_with_its_operations() {
    let mut history = History::new();
    history.row(0, 11, 200);
    let words =
        ["VIOLATION rndrkit.rate.ten-per-hour (must), rndrkit d1: over-admission", "why ", "#11", "run.jsonl:23"];
    let shown = check(&history, &[], 1, &words);
    assert_eq!(shown.matches("surely counted").count(), 1, "{shown}");
    assert_eq!(shown.lines().filter(|line| line.contains("(counted, run.jsonl:")).count(), 11, "{shown}");
}

#[test]
fn requests_at_once_that_are_served_beyond_the_limit_break_the_concurrent_ceiling() {
    let mut history = History::new();
    let numbers: Vec<u64> = (0..12).map(|at| history.invoked(refresh_by("d1", "d1.1"), at)).collect();
    for n in numbers {
        history.lines.push(json!({"v": 1, "n": n, "end_ns": (100 + n) * NS, "status": 200}));
    }
    let words = ["rndrkit.rate.concurrent-ceiling (must)", "at most 12 requests, on d1"];
    check(&history, &[], 1, &words);
}

#[test]
fn a_refusal_before_the_limit_can_be_reached_is_a_violation() {
    let mut history = History::new();
    history.row(0, 7, 200);
    let refused = history.refresh(100, 105, 429);
    let words = ["rndrkit.rate.ten-per-hour (must)", "needless-refusal", &format!("#{refused}"), "7"];
    check(&history, &[], 1, &words);
}

#[test]
fn a_window_that_restarts_with_each_refusal_is_a_violation() {
    let mut history = History::new();
    history.row(0, 10, 200);
    history.row(HOUR_MS / 2, 1, 429);
    history.row(HOUR_MS + 60_000, 1, 429);
    check(&history, &[], 1, &["VIOLATION"]);
}

#[test]
fn unknown_outcomes_may_have_counted() {
    let mut history = History::new();
    history.row(0, 7, 200);
    for at in 0..3 {
        history.invoked(refresh_by("d1", "d1.2"), 80 + at);
    }
    history.refresh(100, 105, 429);
    check(&history, &[], 0, &["3 never completed", "3 perhaps counted"]);
    let mut gateway = History::new();
    gateway.row(0, 9, 200);
    gateway.refresh(90, 95, 502);
    gateway.refresh(100, 105, 429);
    check(&gateway, &[], 0, &["1 perhaps counted"]);
}

#[test]
fn a_history_of_nothing_but_unknown_outcomes_judges_nothing() {
    let mut history = History::new();
    history.invoked(refresh_by("d1", "d1.1"), 0);
    check(&history, &[], 4, &["nothing was judged"]);
    check(&history, &["--allow-incomplete"], 4, &["nothing was judged"]);
    check(&History::new(), &["--allow-incomplete"], 4, &["nothing was judged"]);
}

#[test]
fn a_domain_that_was_used_before_may_refuse_at_once() {
    let mut history = History::of("a", 0, 0, json!({"d1": {"fresh": false}}));
    history.row(0, 3, 200);
    history.row(100, 2, 429);
    check(&history, &[], 0, &["consistent with a correct server"]);
    // But nothing explains eleven in one window, whatever was before.
    let mut history = History::of("a", 0, 0, json!({}));
    history.row(0, 3, 200);
    history.row(1_000, 1, 429);
    history.row(HOUR_MS + 5_000, 11, 200);
    check(&history, &[], 1, &["VIOLATION"]);
}

#[test]
fn documented_refusals_of_bodies_count_in_the_should_verdict_only() {
    let mut history = History::new();
    history.row(0, 5, 400);
    history.row(100, 6, 200);
    check(&history, &[], 0, &["warning rndrkit.rate.counts-invalid-body (should)", "1 warning,"]);
    check(&history, &["--strict"], 1, &["VIOLATION rndrkit.rate.counts-invalid-body (should)"]);
}

#[test]
fn a_429_of_somebody_in_front_proves_nothing() {
    let mut history = History::new();
    history.row(0, 3, 200);
    let came = json!({"status": 429, "error": "too fast for this proxy"});
    history.operation(refresh_by("d1", "d1.1"), 50, 55, came);
    check(&history, &[], 0, &["1 answer 429 came from somebody in front"]);
}

#[test]
fn the_window_can_be_another_one_and_its_tolerance_too() {
    let mut history = History::new();
    history.row(0, 10, 200);
    history.row(HOUR_MS - 10_000, 1, 200);
    check(&history, &[], 1, &["VIOLATION"]);
    check(&history, &["--tolerance", "15s"], 0, &["3585 s to 3615 s"]);
    check(&history, &["--window", "1h", "--limit", "11"], 0, &["11 requests in a window of 3598 s"]);
    check(&history, &["--window", "50m"], 0, &["2998 s to 3002 s"]);
    check(&history, &["--window", "1s"], 2, &["--tolerance"]);
}

#[test]
fn a_token_that_serves_after_its_revocation_is_a_violation_once_that_had_time_to_be_seen() {
    let revoked_then_served = |after: u64| {
        let mut history = History::new();
        history.refresh(0, 5, 200);
        history.control(json!({"what": "revoke", "api": "rndrkit", "key": "d1", "token": "d1.1"}), 10, 20);
        history.refresh(20 + after, 25 + after, 200);
        history
    };
    let words = ["rndrkit.auth.token-revoked (must)", "#3 was served with the token `d1.1`, which #2 had revoked"];
    check(&revoked_then_served(5_001), &[], 1, &words);
    check(&revoked_then_served(4_900), &[], 0, &[]);
    check(&revoked_then_served(600), &["--settle", "500ms"], 1, &words);
    let mut refused = History::new();
    refused.refresh(0, 5, 200);
    refused.control(json!({"what": "revoke", "api": "rndrkit", "key": "d1", "token": "d1.1"}), 10, 20);
    refused.operation(refresh_by("d1", "d1.1"), 9_000, 9_005, json!({"status": 401, "error": "Invalid token"}));
    check(&refused, &[], 0, &["revocation consistent"]);
}

#[test]
fn a_quota_is_judged_by_what_was_asked_before_and_by_what_was_left() {
    let with_left = |left: u64| History::of("a", 0, 0, json!({"d1": {"fresh": true, "renders_left": left}}));
    let mut needless = with_left(5);
    needless.row(0, 3, 200);
    needless.refresh(50, 55, 403);
    check(&needless, &[], 1, &["rndrkit.quota.below-limit (must)", "5 renders left", "3 pages"]);
    let mut right = with_left(3);
    right.row(0, 3, 200);
    right.refresh(50, 55, 403);
    check(&right, &[], 0, &["quota consistent"]);
    let mut beyond = with_left(3);
    beyond.row(0, 4, 200);
    check(&beyond, &[], 0, &["nothing shows that acceptance charges at once"]);
    let words = ["rndrkit.quota.concurrent-ceiling (must)", "4 requests were served while 3 renders were left"];
    check(&beyond, &["--charged-at-once"], 1, &words);
}

#[test]
fn three_domains_that_refuse_right_after_their_last_render_show_that_acceptance_charges() {
    let state = |left: u64| json!({"fresh": true, "renders_left": left});
    let keys = json!({"q1": state(2), "q2": state(2), "q3": state(2), "q4": state(2)});
    let mut history = History::of("a", 0, 0, keys);
    for (at, domain) in ["q1", "q2", "q3", "q4"].iter().enumerate() {
        let start = 1_000 * at as u64;
        let third = if *domain == "q4" { 200 } else { 403 };
        for (step, status) in [200, 200, third].into_iter().enumerate() {
            let start = start + 10 * step as u64;
            history.operation(refresh_by(domain, "t"), start, start + 5, answer(status));
        }
    }
    check(&history, &[], 1, &["rndrkit.quota.concurrent-ceiling (must), rndrkit q4", "as the history shows"]);
}

#[test]
fn a_render_that_was_acknowledged_and_is_gone_is_a_violation() {
    let rendered = |polls: &[(u16, Option<&str>)]| {
        let mut history = History::new();
        history.operation(render(), 0, 5, json!({"status": 202, "id": "019a0000-0000-7000-8000-000000000001"}));
        for (at, (status, state)) in polls.iter().enumerate() {
            let start = 10 + 10 * at as u64;
            let mut came = json!({"status": status});
            if let Some(state) = state {
                came["render_status"] = json!(state);
            }
            history.operation(poll("019a0000-0000-7000-8000-000000000001"), start, start + 5, came);
        }
        history
    };
    check(&rendered(&[(200, Some("queued")), (200, Some("succeeded"))]), &[], 0, &["1 finished"]);
    check(&rendered(&[(200, Some("failed"))]), &[], 0, &["1 finished"]);
    let words = ["craftkit.queue.nothing-lost (must)", "The render that #1 was acknowledged with was gone when #3"];
    check(&rendered(&[(200, Some("queued")), (404, None)]), &[], 1, &words);
    let never = rendered(&[]);
    check(&never, &[], 4, &["never found by a poll"]);
    let unfinished = rendered(&[(200, Some("rendering"))]);
    check(&unfinished, &[], 0, &["not polled to their end"]);
    check(&unfinished, &["--strict"], 4, &["not polled to their end"]);
    check(&unfinished, &["--strict", "--allow-incomplete"], 0, &[]);
}

#[test]
fn an_acknowledgement_during_an_outage_and_an_id_given_twice_are_found() {
    let mut history = History::new();
    history.control(json!({"what": "queue", "available": false}), 0, 10);
    history.operation(render(), 6_000, 6_010, json!({"status": 202, "id": "r1"}));
    history.operation(poll("r1"), 6_020, 6_030, json!({"status": 200, "render_status": "succeeded"}));
    history.control(json!({"what": "queue", "available": true}), 7_000, 7_010);
    check(&history, &[], 1, &["craftkit.queue.unavailable (must)", "#2 was acknowledged although #1"]);
    let mut twice = History::new();
    for start in [0, 20] {
        twice.operation(render(), start, start + 5, json!({"status": 202, "id": "r1"}));
        twice.operation(poll("r1"), start + 6, start + 9, json!({"status": 200, "render_status": "succeeded"}));
    }
    check(&twice, &[], 0, &["warning craftkit.hook.id (should)", "#1 and #3 were acknowledged with the same id"]);
    check(&twice, &["--strict"], 1, &["VIOLATION craftkit.hook.id"]);
}

#[test]
fn a_driven_clock_is_the_one_that_windows_are_measured_on() {
    let at = |history: &mut History, start: u64, server: u64, status: u16| {
        let mut asked = refresh_by("d1", "d1.1");
        asked["server_start_ms"] = json!(server);
        let mut came = answer(status);
        came["server_end_ms"] = json!(server);
        history.operation(asked, start, start + 5, came)
    };
    let mut history = History::new();
    for step in 0..10 {
        at(&mut history, 10 * step, 5_000, 200);
    }
    at(&mut history, 200, 5_000, 429);
    let mut consistent = history.clone();
    consistent.control(json!({"what": "advance", "ms": HOUR_MS}), 300, 310);
    at(&mut consistent, 400, 5_000 + HOUR_MS + 3_000, 200);
    check(&consistent, &[], 0, &["on the target's own clock"]);
    // Half an hour later on that clock, though real time hardly went on.
    at(&mut history, 400, 5_000 + HOUR_MS / 2, 200);
    check(&history, &[], 1, &["VIOLATION"]);
    // The order of requests is known although the clock stood still.
    let mut early = History::new();
    at(&mut early, 0, 5_000, 429);
    for step in 1..=10 {
        at(&mut early, 10 * step, 5_000, 200);
    }
    check(&early, &[], 1, &["needless-refusal"]);
}

#[test]
fn a_clock_that_was_moved_by_nobody_knows_how_much_leaves_the_rate_open() {
    let mut history = History::new();
    history.row(0, 10, 200);
    history.control(json!({"what": "advance", "ms": HOUR_MS}), 200, 210);
    history.row(300, 5, 200);
    check(&history, &[], 4, &["the target's clock was moved"]);
    check(&history, &["--allow-incomplete"], 4, &["nothing was judged"]);
    // A clock that some refreshes tell and some do not is no clock.
    let mut mixed = History::new();
    let mut asked = refresh_by("d1", "d1.1");
    asked["server_start_ms"] = json!(5);
    mixed.operation(asked, 0, 5, json!({"status": 200, "server_end_ms": 5}));
    mixed.refresh(10, 15, 200);
    check(&mixed, &[], 2, &["run.jsonl: line 4: expected `server_start_ms`, as in earlier refreshes"]);
    mixed.lines.swap(1, 3);
    mixed.lines.swap(2, 4);
    check(&mixed, &[], 2, &["run.jsonl: line 4: expected no `server_start_ms`"]);
}

#[test]
fn a_malformed_history_ends_with_its_line_and_what_was_expected() {
    let mut history = History::new();
    history.row(0, 3, 200);
    let mut misspelt = history.clone();
    misspelt.lines[3]["pagse"] = json!(1);
    check(&misspelt, &[], 2, &["run.jsonl: line 4: unknown field `pagse`; did you mean `pages`?"]);
    let mut backwards = history.clone();
    backwards.lines[2]["end_ns"] = json!(0);
    backwards.lines[1]["start_ns"] = json!(5);
    check(&backwards, &[], 2, &["run.jsonl: line 3: time goes backwards"]);
    let mut again = history.clone();
    again.lines.push(history.lines[1].clone());
    check(&again, &[], 2, &["run.jsonl: line 8: expected a new `n`, found 1"]);
    check_bytes(b"", &[], 2, &["run.jsonl: line 1: expected a header"]);
    check_bytes(b"{\"v\":1,\"n\":1}\n", &[], 2, &["line 1: expected a header"]);
}

#[test]
fn a_tail_that_was_cut_off_is_left_out_and_told() {
    let mut history = History::new();
    history.row(0, 10, 200);
    let mut bytes = history.bytes();
    bytes.truncate(bytes.len() - 20);
    check_bytes(
        &bytes,
        &[],
        0,
        &["last line (21) cut off after", "1 never completed", "9 surely counted, 0 refused by the limit, 1 perhaps"],
    );
}

#[test]
fn a_finished_history_may_be_compressed() {
    let mut history = History::new();
    history.row(0, 11, 200);
    let packed = zstd::stream::encode_all(history.bytes().as_slice(), 1).unwrap();
    check_bytes(&packed, &[], 1, &["#11", "run.jsonl:23"]);
    check_bytes(&packed[..packed.len() - 5], &[], 2, &["run.jsonl: "]);
}

/// Two recorders of one run, the second with a clock that is `ahead`.
fn two(folder: &Path, skew_ms: u64, ahead: u64, options: &[&str]) -> (Option<i32>, String) {
    let base = 1_760_000_000_000;
    let fresh = json!({"d1": {"fresh": true}});
    let (mut one, mut other) =
        (History::of("one", base, skew_ms, fresh.clone()), History::of("two", base + ahead, skew_ms, fresh));
    one.row(0, 5, 200);
    // Right after the first five; then the eleventh, refused.
    other.row(100, 5, 200);
    one.refresh(200, 205, 429);
    std::fs::write(folder.join("one.jsonl"), one.bytes()).unwrap();
    std::fs::write(folder.join("two.jsonl"), other.bytes()).unwrap();
    audited(folder, &["one.jsonl", "two.jsonl"], options)
}

#[test]
fn several_recorders_are_judged_together_as_exactly_as_their_clocks_allow() {
    let folder = folder();
    let (code, shown) = two(folder.path(), 0, 0, &[]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("on the clocks of several recorders"), "{shown}");
    // Half a second ahead the refusal seems to come before the second five.
    let (code, shown) = two(folder.path(), 0, 500, &[]);
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("of one") && shown.contains("one.jsonl:13"), "{shown}");
    // Unless the clocks may be wrong by that much.
    let (code, shown) = two(folder.path(), 300, 500, &[]);
    assert_eq!(code, Some(0), "{shown}");
    let joined = [
        std::fs::read(folder.path().join("one.jsonl")).unwrap(),
        std::fs::read(folder.path().join("two.jsonl")).unwrap(),
    ]
    .concat();
    std::fs::write(folder.path().join("joined.jsonl"), joined).unwrap();
    let (code, shown) = audited(folder.path(), &["joined.jsonl"], &[]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("recorded by one, two"), "{shown}");
}

#[test]
fn a_domain_of_one_recorder_is_judged_exactly_though_clocks_are_wrong() {
    let folder = folder();
    let keys = json!({"d1": {"fresh": true}, "d2": {"fresh": true}});
    let (mut one, mut two) = (History::of("one", 1_000, 60_000, keys.clone()), History::of("two", 1_000, 60_000, keys));
    one.row(0, 3, 200);
    one.refresh(100, 105, 429);
    one.row(200, 7, 200);
    two.operation(refresh_by("d2", "d2.1"), 0, 5, answer(200));
    std::fs::write(folder.path().join("one.jsonl"), one.bytes()).unwrap();
    std::fs::write(folder.path().join("two.jsonl"), two.bytes()).unwrap();
    let (code, shown) = audited(folder.path(), &["one.jsonl", "two.jsonl"], &[]);
    assert_eq!(code, Some(1), "{shown}");
    two.operation(refresh_by("d1", "d1.1"), 300, 305, answer(500));
    std::fs::write(folder.path().join("two.jsonl"), two.bytes()).unwrap();
    let (code, shown) = audited(folder.path(), &["one.jsonl", "two.jsonl"], &[]);
    assert_eq!(code, Some(0), "a minute's skew explains it: {shown}");
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let folder = folder();
    let mut one = History::new();
    one.row(0, 1, 200);
    let write = |name: &str, history: &History| std::fs::write(folder.path().join(name), history.bytes()).unwrap();
    write("one.jsonl", &one);
    write("copy.jsonl", &one);
    let mut other = History::of("b", 1, 0, json!({}));
    other.lines[0]["limit"] = json!(5);
    write("other.jsonl", &other);
    let cases: [(&[&str], &str); 5] = [
        (&["one.jsonl", "one.jsonl"], "one.jsonl: expected each file once"),
        (&["one.jsonl", "copy.jsonl"], "copy.jsonl: expected another recorder"),
        (&["one.jsonl", "other.jsonl"], "other.jsonl: `limit`: expected 10, as the header in one.jsonl says, found 5"),
        (&["missing.jsonl"], "missing.jsonl: expected a readable history"),
        (&["."], ".: expected a regular file"),
    ];
    for (files, words) in cases {
        let (code, shown) = audited(folder.path(), files, &[]);
        assert_eq!(code, Some(2), "{shown}");
        assert!(shown.contains(words), "no `{words}` in {shown}");
    }
}

#[test]
fn lines_far_out_of_order_change_no_verdict() {
    let mut history = History::new();
    // Enough to be forgotten in parts, over hours; every window is full and refuses.
    for window in 0..20 {
        let start = window * (HOUR_MS + 5_000);
        history.row(start, 10, 200);
        history.row(start + 1_000, 20, 429);
    }
    check(&history, &[], 0, &["200 surely counted, 400 refused"]);
    let mut late = history.clone();
    let moved: Vec<Value> = late.lines.drain(1..5).collect();
    late.lines.extend(moved);
    check(&late, &[], 0, &["200 surely counted, 400 refused"]);
    late.refresh(700, 705, 200);
    check(&late, &[], 1, &["VIOLATION"]);
}

#[test]
fn the_reports_say_what_the_terminal_says() {
    let folder = folder();
    let mut history = History::new();
    history.row(0, 11, 200);
    history.operation(render(), 500, 505, json!({"status": 202, "id": "<r&1>\u{1b}[2J"}));
    history.operation(poll("<r&1>\u{1b}[2J"), 600, 605, json!({"status": 404}));
    std::fs::write(folder.path().join("run.jsonl"), history.bytes()).unwrap();
    let options = ["--report", "json=audit.json", "--report", "markdown=audit.md", "--quiet", "--color", "always"];
    let (code, shown) = audited(folder.path(), &["run.jsonl"], &options);
    assert_eq!(code, Some(1), "{shown}");
    assert!(
        !shown.contains("assumptions") && shown.contains("\u{1b}[31mVIOLATION") && !shown.contains("\u{1b}[2J"),
        "{shown}"
    );
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let report: Value = serde_json::from_str(&read("audit.json")).unwrap();
    let schema: Value = serde_json::from_str(include_str!("../../schema/audit-1.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<String> = validator.iter_errors(&report).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!((&report["schema"], &report["verdict"]), (&json!("hookproof.audit/1"), &json!("inconsistent")));
    let rules: Vec<&str> =
        report["violations"].as_array().unwrap().iter().filter_map(|one| one["rule"].as_str()).collect();
    assert_eq!(rules, ["rndrkit.rate.ten-per-hour", "craftkit.queue.nothing-lost"]);
    assert_eq!(report["violations"][0]["facts"].as_array().unwrap().len(), 11);
    let markdown = read("audit.md");
    assert!(
        markdown.contains("](audit.1.svg)") && markdown.contains("](audit.2.svg)") && !markdown.contains("\u{1b}"),
        "{markdown}"
    );
    for drawing in ["audit.1.svg", "audit.2.svg"] {
        let mut reader = quick_xml(&read(drawing));
        assert!(reader.remove("svg") && reader.remove("title") && reader.remove("rect"), "{drawing}: {reader:?}");
    }
}

/// The names of the elements of an XML text, which must be well-formed: every element closed, nothing unescaped.
fn quick_xml(text: &str) -> std::collections::BTreeSet<String> {
    let mut open: Vec<String> = Vec::new();
    let mut names = std::collections::BTreeSet::new();
    for part in text.split('<').skip(1) {
        let (tag, content) = part.split_once('>').expect("a tag ends");
        for entity in content.split('&').skip(1) {
            assert!(["amp;", "lt;", "gt;", "quot;"].iter().any(|known| entity.starts_with(known)), "{content}");
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop().as_deref(), Some(name)),
            None => {
                let name = tag.split([' ', '/']).next().unwrap_or_default().to_owned();
                names.insert(name.clone());
                if !tag.ends_with('/') {
                    open.push(name);
                }
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
    names
}
