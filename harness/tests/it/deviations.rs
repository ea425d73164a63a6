//! Every server that is wrong in one way is caught, for the right reason.

use futures::stream::{self, StreamExt as _};
use hookproof::prove::{Trial, chosen, try_one};
use hookproof::report::matrix;
use reference_server::deviations;

use crate::{settings, uninterrupted};

#[tokio::test(flavor = "multi_thread")]
async fn every_deviation_is_caught_for_the_right_reason() {
    // A few at a time, each on its own server: many of them spend their time waiting for what never comes.
    const AT_A_TIME: usize = 4;
    let interrupt = uninterrupted();
    let trials = chosen(&[]).into_iter().map(|deviation| try_one(deviation, false, settings(1), &interrupt));
    let tried = stream::iter(trials).buffer_unordered(AT_A_TIME);
    let mut trials: Vec<Trial> = tried.map(|trial| trial.expect("no signal comes")).collect().await;
    trials.sort_by(|one, other| one.deviation.cmp(&other.deviation));
    // A race shows in most runs, not in every one; each has a second chance with other random choices, and no third.
    for trial in trials.iter_mut().filter(|trial| !trial.is_killed()) {
        let deviation = deviations::named(&trial.deviation).expect("the trial was of a known deviation");
        *trial = try_one(deviation, false, settings(2), &interrupt).await.expect("no signal comes");
    }
    assert!(trials.iter().all(Trial::is_killed), "{}", matrix::text(&trials));
}
