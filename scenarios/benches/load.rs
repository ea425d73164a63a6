//! What a request costs the client that sends it: our scenario beside bare goose, `oha` and `wrk`, on one server in one run.
//!
//! Each client is a process of its own, so that its processor time can be told from the server's, which is one, too. Ours signs each body, reads
//! each answer, takes four instants of each request and writes a history that survives `kill -9`; the others do nothing of that.
//!
//! `cargo bench -p scenarios` measures; `cargo bench -p scenarios -- REQUESTS` sends another number of requests a round.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use goose::client::GooseClientBuilder;
use goose::config::GooseConfiguration;
use goose::goose::{GooseUser, Scenario as GooseScenario, Transaction};
use scenarios::Secret;
use scenarios::grounds::{Grounds, Pattern, Site, Template};
use scenarios::history::{Header, QuotaKind, Recorder};
use scenarios::plan::{Apis, Limits, Plan, Size};
use scenarios::run::{Order, Stopwatch, run};
use scenarios::scenario::Scenario;
use scenarios::world::Untouchable;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Connections, and so requests under way, of every client.
const USERS: usize = 50;
/// Requests a round unless the command line says otherwise: some seconds for the slowest.
const REQUESTS: usize = 60_000;
/// Each client's best round counts: what disturbs only ever slows.
const ROUNDS: usize = 3;
/// What every client sends.
const BODY: &str = r#"{"title":"a0123456789abcdef-12345"}"#;
const PATH: &str = "/v1/hooks/token";
const ANSWER: &str = concat!(
    "HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ncontent-length: 145\r\n\r\n",
    // Without a `pollUrl`: nobody else here polls.
    r#"{"id":"0199b6a2-5a3e-7c1d-9b1a-0123456789ab","status":"queued","poll":"at http://127.0.0.1:8787/v1/renders/0199b6a2-5a3e-7c1d-9b1a-0123456789ab"}"#
);
/// `/proc` counts processor time in hundredths of a second.
const TICK_MS: f64 = 10.0;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<&str>>()[..] {
        ["serve"] => block_on(serve()),
        ["goose", address, requests] => block_on(bare_goose(address.parse().unwrap(), requests.parse().unwrap())),
        ["ours", address, requests] => block_on(ours(address.parse().unwrap(), requests.parse().unwrap())),
        ["--test"] => {}
        [] => compare(REQUESTS),
        [requests] => compare(requests.parse().expect("a number of requests")),
        ref other => panic!("expected a number of requests, found {other:?}"),
    }
}

fn block_on(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(work);
}

/// One measurement: processor time of the client, and time passed, for so many requests.
#[derive(Debug, Clone, Copy)]
struct Cost {
    cpu_us: f64,
    rate: f64,
}

fn compare(requests: usize) {
    let mut server = again(&["serve"]);
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().to_owned();
    let (count, users) = (requests.to_string(), USERS.to_string());
    let url = format!("http://{address}{PATH}");
    let script = tempfile::NamedTempFile::new().unwrap();
    let lua = format!("wrk.method = 'POST'\nwrk.body = '{BODY}'\nwrk.headers['content-type'] = 'application/json'\n");
    std::fs::write(script.path(), lua).unwrap();
    let script = script.path().to_str().unwrap();
    let oha = ["--no-tui", "-n", &count, "-c", &users, "-m", "POST", "-T", "application/json", "-d", BODY, &url];
    let wrk = ["-t", "2", "-c", &users, "-d", "3", "-s", script, &url];
    let mut best: [Option<Cost>; 4] = [None; 4];
    for _ in 0..ROUNDS {
        // In turn, so that what disturbs the machine disturbs all.
        let costs = [
            cost(again(&["goose", &address, &count]), Some(requests)),
            cost(again(&["ours", &address, &count]), Some(requests)),
            peer("oha", &oha).and_then(|child| cost(child, Some(requests))),
            peer("wrk", &wrk).and_then(|child| cost(child, None)),
        ];
        for (best, cost) in best.iter_mut().zip(costs) {
            if let Some(cost) = cost
                && best.is_none_or(|best| cost.cpu_us < best.cpu_us)
            {
                *best = Some(cost);
            }
        }
    }
    server.kill().unwrap();
    server.wait().unwrap();
    let goose = best[0].unwrap();
    println!("{:<28} {:>14} {:>16} {:>16}", "client", "CPU/request", "beside goose", "requests/s");
    let names = ["goose, bare", "goose, our scenario", "oha", "wrk"];
    for (name, cost) in names.into_iter().zip(best) {
        match cost {
            Some(Cost { cpu_us, rate }) => {
                println!("{name:<28} {cpu_us:>11.1} µs {:>15.2}x {rate:>16.0}", cpu_us / goose.cpu_us);
            }
            None => println!("{name:<28} not on PATH"),
        }
    }
}

/// This program in another part.
fn again(args: &[&str]) -> Child {
    Command::new(std::env::current_exe().unwrap()).args(args).stdout(Stdio::piped()).spawn().unwrap()
}

