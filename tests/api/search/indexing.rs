//! What a model is given to read, and what becomes of changes in the meantime.

use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use inkstone::inference::{
    Backend, EmbedRequest, Embeddings, Engine, InferenceError, ModelCard, SharedBackend, Task, TextKind, fake,
};
use inkstone::store::chunk_vectors;
use tokio::sync::watch;

use super::*;
use crate::support::live::PATIENCE;
use crate::support::stored_text;

/// What has to happen while anybody waits.
async fn soon(waiting: impl Future<Output = ()>, what: &str) {
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

const UPDATE: &str =
    "mutation($input: UpdatePostInput!) { updatePost(input: $input) { post { version } userErrors { code } } }";

/// A model whose reading a test can watch, hold up and refuse.
struct Reader {
    inner: fake::Fake,
    card: ModelCard,
    /// Passages that it was given.
    texts: Arc<Mutex<Vec<String>>>,
    open: watch::Receiver<bool>,
    refuses: Arc<Mutex<Option<InferenceError>>>,
}

impl Backend for Reader {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn embed(&self, request: EmbedRequest) -> BoxFuture<'_, Result<Embeddings, InferenceError>> {
        let mut open = self.open.clone();
        let refused = self.refuses.lock().expect("no test panics with it").clone();
        Box::pin(async move {
            if let Some(error) = refused {
                return Err(error);
            }
            if request.kind == TextKind::Passage {
                self.texts.lock().expect("no test panics with it").extend(request.texts.iter().cloned());
                open.wait_for(|open| *open).await.expect("the test goes on");
            }
            let done = self.inner.embed(request).await?;
            Ok(Embeddings { model: self.card.name(), ..done })
        })
    }
}

struct Watched {
    app: TestApp,
    model: String,
    texts: Arc<Mutex<Vec<String>>>,
    open: watch::Sender<bool>,
    refuses: Arc<Mutex<Option<InferenceError>>>,
}

impl Watched {
    /// A site that the model has read.
    async fn start() -> Self {
        let watched = Self::start_as("fake-embed", true).await;
        watched.has_read_all().await;
        watched.texts.lock().expect("no test panics with it").clear();
        watched
    }

    async fn start_as(id: &str, open: bool) -> Self {
        let ((open, opened), texts, refuses) = (watch::channel(open), Arc::default(), Arc::default());
        let inner = fake::Fake::new(Task::Embed);
        let reader = Reader {
            card: ModelCard { id: id.to_owned(), ..inner.card().clone() },
            inner,
            texts: Arc::clone(&texts),
            open: opened,
            refuses: Arc::clone(&refuses),
        };
        let model = reader.card.name();
        let app = TestApp::start_on(Engine::of([Arc::new(reader) as SharedBackend]), &[]).await;
        Self { app, model, texts, open, refuses }
    }

    fn texts(&self) -> Vec<String> {
        self.texts.lock().expect("no test panics with it").clone()
    }

    async fn has_read_all(&self) {
        let reading = async {
            loop {
                let mut conn = self.app.services.db.conn().await.expect("a connection");
                let (all, read) = chunk_vectors::coverage(&mut conn, &self.model).await.expect("it is counted");
                if all == read {
                    return;
                }
                drop(conn);
                tokio::task::yield_now().await;
            }
        };
        soon(reading, "all is read").await;
    }

    async fn is_given(&self, words: &str) {
        let given = async {
            while !self.texts().iter().any(|text| text.contains(words)) {
                tokio::task::yield_now().await;
            }
        };
        soon(given, &format!("{words} is read")).await;
    }

    async fn edit(&self, id: &str, version: i32, markdown: &str) -> Value {
        let input = json!({ "id": id, "basedOnVersion": version, "markdown": markdown });
        self.app.own(UPDATE, json!({ "input": input })).await["updatePost"].take()
    }
}

