//! The windows behind each state, so that a past can be told in the end.

use super::{Opened, Schedule};

/// A window with the freedom that is left in when it opened.
#[derive(Debug)]
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

#[derive(Debug, Clone, Copy)]
struct Node {
    before: Option<usize>,
    to: i64,
    unseen: u64,
    /// Where its requests begin and end.
    begin: usize,
    end: usize,
}

/// All windows that some state still tells of.
#[derive(Debug)]
pub(super) struct Trail {
    nodes: Vec<Node>,
    /// Number and start of the requests of all of them, one window's after the other's.
    requests: Vec<(u64, i64)>,
    /// How many windows a past keeps at least.
    keeping: usize,
    /// How many windows before all of these were let go.
    gone: u64,
    /// How many nodes are worth tidying up.
    enough: usize,
}

impl Trail {
    pub(super) fn new(keeping: usize) -> Trail {
        let enough = keeping.saturating_mul(2).clamp(NODES_MIN, NODES_MAX);
        Trail { nodes: Vec::new(), requests: Vec::new(), keeping, gone: 0, enough }
    }

    /// Adds a window that opened at `to` at the latest, with number and start of its requests, and gives its place.
    pub(super) fn add(&mut self, before: Option<usize>, to: i64, requests: impl Iterator<Item = (u64, i64)>) -> usize {
        let begin = self.requests.len();
        self.requests.extend(requests);
        self.nodes.push(Node { before, to, unseen: 0, begin, end: self.requests.len() });
        self.nodes.len() - 1
    }

    /// Adds requests from before the history to a window.
    pub(super) fn add_unseen(&mut self, place: usize, unseen: u64) {
        self.nodes[place].unseen += unseen;
    }

    /// The past that ends with this window.
    pub(super) fn told(&self, last: Option<usize>) -> Trodden {
        let stretch = |index: usize| {
            let Node { to, unseen, begin, end, .. } = self.nodes[index];
            Stretch { to, requests: self.requests[begin..end].to_vec(), unseen }
        };
        let mut windows: Vec<Stretch> = self.path(last).map(stretch).collect();
        windows.reverse();
        Trodden { earlier: self.gone, windows }
    }

    fn path(&self, last: Option<usize>) -> impl Iterator<Item = usize> {
        std::iter::successors(last, |index| self.nodes[*index].before)
    }

    /// Whether so much was added that tidying up costs little for each.
    pub(super) fn is_worth_tidying(&self) -> bool {
        self.nodes.len() >= self.enough
    }

    /// Lets go of windows that no state tells of, and of the oldest that all share. `tips` are the last windows of all states;
    /// gives the new place of each that stays.
    pub(super) fn tidy(&mut self, tips: &[Option<usize>]) -> Vec<Option<usize>> {
        let mut needed = vec![0_usize; self.nodes.len()];
        for tip in tips {
            for index in self.path(*tip) {
                needed[index] += 1;
                if needed[index] > 1 {
                    break;
                }
            }
        }
        let shared = self.shared(tips);
        shared.iter().for_each(|index| needed[*index] = 0);
        self.gone += shared.len() as u64;
        let mut moved: Vec<Option<usize>> = Vec::with_capacity(needed.len());
        let (mut kept, mut told) = (0, 0);
        for (index, needed) in needed.into_iter().enumerate() {
            if needed == 0 {
                moved.push(None);
                continue;
            }
            let node = self.nodes[index];
            self.requests.copy_within(node.begin..node.end, told);
            let end = told + (node.end - node.begin);
            let before = node.before.and_then(|before| moved[before]);
            self.nodes[kept] = Node { before, begin: told, end, ..node };
            moved.push(Some(kept));
            (kept, told) = (kept + 1, end);
        }
        self.nodes.truncate(kept);
        self.requests.truncate(told);
        let least = self.keeping.saturating_mul(2).clamp(NODES_MIN, NODES_MAX);
        self.enough = least.max(2 * self.nodes.len());
        moved
    }

    /// The oldest windows that all states share and nobody wants to keep.
    fn shared(&self, tips: &[Option<usize>]) -> Vec<usize> {
        let mut common: Option<Vec<usize>> = None;
        // A state before the first window has an empty path and shares nothing.
        for tip in tips {
            let mut path: Vec<usize> = self.path(*tip).collect();
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