/// Another load generator; none where it is not installed.
fn peer(name: &str, args: &[&str]) -> Option<Child> {
    Command::new(name).args(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()
}

/// Waits for a client. `requests` is what it was told to send; otherwise its output says.
fn cost(mut child: Child, requests: Option<usize>) -> Option<Cost> {
    let (before, began) = (children_ms(), Instant::now());
    let mut output = String::new();
    child.stdout.take()?.read_to_string(&mut output).unwrap();
    assert!(child.wait().unwrap().success(), "{output}");
    let passed = began.elapsed().as_secs_f64();
    // `  123456 requests in 3.00s, 20.00MB read`
    let told = || output.lines().find_map(|line| line.split_once(" requests in")?.0.trim().parse().ok());
    let requests = requests.or_else(told).expect("the number of requests sent") as f64;
    Some(Cost { cpu_us: (children_ms() - before) * 1_000.0 / requests, rate: requests / passed })
}

/// Processor time of all children that have ended.
fn children_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    // `cutime` and `cstime`, counted after the command's name.
    fields.split_ascii_whitespace().skip(13).take(2).map(|ticks| ticks.parse::<f64>().unwrap() * TICK_MS).sum()
}

/// A server that does as little as one can: it finds each request's end and answers the same.
async fn serve() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    std::io::stdout().flush().unwrap();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let mut buffer = Vec::with_capacity(4096);
            while stream.read_buf(&mut buffer).await.is_ok_and(|length| length > 0) {
                while let Some(length) = whole(&buffer) {
                    buffer.drain(..length);
                    if stream.write_all(ANSWER.as_bytes()).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

/// The length of the first request, if all of it is there.
fn whole(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let lines = buffer[..head].split(|byte| *byte == b'\n');
    let length = lines.filter_map(|line| std::str::from_utf8(line).ok()?.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
    });
    Some(head + length.unwrap_or(0)).filter(|length| *length <= buffer.len())
}

/// A plain transaction, as goose's own book writes them.
async fn bare_goose(address: SocketAddr, requests: usize) {
    let transaction = Transaction::new(Arc::new(|user: &mut GooseUser| {
        Box::pin(async move {
            let request = user.get_request_builder(&goose::goose::GooseMethod::Post, PATH)?;
            let request = request.header("content-type", "application/json").body(BODY);
            let request = goose::goose::GooseRequest::builder().set_request_builder(request).build();
            user.request(request).await?;
            Ok(())
        })
    }));
    let (host, users, each) = (format!("http://{address}"), USERS.to_string(), (requests / USERS).to_string());
    let configuration = GooseConfiguration::parse_args_default(&[
        "--host",
        &host,
        "--users",
        &users,
        "--increase-rate",
        "100000",
        "--iterations",
        &each,
        "--no-telnet",
        "--quiet",
        "--no-print-metrics",
    ])
    .unwrap();
    let attack = goose::GooseAttack::initialize_with_config(configuration).unwrap();
    let attack = attack.set_client_builder_without_cookies(GooseClientBuilder::new().without_cookies()).unwrap();
    let attack = attack.register_scenario(GooseScenario::new("bare").register_transaction(transaction));
    let metrics = attack.execute().await.unwrap();
    let counted: usize = metrics.requests.values().map(|request| request.success_count).sum();
    assert_eq!(counted, requests / USERS * USERS);
}

/// `steady` as a closed loop: goose, a signature, an answer read, four instants and two lines of history for each request.
async fn ours(address: SocketAddr, requests: usize) {
    let limits = Limits { requests: 10, window_ms: 3_600_000, tolerance_ms: 2_000, tokens: 5 };
    let size =
        Size { users: Some(USERS), count: Some(requests), duration: Some(Duration::from_secs(600)), ..Size::default() };
    let plan = Plan::new(Scenario::Steady, &size, 1, &limits, Apis { rndrkit: false, craftkit: true }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let stopwatch = Stopwatch::start();
    let header = Header {
        recorder: "bench".into(),
        unix_ms: stopwatch.unix_ms(),
        skew_ms: 0,
        limit: 10,
        window_ms: 3_600_000,
        tolerance_ms: 2_000,
        quota: QuotaKind::Reached,
        keys: [].into(),
    };
    let template = Template {
        name: "t".into(),
        inbound_token: Secret::new("token"),
        secret: Secret::new("a-signing-secret-of-usual-length"),
        api_key: Secret::new("key"),
        requires_signature: false,
        valid: Pattern(r#"{"title":"{fresh}"}"#.into()),
        invalid: vec![Pattern("{}".into())],
    };
    let site = Site { base_url: format!("http://{address}").parse().unwrap(), headers: Vec::new(), root: None };
    let order = Order {
        plan,
        grounds: Grounds { rndrkit: None, craftkit: Some(site), domains: Vec::new(), templates: vec![template] },
        world: Arc::new(Untouchable),
        recorder: Arc::new(Recorder::create(&folder.path().join("history.jsonl"), &header).unwrap()),
        stopwatch,
        request_time: Duration::from_secs(10),
        clean: Arc::new(str::to_owned),
        live: Arc::default(),
        stop: Default::default(),
    };
    let run = run(order).await.unwrap();
    assert_eq!((run.honesty.sent, run.honesty.goose_total), (requests as u64, Some(requests as u64)));
    assert!(run.surprises.is_empty(), "{:?}", run.surprises);
}
