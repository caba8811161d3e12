//! Jobs that come by the clock.

use chrono::DateTime;
use inkstone::jobs::cron::{Periodic, tick};

use super::*;
use crate::support::on_real_servers;

const HOURLY: [Periodic; 1] = [Periodic { kind: "test_hourly", every: TimeDelta::hours(1), offset: TimeDelta::zero() }];

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
        assert_eq!(tick(&app.services, &HOURLY, at(minutes)).await.expect("a tick"), asked, "{minutes} min after noon");
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
    assert_eq!(tick(&app.services, &HOURLY, before).await.expect("a tick"), 0, "it is new");
    assert_eq!(tick(&app.services, &HOURLY, now).await.expect("a tick"), 1);
    let job = crew.begun().await;
    assert_eq!(tick(&app.services, &HOURLY, now + TimeDelta::hours(1)).await.expect("a tick"), 0);
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
    assert_eq!(tick(&one.services, &HOURLY, begin - TimeDelta::hours(1)).await.expect("a tick"), 0, "it is new");
    for hour in 0..20 {
        let now = begin + TimeDelta::hours(hour);
        let (here, there) = tokio::join!(tick(&one.services, &HOURLY, now), tick(&other.services, &HOURLY, now));
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
