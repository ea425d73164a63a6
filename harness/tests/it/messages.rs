//! What the program says to a person who made a mistake, or whose target cannot be used: what was expected, what was found, what to do.

use crate::cli::{folder, hookproof, text};

/// A mistake: its arguments, the target file (`hookproof.toml`), a part of the message that says where, and one that says what is right.
struct Mistake {
    arguments: &'static [&'static str],
    file: &'static str,
    place: &'static str,
    remedy: &'static str,
    code: i32,
}

const NO_FILE: &str = "";
const FIXTURES: &str = "[fixtures]\nkind = \"command\"\ncommand = [\"true\"]\n";

const fn typed(arguments: &'static [&'static str], place: &'static str, remedy: &'static str) -> Mistake {
    Mistake { arguments, file: NO_FILE, place, remedy, code: 2 }
}

const fn written(file: &'static str, place: &'static str, remedy: &'static str, code: i32) -> Mistake {
    Mistake { arguments: &["check"], file, place, remedy, code }
}

const MISTAKES: &[Mistake] = &[
    typed(&["check", "--only", "rndrkit.auth.header-mising"], "--only", "rndrkit.auth.header-missing"),
    typed(&["check", "--only", "rndrkit.[", "--api", "rndrkit"], "--only", "rndrkit.rate.*"),
    typed(&["check", "--skip", "*"], "--skip", "at least one rule"),
    typed(&["check", "--target", "missing.toml"], "missing.toml", "hookproof init"),
    typed(&["check", "--report", "xml=report.xml"], "--report", "json, junit"),
    typed(&["check", "--report", "report.json"], "--report", "json=report.json"),
    typed(&["check", "--report", "json=missing/report.json"], "missing/report.json", "file that can be written"),
    typed(&["check", "--request-time", "soon"], "--request-time", "1h30m"),
    typed(&["check", "--run-time", "0s"], "--run-time", "longer than nothing"),
    typed(&["check", "--fixture-time=-1s"], "--fixture-time", "5s"),
    typed(&["rules", "craftkit.input.loop-cup"], "craftkit.input.loop-cup", "craftkit.input.loop-cap"),
    typed(&["serve", "--deviation", "limit-elven"], "--deviation", "limit-eleven"),
    typed(&["verify", "missing.json"], "missing.json", "readable report"),
    written("[rndrkit]\nbase_ulr = \"http://127.0.0.1:1\"\n", "base_ulr", "base_url", 2),
    written(
        "[rndrkit]\nbase_url = \"ftp://127.0.0.1\"\n[fixtures]\nkind = \"command\"\ncommand = [\"true\"]\n",
        "rndrkit.base_url",
        "http://",
        2,
    ),
    written(
        "[rndrkit]\nbase_url = \"http://me:a-password@127.0.0.1\"\n[fixtures]\nkind = \"command\"\ncommand = [\"true\"]\n",
        "rndrkit.base_url",
        "headers",
        2,
    ),
    written(
        "[rndrkit]\nbase_url = \"http://api.example.com\"\n[fixtures]\nkind = \"command\"\ncommand = [\"true\"]\n",
        "rndrkit.base_url",
        "--i-own-this-target",
        2,
    ),
    written(
        "[fixtures]\nkind = \"http\"\nurl = \"http://127.0.0.1:1\"\ntoken = \"short\"\n",
        "fixtures.token",
        "at least 8 characters",
        2,
    ),
    written(
        "[fixtures]\nkind = \"http\"\nurl = \"http://127.0.0.1:1\"\ntoken = { env = \"HOOKPROOF_NO_SUCH\" }\n",
        "fixtures.token",
        "HOOKPROOF_NO_SUCH",
        2,
    ),
    written("[fixtures]\nkind = \"command\"\ncommand = []\n", "fixtures.command", "a program", 2),
    written(
        "[fixtures]\nkind = \"command\"\ncommand = [\"hookproof-no-such-program\"]\n",
        "hookproof-no-such-program",
        "a program that starts",
        3,
    ),
    written(FIXTURES, "hello", "ended", 3),
    written(
        "[fixtures]\nkind = \"http\"\nurl = \"http://127.0.0.1:9\"\ntoken = \"a-control-token\"\n",
        "hello",
        "not answered",
        3,
    ),
];

#[test]
fn every_mistake_is_answered_with_where_it_is_and_what_is_right() {
    for Mistake { arguments, file, place, remedy, code } in MISTAKES {
        let folder = folder();
        if !file.is_empty() {
            std::fs::write(folder.path().join("hookproof.toml"), file).unwrap();
        }
        let run = hookproof(folder.path(), arguments);
        let said = text(&run.stderr);
        assert_eq!(run.status.code(), Some(*code), "{arguments:?} {file}: {said}");
        assert!(said.contains(place), "{arguments:?} {file}: no `{place}` in: {said}");
        assert!(said.contains(remedy), "{arguments:?} {file}: no `{remedy}` in: {said}");
        assert!(!said.contains("a-password"), "{said}");
        if *code == 2 {
            assert!(said.contains("expected") || said.contains("error:"), "{arguments:?} {file}: {said}");
        }
    }
}

#[test]
fn a_report_that_cannot_be_judged_again_is_told_what_was_expected() {
    let folder = folder();
    for (report, part) in [
        ("{", "hookproof.report/1"),
        ("{\"schema\": \"other/1\"}", "other/1"),
        ("{\"schema\": \"hookproof.report/1\", \"contract\": \"9\"}", "use the hookproof that wrote"),
    ] {
        std::fs::write(folder.path().join("report.json"), report).unwrap();
        let run = hookproof(folder.path(), &["verify", "report.json"]);
        let said = text(&run.stderr);
        assert_eq!(run.status.code(), Some(2), "{said}");
        assert!(said.contains("expected") && said.contains(part), "no `{part}` in: {said}");
    }
}
