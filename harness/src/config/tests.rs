use super::*;

fn resolve(text: &str, owned: bool) -> Result<TargetConfig, String> {
    let variable = |name: &str| (name == "TOKEN").then(|| "control-token".to_owned());
    Resolver { path: Path::new("dir/staging.toml"), owned, variable: &variable }
        .target(text)
        .map_err(|error| error.to_string())
}

const FIXTURES: &str =
    "[fixtures]\nkind = \"http\"\nurl = \"http://127.0.0.1:1/_control\"\ntoken = { env = \"TOKEN\" }\n";

#[test]
fn the_template_is_a_valid_target_file() {
    let variable = |_: &str| Some("control-token".to_owned());
    let target = Resolver { path: Path::new("hookproof.toml"), owned: false, variable: &variable }.target(TEMPLATE);
    assert_eq!(target.map(|target| target.apis.len()).map_err(|error| error.to_string()), Ok(2));
}

#[test]
fn a_file_without_a_name_is_named_after_itself() {
    assert_eq!(resolve(FIXTURES, false).map(|target| target.name), Ok("staging".to_owned()));
}

#[track_caller]
fn refuses(text: &str, parts: &[&str]) {
    let error = resolve(text, false).err().unwrap_or_else(|| panic!("this was accepted: {text}"));
    for part in parts {
        assert!(error.contains(part), "no `{part}` in: {error}");
    }
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_one() {
    refuses(
        &format!("[rndrkit]\nbase_ur = \"http://127.0.0.1:1\"\n{FIXTURES}"),
        &["line 2", "`base_ur`", "mean `base_url`"],
    );
    refuses(&format!("[fixture]\n{FIXTURES}"), &["mean `fixtures`"]);
}

#[test]
fn other_machines_are_refused_unless_owned() {
    let text = format!("[rndrkit]\nbase_url = \"https://rndrkit.example\"\n{FIXTURES}");
    refuses(&text, &["rndrkit.base_url", "loopback", "rndrkit.example", "--i-own-this-target"]);
    assert!(resolve(&text, true).is_ok());
}

#[test]
fn what_is_wrong_with_a_file_is_said_without_the_values_in_it() {
    const LEAK: &str = "hunter2-very-secret";
    for line in [
        format!("token = \"{LEAK}"),
        format!("token = [\"{LEAK}\"]"),
        format!("token = {{ secret = \"{LEAK}\" }}"),
        format!("token = {{ env = \"TOKEN\", value = \"{LEAK}\" }}"),
        format!("headers = \"Authorization: {LEAK} \\\"quoted\\\"\""),
        format!("url = \"u:{LEAK}@127.0.0.1:1\""),
        format!("url = \"http://u:{LEAK}@127.0.0.1:1\""),
        format!("url = \"ftp://127.0.0.1:1/?token={LEAK}\""),
        format!("command = [\n  \"--password={LEAK}\", 7]"),
    ] {
        let said = resolve(&format!("[fixtures]\nkind = \"http\"\n{line}\n"), false).unwrap_err();
        assert!(!said.contains(LEAK) && said.contains("staging.toml"), "{said}");
    }
    let said = resolve("[fixtures]\nkind = \"http\"\ntoken = 7\n", false).unwrap_err();
    assert!(said.contains("line 3, column 9 (`token`): invalid type: integer, expected"), "{said}");
}

#[test]
fn a_base_url_must_be_one_to_which_paths_can_be_added() {
    let fixtures = FIXTURES.replace("/_control", "/_control?of=a");
    assert!(resolve(&fixtures, false).is_ok(), "fixture calls add no path");
    for url in ["http://127.0.0.1:1/?token=abc", "http://127.0.0.1:1/#there"] {
        let said = resolve(&format!("[rndrkit]\nbase_url = \"{url}\"\n{FIXTURES}"), false).unwrap_err();
        assert!(said.contains("rndrkit.base_url") && said.contains('?'), "{said}");
    }
}

#[test]
fn secrets_may_be_literal_or_from_the_environment_and_are_not_short() {
    let with_token = |token: &str| FIXTURES.replace("{ env = \"TOKEN\" }", token);
    assert!(resolve(&with_token("\"control-token\""), false).is_ok());
    refuses(&with_token("\"short\""), &["fixtures.token", "8 characters", "5 characters"]);
    refuses(&with_token("{ env = \"OTHER\" }"), &["fixtures.token", "OTHER", "set"]);
    refuses(&with_token("{ file = \"missing\" }"), &["fixtures.token", "missing"]);
    refuses(&with_token("7"), &["env", "file"]);
}

#[test]
fn fixtures_need_what_their_kind_says() {
    refuses("[fixtures]\nkind = \"command\"\n", &["fixtures.command", "program"]);
    refuses("[fixtures]\nkind = \"http\"\n", &["fixtures.url"]);
    refuses("[fixtures]\nkind = \"static\"\n", &["static", "http"]);
}
