//! The limiter: windows that open with their first request.
//!
//! `intake` puts requests in order and drops refusals that say nothing new; `search` follows all pasts that can matter
//! through time, cell by cell: `state` is one of them, `step` says what can follow it, `rivals` what of that is worth following,
//! `trail` how it came there; [`replay`](replay()) checks the result. Where it is only asked whether a short history is explained,
//! `greedy` tries a few pasts beforehand.

mod greedy;
mod intake;
mod known;
mod memory;
mod replay;
mod rivals;
pub mod rules;
mod search;
mod state;
mod step;
mod trail;

pub use replay::{Flaw, replay};

use self::intake::{Order, Thinning};
use self::memory::Memory;
use self::rules::{Rules, Spec};
use self::search::{Found, Search, Standing};
use super::{Kind, Reason, Request, Start, Verdict, Window, witness};

/// How many windows a [`Monitor`]'s schedule tells, at least: the last ones.
pub const WINDOWS_KEPT: usize = 64;

/// How many requests a [`Monitor`] remembers to explain a contradiction with.
pub const REQUESTS_KEPT: usize = 4_000;

/// For how many requests room is made at once, at most.
const ROOM_MAX: usize = 4_096;

/// One way to explain a history.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schedule {
    /// How many windows before the first of `windows` a [`Monitor`] has let go; 0 from [`judge`].
    pub earlier: u64,
    /// The windows, in order of time.
    pub windows: Vec<Opened>,
}

/// A window of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// When it opened.
    pub start: i64,
    /// The first instant after it.
    pub end: i64,
    /// The requests that counted in it and when, by instant.
    pub counted: Vec<(u64, i64)>,
    /// How many more counted in it before the history began; only with [`Start::Unknown`].
    pub unseen: u64,
}

/// Judges a whole history; `requests` may stand in any order.
///
/// A schedule that is returned has been replayed, and a witness is irreducible.
pub fn judge(requests: &[Request], window: &Window, start: Start) -> Verdict<Schedule> {
    match decide::<Spec>(requests, window, &Past::of(requests, start)) {
        Decision::Explained(schedule) => {
            let replayed = replay(requests, window, start, &schedule);
            assert_eq!(replayed, Ok(()), "a schedule that was found explains its history");
            Verdict::Consistent(schedule)
        }
        Decision::Refuted { .. } => {
            Verdict::Inconsistent(witness::rate::explain(requests, window, &Past::of(requests, start)))
        }
        Decision::Open(reason) => Verdict::Inconclusive(reason),
    }
}

/// What [`decide`] finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// A schedule, not replayed.
    Explained(Schedule),
    /// There is none.
    Refuted {
        /// An instant such that requests that start then or later have nothing to do with it.
        by: i64,
    },
    /// The search was given up.
    Open(Reason),
}

/// What precedes a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// Nothing.
    Empty,
    /// Anything, up to this instant, which is not after the history's first.
    Unseen(i64),
}

impl Past {
    /// The past of these requests.
    pub fn of(requests: &[Request], start: Start) -> Past {
        match (start, requests.iter().map(|request| request.start).min()) {
            (Start::Unknown, Some(first)) => Past::Unseen(first),
            _ => Past::Empty,
        }
    }
}

/// Whether these requests, in any order, can surely be explained, without telling how. If not, [`judge`] says whether they cannot,
/// or the search was given up.
pub fn is_explained(requests: &[Request], window: &Window, start: Start) -> bool {
    // A key that nobody had used is one of those of which nothing is known.
    greedy::explains(requests, window)
        || matches!(decide::<Spec>(requests, window, &Past::of(requests, start)), Decision::Explained(_))
}

/// A schedule chosen greedily, without a search; not replayed. None says nothing of the requests.
pub fn choose(requests: &[Request], window: &Window) -> Option<Schedule> {
    greedy::schedule(requests, window)
}

/// Decides by the given rules, without a witness and without a replay. Tests give other rules than [`Spec`].
pub fn decide<R: Rules>(requests: &[Request], window: &Window, past: &Past) -> Decision {
    Flow::<R>::all(requests, window, past, |_| {}).finish()
}

/// Decides, and tells which requests say anything, by start.
pub(super) fn decide_and_tell<R: Rules>(
    requests: &[Request],
    window: &Window,
    past: &Past,
) -> (Decision, Vec<Request>) {
    let mut telling = Vec::new();
    let flow = Flow::<R>::all(requests, window, past, |request| telling.push(request));
    telling.sort_by_key(|request| request.start);
    (flow.finish(), telling)
}

/// Judges a history while it is read, in the memory that the requests in flight need.
#[derive(Debug)]
pub struct Monitor {
    flow: Flow<Spec>,
    settled: i64,
    memory: Memory,
    late: Option<u64>,
}

impl Monitor {
    /// A monitor that has seen nothing yet.
    pub fn new(window: Window, start: Start) -> Monitor {
        let mut flow = Flow::new(window, WINDOWS_KEPT);
        flow.unseen = start == Start::Unknown;
        Monitor { flow, settled: i64::MIN, memory: Memory::new(start), late: None }
    }

    /// Takes a request whose outcome is known, or will never be. Requests may come in any order, but none that starts before
    /// what [`Monitor::settle`] was told: the verdict is [`Reason::TooLate`] then.
    pub fn push(&mut self, request: Request) {
        if request.start < self.settled {
            self.late = self.late.or(Some(request.n));
        } else if self.flow.search.standing() == Standing::Open {
            self.flow.order.push(request);
        }
    }

