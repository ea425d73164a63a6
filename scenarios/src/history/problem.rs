//! What can be wrong with a line, and with reading or writing one.

use std::io;

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is JSON, but no object.
    #[error("expected a JSON object, found {found}")]
    NoObject {
        /// What it is.
        found: &'static str,
    },
    /// It is no JSON.
    #[error("expected a JSON object, found broken JSON at column {column}: {message}")]
    NotJson {
        /// Where it stops being JSON.
        column: usize,
        /// What the parser says.
        message: String,
    },
    /// It is JSON, but no record; such as one with a field that is there twice.
    #[error("expected one value for each field, found: {message}")]
    Unreadable {
        /// What the parser says.
        message: String,
    },
    /// It is longer than any line of a history.
    #[error("expected a line of at most {limit} bytes, found a longer one")]
    TooLong {
        /// The longest that is read.
        limit: u64,
    },
    /// The format has no such field.
    #[error("unknown field `{field}`{}", nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default())]
    UnknownField {
        /// Its name.
        field: String,
        /// The known one that reads most like it.
        nearest: Option<&'static str>,
    },
    /// A field has a value that it cannot have.
    #[error("`{field}`: expected {expected}, found {found}")]
    Wrong {
        /// The field.
        field: String,
        /// What it can have.
        expected: &'static str,
        /// What it has, shortened.
        found: String,
    },
    /// A field is needed and absent.
    #[error("expected `{field}` {context}, found none")]
    Missing {
        /// The field.
        field: &'static str,
        /// Where it is needed.
        context: &'static str,
    },
    /// A field stands where it means nothing.
    #[error("`{field}` means nothing {context}")]
    Misplaced {
        /// The field.
        field: &'static str,
        /// Where it stands.
        context: &'static str,
    },
    /// Something ends before it starts.
    #[error("time goes backwards: expected `{later}` from {before} on, where `{earlier}` is, found {after}")]
    Backwards {
        /// The field that has the start.
        earlier: &'static str,
        /// The start.
        before: u64,
        /// The field that has the end.
        later: &'static str,
        /// The end.
        after: u64,
    },
    /// A number is used twice.
    #[error("expected a new `n`, found {n}, which recorder `{recorder}` has used already")]
    Duplicate {
        /// The number.
        n: u64,
        /// Whose number it is.
        recorder: String,
    },
    /// An operation ends that never started.
    #[error(
        "operation {n} of recorder `{recorder}` is completed; expected a line before that says it was invoked, or `start_ns` here"
    )]
    NotInvoked {
        /// The number.
        n: u64,
        /// Whose number it is.
        recorder: String,
    },
    /// A later line says something else than an earlier one.
    #[error("`{field}`: expected {earlier}, as an earlier line says, found {found}")]
    Contradiction {
        /// The field.
        field: &'static str,
        /// What was said first.
        earlier: String,
        /// What is said now.
        found: String,
    },
    /// The history does not begin with a header.
    #[error("expected a header, such as {{\"v\":1,\"header\":true,…}}, found {found}")]
    NoHeader {
        /// What it begins with.
        found: &'static str,
    },
    /// A recorder introduces itself again.
    #[error("expected the header of another recorder, found a second one of `{recorder}`")]
    SecondHeader {
        /// The recorder.
        recorder: String,
    },
    /// No header introduces a recorder.
    #[error("expected a recorder whose header stands above, found `{recorder}`")]
    UnknownRecorder {
        /// The recorder.
        recorder: String,
    },
}

/// Why a history cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A line is wrong.
    #[error("line {line}: {problem}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong.
        problem: Problem,
    },
    /// The file cannot be read.
    #[error("line {line}: cannot be read: {source}")]
    Io {
        /// The number of the line that was to be read, from 1.
        line: u64,
        /// What the system says.
        source: io::Error,
    },
}

/// Why something was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A reader would refuse it.
    #[error("a history cannot say that: {0}")]
    Refused(#[from] Problem),
    /// The history cannot be written.
    #[error("the history cannot be written: {0}")]
    Io(#[from] io::Error),
    /// An earlier write failed, so the history may end in half a line; nothing is added to it.
    #[error("the history is incomplete: writing it failed earlier")]
    Broken,
}
