//! Checks a schedule against its history, knowing nothing of how it was found.

use std::collections::HashMap;

use super::{Opened, Schedule};
use crate::audit::{Kind, Request, Start, Window};

/// What is wrong with a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// A window that is too short, too long, or begins before the one before it ended.
    #[error("the window that opens at {start} lasts {length} and follows one that ends at {previous}")]
    Length {
        /// When it opens.
        start: i64,
        /// How long it lasts.
        length: i64,
        /// When the window before it ended.
        previous: i64,
    },
    /// A window that serves nobody, or too many.
    #[error("the window that opens at {start} serves {served}")]
    Served {
        /// When it opens.
        start: i64,
        /// How many it serves.
        served: u64,
    },
    /// A window that does not open with its first request.
    #[error("the window opens at {start}, its first request counts at {first}")]
    Opening {
        /// When it opens.
        start: i64,
        /// When its first request counts.
        first: i64,
    },
    /// A request that counts when it cannot: not in the history, refused, twice, or outside its interval or window.
    #[error("request {n} cannot count at {at}")]
    Misplaced {
        /// Its number.
        n: u64,
        /// When it is said to count.
        at: i64,
    },
    /// A request that counted and is in no window.
    #[error("request {n} counted, but in no window")]
    Missing {
        /// Its number.
        n: u64,
    },
    /// A refusal while no window was full.
    #[error("request {n} was refused, but no window was full then")]
    Unfounded {
        /// Its number.
        n: u64,
    },
    /// Requests from before the history where none can be.
    #[error("the window that opens at {start} counts requests from before the history")]
    Unseen {
        /// When it opens.
        start: i64,
    },
}

/// Whether the schedule explains the history, request by request.
///
/// # Errors
///
/// The first [`Flaw`] found.
pub fn replay(requests: &[Request], window: &Window, start: Start, schedule: &Schedule) -> Result<(), Flaw> {
    let by_number: HashMap<u64, &Request> = requests.iter().map(|request| (request.n, request)).collect();
    let began = requests.iter().map(|request| request.start).min();
    let mut placed: HashMap<u64, i64> = HashMap::new();
    let mut previous = i64::MIN;
    let mut unseen = 0;
    // When each full window became full, and its end; both ascend.
    let mut full: Vec<(i64, i64)> = Vec::new();
    for opened in &schedule.windows {
        check_window(opened, window, previous)?;
        previous = opened.end;
        unseen += opened.unseen;
        let seen_before = start == Start::Unknown && began.is_some_and(|began| opened.start <= began);
        if opened.unseen > 0 && (!seen_before || unseen > window.limit) {
            return Err(Flaw::Unseen { start: opened.start });
        }
        for (n, at) in &opened.counted {
            let fits = by_number.get(n).is_some_and(|request| can_count(request, *at));
            if !fits || !(opened.start..opened.end).contains(at) || placed.insert(*n, *at).is_some() {
                return Err(Flaw::Misplaced { n: *n, at: *at });
            }
        }
        if opened.counted.len() as u64 + opened.unseen == window.limit {
            // Whoever counted before the history did so when the window opened, or later, but not after the history began.
            let last = opened.counted.iter().map(|(_, at)| *at).max().unwrap_or(opened.start);
            full.push((last, opened.end));
        }
    }
    for request in requests {
        match request.kind {
            Kind::Counted if !placed.contains_key(&request.n) => return Err(Flaw::Missing { n: request.n }),
            Kind::Refused => {
                let next = full.partition_point(|(_, end)| *end <= request.start);
                if full.get(next).is_none_or(|(since, _)| *since > request.end) {
                    return Err(Flaw::Unfounded { n: request.n });
                }
            }
            Kind::Counted | Kind::Perhaps { .. } => {}
        }
    }
    Ok(())
}

fn check_window(opened: &Opened, window: &Window, previous: i64) -> Result<(), Flaw> {
    let Opened { start, end, counted, unseen } = opened;
    let length = end.saturating_sub(*start);
    if !(window.shortest..=window.longest).contains(&length) || *start < previous {
        return Err(Flaw::Length { start: *start, length, previous });
    }
    let served = counted.len() as u64 + unseen;
    if served == 0 || served > window.limit {
        return Err(Flaw::Served { start: *start, served });
    }
    match counted.iter().map(|(_, at)| *at).min() {
        Some(first) if *unseen == 0 && first != *start => Err(Flaw::Opening { start: *start, first }),
        _ => Ok(()),
    }
}

fn can_count(request: &Request, at: i64) -> bool {
    let last = match request.kind {
        Kind::Counted => request.end,
        Kind::Perhaps { until } => until.unwrap_or(i64::MAX),
        Kind::Refused => return false,
    };
    (request.start..=last).contains(&at)
}
