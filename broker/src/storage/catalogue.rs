//! Answers of the catalogue that every fetch and every produce request asks for again: kept until a topic changes.

use nisshi_sans_io::describe_configs_response::DescribeConfigsResult;
use nisshi_storage::{MetadataResponse, TopicId};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Answers kept of each kind; beyond that all are forgotten and asked for again.
const ANSWERS_MAX: usize = 4_096;

#[derive(Debug, Default)]
struct Answers {
    metadata: HashMap<TopicId, MetadataResponse>,
    configs: HashMap<(String, Vec<String>), DescribeConfigsResult>,
    /// Counts changes, so that an answer that was under way during one is not kept.
    generation: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Cache {
    answers: Mutex<Answers>,
}

impl Cache {
    fn with<T>(&self, act: impl FnOnce(&mut Answers) -> T) -> T {
        act(&mut self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn clear(&self) {
        self.with(|answers| *answers = Answers { generation: answers.generation + 1, ..Answers::default() });
    }

    pub(crate) fn generation(&self) -> u64 {
        self.with(|answers| answers.generation)
    }

    pub(crate) fn metadata(&self, topic: &TopicId) -> Option<MetadataResponse> {
        self.with(|answers| answers.metadata.get(topic).cloned())
    }

    pub(crate) fn keep_metadata(&self, generation: u64, topic: TopicId, answer: &MetadataResponse) {
        self.with(|answers| {
            if answers.generation == generation {
                keep(&mut answers.metadata, topic, answer.clone());
            }
        });
    }

    pub(crate) fn config(&self, name: &str, keys: &[String]) -> Option<DescribeConfigsResult> {
        self.with(|answers| answers.configs.get(&(name.to_owned(), keys.to_owned())).cloned())
    }

    pub(crate) fn keep_config(
        &self,
        generation: u64,
        name: &str,
        keys: &[String],
        answer: &DescribeConfigsResult,
    ) {
        self.with(|answers| {
            if answers.generation == generation {
                keep(&mut answers.configs, (name.to_owned(), keys.to_owned()), answer.clone());
            }
        });
    }
}

fn keep<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, V>, key: K, value: V) {
    if map.len() >= ANSWERS_MAX {
        map.clear();
    }
    map.insert(key, value);
}
