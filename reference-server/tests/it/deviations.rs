//! The servers that are wrong on purpose are wrong in their one way.

use reference_server::{Config, ControlToken, deviations};
use serde_json::json;

use crate::support::{CONTROL, Running, run};

const ONE: &str = r#"{"urls":["/"]}"#;

async fn deviating(name: &str) -> Running {
    let deviation = deviations::named(name).expect("a deviation of that name");
    run(Config::ephemeral(ControlToken::new(CONTROL)), deviation.parts()).await
}

/// How many of fifteen refreshes are served, over two tokens in turn.
async fn served(run: &Running) -> usize {
    let (_, tokens) = run.domain(json!({"tokens": 2})).await;
    let mut served = 0;
    for i in 0..15 {
        served += usize::from(run.refresh(&tokens[i % 2], ONE).await.status == 200);
    }
    served
}

#[tokio::test]
async fn limits_of_nine_and_eleven_are_off_by_one() {
    for (name, expected) in [("limit-nine", 9), ("limit-eleven", 11)] {
        let run = deviating(name).await;
        assert_eq!(served(&run).await, expected);
        run.stop().await;
    }
}

#[tokio::test]
async fn a_limit_per_token_serves_more_than_ten_for_the_domain() {
    let run = deviating("limit-per-token").await;
    assert_eq!(served(&run).await, 15);
    let (_, tokens) = run.domain(json!({})).await;
    for _ in 0..10 {
        assert_eq!(run.refresh(&tokens[0], ONE).await.status, 200);
    }
    assert_eq!(run.refresh(&tokens[0], ONE).await.status, 429);
    run.stop().await;
}

#[tokio::test]
async fn only_the_text_of_a_missing_header_differs() {
    let run = deviating("header-missing-text").await;
    run.send(run.post("/api/webhook/refresh")).await.refused(401, "Unauthorized");
    run.refresh("rk_wh_x", ONE).await.refused(401, "Invalid token");
    run.stop().await;
}
