//! Where operations go: each to the thread that judges its key, in batches.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use scenarios::history::{Name, Names};

use super::clock::Newest;
use super::noted::{Asked, Came, NotedOperation};
use super::operation::{Found, Horizon, Placed, Time, Told};
use super::outage::Outages;
use super::plan::{PlaceError, Plan, RECORDER_BITS, Times};

/// Operations that are handed over at once.
pub(super) const BATCH: usize = 2048;
/// Batches that may wait for a thread.
const WAITING_MAX: usize = 4;

/// What a thread is told at once.
pub(super) struct Batch {
    /// Keys that are told of for the first time here; they are numbered on.
    pub(super) met: Vec<String>,
    /// Refreshes that have begun and not ended, in no order, each of the key with that number.
    pub(super) begun: Vec<(u32, Placed)>,
    /// What else is told, in order.
    pub(super) told: Vec<(u32, Told)>,
    /// As it was when the first of these was read: what was read since may be far ahead of the others.
    pub(super) horizon: Horizon,
}

/// The way to a thread. Batches come back on it, to be filled again.
pub(super) struct Line {
    batches: SyncSender<Batch>,
    empty: Receiver<Batch>,
}

/// Where a thread takes what it is told.
pub(super) struct End {
    batches: Receiver<Batch>,
    empty: Sender<Batch>,
}

/// A line, and its end.
pub(super) fn line() -> (Line, End) {
    let ((there, batches), (back, empty)) = (sync_channel(WAITING_MAX), channel());
    (Line { batches: there, empty }, End { batches, empty: back })
}

impl End {
    /// The next batch; none once all has been told.
    pub(super) fn next(&self) -> Option<Batch> {
        self.batches.recv().ok()
    }

    /// Gives back a batch from which everything has been taken.
    pub(super) fn give_back(&self, batch: Batch) {
        // In the end nobody needs it.
        let _ = self.empty.send(batch);
    }
}

/// Who judges a key.
#[derive(Clone, Copy)]
struct Seat {
    thread: u32,
    /// The key's number there.
    number: u32,
    /// Whether nothing about its times is uncertain.
    is_exact: bool,
}

/// Hands operations out.
pub(super) struct Desk<'p> {
    plan: &'p Plan,
    trays: Vec<Tray>,
    /// By the key's name.
    seats: Vec<Option<Seat>>,
    /// How many keys have a seat.
    seated: usize,
    newest: Newest,
    outages: Outages,
    controls: u64,
    /// Whether the target's clock was moved without saying where to.
    moved: bool,
}

