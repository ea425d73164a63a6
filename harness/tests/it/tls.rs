//! Targets behind TLS, with a certificate that only the target file's `ca` vouches for.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use hookproof::verdict::Status;

use crate::cli::{Served, folder, hookproof, report, text};
use crate::load::Loaded;

/// Makes a certificate authority and a certificate of it for this machine, valid for a day.
fn make_certificates(folder: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1";
    let authority = format!("req -x509 {key} -subj /CN=authority -keyout ca.key -out ca.pem");
    let server = format!(
        "req -x509 {key} -subj /CN=server -CA ca.pem -CAkey ca.key -keyout server.key -out server.pem \
         -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE"
    );
    for command in [authority, server] {
        let run = Command::new("openssl").args(command.split_whitespace()).current_dir(folder).output().unwrap();
        assert!(run.status.success(), "{}", text(&run.stderr));
    }
}

/// A process that speaks TLS before a server; it ends when dropped.
struct Front {
    process: Child,
    url: String,
}

impl Front {
    fn before(served: &Served, folder: &Path) -> Front {
        make_certificates(folder);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls_front.py");
        let mut process = Command::new("python3")
            .arg(script)
            .args(["server.pem", "server.key", served.base_url.rsplit(':').next().unwrap()])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Front { process, url: format!("https://127.0.0.1:{}", port.trim()) }
    }

    /// Writes a target file for what is behind it, with `more` in the section of each API.
    fn write_target(&self, served: &Served, folder: &Path, more: &str) {
        let (url, control) = (&self.url, &served.base_url);
        let file = format!(
            "[rndrkit]\nbase_url = \"{url}\"\n{more}\n[craftkit]\nbase_url = \"{url}\"\n{more}\n\
             [fixtures]\nkind = \"http\"\nurl = \"{control}/_control\"\ntoken = {{ env = \"HOOKPROOF_CONTROL_TOKEN\" }}\n"
        );
        std::fs::write(folder.join("target.toml"), file).unwrap();
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const TRUSTED: &str = "ca = \"ca.pem\"";
const SERVE: [&str; 4] = ["--store", "memory", "--clock", "manual"];
/// Rules of both APIs, one of them about requests that leave together.
const RULES: [&str; 8] = [
    "--only",
    "rndrkit.selective.accepted",
    "--only",
    "rndrkit.rate.concurrent-ceiling",
    "--only",
    "craftkit.signature.valid",
    "--only",
    "craftkit.poll.own-key",
];

#[test]
fn check_judges_a_target_behind_tls_whose_root_the_target_file_names() {
    let folder = folder();
    let served = Served::start(folder.path(), &SERVE);
    let front = Front::before(&served, folder.path());
    front.write_target(&served, folder.path(), TRUSTED);
    let arguments = ["check", "--target", "target.toml", "--cases", "0", "--report", "json=report.json"];
    let run = hookproof(folder.path(), &[&arguments[..], &RULES].concat());
    assert_eq!(run.status.code(), Some(0), "{}{}", text(&run.stdout), text(&run.stderr));
    let report = report(&folder.path().join("report.json"));
    let exchanges: Vec<_> = report.checks.iter().flat_map(|check| &check.evidence.exchanges).collect();
    assert!(exchanges.len() > RULES.len(), "{} requests", exchanges.len());
    assert!(exchanges.iter().all(|exchange| exchange.request.url.starts_with(&front.url)));
    assert_eq!(report.summary.pass, RULES.len() / 2, "{}", text(&run.stdout));
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_told_before_anything_is_judged() {
    let folder = folder();
    let served = Served::start(folder.path(), &SERVE);
    let front = Front::before(&served, folder.path());
    front.write_target(&served, folder.path(), "");
    for command in ["check", "load"] {
        let run = hookproof(folder.path(), &[command, "--target", "target.toml"]);
        let said = text(&run.stderr);
        assert_eq!(run.status.code(), Some(3), "{command}: {said}");
        assert!(said.contains(&front.url) && said.contains("certificate"), "{command}: {said}");
    }
}

#[test]
fn load_records_and_audits_a_target_behind_tls() {
    let folder = folder();
    let served = Served::start(folder.path(), &SERVE);
    let front = Front::before(&served, folder.path());
    front.write_target(&served, folder.path(), TRUSTED);
    let scenarios = ["first-window", "inbound-renders"];
    // Volleys over TLS may come to nothing: their connections are opened on the way.
    let loaded =
        Loaded::run(folder.path(), &[&scenarios[..], &["--target", "target.toml", "--allow-incomplete"]].concat());
    assert_eq!(loaded.code(), Some(0), "{}", loaded.said());
    assert_eq!(loaded.report.scenarios.len(), scenarios.len());
    for scenario in &loaded.report.scenarios {
        assert!(matches!(scenario.status, Status::Pass | Status::Inconclusive), "{}", loaded.said());
        assert!(scenario.audit.as_ref().is_some_and(|audit| audit.requests > 0), "{}", loaded.said());
    }
}
