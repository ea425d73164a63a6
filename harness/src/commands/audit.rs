//! `hookproof audit`: histories in, verdicts out.

use std::path::PathBuf;

use thiserror::Error;

use super::check::is_colored;
use super::outputs::{Output, OutputError, Outputs};
use super::{complain, print, unless_lost};
use crate::cli::audit::{AuditArgs, AuditFormat, AuditOutput, HistoryFormat, QuotaName};
use crate::exit::{self, Exit};
use crate::histories::audited::Audited;
use crate::histories::nginx::NginxOptions;
use crate::histories::{AuditError, Format, Options, audit_files, convert};
use crate::report::audit::{markdown, text};
use crate::report::terminal::Manner;
use crate::runner::Interrupt;
use scenarios::history::QuotaKind;

/// The option that names report files.
const REPORT: &str = "--report";

#[derive(Debug, Error)]
enum CommandError {
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("--{option} says how to read an nginx log; expected it with --format nginx")]
    NotNginx { option: &'static str },
    #[error("--convert writes one history; expected one FILE, found {found}")]
    ConvertsOne { found: usize },
}

/// Audits histories and reports.
pub fn run(args: &AuditArgs, interrupt: &Interrupt) -> Exit {
    match audit(args, interrupt) {
        Ok(exit) => exit,
        Err(CommandError::Audit(AuditError::Interrupted)) => {
            let signal = interrupt.borrow().map_or(signal_hook::consts::SIGINT, |signal| signal.0);
            complain(&AuditError::Interrupted, Exit::Signal(signal))
        }
        Err(error) => complain(&error, Exit::Usage),
    }
}

fn audit(args: &AuditArgs, interrupt: &Interrupt) -> Result<Exit, CommandError> {
    let options = options(args)?;
    if !args.quiet {
        let count = args.files.len();
        print(&format!("hookproof audit: {count} {}\n\n", if count == 1 { "history" } else { "histories" }));
    }
    // Opened before the work, so that it is not lost to a path that cannot be written.
    let mut files = Outputs::beside(args.files.iter().map(PathBuf::as_path));
    let mut outputs = Vec::new();
    for output in &args.report {
        outputs.push((files.open(REPORT, &output.path)?, output));
    }
    let audited = audit_files(&args.files, &options, &|| interrupt.borrow().is_some())?;
    let converted = match (&args.convert, args.files.as_slice()) {
        (Some(target), [log]) => convert::convert(log, &options.format, target).map(drop),
        _ => Ok(()),
    };
    let manner = Manner { color: is_colored(args.color), quiet: args.quiet, verbose: false };
    print(&text::render(&audited, manner));
    let exit = exit::of_audit(&audited, args.allow_incomplete);
    let lost = outputs.into_iter().filter_map(|(file, output)| report(file, output, &audited, &mut files).err());
    Ok(unless_lost(unless_lost(exit, lost), converted.err()))
}

fn options(args: &AuditArgs) -> Result<Options, CommandError> {
    let format = match args.format {
        HistoryFormat::History if args.key.is_some() => return Err(CommandError::NotNginx { option: "key" }),
        HistoryFormat::History if args.convert.is_some() => return Err(CommandError::NotNginx { option: "convert" }),
        HistoryFormat::History => Format::History,
        HistoryFormat::Nginx => Format::Nginx(NginxOptions { domain: args.key.clone() }),
    };
    if args.convert.is_some() && args.files.len() > 1 {
        return Err(CommandError::ConvertsOne { found: args.files.len() });
    }
    let quota = args.quota.map(|quota| match quota {
        QuotaName::Reached => QuotaKind::Reached,
        QuotaName::Exceed => QuotaKind::Exceed,
    });
    Ok(Options {
        format,
        limit: args.limit,
        window: args.window,
        tolerance: args.tolerance,
        quota,
        charged_at_once: args.charged_at_once,
        settle: args.settle,
        strict: args.strict,
    })
}

fn report(mut file: Output, output: &AuditOutput, audited: &Audited, files: &mut Outputs) -> Result<(), OutputError> {
    let AuditOutput { format, path } = output;
    match format {
        AuditFormat::Json => file.write(&audited.to_json()),
        AuditFormat::Markdown => {
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            let document = markdown::render(audited, &stem);
            for (name, drawing) in &document.drawings {
                let beside = path.with_file_name(name);
                files.open(REPORT, &beside)?.write(drawing)?;
            }
            file.write(&document.text)
        }
    }
}