impl<'p> Desk<'p> {
    /// Hands out over these lines.
    pub(super) fn new(plan: &'p Plan, lines: Vec<Line>) -> Desk<'p> {
        let newest = plan.newest();
        let horizon = plan.horizon(&newest);
        Desk {
            plan,
            trays: lines.into_iter().map(|line| Tray::new(line, horizon)).collect(),
            seats: Vec::new(),
            seated: 0,
            newest,
            outages: Outages::new(plan.terms.settle),
            controls: 0,
            moved: false,
        }
    }

    /// Takes an operation of a file apart and tells of it.
    #[inline]
    pub(super) fn take(&mut self, file: usize, operation: NotedOperation, names: &Names) -> Result<(), PlaceError> {
        let NotedOperation { n, recorder, key, asked, start_ns, server_start_ms, end } = operation;
        let is_refresh = matches!(asked, Asked::Refresh { .. });
        let times = Times {
            file,
            recorder,
            n,
            is_refresh,
            start_ns,
            server_start_ms,
            end: end.as_ref().map(|end| (end.end_ns, end.server_end_ms)),
        };
        let seat = key.map(|key| self.seat(key, names));
        let (id, time) = self.plan.place(&times, seat.is_some_and(|seat| seat.is_exact))?;
        let seen = time.seen();
        self.newest.tell(seen.end.unwrap_or(seen.start));
        let came = end.map(|end| end.came);
        if !is_refresh {
            let key = key.map(|key| names.text(key));
            self.watch(&asked, key, (id, &time), came.as_ref());
        }
        let Some(Seat { thread, number, .. }) = seat else { return Ok(()) };
        let tray = &mut self.trays[thread as usize];
        if tray.is_empty() {
            tray.filling.horizon = self.plan.horizon(&self.newest);
        }
        let placed = Placed { id, asked, time };
        match came {
            None if is_refresh => tray.begin(number, placed),
            came => tray.tell(number, placed, came),
        }
        Ok(())
    }

    /// Watches what concerns more than one key.
    #[cold]
    fn watch(&mut self, asked: &Asked, key: Option<&str>, (id, time): (u64, &Time), came: Option<&Came>) {
        match (asked, key) {
            (Asked::Advance, _) => {
                self.moved |= !self.plan.driven();
                self.controls += u64::from(came.is_some());
            }
            (Asked::Queue { available }, _) => {
                let done = came.is_some_and(|came| came.succeeded);
                self.outages.change(id, time.real(), *available, done);
                self.controls += u64::from(came.is_some());
            }
            (Asked::Render, Some(template)) if came.is_some_and(|came| came.status == Some(202)) => {
                self.outages.acknowledged(template, id, time.real());
            }
            _ => {}
        }
    }

    /// Who judges a key.
    #[inline]
    fn seat(&mut self, key: Name, names: &Names) -> Seat {
        match self.seats.get(key.index()) {
            Some(Some(seat)) => *seat,
            _ => self.new_seat(key, names),
        }
    }

    /// Gives a key a seat, on each thread in turn.
    #[cold]
    fn new_seat(&mut self, key: Name, names: &Names) -> Seat {
        let number = |at: usize| u32::try_from(at).expect("there are no more keys than names");
        let text = names.text(key);
        let (thread, place) = (self.seated % self.trays.len(), self.seated / self.trays.len());
        let seat = Seat { thread: number(thread), number: number(place), is_exact: self.plan.is_exact(text) };
        self.trays[thread].filling.met.push(text.to_owned());
        self.seated += 1;
        self.seats.resize(self.seats.len().max(key.index() + 1), None);
        self.seats[key.index()] = Some(seat);
        seat
    }

    /// Hands over what has not been yet.
    pub(super) fn hand_over_all(&mut self) {
        self.trays.iter_mut().for_each(Tray::hand_over);
    }

    /// Lets the threads come to their ends; gives what concerns no single key, and how many controls did not.
    pub(super) fn close(self, moved: &AtomicBool) -> (Vec<(String, Found)>, u64) {
        moved.store(self.moved, Ordering::SeqCst);
        (self.outages.finish(), self.controls)
    }
}

/// How many refreshes a tray can find again, nearly.
const HINTS: usize = 1024;

/// What is to be told to a thread.
///
/// Most refreshes end soon after they began. Of these only the end is told, so that half as much passes from thread to thread, and
/// nobody has to remember them there.
struct Tray {
    line: Line,
    filling: Batch,
    /// Where a refresh stands among those that have begun, if it is the last there with such a name.
    hints: Vec<u32>,
}

impl Tray {
    fn new(line: Line, horizon: Horizon) -> Tray {
        Tray { line, filling: Batch::new(horizon), hints: vec![0; HINTS] }
    }

    fn is_empty(&self) -> bool {
        self.filling.told.is_empty() && self.filling.begun.is_empty()
    }

    /// A refresh has begun.
    #[inline]
    fn begin(&mut self, number: u32, placed: Placed) {
        let Batch { begun, .. } = &mut self.filling;
        self.hints[hint(placed.id)] = u32::try_from(begun.len()).expect("a batch is small");
        begun.push((number, placed));
        if begun.len() == BATCH {
            self.hand_over();
        }
    }

