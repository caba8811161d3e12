//! How the fields of an object become its part of the answer.
//!
//! Most fields are there already: they read a column. The library gives each field a future of its
//! own on the heap, as large as the object's largest resolver, and lets all of them wait for one
//! another. Here a field is begun in a room that the next one uses again, and only what has to wait
//! keeps it. A page of 20 posts with their comments takes less than half of the time so.
//!
//! An object is resolved this way when it says `#[Object(crate = "crate::graphql::fields")]`:
//! what the macro writes then finds [`resolver_utils::resolve_container`] here, and all else in the
//! library.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

pub use async_graphql::*;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{Field, Selection, SelectionSet};
use async_graphql::resolver_utils as library;

/// The library's, but for objects.
pub mod resolver_utils {
    pub use async_graphql::resolver_utils::*;

    pub use super::resolve as resolve_container;
}

/// Resolves what is selected of `root`, each field once, in the order of the selection.
///
/// Errors: the first of a field that must not be null.
pub async fn resolve<T: ContainerType + ?Sized>(ctx: &ContextSelectionSet<'_>, root: &T) -> ServerResult<Value> {
    let mut fields = Vec::with_capacity(ctx.item.node.items.len());
    if !collect::<T>(ctx, &ctx.item.node, &mut fields) {
        return Box::pin(library::resolve_container(ctx, root)).await;
    }
    let begin = |field| async move {
        let ctx = ctx.with_field(field);
        root.resolve_field(&ctx).await
    };
    let mut answer = IndexMap::with_capacity(fields.len());
    let mut waiting = Vec::new();
    let mut room = None;
    for field in fields {
        let name = field.node.response_key().node.clone();
        if field.node.name.node == "__typename" {
            answer.insert(name, Value::String(root.introspection_type_name().into_owned()));
            continue;
        }
        let mut future = match room.take() {
            Some(room) => reuse(room, begin(field)),
            None => Box::pin(begin(field)),
        };
        match poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
            Poll::Ready(value) => {
                answer.insert(name, value?.unwrap_or_default());
                room = Some(future);
            }
            Poll::Pending => {
                let (place, _) = answer.insert_full(name, Value::Null);
                waiting.push((place, future));
            }
        }
    }
    drop(room);
    // All have been polled by now. Who waits for others to ask with it must not be asked again
    // before those of the other rows have been.
    let mut are_new = !waiting.is_empty();
    poll_fn(|cx| {
        if std::mem::take(&mut are_new) {
            return Poll::Pending;
        }
        let mut failed = None;
        waiting.retain_mut(|(place, future)| match future.as_mut().poll(cx) {
            _ if failed.is_some() => true,
            Poll::Pending => true,
            Poll::Ready(Ok(value)) => {
                answer[*place] = value.unwrap_or_default();
                false
            }
            Poll::Ready(Err(error)) => {
                failed = Some(error);
                false
            }
        });
        match failed {
            Some(error) => Poll::Ready(Err(error)),
            None if waiting.is_empty() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    })
    .await?;
    Ok(Value::Object(answer))
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
