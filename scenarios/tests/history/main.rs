//! The history's format, from outside: what is written is read back, and what is wrong is said.

mod reading;
mod recording;

use scenarios::history::{Action, Event, Header, Invocation, QuotaKind, ReadError, Reader};

/// A header as the format's documentation shows it.
const HEADER: &str = r#"{"v":1,"header":true,"recorder":"a","unix_ms":1760000000000,"skew_ms":5,"limit":10,"window_ms":3600000,"tolerance_ms":2000,"quota":"reached","keys":{"d1":{"fresh":true,"renders_left":7}}}"#;

fn header(recorder: &str) -> Header {
    Header {
        recorder: recorder.into(),
        unix_ms: 1_760_000_000_000,
        skew_ms: 5,
        limit: 10,
        window_ms: 3_600_000,
        tolerance_ms: 2_000,
        quota: QuotaKind::Reached,
        keys: [].into(),
    }
}

fn refresh(domain: &str, start_ns: u64) -> Invocation {
    let action = Action::Refresh { domain: domain.into(), token: None, pages: Some(1) };
    Invocation { action, due_ns: None, start_ns, server_start_ms: None }
}

/// All events of a history, and the reader at its end.
fn read(history: &[u8]) -> Result<(Vec<Event>, Reader<&[u8]>), ReadError> {
    let mut reader = Reader::new(history);
    let events = reader.by_ref().collect::<Result<Vec<Event>, ReadError>>()?;
    Ok((events, reader))
}
