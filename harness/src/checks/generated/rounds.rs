//! Sequences of one property side by side: in each round every sequence sends its next request, once it has the answer to its last one.
//! Within a sequence everything happens one after the other; none disturbs another, since each has what it works on for itself.

use serde::Serialize;

use crate::evidence::{Exchange, GeneratedCase};
use crate::gather::{Gather, Stop};
use crate::target::http::Request;

/// Sequences under way at a time.
pub(super) const AT_A_TIME: usize = 16;

/// A sequence under way.
pub(super) trait Live: Sized + Send {
    /// Does what comes before the next request, and returns that; nothing at the end, or where it waits for something that concerns
    /// the others, too.
    fn next(&mut self, g: &mut Gather) -> impl Future<Output = Result<Option<Request>, Stop>> + Send;

    /// Takes in an exchange, by its place in the evidence too. False for an answer that is wrong or did not come.
    fn is_as_expected(&mut self, g: &mut Gather, at: usize, exchange: &Exchange) -> impl Future<Output = bool> + Send;

    /// Leaves out all that was to come.
    fn stop(&mut self);

    /// Lets happen what sequences wait for, none of which has a request to send; false if none waits.
    fn go_on(g: &mut Gather, all: &mut [Self]) -> impl Future<Output = Result<bool, Stop>> + Send;
}

/// Keeps in the evidence what will be tried.
pub(super) fn keep(g: &mut Gather, label: &str, sequence: &impl Serialize) {
    let case = serde_json::to_value(sequence).expect("a sequence has only text keys");
    g.keep_case(GeneratedCase { label: label.to_owned(), case, control: None, stands_for: 0 });
}

/// Runs sequences to their ends.
pub(super) async fn run<L: Live>(g: &mut Gather, all: &mut [L]) -> Result<(), Stop> {
    loop {
        let (mut asking, mut requests) = (Vec::new(), Vec::new());
        for live in all.iter_mut() {
            if let Some(request) = live.next(g).await? {
                asking.push(live);
                requests.push(request);
            }
        }
        if requests.is_empty() {
            if L::go_on(g, all).await? {
                continue;
            }
            return Ok(());
        }
        let sent = g.send_together(&requests).await;
        let first = g.evidence().exchanges.len() - sent.len();
        for ((live, exchange), at) in asking.into_iter().zip(&sent).zip(first..) {
            if !live.is_as_expected(g, at, exchange).await {
                // Nothing would follow from the answers to what comes after.
                live.stop();
            }
        }
    }
}
