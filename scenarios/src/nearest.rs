//! The known name most like one that is unknown.

/// The name most like `found`, if any is.
pub(crate) fn name(found: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    const LIKE: f64 = 0.75;
    let likeness = known.map(|name| (name, strsim::jaro_winkler(name, found)));
    let best = likeness.max_by(|(_, one), (_, other)| one.total_cmp(other));
    best.filter(|(_, likeness)| *likeness >= LIKE).map(|(name, _)| name)
}

/// A hint to end a message with.
pub(crate) fn hint(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}
