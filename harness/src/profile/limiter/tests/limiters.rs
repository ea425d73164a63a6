//! Models of limiters, each a function of the time (ms) that says whether a request is admitted.

use std::collections::BTreeMap;

use super::super::WINDOW_MS;
use super::TEN;

pub(super) type Limiter = Box<dyn FnMut(u64) -> bool>;

/// A fixed window that begins with its first request.
pub(super) fn fixed(limit: u64, window: u64) -> Limiter {
    let mut state: Option<(u64, u64)> = None;
    Box::new(move |now| {
        let (begin, count) = state.filter(|(begin, _)| now - begin < window).unwrap_or((now, 0));
        let served = count < limit;
        state = Some((begin, count + u64::from(served)));
        served
    })
}

/// Windows that begin at multiples of `window`, counted from `origin` or from the first request of all.
pub(super) fn grid(origin: Option<u64>, window: u64) -> Limiter {
    let (mut origin, mut counts) = (origin, BTreeMap::<u64, u64>::new());
    Box::new(move |now| {
        let number = (now - *origin.get_or_insert(now)) / window;
        let count = counts.entry(number).or_default();
        *count += 1;
        *count <= TEN
    })
}

pub(super) fn sliding_log(all: bool) -> Limiter {
    let mut log: Vec<u64> = Vec::new();
    Box::new(move |now| {
        let served = log.iter().filter(|then| now - **then < WINDOW_MS).count() < 10;
        if served || all {
            log.push(now);
        }
        served
    })
}

#[expect(clippy::cast_precision_loss, reason = "an hour's milliseconds fit a mantissa")]
pub(super) fn sliding_counter(origin: Option<u64>, with_this: bool) -> Limiter {
    let (mut origin, mut counts) = (origin, BTreeMap::<u64, u64>::new());
    Box::new(move |now| {
        let since = now - *origin.get_or_insert(now);
        let number = since / WINDOW_MS;
        let last = number.checked_sub(1).and_then(|last| counts.get(&last)).copied().unwrap_or_default();
        let count = counts.entry(number).or_default();
        let share = (WINDOW_MS - since % WINDOW_MS) as f64 / WINDOW_MS as f64;
        let estimate = *count as f64 + last as f64 * share;
        let served = if with_this { estimate + 1.0 <= 10.0 } else { estimate < 10.0 };
        *count += u64::from(served);
        served
    })
}

/// As many tokens as `limit`, of which one comes back every so often.
pub(super) fn bucket(limit: u64, each: u64) -> Limiter {
    let (mut last, mut stock) = (None, limit * each);
    Box::new(move |now| {
        stock = (stock + now - last.unwrap_or(now)).min(limit * each);
        last = Some(now);
        let served = stock >= each;
        stock -= if served { each } else { 0 };
        served
    })
}

/// The generic cell rate algorithm: one moment says it all.
pub(super) fn gcra(each: u64) -> Limiter {
    let mut arrival = 0;
    Box::new(move |now| {
        let next = now.max(arrival) + each;
        let served = next - now <= TEN * each;
        arrival = if served { next } else { arrival };
        served
    })
}

pub(super) fn both(one: Limiter, other: Limiter) -> Limiter {
    let (mut one, mut other) = (one, other);
    Box::new(move |now| one(now) && other(now))
}

/// A bucket that is filled up when its window ends.
pub(super) fn bucket_in_window() -> Limiter {
    let (mut begin, mut inner) = (None, bucket(TEN, WINDOW_MS / TEN));
    Box::new(move |now| {
        if begin.is_none_or(|begin| now - begin >= WINDOW_MS) {
            (begin, inner) = (Some(now), bucket(TEN, WINDOW_MS / TEN));
        }
        inner(now)
    })
}

pub(super) fn extended(by: fn(bool) -> bool) -> Limiter {
    let (mut end, mut count) = (0, 0);
    Box::new(move |now| {
        if now >= end {
            (end, count) = (now + WINDOW_MS, 0);
        }
        let served = count < TEN;
        count += u64::from(served);
        end = if by(served) { now + WINDOW_MS } else { end };
        served
    })
}

pub(super) fn forgetful(idle: u64) -> Limiter {
    let (mut limiter, mut last) = (fixed(TEN, WINDOW_MS), None);
    Box::new(move |now| {
        if last.is_some_and(|last| now - last >= idle) {
            limiter = fixed(TEN, WINDOW_MS);
        }
        last = Some(now);
        limiter(now)
    })
}
