//! The `hookproof` program: what was typed, one call, an exit code.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Parser as _;
use hookproof::cli::snapshots::SnapshotsCommand;
use hookproof::cli::{AdapterCommand, Cli, Command};
use hookproof::commands;
use hookproof::exit::Exit;
use hookproof::runner::{Interrupt, Signal};
use tokio::sync::watch;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` are errors to clap, printed to stdout with code 0.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Holds };
            let _ = error.print();
            return exit.into();
        }
    };
    let interrupt = listen_to_signals();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime starts where threads can be started");
    let exit = runtime.block_on(async {
        match cli.command {
            None => commands::check::run(&cli.check, interrupt).await,
            Some(Command::Check(args)) => commands::check::run(&args, interrupt).await,
            Some(Command::Load(args)) => commands::load::run(&args, interrupt).await,
            Some(Command::Serve(args)) => commands::serve::run(&args, interrupt).await,
            Some(Command::Rules(args)) => commands::rules::run(&args),
            Some(Command::Prove(args)) => commands::prove::run(&args, interrupt).await,
            Some(Command::Verify(args)) => commands::verify::run(&args.report),
            Some(Command::Compare(args)) => commands::compare::run(&args.before, &args.after),
            Some(Command::Audit(args)) => commands::audit::run(&args, &interrupt),
            Some(Command::Snapshots(SnapshotsCommand::Init(args))) => commands::snapshots::run(&args, interrupt).await,
            Some(Command::Adapter(AdapterCommand::Check(args))) => commands::adapter::run(&args, interrupt).await,
            Some(Command::Init(args)) => commands::init::run(&args.path),
        }
    });
    exit.into()
}

/// Hands SIGINT, SIGTERM and SIGHUP to whoever runs.
///
/// The handler is installed through `ctrlc`, since load generators install theirs through the same crate and only the first one
/// stays. That crate does not say which signal came; a second handler, chained before it, does.
fn listen_to_signals() -> Interrupt {
    /// How long to wait for the number of a signal that has come.
    const NUMBER_TIME_MAX: Duration = Duration::from_millis(50);
    let (sender, receiver) = watch::channel(None);
    let number = Arc::new(AtomicUsize::new(0));
    let came = Arc::clone(&number);
    let handled = ctrlc::set_handler(move || {
        let deadline = Instant::now() + NUMBER_TIME_MAX;
        while came.load(Ordering::SeqCst) == 0 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        let number = i32::try_from(came.load(Ordering::SeqCst)).unwrap_or(signal_hook::consts::SIGINT);
        sender.send_replace(Some(Signal(if number == 0 { signal_hook::consts::SIGINT } else { number })));
    });
    handled.expect("no other handler was installed before the first one");
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        let value = usize::try_from(signal).expect("signal numbers are positive");
        signal_hook::flag::register_usize(signal, Arc::clone(&number), value).expect("these signals can be handled");
    }
    receiver
}
