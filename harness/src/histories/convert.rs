//! A log of another program, written as a history.

use std::path::Path;

use scenarios::history::{Event, RecordError, Recorder};

use super::source::Lines;
use super::{AuditError, Format};

/// Events that are written at once.
const BATCH: usize = 1024;

/// Writes what a file says as a history to a new file; the first of its recorders is the one that wrote it. Gives the number of operations.
///
/// # Errors
/// [`AuditError`] when the file cannot be read or is wrong, or the history cannot be written, as when it exists.
pub fn convert(from: &Path, format: &Format, to: &Path) -> Result<u64, AuditError> {
    let refused = |error: RecordError| AuditError::Convert { path: to.to_owned(), error };
    let mut lines = Lines::open(from, format)?;
    let Some(Event::Header(header)) = lines.event()? else {
        return Err(AuditError::NothingToConvert { path: from.to_owned() });
    };
    let recorder = Recorder::create(to, &header).map_err(refused)?;
    let mut batch = recorder.batch();
    let mut written = 0;
    while let Some(event) = lines.event()? {
        if let Event::Completed(operation, outcome) = event {
            batch.whole(&operation.invocation, &outcome).map_err(refused)?;
            written += 1;
            if written % BATCH as u64 == 0 {
                batch.flush().map_err(refused)?;
            }
        }
    }
    batch.flush().map_err(refused)?;
    drop(batch);
    recorder.finish().map_err(refused)?;
    Ok(written)
}