    /// Promises that no request that starts before `before` will be pushed any more, so that memory can be let go. Costs nearly
    /// nothing where there is nothing to let go.
    pub fn settle(&mut self, before: i64) {
        self.settled = self.settled.max(before);
        if self.flow.order.is_due() {
            self.flow.advance(self.settled, |request| self.memory.keep(request));
        }
    }

    /// Looks through what is settled each time, not only where it is worth its while. Tests make it work in small steps thereby.
    pub fn work_at_once(&mut self) {
        self.flow.order.work_at_once();
    }

    /// Whether the history is known to be wrong already: what follows cannot mend it.
    pub fn is_refuted(&self) -> bool {
        self.flow.search.standing() == Standing::Refuted
    }

    /// Whether all that was pushed can surely be explained, without telling how. If not, [`Monitor::finish`] says whether it cannot,
    /// or the search was given up.
    pub fn is_explained(mut self) -> bool {
        // As long as nothing was passed on, all that was pushed is here.
        let all = self.flow.order.untouched();
        if self.late.is_none() && all.is_some_and(|all| greedy::explains(all, &self.flow.window)) {
            return true;
        }
        self.flow.advance(rules::NEVER, |_| {});
        self.late.is_none() && matches!(self.flow.finish(), Decision::Explained(_))
    }

    /// The verdict on all that was pushed. The schedule is that of the last windows, at least [`WINDOWS_KEPT`] where there are
    /// so many. A witness comes from the last [`REQUESTS_KEPT`] requests that said something.
    pub fn finish(mut self) -> Verdict<Schedule> {
        if let Some(n) = self.late {
            return Verdict::Inconclusive(Reason::TooLate { n });
        }
        self.flow.advance(rules::NEVER, |request| self.memory.keep(request));
        let window = self.flow.window;
        match self.flow.finish() {
            Decision::Explained(schedule) => Verdict::Consistent(schedule),
            Decision::Refuted { .. } => {
                let (requests, past) = self.memory.recall();
                Verdict::Inconsistent(witness::rate::explain(&requests, &window, &past))
            }
            Decision::Open(reason) => Verdict::Inconclusive(reason),
        }
    }
}

/// The way of a request: order, thinning, search.
#[derive(Debug)]
struct Flow<R> {
    window: Window,
    /// Whether requests from before the history are still to be supposed.
    unseen: bool,
    order: Order,
    thinning: Thinning<R>,
    search: Search<R>,
}

impl<R: Rules> Flow<R> {
    fn new(window: Window, keeping: usize) -> Flow<R> {
        let limit = usize::try_from(window.limit).unwrap_or(usize::MAX);
        let (thinning, search) = (Thinning::new(limit), Search::new(window, keeping));
        Flow { window, unseen: false, order: Order::new(), thinning, search }
    }

    /// That of a whole history, all of which has been passed on; `see` sees each request that says something.
    fn all(requests: &[Request], window: &Window, past: &Past, mut see: impl FnMut(Request)) -> Flow<R> {
        let mut flow = Flow::new(*window, usize::MAX);
        if let Past::Unseen(since) = past {
            flow.precede(*since);
        }
        let room = requests.len().min(ROOM_MAX);
        flow.search.expect(room);
        flow.thinning.expect(room);
        let Flow { thinning, search, .. } = &mut flow;
        intake::give_by_start(requests, |request| pass_on(request, thinning, search, &mut see));
        flow.search_on(rules::NEVER, see);
        flow
    }

    /// Lets as many requests as fill a window have counted, perhaps, while a window could open that is still open at `since`.
    fn precede(&mut self, since: i64) {
        let start = R::unseen_from(since, self.window.longest);
        let unseen = Request { n: 0, start, end: since, kind: Kind::Perhaps { until: Some(since) } };
        for _ in 0..self.window.limit {
            self.thinning.take(&unseen);
            self.search.take(None, &unseen);
        }
    }

    /// Passes on all requests that start before `before`; `see` sees each that says something.
    fn advance(&mut self, before: i64, mut see: impl FnMut(Request)) {
        if self.unseen
            && let Some(first) = self.order.first(before)
        {
            self.unseen = false;
            self.precede(first);
        }
        let Flow { order, thinning, search, .. } = self;
        order.release(before, |request| pass_on(request, thinning, search, &mut see));
        self.search_on(before, see);
    }

    /// Searches up to `before`: all requests that start earlier have been taken.
    fn search_on(&mut self, before: i64, mut see: impl FnMut(Request)) {
        let Flow { thinning, search, .. } = self;
        thinning.release(before, |span| {
            search.refuse(span);
            see(Request { n: span.n, start: span.start, end: span.end, kind: Kind::Refused });
        });
        search.advance(thinning.held(before));
    }

    fn finish(self) -> Decision {
        let Window { shortest, longest, .. } = self.window;
        match self.search.finish() {
            Found::Past(trodden) => Decision::Explained(trodden.schedule(shortest, longest)),
            Found::None { by } => Decision::Refuted { by },
            Found::Nothing(reason) => Decision::Open(reason),
        }
    }
}

/// Takes the next request by start.
fn pass_on<R: Rules>(
    request: Request,
    thinning: &mut Thinning<R>,
    search: &mut Search<R>,
    see: &mut impl FnMut(Request),
) {
    thinning.take(&request);
    if request.kind != Kind::Refused {
        search.take(Some(request.n), &request);
        see(request);
    }
}
