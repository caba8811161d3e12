//! Conversations of those who have not signed in: in this process only, until nobody has asked for a
//! while. Whoever knows the id goes on with one, so ids cannot be guessed.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use uuid::Uuid;

use super::threads::{KEPT_TURNS, Turn};

/// Memory for all of them: thousands of conversations.
const MAX_BYTES: u64 = 32 << 20;
/// Besides the texts.
const OVERHEAD_BYTES: usize = 200;
/// How long one is kept after the last question, and in all.
const IDLE: Duration = Duration::from_secs(30 * 60);
const LIFE: Duration = Duration::from_secs(4 * 60 * 60);

/// What was said, by id.
pub struct Memory(Cache<Uuid, Arc<Vec<Turn>>>);

impl Default for Memory {
    fn default() -> Self {
        let weigh = |_: &Uuid, turns: &Arc<Vec<Turn>>| {
            let texts: usize = turns.iter().map(|turn| turn.question.len() + turn.answer.len()).sum();
            u32::try_from(texts + OVERHEAD_BYTES).unwrap_or(u32::MAX)
        };
        let kept = Cache::builder().weigher(weigh).max_capacity(MAX_BYTES).time_to_idle(IDLE).time_to_live(LIFE);
        Self(kept.build())
    }
}

impl Memory {
    /// What was said in this conversation; `None` if it is not known any more.
    pub fn recall(&self, id: Uuid) -> Option<Arc<Vec<Turn>>> {
        self.0.get(&id)
    }

    /// A new conversation, of 122 random bits.
    pub fn begin(&self) -> Uuid {
        let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
        self.0.insert(id, Arc::default());
        id
    }

    /// Adds a turn, and forgets those that no answer looks back to any more.
    pub fn add(&self, id: Uuid, turn: Turn) {
        let mut turns = self.recall(id).map(|turns| turns.to_vec()).unwrap_or_default();
        turns.push(turn);
        let old = turns.len().saturating_sub(KEPT_TURNS);
        self.0.insert(id, Arc::new(turns.split_off(old)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_stays_bounded() {
        let memory = Memory::default();
        let id = memory.begin();
        assert_ne!(id, memory.begin());
        for number in 0..KEPT_TURNS + 5 {
            memory.add(id, Turn { question: number.to_string(), answer: "a".into() });
        }
        let turns = memory.recall(id).expect("it is kept");
        assert_eq!(turns.len(), KEPT_TURNS);
        assert_eq!(turns.last().map(|turn| turn.question.as_str()), Some((KEPT_TURNS + 4).to_string().as_str()));
        assert!(memory.recall(Uuid::nil()).is_none());
    }
}
