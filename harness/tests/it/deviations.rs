//! Every server that is wrong in one way is caught, for the right reason.

use hookproof::prove::{Trial, chosen, try_one};
use hookproof::report::matrix;

use crate::{settings, uninterrupted};

#[tokio::test(flavor = "multi_thread")]
async fn every_deviation_is_caught_for_the_right_reason() {
    let mut trials: Vec<Trial> = Vec::new();
    for deviation in chosen(&[]) {
        trials.push(try_one(deviation, false, settings(1), &uninterrupted()).await);
    }
    assert!(trials.iter().all(Trial::is_killed), "{}", matrix::text(&trials));
}