    /// Something has ended, or begun that is no refresh.
    #[inline]
    fn tell(&mut self, number: u32, placed: Placed, came: Option<Came>) {
        let is_whole = self.forget(placed.id);
        let Batch { told, .. } = &mut self.filling;
        told.push((number, Told { placed, came, is_whole }));
        if told.len() == BATCH {
            self.hand_over();
        }
    }

    /// Takes back that a refresh has begun, and says whether that could be done.
    #[inline]
    fn forget(&mut self, id: u64) -> bool {
        let Batch { begun, .. } = &mut self.filling;
        let at = self.hints[hint(id)] as usize;
        let is_there = begun.get(at).is_some_and(|(_, placed)| placed.id == id);
        if is_there {
            begun.swap_remove(at);
            if let Some((_, moved)) = begun.get(at) {
                self.hints[hint(moved.id)] = u32::try_from(at).expect("a batch is small");
            }
        }
        is_there
    }

    #[cold]
    fn hand_over(&mut self) {
        let horizon = self.filling.horizon;
        let next = self.line.empty.try_recv().unwrap_or_else(|_| Batch::new(horizon));
        // A worker that has given up takes nothing more; why is asked elsewhere.
        let _ = self.line.batches.send(std::mem::replace(&mut self.filling, next));
    }
}

impl Batch {
    fn new(horizon: Horizon) -> Batch {
        Batch { met: Vec::new(), begun: Vec::new(), told: Vec::with_capacity(BATCH), horizon }
    }
}

/// Where to look for an operation. Names end with the recorder's bits where there are several.
#[inline]
fn hint(id: u64) -> usize {
    (id ^ id >> RECORDER_BITS) as usize % HINTS
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::super::answer::Answer;
    use super::super::clock::Interval;
    use super::*;

    const HORIZON: Horizon = Horizon { told: 0, lost: 0 };

    fn placed(id: u64) -> Placed {
        let time = Time::new(Interval { start: 0, end: None }, 0, None);
        Placed { id, asked: Asked::Refresh { token: None, price: None }, time }
    }

    fn came() -> Came {
        Came { status: Some(200), answer: Answer::Served, succeeded: true, id: None, finished: false }
    }

    proptest! {
        #[test]
        fn an_operation_is_told_whole_or_first_that_it_began_and_then_that_it_ended(
            // Names far apart look alike to a hint.
            steps in prop::collection::vec((0..12_u64, prop_oneof![Just(1), Just(HINTS as u64)], 0..8_u8), 1..80),
        ) {
            let (line, end) = line();
            let mut tray = Tray::new(line, HORIZON);
            // Under way in truth, and as whoever takes the batches knows; ends in order.
            let (mut under_way, mut begun, mut ended) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
            let mut check = |batch: Option<Batch>, ended: &mut Vec<u64>| {
                let Some(mut batch) = batch else { return };
                for (number, placed) in batch.begun.drain(..) {
                    assert!(number == 7 && begun.insert(placed.id), "{} began twice", placed.id);
                }
                for (_, told) in batch.told.drain(..) {
                    assert_eq!(begun.remove(&told.placed.id), !told.is_whole, "{}", told.placed.id);
                    assert_eq!(ended.remove(0), told.placed.id);
                }
                end.give_back(batch);
            };
            for (n, (user, far, how)) in (1..).zip(steps) {
                if how == 0 {
                    tray.hand_over();
                    check(end.next(), &mut ended);
                } else if let Some(id) = under_way.remove(&user) {
                    tray.tell(7, placed(id), Some(came()));
                    ended.push(id);
                } else {
                    under_way.insert(user, n * far);
                    tray.begin(7, placed(n * far));
                }
            }
            tray.hand_over();
            check(end.next(), &mut ended);
            prop_assert!(ended.is_empty());
            prop_assert_eq!(begun, under_way.into_values().collect());
        }
    }
}
