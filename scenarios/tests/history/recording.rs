//! What a recorder writes is read back, and is in the file when it has to be.

use std::collections::BTreeMap;
use std::io::{self, Write};

use proptest::prelude::*;
use scenarios::history::{
    Action, Event, Header, Invocation, KeyState, Outcome, QuotaKind, RecordError, Recorder, Ticket, Truncated,
};

use crate::{header, read, refresh};

#[test]
fn an_invocation_is_in_the_file_before_the_call_returns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.jsonl");
    let recorder = Recorder::create(&path, &header("a")).unwrap();
    let ticket = recorder.invoked(&refresh("d1", 5)).unwrap();
    // Nothing was dropped, closed or flushed: this is what `kill -9` would leave behind.
    let left = std::fs::read(&path).unwrap();
    let (events, reader) = read(&left).unwrap();
    assert_eq!((events.len(), reader.into_unknown().len()), (2, 1));
    recorder.completed(ticket, &Outcome::at(6)).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        text.lines().nth(1),
        Some(r#"{"v":1,"n":1,"api":"rndrkit","key":"d1","op":"refresh","pages":1,"start_ns":5}"#)
    );
    assert_eq!(text.lines().nth(2), Some(r#"{"v":1,"n":1,"end_ns":6}"#));
}

#[test]
fn a_history_is_never_overwritten() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(Recorder::create(file.path(), &header("a")), Err(RecordError::Io(_))));
}

/// Counts writes, and fails from one of them on, after half of it.
#[derive(Debug, Default)]
struct Disk {
    written: Vec<u8>,
    writes: usize,
    full_after: Option<usize>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes += 1;
        if self.full_after.is_some_and(|full| self.writes > full) {
            if self.full_after == Some(self.writes - 1) {
                self.written.extend(&bytes[..bytes.len() / 2]);
            }
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.written.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_batch_is_one_write() {
    let recorder = Recorder::new(Disk::default(), &header("a")).unwrap();
    let mut batch = recorder.batch();
    let tickets: Vec<Ticket> = (0..50).map(|start| batch.invoked(&refresh("d1", start)).unwrap()).collect();
    batch.flush().unwrap();
    batch.flush().unwrap();
    for ticket in tickets {
        batch.completed(ticket, &Outcome::at(99)).unwrap();
    }
    drop(batch);
    let disk = recorder.finish().unwrap();
    let (events, _) = read(&disk.written).unwrap();
    assert_eq!((disk.writes, events.len()), (1 + 1 + 1, 1 + 50 + 50));
}

#[test]
fn whoever_hands_over_first_does_it_for_all() {
    let recorder = Recorder::new(Disk::default(), &header("a")).unwrap();
    let posted: Vec<_> = (0..50).map(|start| recorder.post_invoked(refresh("d1", start)).unwrap()).collect();
    for (ticket, place) in posted {
        recorder.hand_over(place).unwrap();
        recorder.post_completed(ticket, &Outcome::at(99)).unwrap();
    }
    let disk = recorder.finish().unwrap();
    let (events, reader) = read(&disk.written).unwrap();
    // The header, all invocations, all completions.
    assert_eq!((disk.writes, events.len()), (1 + 1 + 1, 1 + 50 + 50));
    assert_eq!(reader.into_unknown(), vec![]);
}

#[test]
fn a_posted_invocation_is_in_the_file_once_it_is_handed_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.jsonl");
    let recorder = Recorder::create(&path, &header("a")).unwrap();
    let (_ticket, place) = recorder.post_invoked(refresh("d1", 5)).unwrap();
    assert_eq!(read(&std::fs::read(&path).unwrap()).unwrap().0.len(), 1);
    recorder.hand_over(place).unwrap();
    assert_eq!(read(&std::fs::read(&path).unwrap()).unwrap().0.len(), 2);
}

#[test]
fn what_cannot_be_handed_over_must_not_be_sent() {
    let recorder = Recorder::new(Disk { full_after: Some(1), ..Disk::default() }, &header("a")).unwrap();
    let (_first, place) = recorder.post_invoked(refresh("d1", 1)).unwrap();
    let (_other, later) = recorder.post_invoked(refresh("d1", 2)).unwrap();
    assert!(matches!(recorder.hand_over(place), Err(RecordError::Io(_))));
    assert!(matches!(recorder.hand_over(later), Err(RecordError::Broken)));
    assert!(matches!(recorder.finish(), Err(RecordError::Broken)));
}

#[test]
fn threads_that_post_lose_nothing() {
    const THREADS: u64 = 8;
    const EACH: u64 = 200;
    let recorder = Recorder::new(Vec::new(), &header("a")).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for start in 0..EACH {
                    let (ticket, place) = recorder.post_invoked(refresh("d1", start)).unwrap();
                    recorder.hand_over(place).unwrap();
                    recorder.post_completed(ticket, &Outcome::at(start)).unwrap();
                }
            });
        }
    });
    let history = recorder.finish().unwrap();
    let (events, reader) = read(&history).unwrap();
    assert_eq!(events.len() as u64, 1 + 2 * THREADS * EACH);
    assert_eq!((reader.truncated(), reader.into_unknown()), (None, vec![]));
}

