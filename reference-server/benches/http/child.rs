//! Servers in processes of their own.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use reference_server::rndrkit::limiter::{FixedWindow, WINDOW};
use reference_server::store::SharedStore;
use reference_server::{ClockKind, Config, ControlToken, Limits, Parts, StoreKind};

use crate::absent::absent;
use crate::{floor, rules};

/// Opens the control plane of every server here.
pub(crate) const CONTROL: &str = "control-token-of-the-bench";

/// Ticks in a second of `/proc/PID/stat` (`sysconf(_SC_CLK_TCK)`, 100 on every Linux in use).
const TICKS: f64 = 100.0;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The server on an SQLite file.
    Sqlite,
    /// The same router with its state in memory and its changes in pages of SQLite.
    Pages,
    /// The same router with its state in memory and its changes in a log.
    Log,
    /// The same router with the in-memory store.
    Memory,
    /// The same router with a store that keeps nothing.
    Absent,
    /// Plain hyper with the rules that a request has to pass, and nothing else.
    Rules,
    /// A bare hyper service that reads the request and answers a constant.
    Hyper,
}

impl Kind {
    pub(crate) const ALL: [Kind; 7] =
        [Kind::Sqlite, Kind::Pages, Kind::Log, Kind::Memory, Kind::Absent, Kind::Rules, Kind::Hyper];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Kind::Sqlite => "(a) SQLite, durable",
            Kind::Pages => "(b) SQLite's pages alone",
            Kind::Log => "(c) log with fdatasync",
            Kind::Memory => "(d) in memory",
            Kind::Absent => "(e) without a store",
            Kind::Rules => "(f) hyper and the rules",
            Kind::Hyper => "(g) bare hyper",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Sqlite => "sqlite",
            Kind::Pages => "pages",
            Kind::Log => "log",
            Kind::Memory => "memory",
            Kind::Absent => "absent",
            Kind::Rules => "rules",
            Kind::Hyper => "hyper",
        }
    }

    pub(crate) fn named(name: &str) -> Kind {
        Kind::ALL.into_iter().find(|kind| kind.name() == name).unwrap()
    }
}

/// A server in a process of its own.
pub(crate) struct Child {
    process: std::process::Child,
    stdin: ChildStdin,
    pub(crate) address: SocketAddr,
}

impl Child {
    pub(crate) fn start(kind: Kind, path: &Path) -> Child {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["serve", kind.name()])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let stdin = process.stdin.take().unwrap();
        Child { process, stdin, address: line.trim().parse().unwrap() }
    }

    /// User and system time so far.
    pub(crate) fn cpu(&self) -> Duration {
        cpu(self.process.id())
    }

    /// The most memory it ever held.
    pub(crate) fn peak_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Closes its standard input, which ends it.
    pub(crate) fn stop(mut self) {
        drop(self.stdin);
        assert!(self.process.wait().unwrap().success());
    }
}

/// User and system time of a process so far.
pub(crate) fn cpu(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name in parentheses may hold anything; utime and stime are the 12th and 13th after it.
    let (_, after) = stat.rsplit_once(')').unwrap();
    let ticks = after.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>();
    Duration::from_secs_f64(ticks / TICKS)
}

/// The child's side: serves until standard input ends.
pub(crate) fn serve(kind: Kind, path: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = match kind {
            Kind::Sqlite => StoreKind::File(path.to_owned()),
            Kind::Pages | Kind::Log | Kind::Memory | Kind::Absent => StoreKind::Memory,
            Kind::Rules => return plain(rules::answer).await,
            Kind::Hyper => return plain(constant).await,
        };
        let config = Config {
            store,
            clock: ClockKind::System,
            // A load that never pauses may outrun the worker; what is measured are decisions, not refusals.
            limits: Limits { queue_length: usize::MAX, ..Limits::default() },
            ..Config::ephemeral(ControlToken::new(CONTROL))
        };
        // The documented limiter with a limit that is never reached: every refresh is counted as usual.
        let limiter = Arc::new(FixedWindow { limit: i64::MAX, window: WINDOW });
        let replaced: Option<fn(SharedStore) -> SharedStore> = match kind {
            Kind::Absent => Some(absent),
            Kind::Pages => Some(floor::pages),
            Kind::Log => Some(floor::log),
            Kind::Sqlite | Kind::Memory | Kind::Rules | Kind::Hyper => None,
        };
        let parts = Parts { limiter, store: replaced, ..Parts::reference() };
        let server = reference_server::start(config, parts).await.unwrap();
        println!("{}", server.address());
        tokio::task::spawn_blocking(wait).await.unwrap();
        server.stop().await.unwrap();
    });
}

fn wait() {
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).unwrap();
}

/// As long as the hook's answer.
const ANSWER: &[u8] = br#"{"id":"01933333-3333-7333-b333-333333333333","status":"queued","pollUrl":"http://127.0.0.1:40000/v1/renders/01933333-3333-7333-b333-333333333333"}"#;

/// Serves with hyper alone.
async fn plain<F>(answer: fn(Request<Incoming>) -> F)
where
    F: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let accepting = async {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let served =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
            tokio::spawn(served);
        }
    };
    tokio::select! {
        () = accepting => {}
        waited = tokio::task::spawn_blocking(wait) => waited.unwrap(),
    }
}

async fn constant(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // A client here never breaks a request off.
    let _ = request.into_body().collect().await.unwrap();
    let mut response = Response::new(Full::new(Bytes::from_static(ANSWER)));
    *response.status_mut() = StatusCode::ACCEPTED;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
