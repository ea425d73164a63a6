//! Targets that mean harm: the suite keeps within its limits, says clearly what it could not learn, writes clean reports, and talks to
//! nobody else.

use std::sync::Arc;
use std::time::Duration;

use hookproof::evidence::BODY_KEPT_MAX;
use hookproof::target::http::{BODY_READ_MAX, HEAD_MAX};
use tokio::sync::Semaphore;

use crate::harm::{changed, drip, endless, kept_alive, once, one_behind, reset_after, spaced_out};
use crate::measured::Ran;
use crate::middle::{Answering, Elsewhere, Middle, Plan, honest};

/// Rules of both APIs: requests accepted, refused and counted.
pub(crate) const RULES: [&str; 8] = [
    "--only",
    "rndrkit.auth.token-unknown",
    "--only",
    "rndrkit.selective.accepted",
    "--only",
    "craftkit.hook.accepted",
    "--only",
    "craftkit.hook.id",
];

/// What a request and the run may take where no answer ends.
const SHORT: [&str; 6] = ["--request-time", "500ms", "--run-time", "3s", "--settle", "50ms"];

/// What they may take where each answer ends, even on a busy machine.
const LONG: [&str; 6] = ["--request-time", "10s", "--run-time", "15s", "--settle", "50ms"];

/// What a run of all rules may take here, whether answers end or not.
const WHOLE: [&str; 6] = ["--request-time", "500ms", "--run-time", "10s", "--settle", "50ms"];

/// The stated limit of time, beyond that of the run itself: for starting, deleting and reporting. It is short of two seconds where nothing
/// else runs.
pub(crate) const GRACE: Duration = Duration::from_secs(15);

/// The stated limit of memory (KiB), whatever a target sends; a whole run on a good target takes about half of it.
pub(crate) const MEMORY_MAX_KIB: u64 = 192 * 1024;

/// The stated limit of a report (bytes), whatever a target sends; the largest, in JSON, of a whole run on a good target takes a third of it.
const REPORT_MAX: usize = 16 * 1024 * 1024;

/// Runs at a time.
pub(crate) const TOGETHER: usize = 4;

/// Whole runs at a time, which have more to do.
const WHOLE_TOGETHER: usize = 2;

/// What must come of it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// Nothing was answered properly, so nothing passes, and nothing fails either.
    NothingLearnt,
    /// Answers are proper HTTP, and wrong: rules fail.
    Broken,
    /// Answers are right, and what is odd about the connection costs at most some verdicts.
    NoFailure,
}

