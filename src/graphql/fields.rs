//! How the fields of an object become its part of the answer.
//!
//! Most fields are there already: they read a column. The library gives each field a future of its
//! own on the heap, as large as the object's largest resolver, and lets all of them wait for one
//! another. Here a field is begun in a room that the next one uses again, and only what has to wait
//! keeps it. A page of 20 posts with their comments takes less than half of the time so.
//!
//! What is resolved is written as JSON at once, see [`json`].
//!
//! An object is resolved this way when it says `#[Object(crate = "crate::graphql::fields")]`:
//! what the macro writes then finds [`resolver_utils::resolve_container`] here, and all else in the
//! library.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

pub use async_graphql::*;

use async_graphql::parser::types::{Field, Selection, SelectionSet};
use async_graphql::resolver_utils as library;

use super::context::RequestContext;
use super::json;

/// The library's, but for objects.
pub mod resolver_utils {
    pub use async_graphql::resolver_utils::*;

    pub use super::resolve as resolve_container;
}

/// Resolves what is selected of `root`, each field once, in the order of the selection.
///
/// On the heap, so that an object takes no room in the fields that it is below, and its type no
/// part in theirs: objects refer to one another in circles.
///
/// Errors: the first of a field that must not be null.
pub fn resolve<'a, T: ContainerType + ?Sized>(
    ctx: &'a ContextSelectionSet<'_>,
    root: &'a T,
) -> Pin<Box<dyn Future<Output = ServerResult<Value>> + Send + 'a>> {
    Box::pin(resolve_selected(ctx, root))
}

async fn resolve_selected<T: ContainerType + ?Sized>(ctx: &ContextSelectionSet<'_>, root: &T) -> ServerResult<Value> {
    let mut fields = Vec::with_capacity(ctx.item.node.items.len());
    let merges = ctx.data_opt::<Arc<RequestContext>>().is_none_or(|request| request.merges);
    if merges || !collect::<T>(ctx, &ctx.item.node, &mut fields) {
        return Box::pin(library::resolve_container(ctx, root)).await;
    }
    let begin = |field| async move {
        let ctx = ctx.with_field(field);
        root.resolve_field(&ctx).await
    };
    let mut answers = Vec::with_capacity(fields.len());
    let mut waiting = Vec::new();
    let mut room = None;
    for field in fields {
        let name = &field.node.response_key().node;
        if field.node.name.node == "__typename" {
            answers.push((name, Value::String(root.introspection_type_name().into_owned())));
            continue;
        }
        let mut future = match room.take() {
            Some(room) => reuse(room, begin(field)),
            None => Box::pin(begin(field)),
        };
        match poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
            Poll::Ready(value) => {
                answers.push((name, value?.unwrap_or_default()));
                room = Some(future);
            }
            Poll::Pending => {
                waiting.push((answers.len(), future));
                answers.push((name, Value::Null));
            }
        }
    }
    drop(room);
    if !waiting.is_empty() {
        finish(waiting, &mut answers).await?;
    }
    let mut written = Vec::with_capacity(answers.iter().map(|(name, value)| name.len() + json::length(value)).sum());
    json::write_object(answers.iter().map(|(name, value)| (*name, value)), &mut written);
    Ok(Value::Binary(written.into()))
}

/// A field that has to wait, and its place in the answer.
type Waiting<F> = (usize, Pin<Box<F>>);

/// Waits for the fields that were begun.
async fn finish<F>(mut waiting: Vec<Waiting<F>>, answers: &mut [(&Name, Value)]) -> ServerResult<()>
where
    F: Future<Output = ServerResult<Option<Value>>>,
{
    // All have been polled. Who waits for others to ask with it must not be asked again before
    // those of the other rows have been.
    let mut are_new = true;
    poll_fn(|cx| {
        if std::mem::take(&mut are_new) {
            return Poll::Pending;
        }
        let mut failed = None;
        waiting.retain_mut(|(place, future)| match future.as_mut().poll(cx) {
            Poll::Pending => true,
            Poll::Ready(Ok(value)) => {
                answers[*place].1 = value.unwrap_or_default();
                false
            }
            Poll::Ready(Err(error)) => {
                failed.get_or_insert(error);
                false
            }
        });
        match failed {
            Some(error) => Poll::Ready(Err(error)),
            None if waiting.is_empty() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    })
    .await
}

fn reuse<F>(mut room: Pin<Box<F>>, future: F) -> Pin<Box<F>> {
    room.set(future);
    room
}

/// The fields that are selected, those of fragments in their places; false where this is too simple
/// to tell them: a fragment on an interface, a directive, an object that is selected twice.
fn collect<'a, T: ContainerType + ?Sized>(
    ctx: &ContextSelectionSet<'a>,
    set: &'a SelectionSet,
    fields: &mut Vec<&'a Positioned<Field>>,
) -> bool {
    set.items.iter().all(|selection| {
        let (condition, inner) = match &selection.node {
            Selection::Field(field) => return add(field, fields),
            Selection::InlineFragment(inline) => (inline.node.type_condition.as_ref(), &inline.node.selection_set),
            Selection::FragmentSpread(spread) => match ctx.query_env.fragments.get(&spread.node.fragment_name.node) {
                Some(fragment) => (Some(&fragment.node.type_condition), &fragment.node.selection_set),
                None => return false,
            },
        };
        condition.is_none_or(|condition| *condition.node.on.node == *T::type_name())
            && collect::<T>(ctx, &inner.node, fields)
    })
}

/// Adds a field, unless it is there; false if the two would have to be merged.
fn add<'a>(field: &'a Positioned<Field>, fields: &mut Vec<&'a Positioned<Field>>) -> bool {
    let name = &field.node.response_key().node;
    let is_new = fields.iter().all(|other| other.node.response_key().node != *name);
    if is_new {
        fields.push(field);
    }
    field.node.directives.is_empty() && (is_new || field.node.selection_set.node.items.is_empty())
}
