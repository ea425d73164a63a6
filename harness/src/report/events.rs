//! Events of a run as JSON Lines, for live views.

use std::io::Write;

use serde_json::{Value, json};

use super::Report;
use crate::runner::Event;

/// An event as one JSON value.
pub fn event(event: &Event<'_>) -> Value {
    match event {
        Event::Started { checks } => json!({"event": "started", "checks": checks}),
        Event::CheckStarted(check) => json!({"event": "check_started", "check": check.id, "rules": check.rules}),
        Event::CheckEnded(result) => json!({
            "event": "check_ended",
            "check": result.check.id,
            "duration_ms": u64::try_from(result.duration.as_millis()).unwrap_or(u64::MAX),
            // Only what cannot hold a secret: what one check saw may show another's, and that is known at the end only.
            "findings": result.findings.iter().map(|finding| json!({"rule": finding.rule, "status": finding.status})).collect::<Vec<Value>>(),
        }),
    }
}

/// The last event: what the run amounts to.
pub fn ended(report: &Report) -> Value {
    json!({
        "event": "ended",
        "verdict": report.verdict,
        "summary": report.summary,
        "duration_ms": report.duration_ms,
    })
}

/// Writes one event as a line of its own, at once.
///
/// # Errors
/// As the file says.
pub fn write(output: &mut impl Write, value: &Value) -> std::io::Result<()> {
    writeln!(output, "{value}")?;
    output.flush()
}
