//! What a scrape shows after each function.

use super::*;

const MS: Duration = Duration::from_millis(1);

/// What the recorder shows after `record`, apart from what other tests record.
fn rendered(record: impl FnOnce()) -> String {
    let recorder = crate::telemetry::recorder().expect("no histogram lacks buckets").build_recorder();
    metrics::with_local_recorder(&recorder, || {
        describe();
        record();
    });
    recorder.handle().render()
}

#[track_caller]
fn assert_line(rendered: &str, line: &str) {
    assert!(rendered.lines().any(|have| have == line), "expected {line}\nin\n{rendered}");
}

#[test]
fn http_requests_are_counted_by_method_route_and_status() {
    let text = rendered(|| {
        let requests = HttpRequests::default();
        requests.count("GET", "/posts/{slug}", 200, 3 * MS);
        requests.count("GET", "/posts/{slug}", 200, 700 * MS);
        requests.count("GET", "/posts/{slug}", 404, MS);
        requests.count("BREW", "/posts/{slug}", 405, MS);
    });
    let series = "inkstone_http_requests_total{method=\"GET\",route=\"/posts/{slug}\",status=\"200\"} 2";
    assert_line(&text, series);
    assert!(!text.contains("BREW"), "an invented method must not become a label\n{text}");
    assert!(text.contains("method=\"OTHER\""), "{text}");
    let bucket = |le: &str, count: u32| {
        format!(
            "inkstone_http_request_duration_seconds_bucket{{method=\"GET\",route=\"/posts/{{slug}}\",le=\"{le}\"}} {count}"
        )
    };
    assert_line(&text, &bucket("0.0025", 1));
    assert_line(&text, &bucket("0.005", 2));
    assert_line(&text, &bucket("1", 3));
    assert_line(&text, &bucket("+Inf", 3));
}

#[test]
fn graphql_operations_are_counted_by_type_name_and_outcome() {
    let text = rendered(|| {
        graphql_operation(OperationType::Query, Some("MetricsTestPosts"), Outcome::Success, Some(MS));
        graphql_operation(OperationType::Mutation, Some("not a name"), Outcome::ClientError, Some(MS));
        graphql_operation(OperationType::Subscription, None, Outcome::ServerError, None);
    });
    for (kind, name, outcome) in [
        ("query", "MetricsTestPosts", "success"),
        ("mutation", "anonymous", "client_error"),
        ("subscription", "anonymous", "server_error"),
    ] {
        let labels = format!("type=\"{kind}\",name=\"{name}\",outcome=\"{outcome}\"");
        assert_line(&text, &format!("inkstone_graphql_operations_total{{{labels}}} 1"));
    }
}

#[test]
fn models_are_counted_by_task() {
    let text = rendered(|| {
        inference("embed", "success", MS);
        inference_tokens("embed", 7, 0);
        inference_tokens("generate", 3, 2);
    });
    assert_line(&text, "inkstone_inference_requests_total{task=\"embed\",outcome=\"success\"} 1");
    assert_line(&text, "inkstone_inference_tokens_total{task=\"embed\",direction=\"read\"} 7");
    assert_line(&text, "inkstone_inference_tokens_total{task=\"generate\",direction=\"written\"} 2");
}

#[test]
fn jobs_are_counted_by_kind_and_outcome() {
    let text = rendered(|| {
        job("publish_post", "done", MS);
        job("publish_post", "failed", MS);
        jobs_open(3, 2, 1, 1500 * MS);
    });
    for line in [
        "inkstone_jobs_total{kind=\"publish_post\",outcome=\"failed\"} 1",
        "inkstone_job_duration_seconds_count{kind=\"publish_post\"} 2",
        "inkstone_jobs_open{state=\"due\"} 3",
        "inkstone_jobs_open{state=\"running\"} 1",
        "inkstone_jobs_oldest_due_seconds 1.5",
    ] {
        assert_line(&text, line);
    }
}

#[test]
fn a_guard_counts_for_as_long_as_it_lives() {
    let text = rendered(|| {
        let open = subscription_opened();
        drop(subscription_opened());
        std::mem::forget(open);
        drop(password_hashing_started());
    });
    assert_line(&text, "inkstone_subscriptions_open 1");
    assert_line(&text, "inkstone_password_hashings_in_flight 0");
}

#[test]
fn database_and_event_metrics_have_their_values() {
    let text = rendered(|| {
        sql_statement_started();
        sql_statement_finished(false, MS);
        db_connections(3, 5);
        db_connection_wait(MS);
        event_log_lag(1500 * MS);
        events_delivered(4);
    });
    for line in [
        "inkstone_sql_statements_total 1",
        "inkstone_sql_statement_duration_seconds_count{outcome=\"error\"} 1",
        "inkstone_db_connections{state=\"in_use\"} 3",
        "inkstone_db_connections{state=\"idle\"} 5",
        "inkstone_db_connection_wait_seconds_count 1",
        "inkstone_event_log_lag_seconds 1.5",
        "inkstone_events_delivered_total 4",
    ] {
        assert_line(&text, line);
    }
}

#[test]
fn every_metric_is_described_and_every_histogram_has_buckets() {
    let text = rendered(|| {
        HttpRequests::default().count("GET", "/", 200, MS);
        graphql_operation(OperationType::Query, None, Outcome::Success, Some(MS));
        sql_statement_started();
        sql_statement_finished(true, MS);
        db_connections(0, 0);
        db_connection_wait(MS);
        drop((subscription_opened(), password_hashing_started()));
        event_log_lag(MS);
        events_delivered(1);
    });
    let types: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert_eq!(types.len(), 12, "one of the metrics is not recorded here: {types:?}");
    for metric in types {
        let (name, kind) = metric.split_once(' ').expect("TYPE has a name and a kind");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no description");
        assert_ne!(kind, "summary", "{name} has no buckets");
    }
}

#[test]
fn buckets_rise() {
    for (name, buckets) in BUCKETS {
        assert!(buckets.is_sorted_by(|a, b| a < b), "{name}");
    }
}
