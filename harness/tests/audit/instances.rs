//! Small histories close to the border between right and wrong.

use hookproof::audit::{Kind, Request, Window};

use crate::dice::Dice;

/// A history and the limit that it is held against.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) requests: Vec<Request>,
    pub(crate) window: Window,
}

/// A quarter is any history; the rest are runs of a correct server with nought to three disturbances.
pub(crate) fn small(dice: &mut Dice, most: i64) -> Instance {
    if dice.chance(0.25) { uniform(dice, most) } else { disturbed(dice, most) }
}

fn window(dice: &mut Dice, limits: &[u64], shortest: i64, slack: &[i64]) -> Window {
    Window { limit: dice.pick(limits), shortest, longest: shortest + dice.pick(slack) }
}

fn uniform(dice: &mut Dice, most: i64) -> Instance {
    let shortest = dice.range(2, 6);
    let window = window(dice, &[1, 1, 2, 2, 2, 3], shortest, &[0, 0, 0, 1, 2]);
    let span = dice.range(4, 18);
    let short = dice.chance(0.5);
    let requests = (0..dice.range(1, most)).map(|n| {
        let start = dice.range(0, span);
        let end = start + if short { dice.range(0, shortest - 1) } else { dice.range(0, 2 * shortest + 2) };
        let kind = match dice.range(0, 10) {
            0..=5 => Kind::Counted,
            6..=8 => Kind::Refused,
            _ => Kind::Perhaps { until: (!dice.chance(0.3)).then_some(end) },
        };
        Request { n: n as u64, start, end, kind }
    });
    let requests = requests.collect();
    Instance { requests, window }
}

fn disturbed(dice: &mut Dice, most: i64) -> Instance {
    let shortest = dice.range(3, 9);
    let window = window(dice, &[1, 2, 2, 2, 3, 3, 4], shortest, &[0, 0, 0, 1, 2]);
    let count = dice.range(3, most);
    let windows = (count as f64 / (window.limit as f64 + dice.pick(&[0.3, 1.0, 2.0]))).max(1.0);
    let span = ((windows * shortest as f64 * dice.pick(&[0.7, 1.0, 1.3])) as i64).max(1);
    let width = dice.pick(&[1, 2, shortest - 1, shortest - 1, 2 * shortest]);
    let crowded = dice.chance(0.4);
    let mut instants: Vec<i64> = (0..count)
        .map(|_| match crowded {
            true => (dice.range(0, windows as i64 + 1) * shortest + dice.range(-1, 2)).max(0),
            false => dice.range(0, span),
        })
        .collect();
    instants.sort_unstable();
    let unknown = dice.pick(&[0.0, 0.0, 0.15, 0.3]);
    let mut open: Option<(i64, u64)> = None;
    let mut requests: Vec<Request> = Vec::new();
    for (n, instant) in instants.into_iter().enumerate() {
        let arrives = !dice.chance(unknown * 0.4);
        let mut kind = Kind::Perhaps { until: None };
        if arrives {
            kind = match open {
                Some((end, count)) if instant < end && count == window.limit => Kind::Refused,
                Some((end, count)) if instant < end => {
                    open = Some((end, count + 1));
                    Kind::Counted
                }
                _ => {
                    open = Some((instant + dice.range(window.shortest, window.longest), 1));
                    Kind::Counted
                }
            };
        }
        let (start, end) = ((instant - dice.range(0, width)).max(0), instant + dice.range(0, width));
        if !arrives || dice.chance(unknown) {
            kind = Kind::Perhaps { until: (!dice.chance(0.3)).then_some(end) };
        }
        requests.push(Request { n: n as u64, start, end, kind });
    }
    for _ in 0..dice.pick(&[0, 1, 1, 1, 2, 3]) {
        disturb(dice, &mut requests);
    }
    Instance { requests, window }
}

fn disturb(dice: &mut Dice, requests: &mut Vec<Request>) {
    let (chosen, count) = (dice.index(requests.len()), requests.len());
    let request = &mut requests[chosen];
    match dice.range(0, 6) {
        0 => request.kind = if request.kind == Kind::Counted { Kind::Refused } else { Kind::Counted },
        1 => {
            let shift = dice.range(-2, 2);
            request.start = (request.start + shift).max(0);
            request.end = (request.end + shift).max(request.start);
        }
        2 => request.start = (request.start + 1).min(request.end),
        3 => request.end = (request.end - 1).max(request.start),
        4 if count > 1 => {
            requests.remove(chosen);
            return;
        }
        5 => request.kind = Kind::Counted,
        _ => {
            let n = requests.iter().map(|request| request.n).max().unwrap() + 1;
            let again = Request { n, ..requests[chosen] };
            requests.push(again);
            return;
        }
    }
    let Request { end, kind, .. } = &mut requests[chosen];
    if let Kind::Perhaps { until: Some(until) } = kind {
        *until = *end;
    }
}
