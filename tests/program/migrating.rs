//! Several processes that bring one empty database up to date. Real servers only.

use crate::process::{Place, finish};
use crate::servers::fresh_database;
use crate::support;

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_migrate_one_empty_database_at_once_all_end_well() {
    if !support::on_real_servers() {
        return;
    }
    for _ in 0..3 {
        let (database, url) = fresh_database().await;
        let migrate = |_| {
            let url = url.clone();
            std::thread::spawn(move || finish(Place::new().command(&["migrate"]).env("DATABASE_URL", url), ""))
        };
        let running: Vec<_> = (0..4).map(migrate).collect();
        let ended: Vec<_> = running.into_iter().map(|thread| thread.join().expect("the thread ends")).collect();
        assert!(ended.iter().all(|done| done.code == Some(0)), "each should succeed: {ended:#?}");
        let idle = ended.iter().filter(|done| done.stdout == "ran []\n").count();
        assert_eq!(idle, 3, "one does it, and the others find it done: {ended:#?}");

        let place = Place::new();
        let asked = |arguments: &[&str]| finish(place.command(arguments).env("DATABASE_URL", &url), "").stdout;
        assert!(asked(&["migrate", "status"]).ends_with("pending []\n"), "nothing is left to run");
        assert!(asked(&["migrate", "down", "--all"]).starts_with("took back [\""), "all of it goes down");
        assert!(asked(&["migrate", "up"]).starts_with("ran [\""), "and up again");
        drop(database);
    }
}
