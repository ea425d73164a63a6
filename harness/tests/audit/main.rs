//! The audit against judges that know nothing of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod defects;
mod dice;
mod general;
mod instances;
mod oracle;
mod quota;
mod rate;
mod servers;
mod todc;
