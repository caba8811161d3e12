//! Jobs that come by the clock.

use chrono::DateTime;
use diesel_async::SimpleAsyncConnection;
use inkstone::config::{Parse, Schedule};
use inkstone::jobs::cron::{Periodic, periodic, tick};
use inkstone::jobs::run_due;

use super::*;
use crate::support::on_real_servers;
use crate::support::stored_text;

fn hourly() -> [Periodic; 1] {
    [Periodic::new("test_hourly", Schedule::parse("@hourly").expect("a schedule"))]
}

async fn count(app: &TestApp) -> usize {
    let found = app.own(r#"{ jobs(kind: "test_hourly", first: 100) { nodes { id } } }"#, json!({})).await;
    found["jobs"]["nodes"].as_array().expect("nodes").len()
}

#[tokio::test]
async fn a_tick_is_taken_once() {
    let app = resting().await;
    let mut crew = Crew::start(&app, 1, |_| Act::Finish);
    let noon: DateTime<Utc> = "2026-11-28T12:00:00Z".parse().expect("a time");
    let at = |minutes| noon + TimeDelta::minutes(minutes);
    for (minutes, asked) in [(-60, 0), (0, 1), (0, 0), (59, 0), (-1, 0), (60, 1), (600, 1), (119, 0)] {
        assert_eq!(
            tick(&app.services, &hourly(), at(minutes)).await.expect("a tick"),
            asked,
            "{minutes} min after noon"
        );
        if asked == 1 {
            let job = crew.begun().await;
            until(&app, job.id, "DONE").await;
        }
    }
    assert_eq!(count(&app).await, 3);
    crew.stop().await;
}

#[tokio::test]
async fn a_job_that_is_not_done_by_the_next_tick_goes_on() {
    let app = resting().await;
    let mut crew = Crew::start(&app, 1, |_| Act::Hang);
    let now = Utc::now();
    let before = now - TimeDelta::hours(1);
    assert_eq!(tick(&app.services, &hourly(), before).await.expect("a tick"), 0, "it is new");
    assert_eq!(tick(&app.services, &hourly(), now).await.expect("a tick"), 1);
    let job = crew.begun().await;
    assert_eq!(tick(&app.services, &hourly(), now + TimeDelta::hours(1)).await.expect("a tick"), 0);
    assert_eq!(shown(&app, job.id).await["state"], "RUNNING");
    crew.stop().await;
    assert_eq!(count(&app).await, 1);
}

#[tokio::test]
async fn of_two_servers_one_takes_a_tick() {
    if !on_real_servers() {
        return;
    }
    let one = resting().await;
    let other = TestApp::replica_of(&one, &[("job_workers", "0")]).await;
    let mut crews = [Crew::start(&one, 1, |_| Act::Finish), Crew::start(&other, 1, |_| Act::Finish)];
    let begin = Utc::now() - TimeDelta::hours(20);
    assert_eq!(tick(&one.services, &hourly(), begin - TimeDelta::hours(1)).await.expect("a tick"), 0, "it is new");
    for hour in 0..20 {
        let now = begin + TimeDelta::hours(hour);
        let hourly = hourly();
        let (here, there) = tokio::join!(tick(&one.services, &hourly, now), tick(&other.services, &hourly, now));
        assert_eq!(here.expect("a tick") + there.expect("a tick"), 1, "in hour {hour}");
        let [first, second] = &mut crews;
        let job = tokio::select! { job = first.begun() => job, job = second.begun() => job };
        until(&other, job.id, "DONE").await;
    }
    assert_eq!(count(&one).await, 20);
    for crew in crews {
        crew.stop().await;
    }
}

#[tokio::test]
async fn the_owner_says_when() {
    let config = |own: &[(&'static str, &str)]| crate::support::config(&[], own);
    let kinds = |own: &[(&'static str, &str)]| {
        let all = periodic(&config(own));
        all.iter().map(|job| job.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&[]), ["housekeeping"], "the graph follows the posts anyway");
    let own = [("housekeeping_schedule", "30 3 * * *"), ("graph_schedule", "0 4 * * sun"), ("job_workers", "0")];
    assert_eq!(kinds(&own), ["housekeeping", "rebuild_graph"]);
    let (app, periodic) = (TestApp::start_with(&own).await, periodic(&config(&own)));
    run_due(&app.services).await.expect("what the demo site asks for is done");
    let known = "(SELECT count(*) FROM cron_runs)::text";
    let begun = async { while stored_text(&app.services, known).await != "2" {} };
    tokio::time::timeout(PATIENCE, begun).await.expect("the server begins with nothing to do");
    // As if none had run for a long time.
    run(&app, "UPDATE cron_runs SET ticked_at = '2001-01-01'").await;
    assert_eq!(tick(&app.services, &periodic, Utc::now()).await.expect("a tick"), 2);
    run_due(&app.services).await.expect("the jobs are done");
    let states = app.own(r#"{ jobs(kind: "rebuild_graph", first: 1) { nodes { state } } }"#, json!({})).await;
    assert_eq!(states["jobs"]["nodes"], json!([{ "state": "DONE" }]));
    // After all that the server's own clock asks for.
    let sunday: DateTime<Utc> = "2100-01-03T03:59:00Z".parse().expect("a time");
    for (minutes, asked) in [(0, 2), (1, 1), (2, 0), (24 * 60, 1), (7 * 24 * 60 + 1, 2)] {
        let now = sunday + TimeDelta::minutes(minutes);
        assert_eq!(tick(&app.services, &periodic, now).await.expect("a tick"), asked, "{minutes} min later");
        // They would wait until then.
        run(&app, "UPDATE jobs SET state = 'CANCELLED', finished_at = now() WHERE run_at > '2099-01-01'").await;
    }
    app.stop().await;
}

async fn run(app: &TestApp, sql: &str) {
    app.services.db.conn().await.expect("a connection").batch_execute(sql).await.expect("it is written down");
}
