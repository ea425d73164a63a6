//! The limiter's judge against a general linearizability checker.
//!
//! Such a checker knows no time. A clock process gives it one: it performs a tick for every instant, and a request with an
//! interval is called after its first tick and answered before the tick after its last. So the instant of the latest tick is,
//! when the request takes effect, any of its interval.

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};
use todc_utils::specifications::Specification;

use hookproof::audit::{Kind, Request, Window};

/// The limiter's state, and the limit, which the first operation brings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Limiter {
    limit: u64,
    length: i64,
    now: i64,
    opened: Option<i64>,
    count: u64,
}

#[derive(Debug, Clone)]
enum Operation {
    Set { limit: u64, length: i64 },
    Tick(i64),
    Request { served: bool },
}

struct FixedWindow;

impl Specification for FixedWindow {
    type State = Limiter;
    type Operation = Operation;

    fn init() -> Limiter {
        Limiter { limit: 0, length: 0, now: 0, opened: None, count: 0 }
    }

    fn apply(operation: &Operation, before: &Limiter) -> (bool, Limiter) {
        let mut state = before.clone();
        let fits = match *operation {
            Operation::Set { limit, length } => {
                (state.limit, state.length) = (limit, length);
                true
            }
            Operation::Tick(now) => {
                state.now = now;
                true
            }
            Operation::Request { served } => {
                if state.opened.is_none_or(|opened| state.now - opened >= state.length) {
                    (state.opened, state.count) = (Some(state.now), 0);
                }
                let has_room = state.count < state.limit;
                state.count += u64::from(has_room);
                served == has_room
            }
        };
        (fits, state)
    }
}

/// Whether these requests, all of known outcome, are linearizable as a limiter with exact windows.
pub(crate) fn is_linearizable(requests: &[Request], window: &Window) -> bool {
    assert_eq!(window.shortest, window.longest, "this specification has exact windows only");
    let set = Operation::Set { limit: window.limit, length: window.longest };
    let mut actions = vec![(0, Action::Call(set.clone())), (0, Action::Response(set))];
    let first = requests.iter().map(|request| request.start).min().unwrap_or(0);
    let last = requests.iter().map(|request| request.end).max().unwrap_or(0);
    for now in first..=last {
        actions.push((0, Action::Call(Operation::Tick(now))));
        actions.push((0, Action::Response(Operation::Tick(now))));
        let operation = |request: &Request| Operation::Request { served: request.kind == Kind::Counted };
        let numbered = || requests.iter().enumerate().map(|(index, request)| (index + 1, request));
        let called = numbered().filter(|(_, request)| request.start == now);
        actions.extend(called.map(|(process, request)| (process, Action::Call(operation(request)))));
        let answered = numbered().filter(|(_, request)| request.end == now);
        actions.extend(answered.map(|(process, request)| (process, Action::Response(operation(request)))));
    }
    WGLChecker::<FixedWindow>::is_linearizable(History::from_actions(actions))
}

/// Whether some choice of which unknown requests counted is linearizable. The checker itself wants every call answered.
pub(crate) fn is_linearizable_somehow(requests: &[Request], window: &Window) -> bool {
    let (unknown, known): (Vec<Request>, Vec<Request>) =
        requests.iter().partition(|request| matches!(request.kind, Kind::Perhaps { .. }));
    let Some(last) = known.iter().map(|request| request.end).max() else { return true };
    let counts = |request: &Request| match request.kind {
        Kind::Perhaps { until } => {
            let end = until.map_or(last, |until| until.min(last));
            (request.start <= end).then_some(Request { end, kind: Kind::Counted, ..*request })
        }
        Kind::Counted | Kind::Refused => None,
    };
    let able: Vec<Request> = unknown.iter().filter_map(counts).collect();
    (0..1_u32 << able.len()).any(|chosen| {
        let counted =
            able.iter().enumerate().filter(|(index, _)| chosen >> index & 1 == 1).map(|(_, request)| *request);
        is_linearizable(&known.iter().copied().chain(counted).collect::<Vec<Request>>(), window)
    })
}
