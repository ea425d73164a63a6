//! What a monitor remembers to explain a contradiction with.

use std::collections::VecDeque;

use super::{Past, REQUESTS_KEPT};
use crate::audit::{Kind, Request, Start};

/// The last requests that said something.
#[derive(Debug)]
pub(super) struct Memory {
    start: Start,
    kept: VecDeque<Request>,
    /// The last instant at which a forgotten request can have counted, apart from those that can count for ever.
    forgotten: Option<i64>,
    /// Requests that can count for ever are never forgotten.
    forever: Vec<Request>,
}

impl Memory {
    pub(super) fn new(start: Start) -> Memory {
        Memory { start, kept: VecDeque::new(), forgotten: None, forever: Vec::new() }
    }

    pub(super) fn keep(&mut self, request: Request) {
        self.kept.push_back(request);
        if self.kept.len() <= REQUESTS_KEPT {
            return;
        }
        let Some(oldest) = self.kept.pop_front() else { return };
        match oldest.kind {
            Kind::Perhaps { until: None } => self.forever.push(oldest),
            Kind::Perhaps { until: Some(last) } => self.forget(last),
            Kind::Counted | Kind::Refused => self.forget(oldest.end),
        }
    }

    fn forget(&mut self, last: i64) {
        self.forgotten = self.forgotten.max(Some(last));
    }

    /// The requests remembered, and what precedes them. Where some were forgotten, nothing is supposed of the time up to the
    /// last instant at which any of them can have counted, so that no contradiction is invented.
    pub(super) fn recall(&self) -> (Vec<Request>, Past) {
        let Some(since) = self.forgotten else {
            let requests: Vec<Request> = self.forever.iter().chain(&self.kept).copied().collect();
            let past = Past::of(&requests, self.start);
            return (requests, past);
        };
        let loosened = |request: &Request| {
            if request.start >= since {
                return Some(*request);
            }
            let until = match request.kind {
                Kind::Refused => return None,
                Kind::Counted => Some(request.end),
                Kind::Perhaps { until } => until,
            };
            let matters = until.is_none_or(|last| last >= since);
            matters.then_some(Request { start: since, kind: Kind::Perhaps { until }, ..*request })
        };
        (self.forever.iter().chain(&self.kept).filter_map(loosened).collect(), Past::Unseen(since))
    }
}
