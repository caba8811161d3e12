//! Relay connections: a page of rows, resolved as [`super::fields`] says.

use std::borrow::Cow;

use async_graphql::connection::{EmptyFields, PageInfo};
use async_graphql::{Object, ObjectType, OutputType, TypeName};
use uuid::Uuid;

use super::page;
use crate::store::{Key, PageOf, Position};

/// A page of a list. `Fields` tells more of the list, such as how long it is.
pub struct Rows<Node, Fields = EmptyFields> {
    edges: Vec<RowEdge<Node>>,
    fields: Fields,
    has_previous: bool,
    has_next: bool,
}

/// A row and its place in the list, which becomes a text only where one is asked for.
pub struct RowEdge<Node> {
    list: &'static str,
    position: Position,
    node: Node,
}

impl<Node, Fields> Rows<Node, Fields> {
    /// A page of the list that `list` names in its cursors.
    pub fn new<Row>(
        list: &'static str,
        page: PageOf<Row>,
        fields: Fields,
        key: impl Fn(&Row) -> (Key, Uuid),
        node: impl Fn(Row) -> Node,
    ) -> Self {
        let edge = |row| {
            let (key, id) = key(&row);
            RowEdge { list, position: Position { key, id }, node: node(row) }
        };
        let edges = page.rows.into_iter().map(edge).collect();
        Self { edges, fields, has_previous: page.has_previous, has_next: page.has_next }
    }
}

impl<Node: OutputType, Fields: ObjectType> TypeName for Rows<Node, Fields> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Connection", Node::type_name()).into()
    }
}

impl<Node: OutputType> TypeName for RowEdge<Node> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Edge", Node::type_name()).into()
    }
}

#[Object(name_type, crate = "crate::graphql::fields")]
impl<Node: OutputType, Fields: ObjectType> Rows<Node, Fields> {
    /// A list of edges.
    async fn edges(&self) -> &[RowEdge<Node>] {
        &self.edges
    }

    /// A list of nodes.
    async fn nodes(&self) -> Vec<&Node> {
        self.edges.iter().map(|edge| &edge.node).collect()
    }

    /// Information to aid in pagination.
    async fn page_info(&self) -> PageInfo {
        PageInfo {
            has_previous_page: self.has_previous,
            has_next_page: self.has_next,
            start_cursor: self.edges.first().map(RowEdge::text),
            end_cursor: self.edges.last().map(RowEdge::text),
        }
    }

    #[graphql(flatten)]
    async fn fields(&self) -> &Fields {
        &self.fields
    }
}

impl<Node> RowEdge<Node> {
    fn text(&self) -> String {
        page::encode(self.list, &self.position)
    }
}

/// An edge in a connection.
#[Object(name_type, crate = "crate::graphql::fields")]
impl<Node: OutputType> RowEdge<Node> {
    /// A cursor for use in pagination
    async fn cursor(&self) -> String {
        self.text()
    }

    /// The item at the end of the edge
    async fn node(&self) -> &Node {
        &self.node
    }
}