fn sections(second: &str) -> String {
    format!("# Soot\n\nThe lamp burns brightly.\n\n# Water\n\n{second}\n\n# Glue\n\nIt holds zephyrine soot.\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_has_changed_is_read_again() {
    let watched = Watched::start().await;
    let app = &watched.app;
    let post = json!({ "title": "On lamps", "slug": "lamps", "markdown": sections("Rapeseed oil floats.") });
    let id = publish(app, post).await;
    until(app, "rapeseed", "WORDS", "lamps", true).await;
    watched.has_read_all().await;
    assert_eq!(watched.texts().len(), 3, "{:#?}", watched.texts());
    watched.texts.lock().expect("no test panics with it").clear();
    watched.edit(&id, 2, &sections("Tung oil floats.")).await;
    until(app, "tung", "WORDS", "lamps", true).await;
    watched.has_read_all().await;
    let texts = watched.texts();
    assert!(texts.len() == 1 && texts[0].contains("Tung oil"), "one piece of three has changed: {texts:#?}");
    assert!(!found(app, "rapeseed", "WORDS").await.contains(&"lamps".to_owned()));
    watched.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_while_a_model_reads_is_what_is_found() {
    // Once while the post is made known, and once after that has given up waiting for the model.
    for waits in [false, true] {
        let watched = Watched::start().await;
        let app = &watched.app;
        watched.open.send_replace(false);
        let post = json!({ "title": "On lamps", "slug": "lamps", "markdown": sections("Rapeseed oil floats.") });
        let id = publish(app, post).await;
        watched.is_given("Rapeseed").await;
        if waits {
            until(app, "rapeseed", "WORDS", "lamps", true).await;
        }
        watched.edit(&id, 2, &sections("Tung oil floats.")).await;
        watched.open.send_replace(true);
        until(app, "tung", "WORDS", "lamps", true).await;
        until(app, "rapeseed", "WORDS", "lamps", false).await;
        watched.has_read_all().await;
        let sql = "(SELECT string_agg(text, ' ' ORDER BY ordinal) FROM chunks JOIN posts ON posts.id = post_id WHERE slug = 'lamps')";
        let text = stored_text(&app.services, sql).await;
        assert!(text.contains("Tung") && !text.contains("Rapeseed"), "waits: {waits}: {text}");
        until(app, "Tung oil floats", "MEANING", "lamps", true).await;
        watched.app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_while_a_model_reads_is_not_found() {
    let watched = Watched::start().await;
    let app = &watched.app;
    watched.open.send_replace(false);
    let id = publish(app, json!({ "title": "On lamps", "slug": "lamps", "markdown": sections("Rapeseed.") })).await;
    watched.is_given("Rapeseed").await;
    let unpublish = "mutation($id: ID!) { unpublishPost(input: { id: $id }) { post { status } } }";
    app.own(unpublish, json!({ "id": id })).await;
    watched.open.send_replace(true);
    let jobs = "{ jobs(state: [QUEUED, RUNNING], kind: \"index_post\") { nodes { id } } }";
    let idle = async { while app.own(jobs, json!({})).await["jobs"]["nodes"] != json!([]) {} };
    soon(idle, "the jobs are done").await;
    for mode in ["WORDS", "MEANING", "HYBRID"] {
        assert!(!found(app, "zephyrine rapeseed", mode).await.contains(&"lamps".to_owned()), "{mode}");
    }
    let left = "(SELECT count(*)::text FROM chunks JOIN posts ON posts.id = post_id WHERE slug = 'lamps')";
    assert_eq!(stored_text(&app.services, left).await, "0");
    watched.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_editors_at_once_one_is_found() {
    let watched = Watched::start().await;
    let app = &watched.app;
    let id = publish(app, json!({ "title": "On lamps", "slug": "lamps", "markdown": sections("Rapeseed.") })).await;
    let (one, other) = (sections("Walnut oil."), sections("Linseed oil."));
    let (one, other) = tokio::join!(watched.edit(&id, 2, &one), watched.edit(&id, 2, &other));
    let refused: Vec<_> = [&one, &other].iter().map(|done| done["userErrors"].clone()).collect();
    assert!(refused.contains(&json!([])) && refused.contains(&json!([{ "code": "STALE_VERSION" }])), "{refused:?}");
    let (kept, lost) = if one["userErrors"] == json!([]) { ("walnut", "linseed") } else { ("linseed", "walnut") };
    until(app, kept, "WORDS", "lamps", true).await;
    assert!(!found(app, lost, "WORDS").await.contains(&"lamps".to_owned()));
    watched.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_queue_is_full_words_answer_and_say_so() {
    let watched = Watched::start().await;
    let app = &watched.app;
    let retry_after = std::time::Duration::from_secs(2);
    *watched.refuses.lock().expect("no test panics with it") = Some(InferenceError::Overloaded { retry_after });
    let answer = data(app.ask(SEARCH, json!({ "query": "inkstone grinding" })).await);
    assert_eq!(answer["search"]["degraded"], true);
    assert!(!slugs(&answer).is_empty());
    assert_eq!(code(&app.ask(SEARCH, json!({ "query": "inkstone grinding", "mode": "MEANING" })).await), "OVERLOADED");
    *watched.refuses.lock().expect("no test panics with it") = None;
    let answer = data(app.ask(SEARCH, json!({ "query": "inkstone grinding" })).await);
    assert_eq!(answer["search"]["degraded"], false, "what was degraded is not kept");
    watched.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_model_has_much_to_read_words_decide() {
    let watched = Watched::start_as("slow-embed", false).await;
    let app = &watched.app;
    let by_words = found(app, "inkstone grinding", "WORDS").await;
    let answer = data(app.ask(SEARCH, json!({ "query": "inkstone grinding" })).await);
    assert_eq!((slugs(&answer), &answer["search"]["degraded"]), (by_words, &json!(true)));
    watched.open.send_replace(true);
    watched.has_read_all().await;
    let whole = async {
        while data(app.ask(SEARCH, json!({ "query": "inkstone grinding" })).await)["search"]["degraded"] == true {
            tokio::task::yield_now().await;
        }
    };
    soon(whole, "both answer soon").await;
    watched.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_words_of_what_was_taken_back_are_not_told() {
    let watched = Watched::start().await;
    let app = &watched.app;
    let suggested = async || {
        let url = format!("{}/api/v1/suggest?q=zephyr", app.base);
        app.http.get(url).send().await.expect("an answer").text().await.expect("a text")
    };
    let corrected =
        async || data(app.ask(SEARCH, json!({ "query": "zephyrina" })).await)["search"]["corrections"].take();
    let id = publish(app, json!({ "title": "On lamps", "slug": "lamps", "markdown": sections("Rapeseed.") })).await;
    until(app, "zephyrine", "WORDS", "lamps", true).await;
    let known = async {
        while !suggested().await.contains("zephyrine") {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    // On a busy machine words are counted rarely.
    tokio::time::timeout(4 * PATIENCE, known).await.expect("its words are suggested");
    assert_eq!(corrected().await[0]["meant"], "zephyrine");
    let unpublish = "mutation($id: ID!) { unpublishPost(input: { id: $id }) { post { status } } }";
    app.own(unpublish, json!({ "id": id })).await;
    let told = suggested().await;
    assert!(!told.contains("zephyrine"), "{told}");
    assert_eq!(corrected().await, json!([]));
    watched.app.stop().await;
}