#[test]
fn after_a_failed_write_nothing_is_added() {
    let mut disk = Disk { full_after: Some(2), ..Disk::default() };
    let recorder = Recorder::new(&mut disk, &header("a")).unwrap();
    let _first = recorder.invoked(&refresh("d1", 1)).unwrap();
    assert!(matches!(recorder.invoked(&refresh("d1", 2)), Err(RecordError::Io(_))));
    assert!(matches!(recorder.invoked(&refresh("d1", 3)), Err(RecordError::Broken)));
    assert!(matches!(recorder.finish(), Err(RecordError::Broken)));
    assert_eq!(disk.writes, 3);
    let (events, reader) = read(&disk.written).unwrap();
    assert_eq!(events.len(), 2);
    assert!(matches!(reader.truncated(), Some(Truncated { line: 3, .. })));
}

#[test]
fn a_dropped_batch_that_cannot_be_written_is_remembered() {
    let recorder = Recorder::new(Disk { full_after: Some(1), ..Disk::default() }, &header("a")).unwrap();
    let mut batch = recorder.batch();
    let _ticket = batch.invoked(&refresh("d1", 1)).unwrap();
    drop(batch);
    assert!(matches!(recorder.finish(), Err(RecordError::Broken)));
}

#[test]
fn what_a_reader_would_refuse_is_not_recorded() {
    #[track_caller]
    fn check(outcome: &Outcome, expected: &str) {
        let recorder = Recorder::new(Vec::new(), &header("a")).unwrap();
        let ticket = recorder.invoked(&refresh("d1", 5)).unwrap();
        let error = recorder.completed(ticket, outcome).unwrap_err();
        assert_eq!(error.to_string(), format!("a history cannot say that: {expected}"));
    }
    check(&Outcome::at(4), "time goes backwards: expected `end_ns` from 5 on, where `start_ns` is, found 4");
    check(
        &Outcome { status: Some(1000), ..Outcome::at(6) },
        "`status`: expected an HTTP status from 100 to 999, found 1000",
    );
    check(&Outcome { id: Some("r".into()), ..Outcome::at(6) }, "`id` means nothing at the end of this operation");
}

#[test]
fn threads_share_a_recorder() {
    const THREADS: u64 = 8;
    const EACH: u64 = 200;
    let recorder = Recorder::new(Vec::new(), &header("a")).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for start in 0..EACH {
                    let ticket = recorder.invoked(&refresh("d1", start)).unwrap();
                    recorder.completed(ticket, &Outcome::at(start)).unwrap();
                }
            });
        }
    });
    let history = recorder.finish().unwrap();
    let (events, reader) = read(&history).unwrap();
    assert_eq!(events.len() as u64, 1 + 2 * THREADS * EACH);
    assert_eq!((reader.truncated(), reader.into_unknown()), (None, vec![]));
}

fn headers() -> impl Strategy<Value = Header> {
    let state = (any::<bool>(), any::<Option<u64>>());
    let state = state.prop_map(|(fresh, renders_left)| KeyState { fresh, renders_left });
    let keys = prop::collection::btree_map(".*", state, 0..4);
    let quota = prop_oneof![Just(QuotaKind::Reached), Just(QuotaKind::Exceed)];
    let numbers = any::<[u64; 5]>();
    (".*", numbers, quota, keys).prop_map(|(recorder, numbers, quota, keys)| {
        let [unix_ms, skew_ms, limit, window_ms, tolerance_ms] = numbers;
        Header { recorder, unix_ms, skew_ms, limit, window_ms, tolerance_ms, quota, keys }
    })
}

fn actions() -> impl Strategy<Value = Action> {
    let token = || prop::option::of(".*");
    prop_oneof![
        (".*", token(), any::<Option<u64>>()).prop_map(|(domain, token, pages)| Action::Refresh {
            domain,
            token,
            pages
        }),
        (".*", token()).prop_map(|(template, token)| Action::Render { template, token }),
        (".*", token(), ".*").prop_map(|(template, token, id)| Action::Poll { template, token, id }),
        any::<u64>().prop_map(|ms| Action::Advance { ms }),
        any::<bool>().prop_map(|available| Action::Queue { available }),
        (".*", ".*").prop_map(|(domain, token)| Action::Revoke { domain, token }),
        (".*", any::<Option<u64>>()).prop_map(|(domain, renders_left)| Action::Quota { domain, renders_left }),
    ]
}

