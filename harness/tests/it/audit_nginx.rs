//! `hookproof audit --format nginx`: access logs as lines of data.

use crate::audit_history::audited;
use crate::cli::folder;

fn logged(second: u64, status: u16, domain: &str) -> String {
    let upstream = if status == 499 { "-".to_owned() } else { status.to_string() };
    format!(
        "127.0.0.1 - - [21/Nov/2026:22:00:00 +0000] \"POST /api/webhook/refresh HTTP/1.1\" {status} 52 \"-\" \"curl/8.5.0\" \
         {}.250 0.040 \"{upstream}\" \"{domain}\"\n",
        1_760_000_000 + second
    )
}

#[test]
fn a_log_of_nginx_is_audited_and_becomes_a_history() {
    let folder = folder();
    let write = |log: &str| std::fs::write(folder.path().join("access.log"), log).unwrap();
    let run = |options: &[&str]| audited(folder.path(), &["access.log"], &[&["--format", "nginx"], options].concat());
    let mut log: String = (0..10).map(|at| logged(at, 200, "d1")).collect();
    log.push_str("10.0.0.1 - - [21/Nov/2026:22:00:00 +0000] \"GET /health HTTP/1.1\" 200 2 \"-\" \"-\" 1760000009.250 0.001 \"200\" \"-\"\n");
    log.push_str(&logged(10, 499, "d1"));
    log.push_str(&logged(11, 429, "d1"));
    write(&log);
    let (code, shown) = run(&["--convert", "run.jsonl"]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(
        shown.contains("12: 10 surely counted, 1 refused by the limit, 1 perhaps")
            && shown.contains("1 line about other"),
        "{shown}"
    );
    let (code, shown) = audited(folder.path(), &["run.jsonl"], &[]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("recorded by nginx:access.log") && shown.contains("12: 10 surely counted"), "{shown}");
    let (code, shown) = run(&["--convert", "run.jsonl"]);
    assert_eq!(code, Some(2), "a file that exists is not overwritten: {shown}");
    // What was before is not known, so ten, a refusal and eleven more an hour and a bit later show it.
    write(&(0..11).map(|at| logged(4_000 + at, 200, "d1")).fold(log, |log, line| log + &line));
    let (code, shown) = run(&[]);
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("over-admission"), "{shown}");
}

#[test]
fn a_log_of_nginx_that_says_too_little_is_refused_with_what_to_log() {
    let folder = folder();
    let check = |log: &str, options: &[&str], words: &[&str]| {
        std::fs::write(folder.path().join("access.log"), log).unwrap();
        let (code, shown) = audited(folder.path(), &["access.log"], &[&["--format", "nginx"], options].concat());
        assert_eq!(code, Some(2), "{shown}");
        words.iter().for_each(|word| assert!(shown.contains(word), "no `{word}` in {shown}"));
    };
    let combined = "127.0.0.1 - - [21/Nov/2026:22:00:00 +0000] \"POST /api/webhook/refresh HTTP/1.1\" 200 52 \"-\" \"curl/8.5.0\"\n";
    check(combined, &["--key", "d1"], &["access.log: line 1: ", "$msec $request_time", "log_format hookproof"]);
    check(&logged(0, 200, "-"), &[], &["line 1: nothing says which domain", "--key DOMAIN"]);
    check("no log\n", &[], &["line 1: expected nginx's combined format"]);
    let credential = logged(0, 200, "Bearer rk_wh_canary");
    check(&credential, &[], &["line 1: ", "found a credential"]);
    let (_, shown) = audited(folder.path(), &["access.log"], &["--format", "nginx"]);
    assert!(!shown.contains("canary"), "{shown}");
    let (code, shown) = audited(folder.path(), &["access.log"], &["--key", "d1"]);
    assert_eq!(code, Some(2), "{shown}");
    assert!(shown.contains("--format nginx"), "{shown}");
}
