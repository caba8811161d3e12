//! The chat over the site: what it answers, from what, and to whom.

use std::sync::{Arc, Mutex};

use inkstone::inference::{GenerateRequest, InferenceError, Prompt, Role};
use serde_json::{Value, json};

use crate::support::asking::{ASK, QUESTION, ask, forgotten, found, kettle, looked_for, publish};
use crate::support::live::PATIENCE;
use crate::support::scripted::{Scripted, said};
use crate::support::{TestApp, code, data};

mod asking;
mod conversations;
mod failing;
mod injection;
mod quotas;
mod site_model;
mod ui_stream;

/// What a model was asked.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<GenerateRequest>>>);

impl Heard {
    fn count(&self) -> usize {
        self.0.lock().expect("no test panics with it").len()
    }

    /// The last conversation that the model was given.
    fn last(&self) -> Vec<(Role, String)> {
        let request = self.0.lock().expect("no test panics with it").last().cloned().expect("the model was asked");
        let Prompt::Messages(messages) = request.prompt else { panic!("a chat is of messages") };
        messages.into_iter().map(|message| (message.role, message.content)).collect()
    }

    /// What it was told to do.
    fn system(&self) -> String {
        let (role, text) = self.last().into_iter().next().expect("a message");
        assert_eq!(role, Role::System);
        text
    }

    /// The passages and the question.
    fn user(&self) -> String {
        let (role, text) = self.last().pop().expect("a message");
        assert_eq!(role, Role::User);
        text
    }
}

/// A site that knows about a kettle, and a model that says where it read of it.
async fn site(own: &[(&'static str, &str)]) -> (TestApp, Heard) {
    site_on(Scripted::saying(&["It has ", "93 degrees [1]."]), own).await
}

async fn site_on(model: Scripted, own: &[(&'static str, &str)]) -> (TestApp, Heard) {
    let heard = Heard(model.asked.clone());
    let app = model.start(own).await;
    kettle(&app).await;
    (app, heard)
}
