//! The smallest part of a set that still has a property, by divide and conquer (QuickXplain, Junker 2004).

use crate::audit::Request;

/// A part of `facts` that `contradicts`, none of which can be left out; facts that stand first stay by preference.
///
/// `facts` contradict, and so does whatever contains facts that do.
pub(super) fn irreducible(facts: &[Request], contradicts: &impl Fn(&[Request]) -> bool) -> Vec<Request> {
    fn within(
        kept: &[Request],
        has_new: bool,
        rest: &[Request],
        contradicts: &impl Fn(&[Request]) -> bool,
    ) -> Vec<Request> {
        if has_new && contradicts(kept) {
            return Vec::new();
        }
        if rest.len() <= 1 {
            return rest.to_vec();
        }
        let (first, second) = rest.split_at(rest.len() / 2);
        let mut needed = within(&[kept, first].concat(), true, second, contradicts);
        let of_first = within(&[kept, &needed[..]].concat(), !needed.is_empty(), first, contradicts);
        needed.extend(of_first);
        needed
    }
    within(&[], false, facts, contradicts)
}
