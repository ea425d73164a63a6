//! `hookproof serve`: the reference server for a person or another program.

use std::path::Path;

use reference_server::{ClockKind, Config, ControlToken, Limits, Parts, StartError, StopError, StoreKind, deviations};
use thiserror::Error;

use super::{complain, print};
use crate::cli::{LimitArgs, ServeArgs, ServeClock};
use crate::config;
use crate::exit::Exit;
use crate::runner::Interrupt;

/// The variable that switches the control plane on.
const CONTROL_TOKEN: &str = "HOOKPROOF_CONTROL_TOKEN";
/// The variable that says what is logged, in the syntax of `tracing-subscriber`; quiet by default.
const LOG: &str = "HOOKPROOF_LOG";

#[derive(Debug, Error)]
enum ServeError {
    #[error("--deviation {name}: expected a known deviation{hint}; known are: {known}")]
    UnknownDeviation { name: String, hint: String, known: String },
    #[error("{CONTROL_TOKEN}: expected at least {least} characters, found {found}")]
    ShortToken { least: usize, found: usize },
    #[error("{LOG}: expected a filter such as `info`, found: {0}")]
    Log(String),
    #[error("cannot serve: {0}")]
    Start(#[from] StartError),
    #[error("the server did not stop cleanly: {0}")]
    Stop(#[from] StopError),
}

/// Serves until a signal comes.
pub async fn run(args: &ServeArgs, interrupt: Interrupt) -> Exit {
    match serve(args, interrupt).await {
        Ok(()) => Exit::Holds,
        Err(error) => {
            let exit = match &error {
                ServeError::UnknownDeviation { .. } | ServeError::ShortToken { .. } | ServeError::Log(_) => Exit::Usage,
                ServeError::Start(_) => Exit::Unprepared,
                ServeError::Stop(_) => Exit::Defect,
            };
            complain(&error, exit)
        }
    }
}

async fn serve(args: &ServeArgs, mut interrupt: Interrupt) -> Result<(), ServeError> {
    start_logging()?;
    let parts = parts(args.deviation.as_deref())?;
    let token = config::environment(CONTROL_TOKEN);
    if let Some(short) = token.as_ref().filter(|token| token.len() < crate::secret::SECRET_LENGTH_MIN) {
        return Err(ServeError::ShortToken { least: crate::secret::SECRET_LENGTH_MIN, found: short.len() });
    }
    let has_control = token.is_some();
    let config = Config {
        listen: args.listen,
        store: store(&args.store),
        clock: match args.clock {
            ServeClock::System => ClockKind::System,
            ServeClock::Manual => ClockKind::Manual,
        },
        control_token: token.map(ControlToken::new),
        public_base: None,
        limits: limits(&args.limits),
    };
    let server = reference_server::start(config, parts).await?;
    print(&format!("listening on {}\n", server.base_url()));
    eprint!("{}", hint(&server.base_url(), has_control));
    if interrupt.wait_for(Option::is_some).await.is_err() {
        // Nobody can signal any more; serve on.
        std::future::pending::<()>().await;
    }
    server.stop().await?;
    Ok(())
}

fn limits(args: &LimitArgs) -> Limits {
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    Limits {
        body_bytes: count(args.max_body),
        header_read: args.header_time,
        request: args.request_time,
        connections: count(args.max_connections),
        queue_length: count(args.max_queue),
        pending_writes: count(args.max_pending),
        webhook: args.webhook_time,
    }
}

fn start_logging() -> Result<(), ServeError> {
    let Some(filter) = config::environment(LOG) else { return Ok(()) };
    let filter = tracing_subscriber::EnvFilter::try_new(&filter).map_err(|error| ServeError::Log(error.to_string()))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    Ok(())
}

fn parts(deviation: Option<&str>) -> Result<Parts, ServeError> {
    let Some(name) = deviation else { return Ok(Parts::reference()) };
    if let Some(deviation) = deviations::named(name) {
        eprintln!("this server is wrong on purpose: it {}", deviation.defect);
        return Ok(deviation.parts());
    }
    let names = || deviations::all().map(|deviation| deviation.name);
    let nearest = names().min_by_key(|known| strsim::damerau_levenshtein(known, name));
    Err(ServeError::UnknownDeviation {
        name: name.to_owned(),
        hint: nearest.map_or(String::new(), |nearest| format!(", did you mean `{nearest}`?")),
        known: names().collect::<Vec<&str>>().join(", "),
    })
}

fn store(path: &Path) -> StoreKind {
    if path.as_os_str() == "memory" { StoreKind::Memory } else { StoreKind::File(path.to_owned()) }
}

/// A line to paste that shows the server at work.
fn hint(base_url: &str, has_control: bool) -> String {
    if has_control {
        format!(
            "try: curl -s {base_url}/_control -H \"Authorization: Bearer ${CONTROL_TOKEN}\" -d '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"domain.create\",\"params\":{{}}}}'\n"
        )
    } else {
        format!(
            "try: curl -i {base_url}/health\nset {CONTROL_TOKEN} to make domains, tokens and templates at {base_url}/_control\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    #[track_caller]
    fn parsed(arguments: &[&str]) -> Limits {
        let cli = Cli::parse_from([&["hookproof", "serve"], arguments].concat());
        let Some(Command::Serve(args)) = cli.command else { panic!("serve is a command") };
        limits(&args.limits)
    }

    #[test]
    fn without_options_the_limits_are_the_servers_own() {
        assert_eq!(parsed(&[]), Limits::default());
    }

    #[test]
    fn each_limit_can_be_set() {
        use std::time::Duration;
        let arguments = "--max-body 1 --max-connections 2 --max-queue 3 --max-pending 4 --header-time 5s --request-time 6s --webhook-time 7s";
        let expected = Limits {
            body_bytes: 1,
            connections: 2,
            queue_length: 3,
            pending_writes: 4,
            header_read: Duration::from_secs(5),
            request: Duration::from_secs(6),
            webhook: Duration::from_secs(7),
        };
        assert_eq!(parsed(&arguments.split(' ').collect::<Vec<&str>>()), expected);
    }
}
