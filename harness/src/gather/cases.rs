//! Generated cases as evidence: many at a time, each with steps of its own, and forgotten where a smaller one says the same.

use std::time::Instant;

use super::{Gather, PAUSE_MAX, PAUSE_MIN, Stop};
use crate::evidence::{Exchange, GeneratedCase};
use crate::target::http::Request;

impl Gather {
    /// As [`Gather::send_together`], and those that are not `done` are sent again until they are or the settle time is over; earlier
    /// exchanges are kept under their label followed by `/unsettled`. For what was just made.
    pub async fn settled_together(&mut self, requests: &[Request], done: impl Fn(&Exchange) -> bool) {
        let deadline = Instant::now() + self.world.settle;
        let mut pause = PAUSE_MIN;
        let mut waiting = requests.to_vec();
        loop {
            let sent = self.send_together(&waiting).await;
            let open: Vec<bool> = sent.iter().map(|exchange| !done(exchange)).collect();
            if !open.contains(&true) || Instant::now() >= deadline {
                return;
            }
            let first = self.evidence.exchanges.len() - sent.len();
            for (exchange, _) in self.evidence.exchanges[first..].iter_mut().zip(&open).filter(|(_, open)| **open) {
                exchange.label.push_str("/unsettled");
            }
            let mut kept = open.into_iter();
            waiting.retain(|_| kept.next().unwrap_or(false));
            // Nothing tells when a target has settled; to ask without a pause would keep it from that.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Keeps a generated case as evidence.
    pub fn keep_case(&mut self, case: GeneratedCase) {
        self.evidence.cases.push(case);
    }

    /// Says how many cases a kept one stands for.
    pub fn let_stand_for(&mut self, label: &str, cases: usize) {
        for case in self.evidence.cases.iter_mut().filter(|case| case.label == label) {
            case.stands_for = cases;
        }
    }

    /// Forgets a generated case with its steps, and the control that no other case needs.
    pub fn forget_case(&mut self, label: &str) {
        let Some(at) = self.evidence.cases.iter().position(|case| case.label == label) else { return };
        let forgotten = self.evidence.cases.remove(at);
        let unused = forgotten.control.filter(|control| {
            let uses = |case: &GeneratedCase| case.control.as_ref() == Some(control);
            !self.evidence.cases.iter().any(uses)
        });
        for step in [Some(label.to_owned()), unused].into_iter().flatten() {
            let stays =
                |found: &str| found.strip_prefix(&step).is_none_or(|rest| !rest.is_empty() && !rest.starts_with('/'));
            self.evidence.exchanges.retain(|exchange| stays(&exchange.label));
            self.evidence.fixtures.retain(|call| stays(&call.label));
        }
    }

    /// Marks an exchange, by its place in the evidence, as one of a target that may not have seen the last change yet.
    pub fn mark_unsettled(&mut self, at: usize) {
        self.evidence.exchanges[at].label.push_str("/unsettled");
    }

    /// Names the step of the last fixture call.
    pub fn label_last_call(&mut self, label: String) {
        self.evidence.fixtures.last_mut().expect("a call was just made").label = label;
    }

    /// Waits until `ms` of the target's time have passed from now.
    ///
    /// # Errors
    /// [`Stop::NotRun`] if the clock cannot be moved.
    pub async fn let_pass(&mut self, ms: u64) -> Result<(), Stop> {
        let (advanced_ms, now_ns) = (self.world.timekeeper.advanced_ms(), self.now_ns());
        Ok(self.slot.wait(advanced_ms, now_ns, ms).await?)
    }
}