/// A way to do harm, and what must come of it.
type Harm = (&'static str, Outcome, Answering);

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
const JSON: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

/// A whole answer 200 with this body.
fn with_body(body: impl AsRef<[u8]>) -> Answering {
    let body = body.as_ref();
    once([format!("{JSON}content-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat())
}

/// Zeros (about 10 MiB), compressed to less than 64 KiB: one zero and then copies of it, 258 at a time, in the fixed code of DEFLATE.
fn bomb() -> Vec<u8> {
    const COPIES: usize = 40_000;
    const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let copies = "1100010100000".repeat(COPIES);
    let bits: Vec<u8> = format!("11000110000{copies}0000000").bytes().map(|digit| digit - b'0').collect();
    let byte = |bits: &[u8]| bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | bit << at);
    let body = bits.chunks(8).map(byte);
    HEADER.into_iter().chain(body).chain([0; 8]).collect()
}

const STEERING: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}\r\n::error::owned\u{0}\u{fffe}";
const MARKUP: &str =
    "<script>alert(1)</script>]]><!-- &bogus; | `x` ``` [a](http://elsewhere.example) @everyone # h\n\n# owned";

fn bodies() -> Vec<Harm> {
    use Outcome::{Broken, NothingLearnt};
    let json =
        |value: &str| serde_json::json!({"error": value, value: [value], "issues": [{"path": value}]}).to_string();
    let gzip = format!("{JSON}content-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb().len());
    vec![
        ("an endless body", NothingLearnt, endless(format!("{JSON}\r\n"), "aaaaaaaaaaaaaaaa")),
        (
            "endless chunks",
            NothingLearnt,
            endless(format!("{JSON}transfer-encoding: chunked\r\n\r\n"), "4\r\naaaa\r\n"),
        ),
        ("a body beyond the limit", NothingLearnt, with_body(format!("\"{}\"", "a".repeat(BODY_READ_MAX)))),
        (
            "a body that is promised and drips",
            NothingLearnt,
            drip(&format!("{JSON}content-length: 999\r\n\r\n{{\"a\": 1")),
        ),
        ("a length that is too long", NothingLearnt, once(format!("{JSON}content-length: 99\r\n\r\n{{}}"))),
        (
            "a length that is too short",
            Broken,
            once(format!("{JSON}content-length: 5\r\n\r\n{{\"queued\": true, \"pages\": 1}}")),
        ),
        ("two lengths", NothingLearnt, once(format!("{JSON}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}} "))),
        ("a length that is no number", NothingLearnt, once(format!("{JSON}content-length: -1\r\n\r\n{{}}"))),
        (
            "broken chunks",
            NothingLearnt,
            once(format!("{JSON}transfer-encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n")),
        ),
        (
            "a chunk of endless extensions",
            NothingLearnt,
            endless(format!("{JSON}transfer-encoding: chunked\r\n\r\n2;"), "a=b;"),
        ),
        (
            "endless trailers",
            NothingLearnt,
            endless(format!("{JSON}transfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n"), "a: b\r\n"),
        ),
        ("a gzip bomb", Broken, once([gzip.into_bytes(), bomb()].concat())),
        (
            "invalid UTF-8",
            Broken,
            with_body([b"{\"error\": \"".as_slice(), &[0xff, 0xfe, 0xc0, 0x80], b"\"}"].concat()),
        ),
        ("JSON nested 100,000 deep", Broken, with_body("[".repeat(100_000) + &"]".repeat(100_000))),
        ("JSON nested 20,000 deep", Broken, with_body("{\"a\":".repeat(10_000) + "1" + &"}".repeat(10_000))),
        ("raw terminal escapes", Broken, with_body(format!("{{\"error\": \"{STEERING}\"}}"))),
        ("terminal escapes in JSON", Broken, with_body(json(STEERING))),
        ("markup in every string", Broken, with_body(json(MARKUP))),
    ]
}

fn heads(elsewhere: &str) -> Vec<Harm> {
    use Outcome::{Broken, NoFailure, NothingLearnt};
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: {elsewhere}/owned\r\nrefresh: 0; url={elsewhere}\r\ncontent-length: 0\r\n\r\n"
    );
    let header = format!("x: {}\r\n", "y".repeat(HEAD_MAX));
    vec![
        (
            "10,000 headers",
            NothingLearnt,
            once(format!("{JSON}{}content-length: 2\r\n\r\n{{}}", "x: y\r\n".repeat(10_000))),
        ),
        ("a giant header", NothingLearnt, once(format!("{JSON}{header}content-length: 2\r\n\r\n{{}}"))),
        ("an endless header", NothingLearnt, endless(format!("{JSON}x: "), "yyyyyyyyyyyyyyyy")),
        ("a head that drips", NothingLearnt, drip(&format!("{JSON}{}", "x: y\r\n".repeat(99)))),
        ("a status line that steers", NothingLearnt, once("HTTP/1.1 200 \x1b[2J\r\ncontent-length: 2\r\n\r\n{}")),
        (
            "headers that mark up and are no UTF-8",
            Broken,
            once([b"HTTP/1.1 200 OK\r\nx: \xff<b>\xc2\x9b31m\r\ncontent-length: 2\r\n\r\n{}".as_slice()].concat()),
        ),
        ("no HTTP", NothingLearnt, once("SSH-2.0-OpenSSH_9.9\r\n")),
        ("nothing", NothingLearnt, once("")),
        (
            "another protocol",
            Broken,
            once("HTTP/1.1 101 Switching Protocols\r\nupgrade: owned\r\nconnection: upgrade\r\n\r\nowned"),
        ),
        ("a redirection to elsewhere", Broken, once(redirect)),
        // At full speed, so that whoever reads them never comes to a pause.
        ("endless 1xx", NothingLearnt, endless(HINTS, HINTS)),
        (
            "1xx before the answer",
            NoFailure,
            changed(|answer| [b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(20), answer].concat()),
        ),
        ("a reset before the head", NothingLearnt, reset_after("")),
        ("a reset within the head", NothingLearnt, reset_after("HTTP/1.1 200 OK\r\ncontent-ty")),
        (
            "a reset within the body",
            NothingLearnt,
            reset_after("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"a\": "),
        ),
        ("a connection closed although kept alive", NoFailure, changed(|answer| kept_alive(&answer))),
        (
            "an answer nobody asked for after the right one",
            NoFailure,
            changed(|answer| {
                [kept_alive(&answer), b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec()].concat()
            }),
        ),
    ]
}

/// Judges a target that does this, with the default number of cases.
async fn judged(what: &str, api: Answering, arguments: &'static [&'static [&'static str]]) -> Ran {
    let middle = Middle::start(Plan { api, control: honest() }).await;
    let target = middle.target_file("");
    let ran = tokio::task::spawn_blocking(move || Ran::check(&target, &arguments.concat())).await.unwrap();
    assert_within_limits(what, &ran);
    ran.assert_clean(what);
    ran
}

/// Judges a target by some rules and says what is wrong with the outcome.
async fn suffer((what, outcome, api): Harm) {
    let ran = match outcome {
        Outcome::NothingLearnt => judged(what, api, &[&RULES, &SHORT]).await,
        Outcome::Broken | Outcome::NoFailure => judged(what, api, &[&RULES, &LONG]).await,
    };
    if !ran.has_report() {
        // On a busy machine even the greeting, which is answered well, may take longer than a request may.
        let silent = ran.code == Some(3) && ran.stderr.contains("expected an HTTP answer");
        assert!(silent && outcome == Outcome::NothingLearnt, "{what}: {:?} {}", ran.code, ran.stderr);
        return;
    }
    let summary = ran.report().summary;
    let shown = format!("{what}: {:?} {summary:?}\n{}", ran.code, ran.stdout);
    match outcome {
        Outcome::NothingLearnt => {
            assert!(matches!(ran.code, Some(3 | 4)), "{shown}");
            assert_eq!((summary.pass, summary.fail, summary.warn), (0, 0, 0), "{shown}");
        }
        Outcome::Broken => {
            assert_eq!(ran.code, Some(1), "{shown}");
            assert!(summary.fail > 0, "{shown}");
        }
        Outcome::NoFailure => {
            assert!(matches!(ran.code, Some(0 | 4)), "{shown}");
            assert!(summary.pass > 0 && summary.fail == 0, "{shown}");
        }
    }
}

#[track_caller]
pub(crate) fn assert_within_limits(what: &str, ran: &Ran) {
    assert!(ran.took <= ran.run_time + GRACE, "{what}: took {:?} of {:?}", ran.took, ran.run_time);
    assert!((1..=MEMORY_MAX_KIB).contains(&ran.peak_kib), "{what}: {} KiB", ran.peak_kib);
    for (place, text) in ran.outputs() {
        assert!(text.len() <= REPORT_MAX, "{what}: {} bytes in {place}", text.len());
    }
}

/// Suffers all of them, so many at a time.
async fn suffer_all<F>(together: usize, harms: Vec<Harm>, suffer: fn(Harm) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let seats = Arc::new(Semaphore::new(together));
    let tasks = harms.into_iter().map(|harm| {
        let seats = Arc::clone(&seats);
        tokio::spawn(async move {
            let _seat = seats.acquire().await.unwrap();
            suffer(harm).await;
        })
    });
    for ended in futures::future::join_all(tasks).await {
        ended.unwrap();
    }
}

/// The worst of these ways, and answers that are each as long as is kept, for a run of all rules.
fn worst() -> Vec<Harm> {
    use Outcome::{Broken, NoFailure};
    const LONG_BODY: usize = BODY_KEPT_MAX - 4096;
    let of_json = serde_json::json!({"error": "a".repeat(LONG_BODY)}).to_string();
    let mut harms = vec![
        ("long bodies of JSON", Broken, with_body(of_json)),
        ("long bodies of control characters", Broken, with_body("\u{1}".repeat(LONG_BODY))),
        ("the right answers, and a long rest", NoFailure, changed(|answer| spaced_out(&answer, LONG_BODY))),
    ];
    let kept = [
        "an endless body",
        "a body that is promised and drips",
        "JSON nested 20,000 deep",
        "10,000 headers",
        "a head that drips",
        "endless 1xx",
    ];
    let others = bodies().into_iter().chain(heads("http://127.0.0.1:9"));
    harms.extend(others.filter(|(what, ..)| kept.contains(what)));
    assert_eq!(harms.len(), 3 + kept.len(), "a way has another name");
    harms
}

/// Judges a target by all rules: whatever it does, the limits hold, and there are verdicts.
async fn suffer_whole((what, outcome, api): Harm) {
    let ran = judged(what, api, &[&WHOLE]).await;
    let summary = ran.report().summary;
    let shown = format!("{what}: {:?} {summary:?}", ran.code);
    assert_eq!(summary.fail > 0, outcome == Outcome::Broken, "{shown}");
    let open = summary.inconclusive + summary.not_run;
    assert_eq!(ran.code, Some(if outcome == Outcome::Broken { 1 } else { 4 }), "{shown}");
    assert!(open > 0, "{shown}");
    // What only the fixtures are asked for holds all the same.
    assert!(outcome != Outcome::NothingLearnt || summary.pass <= 2 && summary.warn == 0, "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn harmful_bodies_give_clear_verdicts_within_the_limits() {
    suffer_all(TOGETHER, bodies(), suffer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn harmful_heads_give_clear_verdicts_within_the_limits_and_no_request_elsewhere() {
    let elsewhere = Elsewhere::open().await;
    suffer_all(TOGETHER, heads(&elsewhere.url), suffer).await;
    assert_eq!(elsewhere.visits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_runs_keep_the_limits_whatever_the_target_does() {
    suffer_all(WHOLE_TOGETHER, worst(), suffer_whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_belong_to_other_requests_never_conform() {
    let ran = judged("one behind", one_behind(), &[&RULES, &LONG]).await;
    assert!(matches!(ran.code, Some(1 | 4)), "{}", ran.stdout);
}
