//! An answer in the parts of the AI SDK's UI message stream, each the data of an event.
//!
//! Source: the AI SDK's "stream protocols" and the schema of its chunks, which takes no fields that
//! it does not know: what else there is to tell stands in `messageMetadata`, `providerMetadata` and
//! `data-…` parts, which are made for that.

use serde_json::{Value, json};

use crate::error::ApiError;
use crate::graphql::NodeType;
use crate::services::chatting::{ChatEvent, Chats, Citation, Done};
use crate::store::messages::Finish;

/// An answer is one text.
const TEXT: &str = "answer";
const END: &str = "[DONE]";

/// What has been told so far.
pub struct Parts {
    chats: Chats,
    text_begun: bool,
}

impl Parts {
    pub fn new(chats: Chats) -> Self {
        Self { chats, text_begun: false }
    }

    /// What an event is told as.
    pub fn of(&mut self, event: ChatEvent) -> Vec<String> {
        let parts = match event {
            ChatEvent::Started { conversation_id, message_id } => {
                let mut start = json!({ "type": "start", "messageId": NodeType::ChatMessage.id(message_id).0 });
                if let Some(id) = conversation_id {
                    start["messageMetadata"] = json!({ "conversationId": NodeType::Conversation.id(id).0 });
                }
                vec![start]
            }
            ChatEvent::Citations { citations, .. } => citations.iter().map(|citation| self.source(citation)).collect(),
            ChatEvent::Token(text) => self.text(&text),
            ChatEvent::Done(done) => return self.end(finished(&done)),
            ChatEvent::Failed(failure) => return self.end_text().into_iter().chain(ended(&failure.into())).collect(),
        };
        parts.iter().map(Value::to_string).collect()
    }

    fn source(&self, citation: &Citation) -> Value {
        let Citation { index, title, heading_path, excerpt, .. } = citation;
        json!({
            "type": "source-url",
            "sourceId": index.to_string(),
            "url": citation.url(&self.chats),
            "title": title,
            "providerMetadata": {
                "inkstone": { "index": index, "headingPath": heading_path, "excerpt": excerpt },
            },
        })
    }

    fn text(&mut self, text: &str) -> Vec<Value> {
        let begin = (!self.text_begun).then(|| json!({ "type": "text-start", "id": TEXT }));
        self.text_begun = true;
        begin.into_iter().chain([json!({ "type": "text-delta", "id": TEXT, "delta": text })]).collect()
    }

    fn end_text(&self) -> Option<String> {
        self.text_begun.then(|| json!({ "type": "text-end", "id": TEXT }).to_string())
    }

    fn end(&self, finish: Value) -> Vec<String> {
        self.end_text().into_iter().chain([finish.to_string(), END.to_owned()]).collect()
    }
}

fn finished(done: &Done) -> Value {
    json!({
        "type": "finish",
        "messageMetadata": {
            "finishReason": finish_reason(done.finish),
            "promptTokens": done.usage.prompt_tokens,
            "completionTokens": done.usage.completion_tokens,
            "durationMs": u64::try_from(done.duration.as_millis()).unwrap_or(u64::MAX),
            "model": done.model,
            "degraded": done.degraded,
            "covered": done.finish != Finish::NotCovered,
            "quoted": done.finish == Finish::Quoted,
        },
    })
}

/// As the AI SDK calls it.
fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Quoted | Finish::NotCovered => "stop",
        Finish::Length => "length",
        Finish::Left | Finish::Failed => "error",
    }
}

/// The last parts of an answer that goes no further.
pub fn ended(error: &ApiError) -> Vec<String> {
    let failure = json!({ "code": error.code.as_str(), "message": error.message });
    let parts = [
        json!({ "type": "data-failure", "data": failure, "transient": true }),
        json!({ "type": "error", "errorText": error.message }),
    ];
    parts.iter().map(Value::to_string).chain([END.to_owned()]).collect()
}
