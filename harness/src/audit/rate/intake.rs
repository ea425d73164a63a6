//! Puts requests in order of their start, and drops refusals that say nothing new.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::marker::PhantomData;

use super::known::Span;
use super::rules::{NEVER, Rules};
use crate::audit::{Kind, Request};

/// Fewer requests than these are not worth a pass.
const BATCH: usize = 1024;

/// Requests that wait until no earlier one can come.
#[derive(Debug)]
pub(super) struct Order {
    waiting: Vec<Request>,
    /// Starts and places of those that wait, and those that wait on; kept for their memory.
    order: Vec<i128>,
    rest: Vec<Request>,
    /// Fewer are not worth a pass.
    batch: usize,
    /// How many must wait before the next pass, so that a pass costs little for each.
    enough: usize,
    /// Whether any can have been given.
    touched: bool,
}

impl Order {
    pub(super) fn new() -> Order {
        Order { waiting: Vec::new(), order: Vec::new(), rest: Vec::new(), batch: BATCH, enough: 0, touched: false }
    }

    /// Makes every pass worth its while.
    pub(super) fn work_at_once(&mut self) {
        self.batch = 0;
    }

    pub(super) fn push(&mut self, request: Request) {
        self.waiting.push(request);
    }

    /// Whether a pass is worth its while.
    pub(super) fn is_due(&self) -> bool {
        self.batch == 0 || self.waiting.len() >= self.enough.max(self.batch)
    }

    /// All requests, as long as none can have been given.
    pub(super) fn untouched(&self) -> Option<&[Request]> {
        (!self.touched).then_some(&self.waiting)
    }

    /// The earliest start of all that wait, if it is before `before`.
    pub(super) fn first(&self, before: i64) -> Option<i64> {
        self.waiting.iter().map(|request| request.start).min().filter(|start| *start < before)
    }

    /// Gives all requests that start before `before`, by start.
    pub(super) fn release(&mut self, before: i64, mut give: impl FnMut(Request)) {
        self.touched = true;
        let Order { waiting, order, rest, .. } = self;
        if waiting.is_sorted_by_key(|request| request.start) {
            let ready = waiting.partition_point(|request| request.start < before);
            waiting.drain(..ready).for_each(&mut give);
        } else {
            sort_by_start(waiting, order);
            let ready = order.partition_point(|key| waiting[place(*key)].start < before);
            order[..ready].iter().for_each(|key| give(waiting[place(*key)]));
            rest.extend(order[ready..].iter().map(|key| waiting[place(*key)]));
            waiting.clear();
            waiting.append(rest);
        }
        self.enough = 2 * self.waiting.len();
    }
}

/// Gives all requests by start.
pub(super) fn give_by_start(requests: &[Request], mut give: impl FnMut(Request)) {
    if requests.is_sorted_by_key(|request| request.start) {
        return requests.iter().copied().for_each(give);
    }
    let mut order = Vec::new();
    sort_by_start(requests, &mut order);
    order.into_iter().for_each(|key| give(requests[place(key)]));
}

/// Puts starts and places of requests into order; of two that start together the first comes first. Numbers are sorted much faster than
/// requests.
fn sort_by_start(requests: &[Request], order: &mut Vec<i128>) {
    order.clear();
    order.extend(requests.iter().zip(0..).map(|(request, place)| i128::from(request.start) << u64::BITS | place));
    order.sort_unstable();
}

fn place(key: i128) -> usize {
    key as u64 as usize
}

/// Drops refusals that say nothing new.
///
/// A refusal says that at some instant in it a window was full. Two kinds say nothing new: one that contains another, and
/// one between two others so close that both must fall into the same window, because too few requests can have counted
/// meanwhile to fill a second.
#[derive(Debug)]
pub(super) struct Thinning<R> {
    limit: usize,
    /// Refusals of which a later one could still be contained; starts and ends both ascend.
    open: VecDeque<Span>,
    /// Requests that may have counted, by start, which `latest` does not have yet: start and last instant.
    ahead: VecDeque<(i64, i64)>,
    /// The `limit` latest last instants of requests that may have counted and started before the run's last refusal ended; between two
    /// releases, of some later ones, too.
    latest: BinaryHeap<Reverse<i64>>,
    /// The start of the first refusal of the run, which has been given already.
    first: Option<i64>,
    /// The last refusal of the run, if it is not the first.
    last: Option<Span>,
    rules: PhantomData<R>,
}

