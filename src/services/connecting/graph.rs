//! What there is around an entity, step by step outward.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::services::{ServiceError, Services};
use crate::store::entities::{self, EntityRow};

/// Most steps from the centre.
pub const MAX_DEPTH: usize = 3;
/// Relations of each entity that are followed beyond the first step, and most that are looked at.
const FEW: usize = 12;
const MANY: usize = 50;

/// Entities and what they have to do with one another.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The centre first, then what is nearest.
    pub nodes: Vec<EntityRow>,
    /// Each once, between two of the nodes; the strongest first.
    pub edges: Vec<Relation>,
}

/// That two entities have to do with each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Relation {
    pub from: Uuid,
    pub to: Uuid,
    pub weight: f64,
    pub shared_posts: i64,
}

/// What is at most `depth` steps away from `center`, at most `most` entities: one statement a step,
/// and one for what those of the last step have to do with one another.
pub async fn around(services: &Services, center: EntityRow, depth: usize, most: usize) -> Result<Graph, ServiceError> {
    let mut seen = HashSet::from([center.id]);
    let mut frontier = vec![center.id];
    let mut nodes = vec![center];
    let mut relations: HashMap<(Uuid, Uuid), Relation> = HashMap::new();
    for step in 0..=depth {
        let limit = if step == 0 { MANY } else { FEW };
        let found = entities::related(&mut *services.db.conn().await?, &frontier, limit).await?;
        let mut next: Vec<(f64, EntityRow)> = Vec::new();
        for here in frontier {
            for near in found.get(&here).into_iter().flatten() {
                let ends = (here.min(near.entity.id), here.max(near.entity.id));
                let relation =
                    Relation { from: ends.0, to: ends.1, weight: near.weight, shared_posts: near.shared_posts };
                relations.entry(ends).or_insert(relation);
                next.push((near.weight, near.entity.clone()));
            }
        }
        // The last look is only for the relations among those that are there.
        if step == depth {
            break;
        }
        next.sort_by(|(a, one), (b, other)| b.total_cmp(a).then_with(|| one.key.cmp(&other.key)));
        frontier = Vec::new();
        for (_, entity) in next {
            if nodes.len() < most && seen.insert(entity.id) {
                frontier.push(entity.id);
                nodes.push(entity);
            }
        }
        if frontier.is_empty() {
            break;
        }
    }
    let mut edges: Vec<Relation> =
        relations.into_values().filter(|it| seen.contains(&it.from) && seen.contains(&it.to)).collect();
    edges.sort_by(|a, b| b.weight.total_cmp(&a.weight).then_with(|| (a.from, a.to).cmp(&(b.from, b.to))));
    edges.truncate(most * 4);
    Ok(Graph { nodes, edges })
}
