//! What the primary documents say and the suite leaves alone, each with the reason, so that no
//! sentence of theirs is passed over in silence.

/// A statement that no rule judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unjudged {
    /// What is said, with the API it is said of.
    pub statement: &'static str,
    /// Why no rule judges it.
    pub reason: &'static str,
}

/// Everything that is stated and not judged.
pub const UNJUDGED: &[Unjudged] = &[
    Unjudged {
        statement: "RndrKit: the webhook lets deploy pipelines, content systems and scripts \
                    refresh a cache, and is another thing than the refresh calls of the Cache API.",
        reason: "It tells what the API is for and demands nothing that a request could show.",
    },
    Unjudged {
        statement: "CraftKit: whatever system can send JSON with a POST may start a render.",
        reason: "It tells what the API is for and demands nothing that a request could show.",
    },
    Unjudged {
        statement: "RndrKit: webhook tokens are made, named and copied on a page of the dashboard.",
        reason: "No API for it is documented; the suite sees the effect through `token.create`.",
    },
    Unjudged {
        statement: "CraftKit: a panel of the dashboard shows a template's inbound token, and a \
                    switch there makes signatures compulsory.",
        reason: "No API for it is documented; the suite sees the effect through `template.create` \
                 and `template.update`.",
    },
    Unjudged {
        statement: "RndrKit: the Vercel example puts the `Authorization` header in single quotes, \
                    where the shell does not expand the variable that holds the token.",
        reason: "The mistake is in a client's script; a server is right to refuse what it sends.",
    },
    Unjudged {
        statement: "CraftKit: an inbound render gets its row in the dashboard like any other.",
        reason: "The dashboard cannot be observed from outside.",
    },
    Unjudged {
        statement: "CraftKit: a signature is best compared in constant time.",
        reason: "The time of a comparison cannot be told apart reliably over a network, and the \
                 document is silent on it; the built-in reference compares so.",
    },
];
