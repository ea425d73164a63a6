//! The windows behind each state, so that a past can be told in the end.

use super::step::State;
use super::{Opened, Schedule};

/// A window with the freedom that is left in when it opened.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    /// The latest instant at which it can have opened.
    pub(super) to: i64,
    /// Number and start of each request in it.
    pub(super) requests: Vec<(u64, i64)>,
    pub(super) unseen: u64,
}

/// The windows of one past, in order.
#[derive(Debug)]
pub(super) struct Trodden {
    pub(super) earlier: u64,
    pub(super) windows: Vec<Stretch>,
}

impl Trodden {
    /// Fixes when the windows opened: from the last to the first, each as late as the next allows.
    pub(super) fn schedule(self, shortest: i64, longest: i64) -> Schedule {
        let mut next = i64::MAX;
        let mut windows: Vec<Opened> = Vec::with_capacity(self.windows.len());
        for stretch in self.windows.into_iter().rev() {
            let start = stretch.to.min(next.saturating_sub(shortest));
            let end = start.saturating_add(longest).min(next);
            let mut counted: Vec<(u64, i64)> =
                stretch.requests.into_iter().map(|(n, sent)| (n, sent.max(start))).collect();
            counted.sort_by_key(|(_, at)| *at);
            windows.push(Opened { start, end, counted, unseen: stretch.unseen });
            next = start;
        }
        windows.reverse();
        Schedule { earlier: self.earlier, windows }
    }
}

/// Fewer nodes are not worth tidying up, however few windows are to be kept.
const NODES_MIN: usize = 128;
/// So many are, however many windows are to be kept.
const NODES_MAX: usize = 1_024;

#[derive(Debug)]
struct Node {
    before: Option<usize>,
    stretch: Stretch,
}

/// All windows that some state still tells of.
#[derive(Debug)]
pub(super) struct Trail {
    nodes: Vec<Node>,
    /// How many windows a past keeps at least.
    keeping: usize,
    /// How many windows before all of these were let go.
    gone: u64,
    /// How many nodes are worth tidying up.
    enough: usize,
}

impl Trail {
    pub(super) fn new(keeping: usize) -> Trail {
        Trail { nodes: Vec::new(), keeping, gone: 0, enough: keeping.saturating_mul(2).clamp(NODES_MIN, NODES_MAX) }
    }

    pub(super) fn add(&mut self, before: Option<usize>, stretch: Stretch) -> usize {
        self.nodes.push(Node { before, stretch });
        self.nodes.len() - 1
    }

    /// How many windows before were let go, and the rest of the past that ends with this window.
    pub(super) fn told(&self, last: Option<usize>) -> (u64, Vec<Stretch>) {
        let mut windows: Vec<Stretch> = self.path(last).map(|index| self.nodes[index].stretch.clone()).collect();
        windows.reverse();
        (self.gone, windows)
    }

    fn path(&self, last: Option<usize>) -> impl Iterator<Item = usize> {
        std::iter::successors(last, |index| self.nodes[*index].before)
    }

    /// Now and then, lets go of windows that no state tells of, and of the oldest that all share.
    pub(super) fn tidy(&mut self, states: &mut [State]) {
        if self.nodes.len() < self.enough {
            return;
        }
        let mut needed = vec![0_usize; self.nodes.len()];
        let tips: Vec<usize> = states.iter().filter_map(|state| state.trail).collect();
        for tip in &tips {
            for index in self.path(Some(*tip)) {
                needed[index] += 1;
                if needed[index] > 1 {
                    break;
                }
            }
        }
        let shared = self.shared(&tips, states.len());
        shared.iter().for_each(|index| needed[*index] = 0);
        self.gone += shared.len() as u64;
        let mut moved: Vec<Option<usize>> = Vec::with_capacity(needed.len());
        let mut kept = 0;
        for needed in &needed {
            moved.push((*needed > 0).then_some(kept));
            kept += usize::from(*needed > 0);
        }
        let mut needed = needed.into_iter();
        self.nodes.retain(|_| needed.next().is_some_and(|needed| needed > 0));
        for node in &mut self.nodes {
            node.before = node.before.and_then(|before| moved[before]);
        }
        for state in states {
            state.trail = state.trail.and_then(|tip| moved[tip]);
        }
        let least = self.keeping.saturating_mul(2).clamp(NODES_MIN, NODES_MAX);
        self.enough = least.max(2 * self.nodes.len());
    }

    /// The oldest windows that all states share and nobody wants to keep.
    fn shared(&self, tips: &[usize], states: usize) -> Vec<usize> {
        // A state before the first window shares nothing.
        if tips.len() < states {
            return Vec::new();
        }
        let mut common: Option<Vec<usize>> = None;
        for tip in tips {
            let mut path: Vec<usize> = self.path(Some(*tip)).collect();
            path.reverse();
            path.truncate(path.len().saturating_sub(self.keeping));
            let same = |common: Vec<usize>| {
                let length = common.iter().zip(&path).take_while(|(one, other)| one == other).count();
                common[..length].to_vec()
            };
            common = Some(common.map_or_else(|| path.clone(), same));
        }
        common.unwrap_or_default()
    }
}