/// An operation, and how it ends if it does.
fn operations() -> impl Strategy<Value = (Invocation, Option<Outcome>)> {
    let times = (any::<Option<u64>>(), any::<[u32; 2]>(), any::<Option<[u32; 2]>>());
    let answer = (prop::option::of(100..=999_u16), prop::option::of(".*"), prop::option::of(".*"));
    (actions(), times, answer, any::<bool>()).prop_map(|(action, times, answer, ends)| {
        let (due_ns, [start, took], server) = times;
        let (status, error, render) = answer;
        let start_ns = u64::from(start);
        let outcome = Outcome {
            end_ns: start_ns + u64::from(took),
            server_end_ms: server.map(|[start, took]| u64::from(start) + u64::from(took)),
            status,
            error,
            id: render.clone().filter(|_| matches!(action, Action::Render { .. })),
            render_status: render.filter(|_| matches!(action, Action::Poll { .. })),
        };
        let server_start_ms = server.map(|[start, _]| u64::from(start));
        (Invocation { action, due_ns, start_ns, server_start_ms }, ends.then_some(outcome))
    })
}

/// How an operation is recorded.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// In two lines.
    Lines,
    /// Whole, if it ends.
    Whole,
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_back(
        header in headers(),
        operations in prop::collection::vec((operations(), prop_oneof![Just(Way::Lines), Just(Way::Whole)]), 0..20),
        in_flight_max in 0..5_usize,
    ) {
        let recorder = Recorder::new(Vec::new(), &header).unwrap();
        let (mut batch, mut open) = (recorder.batch(), Vec::new());
        let (mut invoked, mut completed, mut unknown) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for ((invocation, outcome), way) in &operations {
            match (outcome, way) {
                (Some(outcome), Way::Whole) => {
                    let n = batch.whole(invocation, outcome).unwrap();
                    completed.insert(n, (invocation.clone(), outcome.clone()));
                }
                (outcome, Way::Lines | Way::Whole) => {
                    let ticket = batch.invoked(invocation).unwrap();
                    invoked.insert(ticket.number(), invocation.clone());
                    open.push((ticket, invocation, outcome));
                }
            }
            // The last to start ends first, some time after others have started.
            while open.len() > in_flight_max {
                let (ticket, invocation, outcome) = open.pop().unwrap();
                end(&mut batch, ticket, invocation, outcome.as_ref(), &mut completed, &mut unknown);
            }
        }
        for (ticket, invocation, outcome) in open {
            end(&mut batch, ticket, invocation, outcome.as_ref(), &mut completed, &mut unknown);
        }
        drop(batch);
        let history = recorder.finish().unwrap();

        let (events, reader) = read(&history).unwrap();
        let mut events = events.into_iter();
        prop_assert_eq!(events.next(), Some(Event::Header(header.clone())));
        let (mut read_invoked, mut read_completed) = (BTreeMap::new(), BTreeMap::new());
        for event in events {
            match event {
                Event::Header(other) => prop_assert!(false, "{:?}", other),
                Event::Invoked(operation) => { read_invoked.insert(operation.n, operation.invocation); }
                Event::Completed(operation, outcome) => {
                    prop_assert_eq!(&*operation.recorder, header.recorder.as_str());
                    read_completed.insert(operation.n, (operation.invocation, outcome));
                }
            }
        }
        prop_assert_eq!(read_invoked, invoked);
        prop_assert_eq!(read_completed, completed);
        prop_assert_eq!(reader.truncated(), None);
        let left = reader.into_unknown().into_iter().map(|operation| (operation.n, operation.invocation));
        prop_assert_eq!(left.collect::<BTreeMap<_, _>>(), unknown);
    }
}

fn end<W: Write>(
    batch: &mut scenarios::history::Batch<'_, W>,
    ticket: Ticket,
    invocation: &Invocation,
    outcome: Option<&Outcome>,
    completed: &mut BTreeMap<u64, (Invocation, Outcome)>,
    unknown: &mut BTreeMap<u64, Invocation>,
) {
    let n = ticket.number();
    match outcome {
        Some(outcome) => {
            batch.completed(ticket, outcome).expect("a good outcome");
            completed.insert(n, (invocation.clone(), outcome.clone()));
        }
        None => {
            unknown.insert(n, invocation.clone());
        }
    }
}