impl<R: Rules> Thinning<R> {
    pub(super) fn new(limit: usize) -> Thinning<R> {
        Thinning {
            limit,
            open: VecDeque::new(),
            ahead: VecDeque::new(),
            latest: BinaryHeap::new(),
            first: None,
            last: None,
            rules: PhantomData,
        }
    }

    /// Makes room for a history of so many requests.
    pub(super) fn expect(&mut self, requests: usize) {
        self.open.reserve(requests);
        self.ahead.reserve(requests);
        self.latest.reserve(requests.min(self.limit));
    }

    /// Takes the next request by start.
    pub(super) fn take(&mut self, request: &Request) {
        match request.kind {
            Kind::Refused => {
                while self.open.back().is_some_and(|span| R::says_nothing_new(span.end, request.end)) {
                    self.open.pop_back();
                }
                self.open.push_back(Span { n: request.n, start: request.start, end: request.end });
            }
            Kind::Counted => self.ahead.push_back((request.start, request.end)),
            Kind::Perhaps { until } => self.ahead.push_back((request.start, until.unwrap_or(NEVER))),
        }
    }

    /// Gives the refusals that say something, by start. All requests that start before `before` have been taken.
    pub(super) fn release(&mut self, before: i64, mut give: impl FnMut(Span)) {
        while self.open.front().is_some_and(|span| span.end < before) {
            let Some(span) = self.open.pop_front() else { break };
            self.count_up_to(span.end);
            match (self.first, self.last) {
                (Some(first), _) if !self.can_refill(first) => self.last = Some(span),
                (_, last) => {
                    // The last of the run before ends it, and begins one with this if they belong together.
                    if let Some(last) = last {
                        give(last);
                    }
                    let joined = last.filter(|last| !self.can_refill(last.start));
                    match joined {
                        Some(last) => (self.first, self.last) = (Some(last.start), Some(span)),
                        None => {
                            give(span);
                            (self.first, self.last) = (Some(span.start), None);
                        }
                    }
                }
            }
        }
        if before == NEVER {
            self.last.take().into_iter().for_each(give);
        }
        // No refusal still to be given ends earlier: without any, too, requests are not kept for ever.
        self.count_up_to(self.open.front().map_or(before, |span| span.end.min(before)));
    }

    /// The first start among refusals that were taken and neither given nor dropped; `before` if there are none.
    pub(super) fn held(&self, before: i64) -> i64 {
        let start = self.last.as_ref().or(self.open.front()).map_or(before, |span| span.start);
        start.min(before)
    }

    fn count_up_to(&mut self, end: i64) {
        while self.ahead.front().is_some_and(|(start, _)| *start <= end) {
            let Some((_, last)) = self.ahead.pop_front() else { break };
            if self.latest.len() < self.limit {
                self.latest.push(Reverse(last));
            } else if let Some(mut first) = self.latest.peek_mut()
                && first.0 < last
            {
                *first = Reverse(last);
            }
        }
    }

    /// Whether a window can have been filled after the refusal that starts at `first`.
    fn can_refill(&self, first: i64) -> bool {
        let able = self.latest.len();
        R::can_refill(self.limit, able) && self.latest.peek().is_some_and(|Reverse(end)| *end > first)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::Spec;
    use super::*;

    #[test]
    fn where_nobody_is_refused_requests_are_not_kept() {
        const LIMIT: usize = 10;
        let mut thinning = Thinning::<Spec>::new(LIMIT);
        for n in 0..10_000_u64 {
            let start = i64::try_from(n).unwrap() * 100;
            thinning.take(&Request { n, start, end: start + 50, kind: Kind::Counted });
            thinning.release(start, |span| panic!("{span:?} was never refused"));
            assert!(thinning.ahead.len() <= 1 && thinning.latest.len() <= LIMIT, "{thinning:?}");
        }
    }
}
